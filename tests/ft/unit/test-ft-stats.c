/*
 * QEMU-FT: tests of the percentiles
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "migration/ft/stats.h"

typedef struct RankCase {
    const char *name;
    uint64_t n;                 /* the values 1 to n are added */
    uint32_t samples;
    uint64_t p50, p99, max;
} RankCase;

/* Nearest rank: the value at position ceil(n * percent / 100), from 1 */
static const RankCase rank_cases[] = {
    { "none", 0, 0, 0, 0, 0 },
    { "one", 1, 1, 1, 1, 1 },
    { "two", 2, 2, 1, 2, 2 },
    { "three", 3, 3, 2, 3, 3 },
    { "even", 10, 10, 5, 10, 10 },
    { "odd", 99, 99, 50, 99, 99 },
    { "hundred", 100, 100, 50, 99, 100 },
    { "hundred-one", 101, 101, 51, 100, 101 },
    { "two-hundred", 200, 200, 100, 198, 200 },
    { "full", FT_WINDOW, FT_WINDOW, 512, 1014, 1024 },
    /* Only the latest FT_WINDOW count: 2 to 1025, 977 to 2000 */
    { "one-too-many", FT_WINDOW + 1, FT_WINDOW, 513, 1015, 1025 },
    { "wrapped", 2000, FT_WINDOW, 976 + 512, 976 + 1014, 2000 },
};

static void assert_percentiles(const FtWindow *w, const RankCase *c)
{
    FtPercentiles p = ft_window_percentiles(w);

    g_assert_cmpuint(p.samples, ==, c->samples);
    g_assert_cmpuint(p.p50, ==, c->p50);
    g_assert_cmpuint(p.p99, ==, c->p99);
    g_assert_cmpuint(p.max, ==, c->max);
}

static void test_rank(const void *opaque)
{
    const RankCase *c = opaque;
    g_autofree FtWindow *up = g_new0(FtWindow, 1);
    g_autofree FtWindow *down = g_new0(FtWindow, 1);

    for (uint64_t i = 1; i <= c->n; i++) {
        ft_window_add(up, i);
    }
    assert_percentiles(up, c);
    if (c->n <= FT_WINDOW) {
        for (uint64_t i = c->n; i >= 1; i--) {
            ft_window_add(down, i);
        }
        assert_percentiles(down, c);
    }
}

/* Compared as numbers of 64 bits, not by a difference that overflows */
static void test_wide(void)
{
    g_autofree FtWindow *w = g_new0(FtWindow, 1);
    FtPercentiles p;

    ft_window_add(w, UINT64_MAX);
    ft_window_add(w, 1ULL << 32);
    ft_window_add(w, 0);
    p = ft_window_percentiles(w);
    g_assert_cmpuint(p.p50, ==, 1ULL << 32);
    g_assert_cmpuint(p.p99, ==, UINT64_MAX);
    g_assert_cmpuint(p.max, ==, UINT64_MAX);
}

/* Asking does not sort the window itself */
static void test_ask_twice(void)
{
    g_autofree FtWindow *w = g_new0(FtWindow, 1);

    for (uint64_t i = 0; i < FT_WINDOW; i++) {
        ft_window_add(w, FT_WINDOW - i);
        ft_window_percentiles(w);
    }
    g_assert_cmpuint(w->samples[0], ==, FT_WINDOW);
    ft_window_add(w, 1);        /* takes the place of the largest */
    g_assert_cmpuint(ft_window_percentiles(w).max, ==, FT_WINDOW - 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(rank_cases); i++) {
        g_autofree char *path = g_strdup_printf("/ft/stats/rank/%s",
                                                rank_cases[i].name);

        g_test_add_data_func(path, &rank_cases[i], test_rank);
    }
    g_test_add_func("/ft/stats/wide", test_wide);
    g_test_add_func("/ft/stats/ask-twice", test_ask_twice);
    return g_test_run();
}
