/*
 * QEMU-FT: the side that holds the copy
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The session.  A receiver thread owns the connection: it reads, validates
 * and stages epochs, acknowledges and applies them, sends beats, and judges
 * whether the primary lives.  It ends with a verdict, which the main loop
 * acts on after joining the thread; from then on the main loop owns the
 * intake, and nothing more is acknowledged, echoed or answered.
 *
 * With an arbiter a dead primary is a claim to be made.  The copy is kept, and
 * nobody else admitted, until the answer has come (@heir).  The disks are
 * brought up to date before that, because what is won has to be used; only
 * shared ones come after it: their locks say that the primary is gone, not
 * that it never went on alone.
 *
 * The thread writes guest RAM without the BQL: this process has never run
 * the guest, or has laid it down for good (role.c), so no vCPU, no device
 * and no translated code looks at it.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "qemu/event_notifier.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "block/block.h"
#include "exec/cpu-common.h"
#include "system/runstate.h"
#include "system/runstate-action.h"
#include "arbiter.h"
#include "channel.h"
#include "checkpoint.h"
#include "disk-intake.h"
#include "door.h"
#include "fault.h"
#include "inbound.h"
#include "intake.h"
#include "link-dial.h"
#include "link-view.h"
#include "loop.h"
#include "machine.h"
#include "options.h"
#include "primary.h"
#include "peers.h"
#include "secondary.h"
#include "start.h"
#include "state.h"
#include "takeover.h"
#include "uplink.h"

#define LOCK_WAIT_MS 200
#define LOCK_RETRY_MS 50

typedef enum FtVerdict {
    FT_VERDICT_NONE,
    FT_VERDICT_DEAD,            /* take over if anything is committed */
    FT_VERDICT_STALE,           /* dead, but may have gone on without us */
    FT_VERDICT_ENDED,           /* the primary said END */
    FT_VERDICT_UNUSABLE,        /* this copy is wrong */
} FtVerdict;

typedef struct FtSession {
    FtRam ram;
    FtIntake intake;
    FtDiskIntake disks;
    FtChannel *ch;
    FtTerms terms;              /* the primary's */
    char *listens_at;           /* where it would wait; NULL: nowhere */
    QemuThread thread;
    int64_t timeout_ns;

    /* The thread's */
    uint32_t peer_age_ms;
    /*
     * This process sent nothing for about the time-out, so that the primary
     * may have given it up.  Over once the primary begins an epoch after an
     * ack sent since: it still counts on us.
     */
    bool stalled, acked_since;
    bool broken;                /* the primary has broken the protocol */
    int older_seen;             /* the record has an older generation */

    /* Set by the thread before @event, read after joining it */
    FtVerdict verdict;
    FtTakeoverCause cause;
    FtEndReason end_reason;
    char *message;
    int64_t detect_ns;

    /* Atomic */
    uint64_t committed;
    char *changed;              /* this machine is another one now: why */
    GByteArray *to_say;         /* a record from the main loop, or NULL */
    FtUplinks *uplinks;         /* the primary's, for the main loop */
} FtSession;

static FtSession *session;
static FtSession *heir;         /* one that may have to take over */
static QEMUTimer *heir_timer;
static EventNotifier event;     /* first commit, or the thread's verdict */
/*
 * The last connection to a primary we took over from stays open: closing it
 * with unread data would turn TAKEOVER into a reset
 */
static FtChannel *old_primary;

/* Receiver thread */

static bool resize_block(FtBlock *b, uint64_t used, Error **errp)
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
        s->acked_since = false;
        ft_channel_reset_tx_gap(s->ch);
    }
}

static void acknowledge(FtSession *s, uint64_t epoch, uint64_t stable)
{
    GByteArray *ack = g_byte_array_new();

    s->acked_since = true;
    ft_wire_put_ack(ack, epoch, stable);
    send_record(s, ack);
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
    say_failed(s, "self-check: the secondary's copy of the guest differs from "
               "the primary's");
    return false;
}

