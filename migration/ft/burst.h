/*
 * QEMU-FT: how many packets the guest says before it waits for an answer
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_BURST_H
#define MIGRATION_FT_BURST_H

/* With the BQL; zeroed: nothing is known */
typedef struct FtBurst {
    uint32_t said;              /* packets since the last cut */
    uint32_t usual;             /* of the last bursts; 0: unknown */
    uint32_t trust;             /* that the next has as many */
    bool early;                 /* the last cut relied on it */
} FtBurst;

/** ft_burst_packet: one more */
void ft_burst_packet(FtBurst *b);

/** ft_burst_complete: as many as always, so no more is to be expected */
bool ft_burst_complete(const FtBurst *b);

/**
 * ft_burst_cut: what was said until now belongs to one epoch
 *
 * @ended: the guest had nothing more to say: it slept, or was silent
 * @early: the cut was made because ft_burst_complete()
 */
void ft_burst_cut(FtBurst *b, bool ended, bool early);

/** ft_burst_committed: the epoch is, and its output has been let go */
void ft_burst_committed(FtBurst *b);

#endif
