/*
 * QEMU-FT: checkpoint mode on the primary
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 *     first copy: disks, then RAM ---> cut, ship ---> ack: release output ---+
 *                      ^                                    |
 *                      +------- pacer: time for a cut ------+
 *
 * A moment is committed when the secondary has acknowledged the epoch that
 * ended with it.  The guest runs in the next one meanwhile; several are in
 * flight where that takes long (overlap.c).  Output is held from the first cut
 * on, until its epoch is committed and, with durability=disk, the guest's
 * flushes in it are carried out where they have to be.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "carry.h"
#include "checkpoint.h"
#include "cut.h"
#include "disk-log.h"
#include "disk-mirror.h"
#include "disk-sync.h"
#include "failout.h"
#include "fault.h"
#include "firstcopy.h"
#include "gate.h"
#include "harvest.h"
#include "loop.h"
#include "options.h"
#include "pacer.h"
#include "primary.h"
#include "ship.h"
#include "state.h"
#include "trace.h"

FtCounters ft_counters;

/* An epoch that is in flight */
typedef struct Flight {
    int64_t cut_at;             /* the end of its cut, ns */
    int64_t sent_at, sent_age;  /* for the lease */
    bool hashed;
    bool alone;                 /* when it was sent nothing else was in flight */
    bool handed;                /* ft_ship() was done with it, and said: */
    uint64_t bytes;
    int64_t busy;
} Flight;

static struct {
    FtRam *ram;
    FtChannel *ch;
    FtEpoch epoch;
    FtCut cut;
    FtShip ship;
    FtCompress compress;
    FtFirstCopy first;
    bool copying;
    bool acked;                 /* an epoch was committed */
    Error *failed;              /* why cut_here() could not, or NULL */
    uint64_t released;          /* the output of epochs up to this one */
    uint64_t settled;           /* committed epochs that all know of */
    Flight flight[FT_EPOCHS_IN_FLIGHT];
    int64_t last_ack;           /* what the last one took, ns; 0: see take_ack() */

    /* The last one of this connection; finish() */
    QEMUTimer *last_timer;
    bool (*stop)(void);         /* NULL: not asked for, or done */
    void (*finished)(const char *error);
} cp;

#define LAST_RETRY_MS 1
#define LINK_SAMPLE (512 * KiB) /* of an epoch, to see how fast a link is */

void ft_checkpoint_compressed(uint64_t *before, uint64_t *after)
{
    *before = stat64_get(&cp.compress.before);
    *after = stat64_get(&cp.compress.after);
}

uint64_t ft_checkpoint_committed(void)
{
    return cp.epoch.committed;
}

bool ft_checkpoint_remaining(uint64_t *bytes)
{
    *bytes = 0;
    if (ft_disk_sync_active()) {
        for (uint32_t i = 0; i < ft_mirror_disks()->n; i++) {
            *bytes += ft_disk_sync_remaining(i);
        }
        for (uint32_t i = 0; i < cp.ram->n; i++) {
            *bytes += cp.ram->blocks[i].used;
        }
    } else if (cp.copying) {
        *bytes = qatomic_read_u64(&cp.first.remaining);
    }
    return cp.copying;
}

static uint64_t us(int64_t ns)
{
    return ns / 1000;
}

static void count_cut(FtCutCause cause)
{
    FtCounters *c = &ft_counters;

    c->total++;
    c->cuts[cause]++;
    c->without_pause += cp.cut.without_pause;
    c->overlapping += ft_epoch_in_flight(&cp.epoch) > 0;
    ft_window_add(&c->pause, us(cp.cut.total));
    ft_window_add(&c->stop, us(cp.cut.stop));
    ft_window_add(&c->save, us(cp.cut.save));
    ft_window_add(&c->harvest, us(cp.cut.harvest));
    ft_window_add(&c->copy, us(cp.cut.copy));
    ft_window_add(&c->resume, us(cp.cut.resume));
    ft_window_add(&c->pages, cp.cut.npages);
}

