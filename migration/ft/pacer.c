/*
 * QEMU-FT: when to cut
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * At the latest: after the interval since the last cut, and CHECK_SHARE times
 * what its self-check took.  On a crowded host that may take longer than the
 * interval, and a guest that does not come out of the pause does not get on.
 *
 * Earlier, when output waits and a cut may be made, at the first of
 *  - all vCPUs asleep: the guest has said all it has to say for now, and
 *    the cut needs no pause.  The thread of the one that fell asleep last
 *    makes it at once, if the main loop has nothing under way: to wake
 *    another thread takes as long as a small cut;
 *  - as many packets wait as each of the last bursts had (burst.c): the guest
 *    is about to sleep, or to do what nobody waits for.  When only one vCPU
 *    is awake its thread makes the cut as if it slept, between two stretches
 *    of the guest's code.  EARLY_PAUSES bounds what that may cost a guest
 *    that does not sleep;
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
 * Earlier, too, when the guest has dirtied as many pages as "dirty-limit", or
 * as can be copied in COPY_NS going by what cuts have taken for a page lately:
 * the pause grows with them; or written so much to its disks that the peer
 * should not have to keep more.  The next look at the dirty pages comes when,
 * at the present rate, half of what is left will have been written, so that a
 * limit is not overrun by much, and a quiet guest is not looked at often.  A
 * look goes through a bit for each page of the guest, and with KVM fetches the
 * log of every slot, so that it takes longer the more memory there is: what
 * looks have cost lately is one part in LOOK_SHARE of the time between them,
 * unless that would leave fewer than four in an interval.
 * While an epoch is in flight no cut is made, unless the peer is far away and
 * the epoch a small one (overlap.c); that a guest does not dirty far more than
 * the limit meanwhile is for throttle.c.
 *
 * Timers of the real-time clock and event notifiers run at top level of the
 * main loop, which is where a cut may run (cut.c).
 */
#include "qemu/osdep.h"
#include "qemu/event_notifier.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "hw/core/cpu.h"
#include "system/tcg.h"
#include "burst.h"
#include "disk-log.h"
#include "gate.h"
#include "harvest.h"
#include "loop.h"
#include "options.h"
#include "overlap.h"
#include "pacer.h"
#include "throttle.h"
#include "vcpu.h"

#define LOOK_NS (tcg_enabled() ? 5000000 : 20000000)
#define LOOKS 5                 /* so much more often when much is written */
#define LOOK_SHARE 50           /* of the time, for one part of looking */
#define LOOK_SOME_NS 100000
#define COPY_NS 1800000         /* of a pause, for copying pages */
#define SAMPLE_PAGES 256        /* fewer do not tell what one takes */
#define RETRY_NS 1000000
#define QUIET_PAUSES 6
#define CAP_PAUSES 16
#define EARLY_PAUSES 3
#define CHECK_SHARE 2

static struct {
    bool on;
    bool overdue;               /* the interval passed, and none could be made */
    bool hashed;                /* the last epoch was */
    bool slow;                  /* it had to be waited for too long */
    const FtRam *ram;
    void (*cut)(FtCutCause cause);
    bool (*cut_here)(FtCutCause cause);
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
    FtBurst burst;
    uint32_t in_flight;         /* epochs at most */
    FtOverlap overlap;

    uint64_t dirty_pages;       /* at the last look */
    int64_t looked, look_cost, look_due;
    int64_t per_page;           /* ns in which the guest dirtied one, then */
    int64_t copy_page;          /* average for copying one, ns; 0: unknown */
} pacer;

static int64_t now_ns(void)
{
    return qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
}

static int64_t earliest(void)
{
    return ft_overlap_earliest(&pacer.overlap, pacer.in_flight, pacer.pause);
}

static bool may_cut(void)
{
    int64_t at = earliest();

    return pacer.on && (!at || now_ns() >= at);
}

static int64_t output_cap(void)
{
    return pacer.first_output + MAX(ft_opts.output_delay_us * 1000LL,
                                    CAP_PAUSES * pacer.pause);
}

/* For the time @at, or when a cut may be made; else that is for the next ack */
static void arm_output_at(int64_t at)
{
    at = MAX(at, earliest());
    if (at < INT64_MAX) {
        timer_mod(pacer.output, at);
    }
}

