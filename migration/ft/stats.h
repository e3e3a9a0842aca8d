/*
 * QEMU-FT: percentiles of a quantity over its latest samples
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * No locks: a window belongs to one thread (here: the main loop).
 */
#ifndef MIGRATION_FT_STATS_H
#define MIGRATION_FT_STATS_H

#define FT_WINDOW 1024

typedef struct FtWindow {
    uint64_t samples[FT_WINDOW];
    uint64_t count;             /* ever added */
} FtWindow;

static inline void ft_window_add(FtWindow *w, uint64_t value)
{
    w->samples[w->count++ % FT_WINDOW] = value;
}

typedef struct FtPercentiles {
    uint32_t samples;
    uint64_t p50, p99, max;
} FtPercentiles;

/** ft_window_percentiles: nearest-rank percentiles of the window */
FtPercentiles ft_window_percentiles(const FtWindow *w);

#endif