static bool check_due(void)
{
    return ft_opts.self_check && cp.epoch.current % ft_opts.self_check == 0;
}

static Flight *flight_of(uint64_t epoch)
{
    return &cp.flight[epoch % FT_EPOCHS_IN_FLIGHT];
}

static void send_cut(FtCutCause cause)
{
    Flight *f = flight_of(cp.cut.epoch);

    *f = (Flight) {
        .cut_at = cp.cut.start + cp.cut.total,
        .sent_at = ft_lease_now(),
        .sent_age = (ft_loop_age_ms() + 1) * 1000000LL,
        .hashed = cp.cut.hashed,
        .alone = !ft_epoch_in_flight(&cp.epoch),
    };
    ft_epoch_sent(&cp.epoch);
    f->handed = ft_ship(&cp.ship, &cp.cut, cp.ch);
    if (f->handed) {
        f->bytes = cp.ship.bytes;
        f->busy = cp.ship.busy;
    }
    ft_pacer_cut_done(&cp.cut, cause, f->handed);
}

/*
 * Where ft_cut_take() may run; it is sent, too.  One function also for the
 * compiler: instructions are counted by its name.
 */
static FtCutResult __attribute__((noinline)) take_cut(FtCutCause cause, Error **errp)
{
    FtCutResult result;

    if (ft_mirror_overloaded()) {
        return FT_CUT_SKIPPED;
    }
    if (!ft_mirror_covers(errp)) {
        return FT_CUT_FAILED;
    }
    result = ft_cut_take(&cp.cut, &cp.epoch, cp.ram, &cp.ship, check_due(),
                         errp);
    if (result != FT_CUT_DONE) {
        return result;
    }
    count_cut(cause);
    if (cp.cut.last) {
        ft_fault(FT_FAULT_SWITCH_CUT);
    }
    trace_ft_cut(cp.cut.epoch, cause, cp.cut.npages, cp.cut.total);
    send_cut(cause);
    return FT_CUT_DONE;
}

static void cut_now(FtCutCause cause)
{
    Error *err = cp.failed;

    cp.failed = NULL;
    switch (err ? FT_CUT_FAILED : take_cut(cause, &err)) {
    case FT_CUT_SKIPPED:
        ft_counters.skipped++;
        ft_pacer_cut_skipped();
        break;
    case FT_CUT_FAILED:
        ft_primary_lost(error_get_pretty(err));
        error_free(err);
        break;
    case FT_CUT_DONE:
        break;
    }
}

/* In a vCPU's thread, which does not end a session: cut_now() is next */
static bool cut_here(FtCutCause cause)
{
    return !cp.failed && take_cut(cause, &cp.failed) == FT_CUT_DONE;
}

static void first_cut(const char *error)
{
    if (error) {
        ft_primary_lost(error);
        return;
    }
    ft_gate_hold_from(&cp.epoch.current, ft_pacer_output);
    ft_carry_start(cp.ch, &cp.epoch.current);
    ft_pacer_start(cp.ram, ft_primary.minor >= FT_WIRE_MINOR_OVERLAP ?
                   ft_opts.in_flight : 1, cut_now, cut_here);
    cut_now(FT_CAUSE_INTERVAL);
}

/* The peer cannot have taken over, unless the connection has ended */
static bool still_ours(void)
{
    return cp.ch && ft_lease_valid(ft_channel_lease(cp.ch), ft_lease_now());
}

/* What waits, if anything, for the disks, or for the next beat */
static void release(void)
{
    uint64_t stable = ft_mirror_stable(cp.epoch.stable);
    void (*finished)(const char *error);

    if (stable > cp.released && ft_gate_release(stable, still_ours)) {
        cp.released = stable;
        ft_carry_released(stable);
    }
    if (cp.cut.last && cp.finished && cp.released == cp.cut.epoch) {
        finished = cp.finished;
        cp.finished = NULL;
        finished(NULL);
    }
}