/*
 * RAM is applied after the acknowledgement, when nothing has to be waited
 * for before it: the primary goes on meanwhile.
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
    acknowledge(s, in->commit.epoch, stable);
    ft_fault(FT_FAULT_ACKED);
    if (!early) {
        ft_intake_apply(in, progress, s);
    }
    qatomic_set_u64(&s->committed, in->committed);
    if (in->committed == 1) {
        ft_channel_prefer_thread(true);
        event_notifier_set(&event);
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
        event_notifier_set(&event);
    } else {
        g_free(told);
        violation(s, err);
    }
}

static void take_record(FtSession *s, const FtRecord *rec)
{
    Error *err = NULL;

    if (rec->type == FT_REC_UPLINK) {
        take_uplinks(s, rec);
        return;
    }
    if (rec->type & FT_WIRE_OPTIONAL) {
        return;
    }
    if (rec->type == FT_REC_BEGIN && s->acked_since) {
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
    event_notifier_set(&event);
    rcu_unregister_thread();
    return NULL;
}

/* Main loop */

static void wait_for_primary(const char *why)
{
    ft_state_set(FT_ROLE_SECONDARY, FT_STATE_UNPROTECTED, why);
}

static void free_session(FtSession *s)
{
    ft_intake_destroy(&s->intake);
    ft_ram_destroy(&s->ram);
    ft_disk_intake_destroy(&s->disks);
    g_free(s->message);
    g_free(s->changed);
    g_free(s->terms.listen);
    g_free(s->listens_at);
    g_free(s->uplinks);
    if (s->to_say) {
        g_byte_array_free(s->to_say, true);
    }
    g_free(s);
}

static void drain_old_primary(void *opaque)
{
    FtRecord rec;
    int ret;

    while ((ret = ft_channel_read(old_primary, &rec, NULL)) > 0) {
        ;
    }
    if (ret) {
        ft_channel_set_handler(old_primary, NULL, NULL);
    }
}

/* So that what was said last arrives, over whichever link is left */
static void keep_open(FtSession *s)
{
    if (old_primary) {
        ft_channel_close(old_primary);
    }
    old_primary = s->ch;
    s->ch = NULL;
    if (ft_channel_links(old_primary) && ft_channel_retire(old_primary)) {
        ft_channel_set_handler(old_primary, drain_old_primary, NULL);
    }
}

static void say_taken_over(FtSession *s)
{
    g_autoptr(GByteArray) rec = g_byte_array_new();

    ft_wire_put_u64(rec, FT_REC_TAKEOVER, ft_status.generation + 1);
    if (s->cause == FT_TAKEOVER_CAUSE_SWITCHOVER) {
        /* The primary waits for it, and has more to send behind it */
        ft_channel_send(s->ch, rec->data, rec->len);
    } else {
        ft_channel_shout(s->ch, rec->data, rec->len);
    }
    keep_open(s);
}

/* The guest is over, -no-shutdown or not */
static void quit(void)
{
    shutdown_action = SHUTDOWN_ACTION_POWEROFF;
    qemu_system_shutdown_request(SHUTDOWN_CAUSE_HOST_QMP_QUIT);
}

/*
 * @s is kept, nobody else is admitted, and devices stay what they are: a copy
 * that cannot be loaded after a claim would be the last one
 */
static void set_heir(FtSession *s)
{
    ft_hotplug_hold(s);
    heir = s;
}

/* @cb goes on with @s */
static void heir_later(FtSession *s, QEMUTimerCB *cb, uint32_t ms)
{
    set_heir(s);
    timer_free(heir_timer);
    heir_timer = timer_new_ms(QEMU_CLOCK_REALTIME, cb, s);
    timer_mod(heir_timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + ms);
}

