/*
 * QEMU-FT: cutting again before the peer has acknowledged
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_OVERLAP_H
#define MIGRATION_FT_OVERLAP_H

/* With the BQL; zeroed: nothing is in flight, and nothing known */
typedef struct FtOverlap {
    uint32_t inflight;          /* epochs that are */
    bool handed;                /* the last is wholly on its way */
    int64_t cut_at;             /* when that was cut, ns */
    int64_t ack;                /* average from a cut to its ack, ns; 0: unknown */
} FtOverlap;

/** ft_overlap_cut: one more, cut at @now; @handed: ft_ship() was done with it */
void ft_overlap_cut(FtOverlap *o, bool handed, int64_t now);

/**
 * ft_overlap_acked: @left are in flight now
 *
 * @ack: how long the last one took that came, ns; 0: not to be counted, since
 *     more than the way there and back was in it
 */
void ft_overlap_acked(FtOverlap *o, uint32_t left, int64_t ack);

/**
 * ft_overlap_earliest: when the next cut may be made
 *
 * @depth: epochs that may be in flight at once
 * @pause: what a cut takes, ns
 *
 * Returns a time, 0: at any, or INT64_MAX: when one more is acknowledged.
 */
int64_t ft_overlap_earliest(const FtOverlap *o, uint32_t depth, int64_t pause);

#endif
