/*
 * QEMU-FT: receives from the primary
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The thread owns the connection: it reads, validates and stages epochs,
 * acknowledges and applies them, sends beats, and judges whether the primary
 * lives.  It ends with a verdict, which the main loop acts on after joining
 * the thread; from then on the main loop owns the intake, and nothing more is
 * acknowledged, echoed or answered.
 *
 * The thread writes guest RAM without the BQL: this process has never run
 * the guest, or has laid it down for good (role.c), so no vCPU, no device
 * and no translated code looks at it.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "exec/cpu-common.h"
#include "checkpoint.h"
#include "fault.h"
#include "inbound.h"
#include "options.h"
#include "session.h"
#include "state.h"

bool ft_receiver_resize(FtBlock *b, uint64_t used, Error **errp)
{
    bool ok;

    bql_lock();
    ok = ft_ram_resize(b, used, errp);
    bql_unlock();
    return ok;
}

static void verdict(FtSession *s, FtVerdict v, const char *message)
{
    if (s->verdict == FT_VERDICT_NONE) {
        s->verdict = v;
        s->message = g_strdup(message);
        s->detect_ns = get_clock() - ft_channel_last_rx(s->ch);
    }
}

static void dead(FtSession *s, FtTakeoverCause cause, const char *message)
{
    s->cause = cause;
    verdict(s, FT_VERDICT_DEAD, message);
}

static void violation(FtSession *s, Error *err)
{
    s->broken = true;
    dead(s, FT_TAKEOVER_CAUSE_CONNECTION_LOST, error_get_pretty(err));
    error_free(err);
}

static void send_record(FtSession *s, GByteArray *rec)
{
    /* Failure shows when reading */
    ft_channel_write(s->ch, rec->data, rec->len);
    g_byte_array_free(rec, true);
}

/*
 * One beat less than the time-out, since the primary's clock for it runs on
 * until our next byte has arrived.  Looks back: a beat sent from within a
 * long apply ends the silence, not what the primary has made of it.
 */
static void note_stall(FtSession *s)
{
    if (ft_channel_tx_gap(s->ch) >
        s->timeout_ns - s->timeout_ns / FT_BEATS_PER_TIMEOUT) {
        s->stalled = true;
        s->acked_since = 0;
        ft_channel_reset_tx_gap(s->ch);
    }
}

static void acknowledge(FtSession *s, uint64_t epoch, uint64_t stable)
{
    s->acked_since = s->acked_since ?: epoch;
    g_byte_array_set_size(s->ack, 0);
    ft_wire_put_ack(s->ack, epoch, stable);
    ft_channel_write(s->ch, s->ack->data, s->ack->len);
}

static void progress(void *opaque)
{
    FtSession *s = opaque;

    ft_channel_beat(s->ch);
}

static void say_unusable(FtSession *s, FtRecType type, const char *why)
{
    GByteArray *rec = g_byte_array_new();

    ft_wire_put_text(rec, type, why);
    send_record(s, rec);
    verdict(s, FT_VERDICT_UNUSABLE, why);
}

/* This copy is of no use; the primary is told and goes on without it */
static void say_failed(FtSession *s, const char *why)
{
    say_unusable(s, FT_REC_FAILED, why);
}

/* An image of ours is broken: so is this copy */
static void say_disk_bad(FtSession *s, const char *why)
{
    say_unusable(s, FT_REC_DISKBAD, why);
}

/* False: @bad, which is freed, says what is wrong with our disks */
static bool disks_good(FtSession *s, char *bad)
{
    if (bad) {
        say_disk_bad(s, bad);
        g_free(bad);
        return false;
    }
    return true;
}

static bool verify(FtSession *s)
{
    if (ft_intake_verify(&s->intake, progress, s)) {
        qatomic_inc(&ft_counters.checks_passed);
        return true;
    }
    qatomic_inc(&ft_counters.checks_failed);
    say_failed(s, ft_intake_device_verified(&s->intake) ?
               "self-check: the secondary's copy of the guest differs from "
               "the primary's in memory" :
               "self-check: the secondary's copy of the guest differs from "
               "the primary's in its devices");
    return false;
}

/*
 * RAM and what changed in the device state are applied after the
 * acknowledgement, when nothing has to be waited for before it: the primary
 * goes on meanwhile.
 */
