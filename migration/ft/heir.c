/*
 * QEMU-FT: the copy whose primary is dead
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Without an arbiter it takes over at once.  With one a dead primary is a
 * claim to be made.  The copy is kept, and nobody else admitted, until the
 * answer has come (@heir).  The disks are brought up to date before that,
 * because what is won has to be used; only shared ones come after it: their
 * locks say that the primary is gone, not that it never went on alone.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "block/block.h"
#include "arbiter.h"
#include "door.h"
#include "fault.h"
#include "inbound.h"
#include "options.h"
#include "peers.h"
#include "primary.h"
#include "session.h"
#include "start.h"
#include "state.h"

#define LOCK_WAIT_MS 200
#define LOCK_RETRY_MS 50

static FtSession *heir;         /* one that may have to take over */
static QEMUTimer *heir_timer;
/*
 * The last connection to a primary we took over from stays open: closing it
 * with unread data would turn TAKEOVER into a reset
 */
static FtChannel *old_primary;

static void decided(bool won, const char *why, bool ended);
static void inherit(void *opaque);

void ft_heir_close_old_primary(void)
{
    if (old_primary) {
        ft_channel_close(old_primary);
        old_primary = NULL;
    }
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
    ft_heir_close_old_primary();
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
    ft_session_wait(why);
    ft_session_conclude(s);
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
        ft_takeover_deliver(&s->carried);
    }
    ft_session_conclude(s);
}

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
        ft_session_quit();
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

void ft_heir_take(FtSession *s)
{
    bool locks_later = ft_opts.shared && ft_arbiter_on() && !renounced(s);
    Error *err = NULL;

    if (!s->intake.committed) {
        warn_report("fault tolerance: the primary is gone before the first "
                    "copy was complete (%s); waiting for another",
                    s->message);
        ft_session_wait("the primary is gone before the first copy was "
                         "complete");
        ft_session_conclude(s);
        return;
    }
    if (ft_committed_guest_is_off(&s->intake)) {
        info_report("fault tolerance: the guest was switched off");
        if (!ft_disk_intake_finish(&s->disks, patience(s), &err)) {
            error_report_err(err);
        }
        ft_session_conclude(s);
        ft_session_quit();
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

static void take(void *opaque)
{
    ft_heir_take(opaque);
}

void ft_heir_take_later(FtSession *s, uint32_t ms)
{
    heir_later(s, take, ms);
}

bool ft_heir_waits(void)
{
    return heir;
}

void ft_heir_forget(FtSession *s)
{
    if (s == heir) {
        set_heir(NULL);
        timer_free(heir_timer);
        heir_timer = NULL;
    }
}

FtChannel *ft_heir_old_primary(void)
{
    return old_primary;
}
