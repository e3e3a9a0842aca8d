/*
 * QEMU-FT: tests of slowing a guest down
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A guest and a link are simulated: what the guest dirties while an epoch is
 * in flight is the next epoch, at the speed that it is left with.
 */
#include "qemu/osdep.h"
#include "system/cpu-throttle.h"
#include "migration/ft/throttle.h"

#define LIMIT 4096

static int percent;             /* as QEMU was told; 0: not at all */
static int calls;
static uint32_t most;           /* the key */

void cpu_throttle_set(int pct)
{
    g_assert_cmpint(pct, >=, 1);
    g_assert_cmpint(pct, <=, 99);
    percent = pct;
    calls++;
}

void cpu_throttle_stop(void)
{
    percent = 0;
    calls++;
}

/* @rate: pages the guest dirties while the link carries one */
static uint64_t run(double rate, uint64_t set, int cuts)
{
    uint64_t pages = LIMIT;

    for (int i = 0; i < cuts; i++) {
        double speed = 1 - percent / 100.0;

        /* A cut comes early at the limit only when nothing is in flight */
        pages = MIN(set, MAX(pages * rate * speed, LIMIT * MIN(rate, 1)));
        ft_throttle_cut(pages, LIMIT, most);
    }
    return pages;
}

static void begin(uint32_t percent_at_most)
{
    most = percent_at_most;
    ft_throttle_stop();
    percent = calls = 0;
}

/* It is not touched as long as the link carries what it writes */
static void test_fast_link(void)
{
    begin(80);
    run(0.2, 100000, 100);
    run(0.99, 100000, 100);
    g_assert_cmpint(calls, ==, 0);
    /* Nor by what is a little more, once in a while */
    for (int i = 0; i < 100; i++) {
        ft_throttle_cut(LIMIT * 2, LIMIT, most);
        ft_throttle_cut(100, LIMIT, most);
    }
    g_assert_cmpint(calls, ==, 0);
}

/* Epochs stay near the limit, at any ratio that its share allows for */
static void test_slow_link(void)
{
    for (double rate = 1.5; rate < 4.9; rate += 0.1) {
        uint64_t largest = 0;

        begin(80);
        run(rate, 1000000, 30);
        for (int i = 0; i < 100; i++) {
            largest = MAX(largest, run(rate, 1000000, 1));
            g_assert_cmpint(percent, <=, 80);
        }
        g_assert_cmpuint(largest, <=, 5 * LIMIT);
    }
}

/* A guest always keeps its share, and has all of it back in the end */
static void test_limits(void)
{
    begin(80);
    run(50, 1000000, 30);
    g_assert_cmpint(percent, ==, 80);
    g_assert_cmpuint(ft_throttle_percent(), ==, 80);
    run(0.01, 100, 30);
    g_assert_cmpint(percent, ==, 0);
    g_assert_cmpuint(ft_throttle_percent(), ==, 0);
    begin(0);
    run(50, 1000000, 30);
    g_assert_cmpint(calls, ==, 0);
    begin(95);
    run(50, 1000000, 30);
    g_assert_cmpint(percent, ==, 95);
    ft_throttle_stop();
    g_assert_cmpint(percent, ==, 0);
}

/* One large epoch, of a program that starts, is no reason for more */
static void test_once(void)
{
    begin(80);
    ft_throttle_cut(1000000, LIMIT, 0);
    g_assert_cmpint(calls, ==, 0);
    ft_throttle_cut(1000000, LIMIT, most);
    g_assert_cmpint(percent, ==, 50);
    for (int i = 0; i < 3; i++) {
        ft_throttle_cut(100, LIMIT, most);
    }
    g_assert_cmpint(percent, ==, 0);
}

/* A first copy that does not come to an end, then the epochs after it */
static void test_half(void)
{
    begin(80);
    g_assert(ft_throttle_half(most));
    g_assert_cmpint(percent, ==, 50);
    g_assert(ft_throttle_half(most));
    g_assert_cmpint(percent, ==, 75);
    g_assert(ft_throttle_half(most));
    g_assert_cmpint(percent, ==, 80);
    g_assert(!ft_throttle_half(most));
    run(0.01, 100, 30);
    g_assert_cmpint(percent, ==, 0);
    begin(0);
    g_assert(!ft_throttle_half(most));
    g_assert_cmpint(calls, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ft/throttle/fast-link", test_fast_link);
    g_test_add_func("/ft/throttle/slow-link", test_slow_link);
    g_test_add_func("/ft/throttle/limits", test_limits);
    g_test_add_func("/ft/throttle/once", test_once);
    g_test_add_func("/ft/throttle/half", test_half);
    return g_test_run();
}
