/*
 * QEMU-FT: the side that holds the copy
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A primary is admitted, its session begins, receiver.c does the work of it,
 * and here is what its verdict leads to.  heir.c goes on when the primary is
 * dead.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qapi/error.h"
#include "system/runstate.h"
#include "system/runstate-action.h"
#include "arbiter.h"
#include "door.h"
#include "inbound.h"
#include "link-dial.h"
#include "link-view.h"
#include "loop.h"
#include "options.h"
#include "peers.h"
#include "primary.h"
#include "secondary.h"
#include "session.h"
#include "start.h"
#include "state.h"

static FtSession *session;
static EventNotifier event;     /* a session's @event */

void ft_session_wait(const char *why)
{
    ft_state_set(FT_ROLE_SECONDARY, FT_STATE_UNPROTECTED, why);
}

static void free_session(FtSession *s)
{
    ft_intake_destroy(&s->intake);
    ft_ram_destroy(&s->ram);
    ft_disk_intake_destroy(&s->disks);
    ft_carried_clear(&s->carried);
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

/* The guest is over, -no-shutdown or not */
void ft_session_quit(void)
{
    shutdown_action = SHUTDOWN_ACTION_POWEROFF;
    qemu_system_shutdown_request(SHUTDOWN_CAUSE_HOST_QMP_QUIT);
}

void ft_session_conclude(FtSession *s)
{
    ft_heir_forget(s);
    ft_inbound_forget();
    /* It may still wake the channel */
    ft_disk_intake_destroy(&s->disks);
    if (s->ch) {
        ft_channel_close(s->ch);
    }
    free_session(s);
}

static void primary_ended(FtSession *s)
{
    if (s->end_reason == FT_END_GUEST_OFF) {
        info_report("fault tolerance: the primary has ended the guest: %s",
                    s->message);
        ft_session_quit();
    } else {
        warn_report("fault tolerance: the primary has ended protection: %s",
                    s->message);
        ft_session_wait(s->message);
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
            ft_heir_take_later(s, s->terms.timeout_ms);
        } else {
            ft_heir_take(s);
        }
        return;
    case FT_VERDICT_STALE:
        if (ft_arbiter_on()) {
            /* It knows whether the primary has gone on alone */
            ft_heir_take(s);
            return;
        }
        warn_report("fault tolerance: the primary is gone, but this process "
                    "was stalled for longer than timeout=%" PRIu32 ": the "
                    "primary may have gone on alone; not taking over",
                    ft_opts.timeout_ms);
        ft_session_wait("this copy was stalled and is out of date");
        break;
    case FT_VERDICT_ENDED:
        primary_ended(s);
        break;
    case FT_VERDICT_UNUSABLE:
        error_report("fault tolerance: %s", s->message);
        if (s->end_reason == FT_END_GUEST_OFF) {
            ft_session_quit();
        } else {
            ft_session_wait(s->message);
        }
        break;
    case FT_VERDICT_NONE:
        break;
    }
    ft_session_conclude(s);
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

    if (session || ft_heir_waits()) {
        error_setg(errp, session ?
                   "this secondary serves another primary already" :
                   "this secondary is about to take over from another "
                   "primary");
        return false;
    }
    /* This one may use what a takeover long ago has used */
    ft_heir_close_old_primary();
    s = g_new0(FtSession, 1);
    ft_carried_init(&s->carried);
    if (!ft_ram_init(&s->ram, errp) ||
        !ft_disk_intake_find(&s->disks, errp) ||
        !ft_machine_matches(json, &s->ram, &s->disks.disks, used,
                            &s->terms, errp) ||
        !adopt_lengths(&s->ram, used, errp) ||
        !ft_intake_init(&s->intake, &s->ram, ft_receiver_resize, errp) ||
        !ft_disk_intake_open(&s->disks, ch, s->terms.timeout_ms, errp)) {
        free_session(s);
        return false;
    }
    s->ch = ch;
    s->event = &event;
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
    ft_receiver_start(s);
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
    ft_session_wait("waiting for a primary");
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
    FtChannel *ch = session ? session->ch : ft_heir_old_primary();
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
