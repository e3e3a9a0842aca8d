/*
 * QEMU-FT: percentiles of a quantity over its latest samples
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "stats.h"

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static uint64_t nearest_rank(const uint64_t *sorted, uint32_t n, uint32_t pct)
{
    return sorted[DIV_ROUND_UP((uint64_t)n * pct, 100) - 1];
}

FtPercentiles ft_window_percentiles(const FtWindow *w)
{
    uint32_t n = MIN(w->count, FT_WINDOW);
    g_autofree uint64_t *sorted = NULL;

    if (!n) {
        return (FtPercentiles) { 0 };
    }
    sorted = g_memdup2(w->samples, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), compare_u64);
    return (FtPercentiles) {
        .samples = n,
        .p50 = nearest_rank(sorted, n, 50),
        .p99 = nearest_rank(sorted, n, 99),
        .max = sorted[n - 1],
    };
}