static void arm_output(void)
{
    int64_t quiet = MAX(ft_opts.quiet_us * 1000LL, 3 * pacer.gap);

    if (ft_opts.quiet_us) {
        quiet = MAX(quiet, QUIET_PAUSES * pacer.pause);
    }
    arm_output_at(MIN(output_cap(), pacer.last_output + quiet));
}

/* In a vCPU's thread; false: the main loop has to */
static bool cut_in_vcpu(FtCutCause cause)
{
    return ft_loop_waits() && pacer.cut_here(cause);
}

/* In a vCPU's thread, BQL held: the last one falls asleep */
static void vcpus_idle(void)
{
    pacer.slept = true;
    if (!ft_gate_waiting()) {
        return;
    }
    if (!may_cut()) {
        arm_output_at(0);
    } else if (!cut_in_vcpu(FT_CAUSE_IDLE)) {
        event_notifier_set(&pacer.idle);
    }
}

/* The guest has just said all it is going to say, and may be stopped again */
static bool burst_complete(void)
{
    return ft_opts.early && ft_burst_complete(&pacer.burst) &&
           now_ns() - pacer.overlap.cut_at >= EARLY_PAUSES * pacer.pause;
}

static bool cut_resting(void)
{
    return cut_in_vcpu(FT_CAUSE_COMPLETE);
}

/* In @cpu's thread, BQL held, between two stretches of the guest's code */
static void vcpu_rests(CPUState *cpu, run_on_cpu_data data)
{
    if (may_cut() && ft_gate_waiting() && burst_complete() &&
        (cpu != ft_vcpus_last_awake() || !ft_vcpu_rest(cpu, cut_resting))) {
        timer_mod(pacer.output, now_ns());
    }
}

static void cut_complete(void)
{
    CPUState *cpu = qemu_tcg_mttcg_enabled() ? ft_vcpus_last_awake() : NULL;

    if (cpu) {
        async_run_on_cpu(cpu, vcpu_rests, RUN_ON_CPU_NULL);
    } else {
        timer_mod(pacer.output, now_ns());
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
        pacer.cut(ft_vcpus_all_idle() ? FT_CAUSE_IDLE :
                  burst_complete() ? FT_CAUSE_COMPLETE :
                  now_ns() >= output_cap() ? FT_CAUSE_DELAY : FT_CAUSE_QUIET);
    }
}

static void interval_event(void *opaque)
{
    if (may_cut()) {
        pacer.cut(FT_CAUSE_INTERVAL);
    } else {
        pacer.overdue = true;
    }
}

static uint64_t dirty_limit(void)
{
    uint64_t limit = ft_opts.dirty_limit;

    if (!pacer.copy_page) {
        return limit;
    }
    /* Never so low that it cannot be seen to be too low */
    return MIN(limit, MAX(COPY_NS / pacer.copy_page, 2 * SAMPLE_PAGES));
}

static void look(uint64_t enough)
{
    int64_t start = now_ns(), now, cost;
    uint64_t count = ft_harvest_count(pacer.ram, enough);

    now = now_ns();
    /* To have been preempted meanwhile is not a cost */
    cost = MIN(now - start, 4 * pacer.look_cost + LOOK_SOME_NS);
    pacer.look_cost += (cost - pacer.look_cost) / 8;
    pacer.look_due = now + MIN(LOOK_SHARE * pacer.look_cost,
                               ft_opts.interval_ms * 1000000LL / 4);
    if (count < enough && count >= pacer.dirty_pages && now > pacer.looked) {
        pacer.per_page = (now - pacer.looked) /
                         MAX(count - pacer.dirty_pages, 1);
    }
    pacer.dirty_pages = count;
    pacer.looked = now;
}

static void arm_look(uint64_t limit)
{
    uint64_t left = limit - MIN(pacer.dirty_pages, limit);
    int64_t wait = MIN(left * pacer.per_page / 2, LOOK_NS);

    if (!left && !may_cut()) {
        wait = LOOK_NS;
    }
    timer_mod(pacer.dirty, now_ns() + MAX(wait, LOOK_NS / LOOKS));
}

static void dirty_event(void *opaque)
{
    uint64_t limit = dirty_limit();

    if (now_ns() >= pacer.look_due) {
        look(limit);
    }
    /* While none may be made, the next ack asks the same */
    if (may_cut() && pacer.dirty_pages >= limit) {
        pacer.cut(FT_CAUSE_DIRTY);
    }
    if (may_cut() && ft_disk_log_too_long()) {
        pacer.cut(FT_CAUSE_DISK);
    }
    /* The cut may have been the last one */
    if (pacer.on) {
        arm_look(limit);
    }
}