static void conclude(FtSession *s)
{
    if (s == heir) {
        set_heir(NULL);
        timer_free(heir_timer);
        heir_timer = NULL;
    }
    ft_inbound_forget();
    /* It may still wake the channel */
    ft_disk_intake_destroy(&s->disks);
    if (s->ch) {
        ft_channel_close(s->ch);
    }
    free_session(s);
}

/*
 * Nobody is told: after a claim a primary that is still there must find out
 * from the arbiter whose the guest is
 */
static void drop_copy(FtSession *s, const char *why)
{
    if (ft_opts.shared) {
        /* Whoever it is that goes on needs the locks */
        ft_disk_intake_destroy(&s->disks);
        bdrv_inactivate_all();
    }
    error_report("fault tolerance: cannot take over: %s", why);
    wait_for_primary(why);
    conclude(s);
}

/* Before any claim: a primary that has handed over takes the guest back */
static void cannot_take_over(FtSession *s, const char *why)
{
    g_autoptr(GByteArray) rec = g_byte_array_new();

    ft_wire_put_text(rec, FT_REC_FAILED, why);
    ft_channel_send(s->ch, rec->data, rec->len);
    keep_open(s);
    drop_copy(s, why);
}

static bool renounced(FtSession *s)
{
    return s->cause == FT_TAKEOVER_CAUSE_HANDED_OVER ||
           s->cause == FT_TAKEOVER_CAUSE_SWITCHOVER;
}

/*
 * A dead process's locks go a moment before or after its connection.  Whoever
 * else keeps them is alive, and may go on alone and die later: its image is
 * not ours to wait for.
 */
static uint32_t patience(FtSession *s)
{
    return s->cause == FT_TAKEOVER_CAUSE_CONNECTION_LOST ||
           s->cause == FT_TAKEOVER_CAUSE_SWITCHOVER ? LOCK_WAIT_MS : 0;
}

static void decided(bool won, const char *why, bool ended);

/* What comes for the guest on the old side */
static void old_primary_readable(void *opaque)
{
    FtRecord rec;
    int ret;

    while ((ret = ft_channel_read(old_primary, &rec, NULL)) > 0) {
        if (rec.type == FT_REC_PACKET && !ft_inbound_keep(&rec, NULL)) {
            break;
        }
    }
    ft_inbound_deliver();
    if (ret) {
        ft_channel_set_handler(old_primary, NULL, NULL);
    }
}

/*
 * The old primary can still go on, and has nothing to do meanwhile: it is
 * told only now, or that it has to
 */
static void state_loaded(void *opaque, const char *error)
{
    FtSession *s = opaque;
    g_autoptr(GByteArray) rec = NULL;
    FtRecord unread;

    ft_fault(FT_FAULT_SWITCH_LOADED);
    if (!error) {
        say_taken_over(s);
        /* Not sooner: FAILED must not follow a claim */
        ft_arbiter_claim(decided);
        return;
    }
    if (ft_opts.shared) {
        bdrv_inactivate_all();
    }
    rec = g_byte_array_new();
    ft_wire_put_text(rec, FT_REC_FAILED, error);
    ft_channel_send(s->ch, rec->data, rec->len);
    /* This process ends, and what is unread would take that along */
    while (ft_channel_read(s->ch, &unread, NULL) > 0) {
        ;
    }
}

/* Where it will wait, it or another one in its place */
static void know_old_primary(FtSession *s)
{
    if (s->listens_at && ft_peers_add(s->listens_at, NULL) &&
        s->cause == FT_TAKEOVER_CAUSE_SWITCHOVER) {
        ft_peers_prefer(s->listens_at, NULL);
    }
}

