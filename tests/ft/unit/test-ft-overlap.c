/*
 * QEMU-FT: when another epoch is cut before the peer has acknowledged
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "../../../migration/ft/overlap.h"

#define DEPTH 4
#define PAUSE 60000
#define NEAR 200000
#define FAR 5000000

/* Nothing in flight; each ack has taken @ack */
static FtOverlap known(int64_t ack)
{
    FtOverlap o = { 0 };

    for (int i = 0; i < 64; i++) {
        ft_overlap_cut(&o, true, i);
        ft_overlap_acked(&o, 0, ack);
    }
    return o;
}

static int64_t earliest(const FtOverlap *o)
{
    return ft_overlap_earliest(o, DEPTH, PAUSE);
}

/* With nothing in flight always; with something only when it was acknowledged */
static void test_near(void)
{
    FtOverlap o = { 0 };

    g_assert_cmpint(earliest(&o), ==, 0);
    ft_overlap_cut(&o, true, 10);
    g_assert_cmpint(earliest(&o), ==, INT64_MAX);
    ft_overlap_acked(&o, 0, NEAR);
    g_assert_cmpint(earliest(&o), ==, 0);
    o = known(NEAR);
    ft_overlap_cut(&o, true, 10);
    g_assert_cmpint(earliest(&o), ==, INT64_MAX);
}

static void test_far(void)
{
    FtOverlap o = known(FAR);

    for (int64_t i = 0; i < DEPTH - 1; i++) {
        ft_overlap_cut(&o, true, i * 1000);
        g_assert_cmpint(earliest(&o), ==, i * 1000 + FAR / DEPTH);
    }
    ft_overlap_cut(&o, true, FAR);
    g_assert_cmpint(earliest(&o), ==, INT64_MAX);
    ft_overlap_acked(&o, DEPTH - 1, FAR);
    g_assert_cmpint(earliest(&o), ==, FAR + FAR / DEPTH);
    ft_overlap_acked(&o, 0, FAR);
    g_assert_cmpint(earliest(&o), ==, 0);
}

static void test_off(void)
{
    FtOverlap o = known(FAR);

    g_assert_cmpint(ft_overlap_earliest(&o, 1, PAUSE), ==, 0);
    ft_overlap_cut(&o, true, 10);
    g_assert_cmpint(ft_overlap_earliest(&o, 1, PAUSE), ==, INT64_MAX);
    g_assert_cmpint(ft_overlap_earliest(&o, 2, PAUSE), ==, 10 + FAR / 2);
}

/* What a thread still encodes is not overlapped, however far the peer is */
static void test_in_thread(void)
{
    FtOverlap o = known(FAR);

    ft_overlap_cut(&o, false, 10);
    g_assert_cmpint(earliest(&o), ==, INT64_MAX);
    o = known(FAR);
    ft_overlap_cut(&o, true, 10);
    ft_overlap_cut(&o, false, 20);
    ft_overlap_acked(&o, 1, FAR);
    g_assert_cmpint(earliest(&o), ==, INT64_MAX);
    ft_overlap_acked(&o, 0, 0);
    g_assert_cmpint(earliest(&o), ==, 0);
}

/* A guest whose cuts take long in comparison has too few of them as it is */
static void test_long_pause(void)
{
    FtOverlap o = known(FAR);

    ft_overlap_cut(&o, true, 10);
    g_assert_cmpint(ft_overlap_earliest(&o, DEPTH, FAR / 4), ==, INT64_MAX);
    g_assert_cmpint(ft_overlap_earliest(&o, DEPTH, FAR / 16), ==,
                    10 + FAR / DEPTH);
}

/* One that took long is no distance, nor is one that is not to be counted */
static void test_learns(void)
{
    FtOverlap o = known(NEAR);

    ft_overlap_cut(&o, true, 10);
    ft_overlap_acked(&o, 0, FAR);
    ft_overlap_cut(&o, true, 20);
    g_assert_cmpint(earliest(&o), ==, INT64_MAX);
    for (int i = 0; i < 64; i++) {
        ft_overlap_acked(&o, 0, 0);
    }
    g_assert_cmpint(o.ack, >, NEAR);
    for (int i = 0; i < 64; i++) {
        ft_overlap_acked(&o, 0, FAR);
    }
    ft_overlap_cut(&o, true, 30);
    g_assert_cmpint(earliest(&o), <, 30 + FAR);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ft/overlap/near", test_near);
    g_test_add_func("/ft/overlap/far", test_far);
    g_test_add_func("/ft/overlap/off", test_off);
    g_test_add_func("/ft/overlap/in-thread", test_in_thread);
    g_test_add_func("/ft/overlap/long-pause", test_long_pause);
    g_test_add_func("/ft/overlap/learns", test_learns);
    return g_test_run();
}