void ft_pacer_start(const FtRam *ram, uint32_t in_flight,
                    void (*cut)(FtCutCause cause),
                    bool (*cut_here)(FtCutCause cause))
{
    if (!pacer.interval) {
        pacer.interval = timer_new_ns(QEMU_CLOCK_REALTIME, interval_event,
                                      NULL);
        pacer.output = timer_new_ns(QEMU_CLOCK_REALTIME, output_event, NULL);
        pacer.dirty = timer_new_ns(QEMU_CLOCK_REALTIME, dirty_event, NULL);
        event_notifier_init(&pacer.idle, false);
    }
    pacer.ram = ram;
    pacer.in_flight = in_flight;
    pacer.cut = cut;
    pacer.cut_here = cut_here;
    pacer.on = true;
    pacer.overdue = pacer.slow = pacer.hashed = false;
    pacer.overlap = (FtOverlap) { 0 };
    pacer.first_output = 0;
    pacer.burst = (FtBurst) { 0 };
    pacer.dirty_pages = 0;
    pacer.looked = now_ns();
    event_notifier_set_handler(&pacer.idle, idle_event);
    ft_vcpus_set_idle_cb(vcpus_idle);
    timer_mod(pacer.dirty, pacer.looked + LOOK_NS);
}

void ft_pacer_stop(void)
{
    ft_throttle_stop();
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
    ft_burst_packet(&pacer.burst);
    if (!may_cut()) {
        arm_output();
    } else if (ft_vcpus_all_idle()) {
        event_notifier_set(&pacer.idle);
    } else if (burst_complete()) {
        cut_complete();
    } else {
        arm_output();
    }
}

void ft_pacer_cut_done(const FtCut *cut, FtCutCause cause, bool handed)
{
    int64_t pause = cut->total - cut->check;

    if (cut->in_place && cause != FT_CAUSE_COMPLETE) {
        /* Nobody waited for that */
        pause -= cut->copy - cut->check;
    }
    if (pacer.on) {
        ft_throttle_cut(cut->npages, dirty_limit(),
                        pacer.slow ? ft_opts.throttle : 0);
    }
    pacer.slow = false;
    pacer.hashed = cut->hashed;
    if (cut->npages >= SAMPLE_PAGES && !cut->in_place) {
        int64_t page = (cut->copy - cut->check) / cut->npages;

        pacer.copy_page += pacer.copy_page ? (page - pacer.copy_page) / 8 :
                           page;
    }
    pacer.pause += (pause - pacer.pause) / 8;
    pacer.overdue = false;
    pacer.first_output = 0;
    pacer.dirty_pages = 0;
    pacer.looked = now_ns();
    ft_overlap_cut(&pacer.overlap, handed, pacer.looked);
    ft_burst_cut(&pacer.burst,
                 cause == FT_CAUSE_IDLE || cause == FT_CAUSE_QUIET,
                 cause == FT_CAUSE_COMPLETE);
    timer_del(pacer.output);
    timer_mod(pacer.interval, pacer.looked + ft_opts.interval_ms * 1000000LL +
              CHECK_SHARE * cut->check);
}

void ft_pacer_cut_skipped(void)
{
    timer_mod(pacer.interval, now_ns() + RETRY_NS);
}

void ft_pacer_committed(uint32_t left, int64_t ack)
{
    ft_overlap_acked(&pacer.overlap, left, ack);
    if (!left) {
        ft_burst_committed(&pacer.burst);
    }
    if (!pacer.on) {
        return;
    }
    /* Waiting for the link, not for a self-check */
    pacer.slow = !pacer.hashed && pacer.dirty_pages >= dirty_limit();
    if (!may_cut()) {
        if (ft_gate_waiting()) {
            arm_output();
        }
    } else if (pacer.overdue) {
        pacer.cut(FT_CAUSE_INTERVAL);
    } else if (pacer.dirty_pages >= dirty_limit()) {
        pacer.cut(FT_CAUSE_DIRTY);
    } else if (ft_gate_waiting()) {
        if (ft_vcpus_all_idle()) {
            pacer.cut(FT_CAUSE_IDLE);
        } else if (burst_complete()) {
            pacer.cut(FT_CAUSE_COMPLETE);
        } else {
            arm_output();
        }
    }
}
