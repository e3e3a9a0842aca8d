/*
 * QEMU-FT: counters of checkpoint mode
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_CHECKPOINT_H
#define MIGRATION_FT_CHECKPOINT_H

#include "pacer.h"
#include "stats.h"

/* With the BQL; times in microseconds */
typedef struct FtCounters {
    FtWindow pause, stop, save, harvest, copy, resume;
    FtWindow ack, pages, bytes;
    uint64_t cuts[FT_CAUSE__MAX];
    uint64_t total, skipped, without_pause, overlapping;
    uint64_t sync_time_ms;      /* from the connection to its first commit */
    uint64_t checks_passed, checks_failed;
} FtCounters;

extern FtCounters ft_counters;

/* The last committed epoch, 0: none; bytes the first copy has to send */
uint64_t ft_checkpoint_committed(void);
bool ft_checkpoint_remaining(uint64_t *bytes);

/* Bytes of the records that went compressed, and what became of them */
void ft_checkpoint_compressed(uint64_t *before, uint64_t *after);

#endif
