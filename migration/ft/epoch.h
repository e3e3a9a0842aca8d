/*
 * QEMU-FT: the life of the epochs on the primary
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 *      committed        sent      current
 *          |              |          |
 *     1 2 3 4    5 6 7 8 9     10   11
 *                in flight     cut  the guest runs in it
 *
 * An epoch is cut, then sent, and then its acknowledgement is awaited; an ack
 * is legal from the first byte sent, because it may overtake the sender's
 * return.  One epoch is cut at a time, while the guest stands still; @current
 * already counts then for what it does after the cut.  Between cuts there is
 * nothing between @sent and @current.
 *
 * Up to FT_EPOCHS_IN_FLIGHT may be under way, one behind the other on one
 * connection, so they are acknowledged in order.  A committed epoch can wait
 * for the peer's disk before its output may go; the guest's next epochs do not
 * wait for that.  Pure data, with the BQL.
 */
#ifndef MIGRATION_FT_EPOCH_H
#define MIGRATION_FT_EPOCH_H

#define FT_EPOCHS_IN_FLIGHT 8   /* at most */

typedef struct FtEpoch {
    uint64_t current;           /* what the guest does now belongs to it */
    uint64_t sent;              /* the last one on its way, 0: none */
    uint64_t committed;         /* last acknowledged one, 0: none */
    uint64_t stable;            /* of these, the last whose output may go */
} FtEpoch;

void ft_epoch_init(FtEpoch *e);

/**
 * ft_epoch_cut: the epoch that the guest is in ends; returns its number
 *
 * Less than FT_EPOCHS_IN_FLIGHT are; asserted, and that none is being cut.
 */
uint64_t ft_epoch_cut(FtEpoch *e);

/** ft_epoch_abandon: the cut was none; the guest goes on in the same epoch */
void ft_epoch_abandon(FtEpoch *e);

/** ft_epoch_sent: what was cut is in flight; call it before the first byte */
void ft_epoch_sent(FtEpoch *e);

/** ft_epoch_in_flight: how many epochs are */
uint32_t ft_epoch_in_flight(const FtEpoch *e);

/**
 * ft_epoch_ack: one less is in flight, by the peer's word
 *
 * False with @errp set when @number is not the oldest in flight, or @stable
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