static void act(FtSession *s)
{
    /* The guest's own back ends have the images to themselves from now on */
    ft_disk_intake_destroy(&s->disks);
    if (s->cause != FT_TAKEOVER_CAUSE_SWITCHOVER) {
        say_taken_over(s);
    }
    ft_door_close();
    warn_report("fault tolerance: the primary %s: %s", renounced(s) ?
                "hands the guest over" : "is dead", s->message);
    know_old_primary(s);
    ft_hotplug_hold(false);
    if (s->cause == FT_TAKEOVER_CAUSE_SWITCHOVER) {
        ft_takeover(&s->intake, s->cause, s->detect_ns, state_loaded, s);
        ft_channel_set_handler(old_primary, old_primary_readable, NULL);
        /* What came right behind SWITCHOVER has been read with it */
        old_primary_readable(NULL);
    } else {
        ft_takeover(&s->intake, s->cause, s->detect_ns, NULL, NULL);
    }
    conclude(s);
}

static void inherit(void *opaque);

/* Somebody locks the disks, or they have failed: there is no other copy */
static void inherit_later(FtSession *s, Error *err)
{
    g_autofree char *why = g_strdup_printf("waiting for the shared disks: %s",
                                           error_get_pretty(err));

    error_free(err);
    if (g_strcmp0(why, ft_status.reason)) {
        warn_report("fault tolerance: %s", why);
    }
    ft_state_set(FT_ROLE_SECONDARY, FT_STATE_TAKING_OVER, why);
    heir_later(s, inherit, s->disks.locked ? FT_REDIAL_MS : LOCK_RETRY_MS);
}

/* The guest is ours; so will be its shared disks */
static void inherit(void *opaque)
{
    FtSession *s = opaque;
    Error *err = NULL;

    if (ft_disk_intake_finish(&s->disks, 0, &err)) {
        act(s);
    } else {
        inherit_later(s, err);
    }
}

static void decided(bool won, const char *why, bool ended)
{
    FtSession *s = heir;

    if (!s) {
        /* The guest was handed over and runs; the record is only late */
        if (!won) {
            ft_primary_outvoted(why);
        }
        return;
    }
    if (won) {
        inherit(s);
        return;
    }
    drop_copy(s, why);
    if (ended) {
        quit();
    }
}

/*
 * The primary has stopped and said so: that is proof enough when the arbiter
 * does not answer at once.  Its claim goes on.
 */
static void handed_over(void *opaque)
{
    act(opaque);
}

static void claim(FtSession *s)
{
    set_heir(s);
    ft_state_set(FT_ROLE_SECONDARY, FT_STATE_TAKING_OVER,
                 "asking the arbiter");
    if (renounced(s)) {
        heir_later(s, handed_over, s->terms.timeout_ms / 2);
    }
    ft_arbiter_claim(decided);
}

static void primary_is_dead(void *opaque)
{
    FtSession *s = opaque;
    bool locks_later = ft_opts.shared && ft_arbiter_on() && !renounced(s);
    Error *err = NULL;

    if (!s->intake.committed) {
        warn_report("fault tolerance: the primary is gone before the first "
                    "copy was complete (%s); waiting for another",
                    s->message);
        wait_for_primary("the primary is gone before the first copy was "
                         "complete");
        conclude(s);
        return;
    }
    if (ft_committed_guest_is_off(&s->intake)) {
        info_report("fault tolerance: the guest was switched off");
        if (!ft_disk_intake_finish(&s->disks, patience(s), &err)) {
            error_report_err(err);
        }
        conclude(s);
        quit();
        return;
    }
    ft_status.generation = s->terms.generation;
    if (s->changed) {
        /* The thread has not come to say so */
        cannot_take_over(s, s->changed);
    } else if (!locks_later &&
               !ft_disk_intake_finish(&s->disks, patience(s), &err)) {
        if (s->disks.locked && !renounced(s)) {
            /* Nobody else can act, and it can be mended */
            inherit_later(s, err);
            return;
        }
        cannot_take_over(s, error_get_pretty(err));
        error_free(err);
    } else if (ft_arbiter_on() &&
               s->cause != FT_TAKEOVER_CAUSE_SWITCHOVER) {
        claim(s);
    } else {
        act(s);
    }
}