static void commit(FtSession *s)
{
    FtIntake *in = &s->intake;
    bool early = in->commit.hashed || in->commit.epoch == 1;
    uint64_t stable;

    ft_fault(FT_FAULT_STAGED);
    if (!disks_good(s, ft_disk_intake_commit(&s->disks, in->commit.durable,
                                             &stable))) {
        return;
    }
    if (early) {
        ft_intake_apply(in, progress, s);
    }
    if (in->commit.hashed && !verify(s)) {
        return;
    }
    ft_carried_commit(&s->carried, in->commit.epoch);
    acknowledge(s, in->commit.epoch, stable);
    ft_fault(FT_FAULT_ACKED);
    if (!early) {
        ft_intake_apply(in, progress, s);
    }
    qatomic_set_u64(&s->committed, in->committed);
    if (in->committed == 1) {
        ft_channel_prefer_thread(true);
        event_notifier_set(s->event);
    }
}

/* A round of the first copy is in our memory, and on our disks */
static void confirm_copied(FtSession *s, const FtRecord *rec)
{
    GByteArray *answer;
    uint64_t round = ft_wire_get_u64(rec);

    if (s->intake.phase != FT_INTAKE_COPY) {
        dead(s, FT_TAKEOVER_CAUSE_CONNECTION_LOST,
             "the peer sent COPIED out of order");
    } else if (disks_good(s, ft_disk_intake_settle(&s->disks))) {
        answer = g_byte_array_new();
        ft_wire_put_u64(answer, FT_REC_COPIED, round);
        send_record(s, answer);
    }
}

static void take_end(FtSession *s, const FtRecord *rec)
{
    GByteArray *ended = g_byte_array_new();
    g_autofree char *text = NULL;
    Error *err = NULL;

    if (!ft_wire_get_end(rec, &s->end_reason, &text, &err)) {
        violation(s, err);
        return;
    }
    /* None of it will be undone: let the images be what the guest left */
    if (s->end_reason != FT_END_GIVEN_UP &&
        !disks_good(s, ft_disk_intake_end(&s->disks))) {
        g_byte_array_free(ended, true);
        return;
    }
    verdict(s, FT_VERDICT_ENDED, text);
    ft_wire_put(ended, FT_REC_ENDED, NULL, 0);
    send_record(s, ended);
}

static void take_disk(FtSession *s, const FtRecord *rec)
{
    Error *err = NULL;

    if (!ft_disk_intake_record(&s->disks, rec, &err)) {
        violation(s, err);
    } else if (!s->intake.committed) {
        /* The first copy may be faster than our disks */
        disks_good(s, ft_disk_intake_room(&s->disks));
    }
}

static void take_handover(FtSession *s, const FtRecord *rec)
{
    g_autofree char *text = ft_wire_get_text(rec);

    if (rec->type == FT_REC_SWITCHOVER) {
        ft_fault(FT_FAULT_SWITCH_HEARD);
        /* Here, where beats go out meanwhile */
        if (!disks_good(s, ft_disk_intake_idle(&s->disks))) {
            return;
        }
    }
    if (s->intake.committed) {
        dead(s, rec->type == FT_REC_SWITCHOVER ?
             FT_TAKEOVER_CAUSE_SWITCHOVER : FT_TAKEOVER_CAUSE_HANDED_OVER,
             text);
    } else {
        say_failed(s, "the secondary holds no complete copy of the guest");
    }
}

static void take_beat(FtSession *s, const FtRecord *rec)
{
    FtBeat beat;

    ft_wire_get_beat(rec, &beat);
    ft_channel_take_beat(s->ch, &beat);
    s->peer_age_ms = beat.age_ms;
}

static void take_uplinks(FtSession *s, const FtRecord *rec)
{
    FtUplinks *told = g_new0(FtUplinks, 1);
    Error *err = NULL;

    if (ft_wire_get_uplinks(rec, told, &err)) {
        g_free(qatomic_xchg(&s->uplinks, told));
        event_notifier_set(s->event);
    } else {
        g_free(told);
        violation(s, err);
    }
}

static void take_carried(FtSession *s, const FtRecord *rec)
{
    uint64_t open = s->intake.phase == FT_INTAKE_OPEN ? s->intake.epoch : 0;
    Error *err = NULL;

    if (ft_opts.carry &&
        !ft_carried_record(&s->carried, rec, open, &err)) {
        violation(s, err);
    }
}

static void take_optional(FtSession *s, const FtRecord *rec)
{
    if (rec->type == FT_REC_UPLINK) {
        take_uplinks(s, rec);
    } else if (rec->type == FT_REC_OUTPUT || rec->type == FT_REC_INPUT) {
        take_carried(s, rec);
    }
}

