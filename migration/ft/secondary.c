/*
 * QEMU-FT: the side that holds the copy
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Listening.  Connections are accepted in the main loop.  A connection is
 * nothing but a few bytes in a buffer until it has delivered a HELLO that
 * fits this machine; then, if no other primary is served, it becomes the
 * session.  Scanners, half-open connections and other protocols come no
 * further than that.
 *
 * The session.  A receiver thread owns the connection: it reads, validates
 * and stages epochs, acknowledges and applies them, sends beats, and judges
 * whether the primary lives.  It ends with a verdict, which the main loop
 * acts on after joining the thread; from then on the main loop owns the
 * intake.
 *
 * The thread writes guest RAM without the BQL: this process has never run
 * the guest, so no vCPU, no device and no translated code looks at it.
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
#include "exec/cpu-common.h"
#include "io/net-listener.h"
#include "system/runstate.h"
#include "system/runstate-action.h"
#include "arbiter.h"
#include "channel.h"
#include "checkpoint.h"
#include "fault.h"
#include "intake.h"
#include "loop.h"
#include "machine.h"
#include "options.h"
#include "secondary.h"
#include "state.h"
#include "takeover.h"

/* A connection that has not said HELLO yet; main loop */
typedef struct FtCaller {
    QLIST_ENTRY(FtCaller) next;
    FtChannel *ch;
    QEMUTimer *deadline;
    bool refused;               /* only waiting for it to hang up */
} FtCaller;

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
    FtChannel *ch;
    uint64_t generation;        /* the primary's */
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

    /* Set by the thread before @event, read after joining it */
    FtVerdict verdict;
    FtTakeoverCause cause;
    FtEndReason end_reason;
    char *message;
    int64_t detect_ns;

    /* Atomic */
    uint64_t committed;
    char *changed;              /* this machine is another one now: why */
} FtSession;

static QIONetListener *listener;
static QLIST_HEAD(, FtCaller) callers = QLIST_HEAD_INITIALIZER(callers);
static unsigned int n_callers;
static FtSession *session;
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

static void acknowledge(FtSession *s, uint64_t epoch)
{
    GByteArray *ack = g_byte_array_new();

    s->acked_since = true;
    ft_wire_put_u64(ack, FT_REC_ACK, epoch);
    send_record(s, ack);
}

static void progress(void *opaque)
{
    FtSession *s = opaque;

    ft_channel_beat(s->ch);
}

/* This copy is of no use; the primary is told and goes on without it */
static void say_failed(FtSession *s, const char *why)
{
    GByteArray *failed = g_byte_array_new();

    ft_wire_put_text(failed, FT_REC_FAILED, why);
    send_record(s, failed);
    verdict(s, FT_VERDICT_UNUSABLE, why);
}

/* With self-check the ack has to wait for the comparison */
static void commit_checked(FtSession *s)
{
    FtIntake *in = &s->intake;

    ft_intake_apply(in, progress, s);
    if (ft_intake_verify(in, progress, s)) {
        qatomic_inc(&ft_counters.checks_passed);
        acknowledge(s, in->committed);
        ft_fault(FT_FAULT_ACKED);
        return;
    }
    qatomic_inc(&ft_counters.checks_failed);
    say_failed(s, "self-check: the secondary's copy of the guest differs from "
               "the primary's");
}

static void commit(FtSession *s)
{
    FtIntake *in = &s->intake;

    ft_fault(FT_FAULT_STAGED);
    if (in->commit.hashed) {
        commit_checked(s);
    } else {
        acknowledge(s, in->epoch);
        ft_fault(FT_FAULT_ACKED);
        ft_intake_apply(in, progress, s);
    }
    qatomic_set_u64(&s->committed, in->committed);
    if (in->committed == 1) {
        event_notifier_set(&event);
    }
}

static void take_end(FtSession *s, const FtRecord *rec)
{
    GByteArray *ended = g_byte_array_new();
    g_autofree char *text = NULL;
    Error *err = NULL;

    if (!ft_wire_get_end(rec, &s->end_reason, &text, &err)) {
        dead(s, FT_TAKEOVER_CAUSE_CONNECTION_LOST, error_get_pretty(err));
        error_free(err);
        return;
    }
    verdict(s, FT_VERDICT_ENDED, text);
    ft_wire_put(ended, FT_REC_ENDED, NULL, 0);
    send_record(s, ended);
}

static void take_record(FtSession *s, const FtRecord *rec)
{
    Error *err = NULL;

    if (rec->type & FT_WIRE_OPTIONAL) {
        return;
    }
    if (rec->type == FT_REC_BEGIN && s->acked_since) {
        s->stalled = false;
    }
    switch (rec->type) {
    case FT_REC_BEAT:
        ft_wire_get_beat(rec, &s->peer_age_ms);
        return;
    case FT_REC_END:
        take_end(s, rec);
        return;
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
        dead(s, FT_TAKEOVER_CAUSE_CONNECTION_LOST, error_get_pretty(err));
        error_free(err);
    }
}