static void primary_ended(FtSession *s)
{
    if (s->end_reason == FT_END_GUEST_OFF) {
        info_report("fault tolerance: the primary has ended the guest: %s",
                    s->message);
        quit();
    } else {
        warn_report("fault tolerance: the primary has ended protection: %s",
                    s->message);
        wait_for_primary(s->message);
    }
}

static void session_event(EventNotifier *e)
{
    g_autofree FtUplinks *uplinks = NULL;
    FtSession *s = session;

    if (!event_notifier_test_and_clear(e) || !s) {
        return;
    }
    uplinks = qatomic_xchg(&s->uplinks, NULL);
    if (uplinks) {
        ft_uplink_heard(uplinks);
    }
    if (qatomic_read_u64(&s->committed) &&
        ft_status.state == FT_STATE_SYNCING) {
        ft_state_set(FT_ROLE_SECONDARY, FT_STATE_PROTECTED, NULL);
    }
    if (qatomic_read(&s->verdict) == FT_VERDICT_NONE) {
        return;
    }
    qemu_thread_join(&s->thread);
    ft_hotplug_settle();
    session = NULL;
    ft_uplink_heard(NULL);
    switch (s->verdict) {
    case FT_VERDICT_DEAD:
        if (s->broken) {
            /* It lives, and may let go of what is acknowledged for so long */
            heir_later(s, primary_is_dead, s->terms.timeout_ms);
        } else {
            primary_is_dead(s);
        }
        return;
    case FT_VERDICT_STALE:
        if (ft_arbiter_on()) {
            /* It knows whether the primary has gone on alone */
            primary_is_dead(s);
            return;
        }
        warn_report("fault tolerance: the primary is gone, but this process "
                    "was stalled for longer than timeout=%" PRIu32 ": the "
                    "primary may have gone on alone; not taking over",
                    ft_opts.timeout_ms);
        wait_for_primary("this copy was stalled and is out of date");
        break;
    case FT_VERDICT_ENDED:
        primary_ended(s);
        break;
    case FT_VERDICT_UNUSABLE:
        error_report("fault tolerance: %s", s->message);
        if (s->end_reason == FT_END_GUEST_OFF) {
            quit();
        } else {
            wait_for_primary(s->message);
        }
        break;
    case FT_VERDICT_NONE:
        break;
    }
    conclude(s);
}

/* Lengths of RAM blocks as the primary starts with them */
static bool adopt_lengths(FtRam *ram, const uint64_t *used, Error **errp)
{
    for (uint32_t i = 0; i < ram->n; i++) {
        FtBlock *b = &ram->blocks[i];

        if (used[i] > b->max || used[i] % ram->page_size) {
            error_setg(errp, "RAM block %s cannot be %" PRIu64 " bytes long",
                       b->name, used[i]);
            return false;
        }
        if (!ft_ram_resize(b, used[i], errp)) {
            return false;
        }
    }
    return true;
}

static void tick(void)
{
    /* What this process began to dial when it was the primary */
    ft_link_dial_turn(NULL);
    ft_link_view_update(session ? session->ch : NULL);
}

