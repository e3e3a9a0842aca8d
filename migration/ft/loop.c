/*
 * QEMU-FT: does the main loop turn?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A process may be alive in every thread but the one that matters.  A timer
 * in the main loop stamps the time; the channel's thread sends the age of
 * the stamp with each beat and lets the peer judge.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/timer.h"
#include "loop.h"

static QEMUTimer *timer;
static uint32_t period;
static void (*tick_cb)(void);
static int64_t stamp_ns;        /* atomic */

static void tick(void *opaque)
{
    qatomic_set_i64(&stamp_ns, get_clock());
    timer_mod(timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + period);
    if (tick_cb) {
        tick_cb();
    }
}

void ft_loop_watch(uint32_t period_ms, void (*cb)(void))
{
    if (!timer) {
        timer = timer_new_ms(QEMU_CLOCK_REALTIME, tick, NULL);
    }
    period = MAX(period_ms, 1);
    tick_cb = cb;
    qatomic_set_i64(&stamp_ns, get_clock());
    timer_mod(timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + period);
}

uint32_t ft_loop_age_ms(void)
{
    return (get_clock() - qatomic_read_i64(&stamp_ns)) / 1000000;
}