static void first_copy_finished(void)
{
    cp.copying = false;
    ft_first_copy_stop(&cp.first);
    if (ft_opts.shared) {
        ft_mirror_start(cp.ch, &cp.epoch.current, release);
        ft_mirror_flush(first_cut);
    } else {
        first_cut(NULL);
    }
}

static void disks_copied(const char *error)
{
    Error *err = NULL;

    if (error) {
        ft_primary_lost(error);
        return;
    }
    if (!ft_first_copy_start(&cp.first, cp.ram, cp.ch, &cp.compress,
                             ft_opts.dirty_limit / 4, first_copy_finished,
                             &err)) {
        ft_primary_lost(error_get_pretty(err));
        error_free(err);
    }
}

/*
 * Only the first connection can know that the disks are the same, and not
 * that of a survivor
 */
static FtDiskSync disk_sync_mode(void)
{
    static bool used;
    FtDiskSync mode = ft_opts.disk_sync;

    if (mode == FT_DISK_SYNC_NONE && (used || ft_status.takeover)) {
        mode = FT_DISK_SYNC_HASH;
    }
    used = true;
    return mode;
}

/* In the channel's thread, before the first copy */
static void populate(FtChannel *ch, void *opaque)
{
    ft_channel_prefer_thread(false);
    ft_cut_populate(opaque);
    ft_channel_prefer_thread(true);
}

/* Top level: a timer */
static void last_cut(void *opaque)
{
    void (*finished)(const char *error) = cp.finished;

    if (!cp.stop || ft_epoch_in_flight(&cp.epoch)) {
        return;
    }
    if (ft_mirror_overloaded() || ft_failout_pending() || !cp.stop()) {
        timer_mod(cp.last_timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                  LAST_RETRY_MS);
        return;
    }
    cp.stop = NULL;
    cp.cut.last = true;
    cut_now(FT_CAUSE_INTERVAL);
    if (cp.finished && !ft_epoch_in_flight(&cp.epoch)) {
        cp.finished = NULL;
        finished("a reset, a shutdown or a failing disk came in between");
    }
}

static void checkpoint_finish(bool (*stop)(void),
                              void (*done)(const char *error))
{
    ft_pacer_stop();
    if (!cp.last_timer) {
        cp.last_timer = timer_new_ms(QEMU_CLOCK_REALTIME, last_cut, NULL);
    }
    cp.stop = stop;
    cp.finished = done;
    timer_mod(cp.last_timer, 0);
}

static bool checkpoint_start(FtRam *ram, FtChannel *ch, Error **errp)
{
    /* Checks are counted over the life of the process */
    ft_counters = (FtCounters) {
        .checks_passed = ft_counters.checks_passed,
        .checks_failed = ft_counters.checks_failed,
    };
    if (ft_mirror_stuck()) {
        error_setg(errp, "a shared drive has failed and the guest's writes "
                   "wait here; mend it and use cont");
        return false;
    }
    cp.ram = ram;
    cp.ch = ch;
    ft_epoch_init(&cp.epoch);
    if (!ft_cut_init(&cp.cut, ram, 2 * ft_opts.dirty_limit, errp)) {
        return false;
    }
    if (!ft_ship_init(&cp.ship, ram, &cp.compress, errp)) {
        goto fail_cut;
    }
    if (!ft_harvest_start(errp)) {
        goto fail_ship;
    }
    ft_compress_start(&cp.compress,
                      ft_primary.minor >= FT_WIRE_MINOR_COMPRESSED);
    ft_channel_post(ch, populate, &cp.cut);
    cp.copying = true;
    cp.released = cp.settled = 0;
    if (ft_opts.shared) {
        ft_mirror_flush(disks_copied);
    } else {
        ft_mirror_start(ch, &cp.epoch.current, release);
        ft_disk_sync_start(ch, disk_sync_mode(), disks_copied);
    }
    return true;

fail_ship:
    ft_ship_destroy(&cp.ship);
fail_cut:
    ft_cut_destroy(&cp.cut);
    return false;
}

