/*
 * QEMU-FT: when to cut
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * At the latest: after the interval since the last cut, and CHECK_SHARE times
 * what its self-check took.  On a crowded host that may take longer than the
 * interval, and a guest that does not come out of the pause does not get on.
 *
 * Earlier, when output waits and no epoch is in flight, at the first of
 *  - all vCPUs asleep: the guest has said all it has to say for now, and
 *    the cut needs no pause;
 *  - no further output for the longest of: the time "quiet", three times the
 *    gap that packets of a burst have had lately (the rest of the burst would
 *    have come by now), and QUIET_PAUSES times the pause that cuts have cost
 *    lately;
 *  - the first output has waited for the time "output-delay", or for
 *    CAP_PAUSES such pauses.
 * A cut costs a busy guest its pause, and about as much again in pages that
 * have become clean.  By the pauses, a guest that never sleeps keeps three
 * quarters of its time, however slow its host is at this.
 * Cutting at once instead gives one packet per epoch under concurrency and
 * loses to upstream COLO; waiting for sleep alone makes a busy guest wait
 * for the cap each time (measured: docs/internals.rst).
 *
 * Earlier, too, when the guest has dirtied as many pages as "dirty-limit":
 * the pause grows with them; or written so much to its disks that the peer
 * should not have to keep more.
 *
 * Timers of the real-time clock and event notifiers run at top level of the
 * main loop, which is where a cut may run.
 */
#include "qemu/osdep.h"
#include "qemu/event_notifier.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "system/tcg.h"
#include "disk-log.h"
#include "gate.h"
#include "harvest.h"
#include "options.h"
#include "pacer.h"
#include "vcpu.h"

/* Looking is free with TCG; with KVM it fetches the log of every slot */
#define DIRTY_POLL_MS (tcg_enabled() ? 5 : 20)
#define RETRY_NS 1000000
#define QUIET_PAUSES 6
#define CAP_PAUSES 16
#define CHECK_SHARE 2

static struct {
    bool on, inflight;
    bool overdue;               /* the interval passed while in flight */
    const FtRam *ram;
    void (*cut)(FtCutCause cause);
    QEMUTimer *interval, *output, *dirty;
    EventNotifier idle;
    int64_t first_output, last_output;
    /*
     * Average time between packets that follow each other without the guest
     * having slept in between, in ns; what is too slow to be collected
     * within output-delay is no burst and does not count
     */
    int64_t gap;
    int64_t pause;              /* average of a cut, ns */
    bool slept;
} pacer;

static int64_t now_ns(void)
{
    return qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
}

static bool may_cut(void)
{
    return pacer.on && !pacer.inflight;
}

static int64_t output_cap(void)
{
    return pacer.first_output + MAX(ft_opts.output_delay_us * 1000LL,
                                    CAP_PAUSES * pacer.pause);
}

static void arm_output(void)
{
    int64_t quiet = MAX(ft_opts.quiet_us * 1000LL, 3 * pacer.gap);

    if (ft_opts.quiet_us) {
        quiet = MAX(quiet, QUIET_PAUSES * pacer.pause);
    }
    timer_mod(pacer.output, MIN(output_cap(), pacer.last_output + quiet));
}

/* In a vCPU's thread, BQL held: the last one falls asleep */
static void vcpus_idle(void)
{
    pacer.slept = true;
    if (may_cut() && ft_gate_waiting()) {
        event_notifier_set(&pacer.idle);
    }
}

static void idle_event(EventNotifier *e)
{
    if (event_notifier_test_and_clear(e) && may_cut() && ft_gate_waiting()) {
        if (ft_vcpus_all_idle()) {
            pacer.cut(FT_CAUSE_IDLE);
        } else {
            /* Woken since: its own timer decides */
            arm_output();
        }
    }
}

static void output_event(void *opaque)
{
    if (may_cut() && ft_gate_waiting()) {
        pacer.cut(now_ns() >= output_cap() ? FT_CAUSE_DELAY :
                  FT_CAUSE_QUIET);
    }
}

static void interval_event(void *opaque)
{
    if (pacer.inflight) {
        pacer.overdue = true;
    } else if (pacer.on) {
        pacer.cut(FT_CAUSE_INTERVAL);
    }
}

static void dirty_event(void *opaque)
{
    timer_mod(pacer.dirty, now_ns() + DIRTY_POLL_MS * 1000000LL);
    if (may_cut() && ft_harvest_count(pacer.ram, ft_opts.dirty_limit) >=
        ft_opts.dirty_limit) {
        pacer.cut(FT_CAUSE_DIRTY);
    }
    if (may_cut() && ft_disk_log_too_long()) {
        pacer.cut(FT_CAUSE_DISK);
    }
}

void ft_pacer_start(const FtRam *ram, void (*cut)(FtCutCause cause))
{
    if (!pacer.interval) {
        pacer.interval = timer_new_ns(QEMU_CLOCK_REALTIME, interval_event,
                                      NULL);
        pacer.output = timer_new_ns(QEMU_CLOCK_REALTIME, output_event, NULL);
        pacer.dirty = timer_new_ns(QEMU_CLOCK_REALTIME, dirty_event, NULL);
        event_notifier_init(&pacer.idle, false);
    }
    pacer.ram = ram;
    pacer.cut = cut;
    pacer.on = true;
    pacer.inflight = pacer.overdue = false;
    pacer.first_output = 0;
    event_notifier_set_handler(&pacer.idle, idle_event);
    ft_vcpus_set_idle_cb(vcpus_idle);
    timer_mod(pacer.dirty, now_ns() + DIRTY_POLL_MS * 1000000LL);
}

void ft_pacer_stop(void)
{
    if (!pacer.on) {
        return;
    }
    pacer.on = false;
    ft_vcpus_set_idle_cb(NULL);
    event_notifier_set_handler(&pacer.idle, NULL);
    timer_del(pacer.interval);
    timer_del(pacer.output);
    timer_del(pacer.dirty);
}

void ft_pacer_output(void)
{
    int64_t now = now_ns(), gap = now - pacer.last_output;

    if (!pacer.slept && gap < ft_opts.output_delay_us * 1000LL / 3) {
        pacer.gap += (gap - pacer.gap) / 8;
    }
    pacer.slept = false;
    if (!pacer.first_output) {
        pacer.first_output = now;
    }
    pacer.last_output = now;
    if (!may_cut()) {
        return;
    }
    if (ft_vcpus_all_idle()) {
        event_notifier_set(&pacer.idle);
    } else {
        arm_output();
    }
}

void ft_pacer_cut_done(int64_t pause, int64_t check)
{
    pacer.pause += (pause - pacer.pause) / 8;
    pacer.inflight = true;
    pacer.first_output = 0;
    timer_del(pacer.output);
    timer_mod(pacer.interval, now_ns() + ft_opts.interval_ms * 1000000LL +
              CHECK_SHARE * check);
}

void ft_pacer_cut_skipped(void)
{
    timer_mod(pacer.interval, now_ns() + RETRY_NS);
}

void ft_pacer_committed(void)
{
    pacer.inflight = false;
    if (!pacer.on) {
        return;
    }
    if (pacer.overdue) {
        pacer.overdue = false;
        pacer.cut(FT_CAUSE_INTERVAL);
    } else if (ft_gate_waiting()) {
        if (ft_vcpus_all_idle()) {
            pacer.cut(FT_CAUSE_IDLE);
        } else {
            arm_output();
        }
    }
}
