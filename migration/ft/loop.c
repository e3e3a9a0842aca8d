/*
 * QEMU-FT: does the main loop turn?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A process may be alive in every thread but the one that matters.  A timer
 * in the main loop stamps the time; the channel's thread sends the age of
 * the stamp with each beat and lets the peer judge.
 *
 * How long a turn takes matters to the guest: the main loop holds the BQL
 * from the end of its wait for events until it waits again.  GLib calls a
 * source's check() just after the wait and its prepare() just before, each
 * time, when no source is more urgent.  But it calls no check() at all when
 * what is to be polled has changed meanwhile, which a vCPU may do; then
 * nothing is dispatched, but timers run, and requests to the machine are
 * carried out.  QEMU's own notifier of the poll comes before those.
 *
 * All of them run with the BQL held, so from prepare() on, whoever holds it
 * knows that the main loop's thread has nothing half done: it waits for
 * events, or for the BQL right after.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/main-loop.h"
#include "qemu/notify.h"
#include "qemu/timer.h"
#include "loop.h"

static QEMUTimer *timer;
static uint32_t period;
static void (*tick_cb)(void);
static int64_t stamp_ns;        /* atomic */
static int64_t turn_began, longest_turn;
static bool waits;              /* under the BQL */

static void tick(void *opaque)
{
    qatomic_set_i64(&stamp_ns, get_clock());
    timer_mod(timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + period);
    if (tick_cb) {
        tick_cb();
    }
}

static gboolean turn_begins(GSource *source)
{
    waits = false;
    turn_began = get_clock();
    return false;
}

/* After the poll and what was dispatched, if anything */
static void polled(Notifier *notifier, void *data)
{
    const MainLoopPoll *poll = data;

    if (poll->state != MAIN_LOOP_POLL_FILL && waits) {
        turn_begins(NULL);
    }
}

static gboolean turn_ends(GSource *source, gint *timeout)
{
    if (turn_began) {
        longest_turn = MAX(longest_turn, get_clock() - turn_began);
    }
    waits = true;
    *timeout = -1;
    return false;
}

static void watch_turns(void)
{
    static GSourceFuncs funcs = {
        .prepare = turn_ends,
        .check = turn_begins,
    };
    static Notifier after = { .notify = polled };
    GSource *source = g_source_new(&funcs, sizeof(*source));

    main_loop_poll_add_notifier(&after);

    g_source_set_priority(source, G_MININT);
    g_source_attach(source, NULL);
    g_source_unref(source);
}

void ft_loop_watch(uint32_t period_ms, void (*cb)(void))
{
    if (!timer) {
        timer = timer_new_ms(QEMU_CLOCK_REALTIME, tick, NULL);
        watch_turns();
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

bool ft_loop_waits(void)
{
    return waits;
}

uint64_t ft_loop_longest_turn_us(void)
{
    return longest_turn / 1000;
}

void ft_loop_forget_turns(void)
{
    longest_turn = 0;
}