static bool take_ack(const FtRecord *rec, Error **errp)
{
    uint64_t number, stable;
    int64_t took;
    Flight *f;

    ft_wire_get_ack(rec, &number, &stable);
    if (!ft_epoch_ack(&cp.epoch, number, stable, errp)) {
        return false;
    }
    f = flight_of(number);
    if (!f->handed) {
        /* The thread has said so before the last byte left */
        f->bytes = qatomic_read_u64(&cp.ship.bytes);
        f->busy = qatomic_read_i64(&cp.ship.busy);
    }
    cp.acked = true;
    ft_lease_proof(ft_channel_lease(cp.ch), f->sent_at, f->sent_age);
    ft_fault(FT_FAULT_ACK_RECEIVED);
    took = get_clock() - f->cut_at;
    ft_window_add(&ft_counters.ack, us(took));
    ft_window_add(&ft_counters.bytes, f->bytes);
    /* A small one tells of the way there and back, others of hashing */
    if (f->bytes >= LINK_SAMPLE && f->alone && !f->hashed && number > 1) {
        ft_compress_link(&cp.compress, f->bytes, took - f->busy);
    }
    cp.last_ack = f->handed && !f->hashed ? took : 0;
    ft_counters.checks_passed += f->hashed;
    return true;
}

static void checkpoint_settled(bool ending)
{
    bool acked = cp.acked;

    cp.acked = false;
    if (acked) {
        ft_mirror_commit(cp.epoch.committed);
        if (!cp.settled) {
            ft_counters.sync_time_ms =
                MAX((get_clock() - ft_primary.connected_ns) / 1000000, 1);
            ft_state_set(FT_ROLE_PRIMARY, FT_STATE_PROTECTED, NULL);
        }
        cp.settled = cp.epoch.committed;
    }
    release();
    if (acked && !ending) {
        ft_pacer_committed(ft_epoch_in_flight(&cp.epoch), cp.last_ack);
        if (cp.stop) {
            timer_mod(cp.last_timer, 0);
        }
    }
}

static bool checkpoint_record(const FtRecord *rec, Error **errp)
{
    if (rec->type == FT_REC_ACK) {
        return take_ack(rec, errp);
    }
    if (rec->type == FT_REC_STABLE) {
        return ft_epoch_stable(&cp.epoch, ft_wire_get_u64(rec), errp);
    }
    if (rec->type == FT_REC_COPIED) {
        return ft_first_copy_answer(&cp.first, ft_wire_get_u64(rec), errp);
    }
    if (rec->type == FT_REC_DISKSAME) {
        return ft_disk_sync_answer(rec, errp);
    }
    error_setg(errp, "the peer sent %s out of order", ft_rec_name(rec->type));
    return false;
}

static bool checkpoint_exposed(void)
{
    return cp.epoch.current > 1;
}

static void checkpoint_quiesce(void)
{
    ft_pacer_stop();
    cp.stop = NULL;
    cp.finished = NULL;
}

static void checkpoint_detach(void)
{
    ft_pacer_stop();
    cp.stop = NULL;
    cp.finished = NULL;
    ft_disk_sync_stop();
    ft_mirror_stop();
    ft_carry_stop();
    cp.ch = NULL;
}

static void checkpoint_stop(void)
{
    ft_first_copy_stop(&cp.first);
    cp.copying = cp.acked = false;
    error_free(cp.failed);
    cp.failed = NULL;
    cp.epoch.committed = 0;
    ft_harvest_stop();
    ft_ship_destroy(&cp.ship);
    ft_compress_stop(&cp.compress);
    ft_cut_destroy(&cp.cut);
}

const FtMode ft_checkpoint_mode = {
    .name = "checkpoint",
    .start = checkpoint_start,
    .record = checkpoint_record,
    .settled = checkpoint_settled,
    .exposed = checkpoint_exposed,
    .finish = checkpoint_finish,
    .quiesce = checkpoint_quiesce,
    .detach = checkpoint_detach,
    .stop = checkpoint_stop,
};
