/*
 * QEMU-FT: when a burst of packets is taken for complete
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "../../../migration/ft/burst.h"

#define OFTEN 32                /* enough to be sure, or to forget */

static void say(FtBurst *b, int packets)
{
    while (packets--) {
        ft_burst_packet(b);
    }
}

/* The guest says @packets, sleeps, and they are let go */
static void sleep_after(FtBurst *b, int packets)
{
    say(b, packets);
    ft_burst_cut(b, true, false);
    ft_burst_committed(b);
}

/* A guest that is known to say @packets at a time */
static FtBurst known(int packets)
{
    FtBurst b = { 0 };

    for (int i = 0; i < OFTEN; i++) {
        sleep_after(&b, packets);
    }
    return b;
}

/* After how many packets, of @most, it is cut early; 0: not */
static int early_after(FtBurst b, int most)
{
    for (int i = 1; i <= most; i++) {
        ft_burst_packet(&b);
        if (ft_burst_complete(&b)) {
            return i;
        }
    }
    return 0;
}

static void test_learns(void)
{
    FtBurst b = { 0 };

    g_assert_cmpint(early_after(b, 5), ==, 0);
    sleep_after(&b, 1);
    sleep_after(&b, 1);
    g_assert_cmpint(early_after(b, 5), ==, 0);
    g_assert_cmpint(early_after(known(1), 5), ==, 1);
    g_assert_cmpint(early_after(known(20), 30), ==, 20);
    g_assert_cmpint(early_after(known(20), 19), ==, 0);
}

static void test_silence_is_no_burst(void)
{
    FtBurst b = known(3);

    for (int i = 0; i < OFTEN; i++) {
        sleep_after(&b, 0);
    }
    g_assert_cmpint(early_after(b, 5), ==, 3);
}

/* Cut by an interval or by dirty pages: who knows how many would have come */
static void test_cut_short(void)
{
    FtBurst b = known(3);

    for (int i = 0; i < OFTEN; i++) {
        say(&b, 2);
        ft_burst_cut(&b, false, false);
        ft_burst_committed(&b);
    }
    g_assert_cmpint(early_after(b, 5), ==, 3);
}

static void test_learns_anew(void)
{
    FtBurst b = known(1);

    sleep_after(&b, 2);
    g_assert_cmpint(early_after(b, 5), ==, 1);
    for (int i = 0; i < OFTEN; i++) {
        sleep_after(&b, 2);
    }
    g_assert_cmpint(early_after(b, 5), ==, 2);
}

static void test_never_twice_the_same(void)
{
    FtBurst b = { 0 };

    for (int i = 0; i < OFTEN; i++) {
        sleep_after(&b, 1 + i % 7);
        g_assert_cmpint(early_after(b, 10), ==, 0);
    }
}

static void cut_early(FtBurst *b, int packets, int while_in_flight)
{
    say(b, packets);
    ft_burst_cut(b, false, true);
    say(b, while_in_flight);
    ft_burst_committed(b);
}

static void test_right(void)
{
    FtBurst b = known(2);

    sleep_after(&b, 1);
    for (int i = 0; i < OFTEN; i++) {
        cut_early(&b, 2, 0);
    }
    sleep_after(&b, 1);
    sleep_after(&b, 1);
    g_assert_cmpint(early_after(b, 5), ==, 2);
}

/* It had more to say, which now waits for another epoch */
static void test_wrong(void)
{
    FtBurst b = known(2);

    for (int i = 0; i < 3; i++) {
        cut_early(&b, 2, 1);
        b.said = 0;
    }
    g_assert_cmpint(early_after(b, 5), ==, 0);
}

/* What is said in flight belongs to the next epoch */
static void test_in_flight(void)
{
    FtBurst b = known(2);

    say(&b, 2);
    ft_burst_cut(&b, true, false);
    say(&b, 1);
    ft_burst_committed(&b);
    g_assert_cmpint(early_after(b, 5), ==, 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ft/burst/learns", test_learns);
    g_test_add_func("/ft/burst/silence-is-no-burst", test_silence_is_no_burst);
    g_test_add_func("/ft/burst/cut-short", test_cut_short);
    g_test_add_func("/ft/burst/learns-anew", test_learns_anew);
    g_test_add_func("/ft/burst/never-twice-the-same",
                    test_never_twice_the_same);
    g_test_add_func("/ft/burst/right", test_right);
    g_test_add_func("/ft/burst/wrong", test_wrong);
    g_test_add_func("/ft/burst/in-flight", test_in_flight);
    return g_test_run();
}