static void take_record(FtSession *s, const FtRecord *rec)
{
    Error *err = NULL;

    if (rec->type & FT_WIRE_OPTIONAL) {
        take_optional(s, rec);
        return;
    }
    if (rec->type == FT_REC_BEGIN && s->acked_since &&
        ft_wire_begin_proves(rec) >= s->acked_since) {
        /* It was there, and has heard from us after that silence */
        s->stalled = false;
    }
    switch (rec->type) {
    case FT_REC_BEAT:
        take_beat(s, rec);
        return;
    case FT_REC_END:
        take_end(s, rec);
        return;
    case FT_REC_DISK:
    case FT_REC_DISKHASH:
    case FT_REC_APPLIED:
        take_disk(s, rec);
        return;
    case FT_REC_HANDOVER:
    case FT_REC_SWITCHOVER:
        take_handover(s, rec);
        return;
    case FT_REC_PACKET:
        if (!ft_inbound_keep(rec, &err)) {
            violation(s, err);
        }
        return;
    case FT_REC_COPIED:
        confirm_copied(s, rec);
        return;
    case FT_REC_BEGIN:
        ft_disk_intake_begin(&s->disks);
        break;
    default:
        break;
    }
    switch (ft_intake_record(&s->intake, rec, &err)) {
    case FT_INTAKE_MORE:
        break;
    case FT_INTAKE_COMPLETE:
        commit(s);
        break;
    case FT_INTAKE_BROKEN:
        violation(s, err);
    }
}

/* The connection has ended without END */
static void judge_end(FtSession *s, const char *why)
{
    note_stall(s);
    /* Else it has sent something that makes no sense, and is still there */
    s->broken = !ft_channel_ended(s->ch);
    if (s->stalled) {
        verdict(s, FT_VERDICT_STALE, why);
    } else {
        dead(s, FT_TAKEOVER_CAUSE_CONNECTION_LOST, why);
    }
}

/* Nothing more is there to read: is the primary alive? */
static void judge_silence(FtSession *s)
{
    int64_t now = get_clock();
    int64_t hung = MAX(s->peer_age_ms,
                       ft_channel_peer_age_ms(s->ch)) * 1000000LL;

    if (now - ft_channel_last_rx(s->ch) > s->timeout_ns) {
        dead(s, FT_TAKEOVER_CAUSE_SILENT, "nothing came from the primary");
    } else if (hung > FT_HUNG_FACTOR * s->timeout_ns) {
        dead(s, FT_TAKEOVER_CAUSE_HUNG,
             "the primary's main loop does not turn any more");
    }
}

static void say_what_waits(FtSession *s)
{
    GByteArray *rec = qatomic_xchg(&s->to_say, NULL);

    if (rec) {
        send_record(s, rec);
    }
}

static void *receiver(void *opaque)
{
    FtSession *s = opaque;
    uint32_t period = s->timeout_ns / 1000000 / FT_BEATS_PER_TIMEOUT;

    rcu_register_thread();
    s->ack = g_byte_array_new();
    while (s->verdict == FT_VERDICT_NONE) {
        Error *err = NULL;
        FtRecord rec;
        int ret = ft_channel_read(s->ch, &rec, &err);

        note_stall(s);
        if (!disks_good(s, ft_disk_intake_turn(&s->disks))) {
            error_free(err);
            break;
        }
        if (qatomic_read(&s->changed)) {
            say_failed(s, s->changed);
            error_free(err);
            break;
        }
        say_what_waits(s);
        if (ret > 0) {
            take_record(s, &rec);
            ft_channel_beat(s->ch);
            continue;
        }
        if (ret < 0) {
            judge_end(s, error_get_pretty(err));
            error_free(err);
            break;
        }
        /* Before the wait, so that a stop of our own shows as old */
        judge_silence(s);
        if (s->verdict == FT_VERDICT_NONE) {
            ft_channel_beat(s->ch);
            ft_channel_poll(s->ch, period / 2 + 1);
        }
    }
    g_byte_array_free(s->ack, true);
    event_notifier_set(s->event);
    rcu_unregister_thread();
    return NULL;
}

void ft_receiver_start(FtSession *s)
{
    qemu_thread_create(&s->thread, "ft-receiver", receiver, s,
                       QEMU_THREAD_JOINABLE);
}