static bool admit(FtChannel *ch, const char *json, Error **errp)
{
    g_autoptr(GByteArray) welcome = g_byte_array_new();
    uint64_t used[FT_WIRE_MAX_BLOCKS];
    FtSession *s;

    if (session || heir) {
        error_setg(errp, session ?
                   "this secondary serves another primary already" :
                   "this secondary is about to take over from another "
                   "primary");
        return false;
    }
    if (old_primary) {
        /* Of a takeover long ago; this one may use what it used */
        ft_channel_close(old_primary);
        old_primary = NULL;
    }
    s = g_new0(FtSession, 1);
    if (!ft_ram_init(&s->ram, errp) ||
        !ft_disk_intake_find(&s->disks, errp) ||
        !ft_machine_matches(json, &s->ram, &s->disks.disks, used,
                            &s->terms, errp) ||
        !adopt_lengths(&s->ram, used, errp) ||
        !ft_intake_init(&s->intake, &s->ram, resize_block, errp) ||
        !ft_disk_intake_open(&s->disks, ch, s->terms.timeout_ms, errp)) {
        free_session(s);
        return false;
    }
    s->ch = ch;
    ft_channel_accept_links(ch);
    s->listens_at = ft_peers_reach(s->terms.listen, ch);
    s->timeout_ns = s->terms.timeout_ms * 1000000LL;
    ft_channel_set_timeout(ch, s->terms.timeout_ms);
    ft_loop_watch(s->terms.timeout_ms / FT_BEATS_PER_TIMEOUT, tick);
    s->to_say = ft_uplink_record();
    session = s;
    ft_state_set(FT_ROLE_SECONDARY, FT_STATE_SYNCING, NULL);
    ft_wire_put_welcome(welcome);
    ft_channel_send(s->ch, welcome->data, welcome->len);
    qemu_thread_create(&s->thread, "ft-receiver", receiver, s,
                       QEMU_THREAD_JOINABLE);
    ft_arbiter_look();
    return true;
}

/* Another connection of the primary we serve, or somebody else's */
static bool attach(FtChannel *caller, const FtRecord *rec, Error **errp)
{
    if (!session) {
        error_setg(errp, "this is a link of another session");
        return false;
    }
    return ft_channel_attach(session->ch, caller, rec, errp);
}

/* What the arbiter's record says now */
static void record_seen(const FtSeat *seat)
{
    FtSession *s = session;

    if (ft_status.role != FT_ROLE_SECONDARY) {
        ft_primary_seen(seat);
    } else if (s && !s->changed &&
               (seat->generation > s->terms.generation ||
                (seat->generation < s->terms.generation &&
                 ++s->older_seen > 1))) {
        /* Once an older one may be an answer from before the primary's claim */
        qatomic_set(&s->changed, g_strdup_printf(
            "the secondary's arbiter says that %s acts, as generation %"
            PRIu64 ", and not the primary, which has generation %" PRIu64,
            seat->holder ?: "nobody", seat->generation, s->terms.generation));
    }
}

bool ft_secondary_start(Error **errp)
{
    static bool ready;

    if (!ready && event_notifier_init(&event, false) < 0) {
        error_setg(errp, "cannot create an event notifier");
        return false;
    }
    ready = true;
    if (!ft_door_open(admit, attach, errp)) {
        return false;
    }
    event_notifier_set_handler(&event, session_event);
    ft_loop_watch(ft_opts.timeout_ms / FT_BEATS_PER_TIMEOUT, tick);
    ft_state_set_peer(ft_opts.listen_at.text);
    ft_arbiter_watch(record_seen);
    wait_for_primary("waiting for a primary");
    return true;
}

void ft_secondary_changed(const char *what)
{
    if (session && !session->changed) {
        qatomic_set(&session->changed,
                    g_strdup_printf("%s on the secondary", what));
    }
}

void ft_secondary_say(GByteArray *rec)
{
    GByteArray *old = rec;

    if (session) {
        old = qatomic_xchg(&session->to_say, rec);
        ft_channel_wake(session->ch);
    }
    if (old) {
        g_byte_array_free(old, true);
    }
}

const FtDisks *ft_secondary_disks(void)
{
    return session ? &session->disks.disks : NULL;
}

FtSecondaryCounters ft_secondary_counters(void)
{
    FtChannel *ch = session ? session->ch : old_primary;
    FtSecondaryCounters c = { 0 };

    if (session) {
        c.epoch = qatomic_read_u64(&session->committed);
        c.journal_bytes = ft_disk_intake_bytes(&session->disks);
    }
    if (ch) {
        c.bytes_sent = ft_channel_bytes_sent(ch);
        c.bytes_received = ft_channel_bytes_received(ch);
    }
    return c;
}
