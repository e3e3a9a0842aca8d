/*
 * QEMU-FT: the life of an epoch on the primary
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 *              cut                 sent                 ack
 *     IDLE ----------> CUT ------------------> INFLIGHT ----> IDLE
 *       ^               |
 *       +--- abandon ---+
 *
 * IDLE      the guest runs in epoch @current; nothing waits for an ack
 * CUT       the guest stands still; @current already counts for what it
 *           does after the cut, @current - 1 is being collected
 * INFLIGHT  @current - 1 is on its way; its ack is legal from the first
 *           byte sent, because the ack may overtake the sender's return
 *
 * At most one epoch is in flight.  A committed epoch can wait for the
 * peer's disk before its output may go; the guest's next epochs do not wait
 * for that.  Pure data, main loop only.
 */
#ifndef MIGRATION_FT_EPOCH_H
#define MIGRATION_FT_EPOCH_H

typedef enum FtEpochPhase {
    FT_EPOCH_IDLE,
    FT_EPOCH_CUT,
    FT_EPOCH_INFLIGHT,
} FtEpochPhase;

typedef struct FtEpoch {
    FtEpochPhase phase;
    uint64_t current;           /* what the guest does now belongs to it */
    uint64_t committed;         /* last acknowledged one, 0: none */
    uint64_t stable;            /* of these, the last whose output may go */
} FtEpoch;

void ft_epoch_init(FtEpoch *e);

/** ft_epoch_cut: IDLE to CUT; returns the number of the epoch that ended */
uint64_t ft_epoch_cut(FtEpoch *e);

/** ft_epoch_abandon: CUT to IDLE; the guest goes on in the same epoch */
void ft_epoch_abandon(FtEpoch *e);

/** ft_epoch_sent: CUT to INFLIGHT, to be called before the first byte */
void ft_epoch_sent(FtEpoch *e);

/**
 * ft_epoch_ack: INFLIGHT to IDLE by the peer's word
 *
 * False with @errp set when @number is not the epoch in flight, or @stable
 * not one that can be stable.
 */
bool ft_epoch_ack(FtEpoch *e, uint64_t number, uint64_t stable, Error **errp);

/**
 * ft_epoch_stable: committed epochs up to @number are stable now
 *
 * False with @errp set when that is not news, or cannot be.
 */
bool ft_epoch_stable(FtEpoch *e, uint64_t number, Error **errp);

#endif