/* The connection has ended without END */
static void judge_end(FtSession *s, const char *why)
{
    note_stall(s);
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
    int64_t hung = s->peer_age_ms * 1000000LL;

    if (now - ft_channel_last_rx(s->ch) > s->timeout_ns) {
        dead(s, FT_TAKEOVER_CAUSE_SILENT, "nothing came from the primary");
    } else if (hung > FT_HUNG_FACTOR * s->timeout_ns) {
        dead(s, FT_TAKEOVER_CAUSE_HUNG,
             "the primary's main loop does not turn any more");
    }
}

static void *receiver(void *opaque)
{
    FtSession *s = opaque;
    uint32_t period = s->timeout_ns / 1000000 / FT_BEATS_PER_TIMEOUT;

    rcu_register_thread();
    ft_channel_prefer_thread();
    while (s->verdict == FT_VERDICT_NONE) {
        Error *err = NULL;
        FtRecord rec;
        int ret = ft_channel_read(s->ch, &rec, &err);

        note_stall(s);
        if (qatomic_read(&s->changed)) {
            say_failed(s, s->changed);
            error_free(err);
            break;
        }
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
    g_free(s->message);
    g_free(s->changed);
    g_free(s);
}

static void say_taken_over(FtSession *s)
{
    g_autoptr(GByteArray) rec = g_byte_array_new();

    ft_wire_put_u64(rec, FT_REC_TAKEOVER, ft_status.generation + 1);
    ft_channel_send(s->ch, rec->data, rec->len);
    old_primary = s->ch;
    s->ch = NULL;
}

static void stop_listening(void)
{
    FtCaller *c;

    qio_net_listener_disconnect(listener);
    object_unref(OBJECT(listener));
    listener = NULL;
    while ((c = QLIST_FIRST(&callers))) {
        QLIST_REMOVE(c, next);
        timer_free(c->deadline);
        ft_channel_close(c->ch);
        g_free(c);
    }
}

/* The guest is over, -no-shutdown or not */
static void quit(void)
{
    shutdown_action = SHUTDOWN_ACTION_POWEROFF;
    qemu_system_shutdown_request(SHUTDOWN_CAUSE_HOST_QMP_QUIT);
}

static void primary_is_dead(FtSession *s)
{
    Error *err = NULL;

    if (!s->intake.committed) {
        warn_report("fault tolerance: the primary is gone before the first "
                    "copy was complete (%s); waiting for another",
                    s->message);
        wait_for_primary("the primary is gone before the first copy was "
                         "complete");
        return;
    }
    if (ft_committed_guest_is_off(&s->intake)) {
        info_report("fault tolerance: the guest was switched off");
        quit();
        return;
    }
    ft_status.generation = s->generation;
    if (!ft_may_act(FT_CLAIM_TAKE_OVER, s->generation + 1, &err)) {
        warn_report_err(err);
        wait_for_primary("the arbiter did not allow a takeover");
        return;
    }
    say_taken_over(s);
    stop_listening();
    warn_report("fault tolerance: the primary is dead: %s", s->message);
    ft_takeover(&s->intake, s->cause, s->detect_ns);
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
    FtSession *s = session;

    if (!event_notifier_test_and_clear(e) || !s) {
        return;
    }
    if (qatomic_read_u64(&s->committed) &&
        ft_status.state == FT_STATE_SYNCING) {
        ft_state_set(FT_ROLE_SECONDARY, FT_STATE_PROTECTED, NULL);
    }
    if (qatomic_read(&s->verdict) == FT_VERDICT_NONE) {
        return;
    }
    qemu_thread_join(&s->thread);
    session = NULL;
    switch (s->verdict) {
    case FT_VERDICT_DEAD:
        primary_is_dead(s);
        break;
    case FT_VERDICT_STALE:
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
        wait_for_primary(s->message);
        break;
    case FT_VERDICT_NONE:
        break;
    }
    if (s->ch) {
        ft_channel_close(s->ch);
    }
    free_session(s);
}

/* Callers */

static void hang_up(FtCaller *c)
{
    QLIST_REMOVE(c, next);
    n_callers--;
    timer_free(c->deadline);
    if (c->ch) {
        ft_channel_close(c->ch);
    }
    g_free(c);
}

static void refuse(FtCaller *c, const char *why)
{
    g_autoptr(GByteArray) rec = g_byte_array_new();

    ft_wire_put_text(rec, FT_REC_REFUSE, why);
    ft_channel_send(c->ch, rec->data, rec->len);
    /* Closing now, with its beats unread, would take the REFUSE along */
    c->refused = true;
}

static void refuse_err(FtCaller *c, Error *err)
{
    warn_report("fault tolerance: refused a primary: %s",
                error_get_pretty(err));
    refuse(c, error_get_pretty(err));
    error_free(err);
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

static void accept_primary(FtCaller *c, const char *json)
{
    FtSession *s = g_new0(FtSession, 1);
    g_autoptr(GByteArray) welcome = g_byte_array_new();
    uint64_t used[FT_WIRE_MAX_BLOCKS];
    Error *err = NULL;

    if (!ft_ram_init(&s->ram, &err) ||
        !ft_machine_matches(json, &s->ram, used, &s->generation, &err) ||
        !adopt_lengths(&s->ram, used, &err) ||
        !ft_intake_init(&s->intake, &s->ram, resize_block, &err)) {
        refuse_err(c, err);
        free_session(s);
        return;
    }
    s->ch = c->ch;
    c->ch = NULL;
    hang_up(c);
    ft_channel_set_handler(s->ch, NULL, NULL);
    s->timeout_ns = ft_opts.timeout_ms * 1000000LL;
    session = s;
    ft_state_set(FT_ROLE_SECONDARY, FT_STATE_SYNCING, NULL);
    ft_wire_put_welcome(welcome);
    ft_channel_send(s->ch, welcome->data, welcome->len);
    qemu_thread_create(&s->thread, "ft-receiver", receiver, s,
                       QEMU_THREAD_JOINABLE);
}

static void caller_readable(void *opaque)
{
    FtCaller *c = opaque;
    g_autofree char *json = NULL;
    Error *err = NULL;
    FtRecord rec;
    int ret;

    do {
        ret = ft_channel_read(c->ch, &rec, &err);
    } while (ret > 0 && c->refused);
    if (ret == 0) {
        return;
    }
    if (ret < 0) {
        /* Garbage, or a scanner that has gone again: nobody to answer */
        error_free(err);
        hang_up(c);
        return;
    }
    if (rec.type != FT_REC_HELLO) {
        refuse(c, "the first record has to be HELLO");
    } else if (!ft_wire_get_hello(&rec, &json, &err)) {
        refuse_err(c, err);
    } else if (session) {
        refuse(c, "this secondary serves another primary already");
    } else {
        accept_primary(c, json);
    }
}

static void caller_too_slow(void *opaque)
{
    hang_up(opaque);
}

static void caller_connected(QIONetListener *l, QIOChannelSocket *sioc,
                             gpointer opaque)
{
    FtCaller *c;

    if (n_callers >= FT_MAX_HALF_OPEN) {
        /* The oldest has had its chance */
        FtCaller *oldest = NULL, *i;

        QLIST_FOREACH(i, &callers, next) {
            oldest = i;
        }
        hang_up(oldest);
    }
    c = g_new0(FtCaller, 1);
    qio_channel_set_name(QIO_CHANNEL(sioc), "ft-secondary");
    c->ch = ft_channel_new(sioc, ft_opts.timeout_ms);
    c->deadline = timer_new_ms(QEMU_CLOCK_REALTIME, caller_too_slow, c);
    timer_mod(c->deadline, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
              FT_HANDSHAKE_TIMEOUT_MS);
    QLIST_INSERT_HEAD(&callers, c, next);
    n_callers++;
    ft_channel_set_handler(c->ch, caller_readable, c);
}

bool ft_secondary_start(Error **errp)
{
    SocketAddress addr = { .type = SOCKET_ADDRESS_TYPE_INET };

    addr.u.inet = *ft_opts.addr;
    if (event_notifier_init(&event, false) < 0) {
        error_setg(errp, "cannot create an event notifier");
        return false;
    }
    listener = qio_net_listener_new();
    qio_net_listener_set_name(listener, "ft-listen");
    if (qio_net_listener_open_sync(listener, &addr, 1, errp) < 0) {
        error_prepend(errp, "-ft-listen %s: ", ft_opts.address);
        return false;
    }
    event_notifier_set_handler(&event, session_event);
    qio_net_listener_set_client_func(listener, caller_connected, NULL, NULL);
    ft_loop_watch(ft_opts.timeout_ms / FT_BEATS_PER_TIMEOUT, NULL);
    ft_state_set_peer(ft_opts.address);
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

FtSecondaryCounters ft_secondary_counters(void)
{
    FtChannel *ch = session ? session->ch : old_primary;
    FtSecondaryCounters c = { 0 };

    if (session) {
        c.epoch = qatomic_read_u64(&session->committed);
    }
    if (ch) {
        c.bytes_sent = ft_channel_bytes_sent(ch);
        c.bytes_received = ft_channel_bytes_received(ch);
    }
    return c;
}
