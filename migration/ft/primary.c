/*
 * QEMU-FT: the side that runs the guest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One connection at a time, dialled again every second while protection is
 * wanted.  Whatever goes wrong with it ends in ft_primary_lost(): the guest
 * goes on unprotected, with the output it had said let go.  The exceptions:
 * after TAKEOVER another copy of the guest runs already, and this one stops for
 * good; and where there is an arbiter, and the peer may hold a committed state
 * that it has not renounced, this copy is undecided until the arbiter has
 * answered.  Its output and its writes to shared disks stay held meanwhile.
 * Its guest runs on for a time-out, so that a quick answer costs nothing, and
 * is then stopped, so that a late one does not cost memory without end.
 *
 * Silence is judged by the main loop's tick, after reading what the socket
 * holds: when this process was starved or stopped, the peer's words, or
 * its TAKEOVER, have been waiting there.
 *
 * Everything runs in the main loop with the BQL held.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "io/channel-socket.h"
#include "io/task.h"
#include "system/cpus.h"
#include "arbiter.h"
#include "checkpoint.h"
#include "cut.h"
#include "disk-mirror.h"
#include "disk-sync.h"
#include "failout.h"
#include "gate.h"
#include "guest.h"
#include "harvest.h"
#include "link-dial.h"
#include "link-view.h"
#include "loop.h"
#include "machine.h"
#include "options.h"
#include "peers.h"
#include "primary.h"
#include "role.h"
#include "state.h"
#include "switchover.h"
#include "takeover.h"
#include "trace.h"
#include "uplink.h"

FtPrimary ft_primary = { .mode = &ft_checkpoint_mode };

static QEMUTimer *redial;
static bool dialling;
static uint64_t attempt;        /* number of the one that counts */
static int64_t dialled_ns;      /* when it began */
static char *last_complaint;    /* said once, not every second */
static QEMUTimer *undecided_for;
static bool insisted;           /* the user has decided before the arbiter */
static FtChannel *former;       /* to a peer that may have taken over */
static bool may_have_taken_over;

static void fenced(uint64_t generation);

static void primary_readable(void *opaque);

static void complain(const char *what)
{
    if (!last_complaint || !g_str_equal(last_complaint, what)) {
        warn_report("fault tolerance: %s", what);
        g_free(last_complaint);
        last_complaint = g_strdup(what);
    }
}

static void redial_in(int64_t ms)
{
    if (ft_primary.wanted) {
        timer_mod(redial, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + ms);
    }
}

static void redial_later(void)
{
    redial_in(ft_takeover_switched_lately() ? FT_REDIAL_SOON_MS :
              FT_REDIAL_MS);
}

static void close_former(void)
{
    if (former) {
        ft_channel_close(former);
        former = NULL;
    }
}

static void former_readable(void *opaque)
{
    FtRecord rec;
    int ret;

    while ((ret = ft_channel_read(former, &rec, NULL)) > 0) {
        if (rec.type == FT_REC_TAKEOVER) {
            uint64_t generation = ft_wire_get_u64(&rec);

            close_former();
            fenced(generation);
            return;
        }
    }
    if (ret < 0) {
        close_former();
    }
}

/*
 * Without an arbiter the peer may have taken over behind a cut link, and only
 * this connection can still tell, when the link is back.
 */
static bool keep_former(FtChannel *ch)
{
    if (!may_have_taken_over) {
        return false;
    }
    may_have_taken_over = false;
    if (!ft_channel_retire(ch)) {
        return false;
    }
    close_former();
    former = ch;
    ft_channel_set_handler(ch, former_readable, NULL);
    return true;
}

/* Break the connection and free what hangs on it; the gate is untouched */
void ft_primary_disconnect(void)
{
    FtPrimary *p = &ft_primary;

    if (!p->ch) {
        return;
    }
    p->past_sent += ft_channel_bytes_sent(p->ch);
    p->past_received += ft_channel_bytes_received(p->ch);
    if (p->welcomed) {
        p->mode->detach();
    }
    if (!keep_former(p->ch)) {
        ft_channel_close(p->ch);
    }
    p->ch = NULL;
    if (p->welcomed) {
        p->welcomed = false;
        p->mode->stop();
    }
    ft_ram_destroy(&p->ram);
    ft_uplink_heard(NULL);
}

static void fence(const char *why)
{
    FtPrimary *p = &ft_primary;

    p->mode->quiesce();
    ft_switchover_failed(why);
    ft_gate_close();
    p->wanted = p->undecided = p->handed_over = false;
    ft_guest_forbid();
    /* Now that the last request has ended in what is held */
    ft_mirror_drop();
    ft_primary_disconnect();
    if (ft_opts.shared) {
        /* The other copy waits for the locks */
        bdrv_inactivate_all();
    }
    error_report("fault tolerance: %s; this copy of the guest is stopped",
                 why);
    ft_state_set(FT_ROLE_PRIMARY, FT_STATE_FENCED, why);
}

/* The peer has said that it will not go on: this side does, broken or not */
static void take_back(void)
{
    FtPrimary *p = &ft_primary;

    p->handed_over = false;
    ft_failout_over();
    if (ft_switchover_active()) {
        ft_switchover_undo("the peer could not go on");
        return;
    }
    ft_guest_allow();
}

/* The peer has no copy, or may not use it */
static void go_on_alone(const char *why)
{
    FtPrimary *p = &ft_primary;

    p->undecided = false;
    /* A reply must not leave before what it vouches for is on the disk */
    if (ft_mirror_release()) {
        ft_gate_open();
        ft_state_set(FT_ROLE_PRIMARY, FT_STATE_UNPROTECTED, why);
    }
    /* With a disk that has failed, to where it waits for cont */
    ft_guest_allow();
    redial_later();
}

/* Top level of the main loop */
static void decided(bool won, const char *why, bool ended)
{
    FtPrimary *p = &ft_primary;
    g_autofree char *lost = g_strdup(ft_status.reason);

    if (won) {
        ft_status.generation++;
    }
    if (insisted) {
        insisted = false;
        if (!won) {
            fence(why);
        }
        return;
    }
    if (!p->undecided) {
        return;
    }
    timer_del(undecided_for);
    if (won) {
        go_on_alone(lost);
    } else {
        ft_primary_outvoted(why);
    }
}

static void undecided_too_long(void *opaque)
{
    FtPrimary *p = &ft_primary;

    if (p->undecided) {
        ft_guest_forbid();
        warn_report("fault tolerance: the guest is paused until the arbiter "
                    "says whether this copy may go on");
    }
}

static void ask_arbiter(const char *why)
{
    FtPrimary *p = &ft_primary;

    if (!undecided_for) {
        undecided_for = timer_new_ms(QEMU_CLOCK_REALTIME, undecided_too_long,
                                     NULL);
    }
    p->undecided = true;
    ft_state_set(FT_ROLE_PRIMARY, FT_STATE_DEGRADED, why);
    timer_mod(undecided_for, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
              ft_opts.timeout_ms);
    ft_arbiter_claim(decided);
}

void ft_primary_insist(void)
{
    g_autofree char *why = g_strdup(ft_status.reason);

    timer_del(undecided_for);
    insisted = true;
    warn_report("fault tolerance: told to go on without the arbiter");
    go_on_alone(why);
}

void ft_primary_outvoted(const char *why)
{
    fence(why);
    ft_role_to_secondary();
}

void ft_primary_seen(const FtSeat *seat)
{
    g_autofree char *why = NULL;

    if (ft_status.role != FT_ROLE_PRIMARY || ft_arbiter_claiming() ||
        seat->generation <= ft_status.generation ||
        ft_primary.handed_over) {
        /* After a handover its answer decides, which is on its way */
        return;
    }
    if (ft_status.state == FT_STATE_FENCED) {
        if (!ft_primary.ch) {
            /* Nobody has said so, but the other one runs */
            ft_role_to_secondary();
        }
        return;
    }
    why = g_strdup_printf("the arbiter says that %s acts, as generation %"
                          PRIu64, seat->holder, seat->generation);
    ft_primary_outvoted(why);
}

/* @renounced: the peer itself has said that it has no copy any more */
static void lost(const char *why, bool renounced)
{
    FtPrimary *p = &ft_primary;
    bool had_copy = p->welcomed;
    bool exposed = had_copy && p->mode->exposed();

    if (ft_switchover_leave()) {
        return;
    }
    if (p->handed_over) {
        g_autofree char *text = g_strdup_printf(
            "the guest was handed over to the peer, which has not answered "
            "(%s)", why);

        fence(text);
        return;
    }
    ft_switchover_undo(why);
    if (had_copy) {
        g_autoptr(GByteArray) bye = g_byte_array_new();

        /* For a peer that was only slow: do not take over any more */
        p->mode->quiesce();
        ft_wire_put_end(bye, FT_END_GIVEN_UP, why);
        ft_channel_farewell(p->ch, bye->data, bye->len,
                            ft_opts.timeout_ms / 2);
    }
    complain(why);
    if (p->ch && !had_copy) {
        ft_peers_next();
    }
    may_have_taken_over = exposed && !renounced && !ft_arbiter_on() &&
                          !ft_channel_ended(p->ch);
    ft_primary_disconnect();
    if (exposed && !renounced && ft_arbiter_on()) {
        ask_arbiter(why);
    } else {
        go_on_alone(why);
    }
}

void ft_primary_lost(const char *why)
{
    lost(why, false);
}

void ft_primary_abandon(void)
{
    ft_primary.mode->quiesce();
    ft_primary.wanted = false;
    ft_gate_close();
    ft_mirror_drop();
}

void ft_primary_mended(void)
{
    ft_gate_open();
    ft_state_set(FT_ROLE_PRIMARY, FT_STATE_UNPROTECTED,
                 "the peer has not answered yet");
}

/* Another copy of this guest runs: stop for good */
static void fenced(uint64_t generation)
{
    g_autofree char *why = g_strdup_printf(
        "the peer has taken over as generation %" PRIu64, generation);

    fence(why);
    ft_role_to_secondary();
}

bool ft_primary_hand_over(const char *why)
{
    FtPrimary *p = &ft_primary;
    g_autoptr(GByteArray) rec = NULL;

    if (!p->welcomed || p->handed_over || ft_switchover_active() ||
        ft_status.state != FT_STATE_PROTECTED) {
        return false;
    }
    warn_report("fault tolerance: %s; handing the guest over to the peer",
                why);
    p->mode->quiesce();
    p->handed_over = true;
    pause_all_vcpus();
    ft_gate_close();
    rec = g_byte_array_new();
    ft_wire_put_text(rec, FT_REC_HANDOVER, why);
    ft_channel_send(p->ch, rec->data, rec->len);
    /* Not sooner: it flushes a disk that may take its time to fail */
    ft_guest_forbid();
    return true;
}

/* The peer's disk is broken, so its copy is of no use until that is mended */
static void peer_disk_bad(const char *why)
{
    lost(why, true);
    if (ft_status.state == FT_STATE_UNPROTECTED) {
        ft_state_set(FT_ROLE_PRIMARY, FT_STATE_DEGRADED, why);
    }
    redial_in(FT_REDIAL_REFUSED_MS);
}

static void take_uplinks(const FtRecord *rec)
{
    FtUplinks told;
    Error *err = NULL;

    if (ft_wire_get_uplinks(rec, &told, &err)) {
        ft_uplink_heard(&told);
    } else {
        ft_primary_lost(error_get_pretty(err));
        error_free(err);
    }
}

static void welcome(const FtRecord *rec)
{
    FtPrimary *p = &ft_primary;
    g_autoptr(GByteArray) uplinks = NULL;
    Error *err = NULL;

    if (p->welcomed || !ft_wire_get_welcome(rec, &err) ||
        !p->mode->start(&p->ram, p->ch, &err)) {
        ft_primary_lost(err ? error_get_pretty(err) :
                        "the peer sent WELCOME twice");
        error_free(err);
        return;
    }
    close_former();
    p->welcomed = true;
    g_free(last_complaint);
    last_complaint = NULL;
    uplinks = ft_uplink_record();
    ft_channel_send(p->ch, uplinks->data, uplinks->len);
    ft_state_set(FT_ROLE_PRIMARY, FT_STATE_SYNCING, NULL);
}

static void take_beat(const FtRecord *rec)
{
    FtBeat beat;

    ft_wire_get_beat(rec, &beat);
    ft_channel_take_beat(ft_primary.ch, &beat);
    if (beat.age_ms > FT_HUNG_FACTOR * ft_opts.timeout_ms) {
        ft_primary_lost("the peer's main loop does not turn any more");
    }
}

/* One record; false once the connection is gone */
static bool take_record(const FtRecord *rec)
{
    FtPrimary *p = &ft_primary;
    g_autofree char *text = NULL;
    Error *err = NULL;

    if (rec->type == FT_REC_UPLINK) {
        take_uplinks(rec);
        return p->ch;
    }
    if (rec->type & FT_WIRE_OPTIONAL) {
        return true;
    }
    switch (rec->type) {
    case FT_REC_WELCOME:
        welcome(rec);
        break;
    case FT_REC_FAILED:
        text = ft_wire_get_text(rec);
        ft_counters.checks_failed += g_str_has_prefix(text, "self-check");
        if (p->handed_over) {
            take_back();
        }
        lost(text, true);
        break;
    case FT_REC_DISKBAD:
        text = ft_wire_get_text(rec);
        if (p->handed_over) {
            take_back();
        }
        peer_disk_bad(text);
        break;
    case FT_REC_REFUSE:
        text = ft_wire_get_text(rec);
        ft_primary_lost(text);
        /* What has to change is on a command line */
        redial_in(FT_REDIAL_REFUSED_MS);
        break;
    case FT_REC_BEAT:
        take_beat(rec);
        break;
    case FT_REC_TAKEOVER:
        if (p->welcomed) {
            if (!ft_switchover_done(ft_wire_get_u64(rec))) {
                fenced(ft_wire_get_u64(rec));
            }
            break;
        }
        /* fall through */
    default:
        if (!p->welcomed || !p->mode->record(rec, &err)) {
            ft_primary_lost(err ? error_get_pretty(err) :
                            "the peer spoke out of turn");
            error_free(err);
        }
    }
    return p->ch;
}

/* Read all that has arrived; false once the connection is gone */
static bool drain_socket(void)
{
    Error *err = NULL;
    FtRecord rec;
    int ret;

    while ((ret = ft_channel_read(ft_primary.ch, &rec, &err)) > 0) {
        if (!take_record(&rec)) {
            return false;
        }
    }
    if (ret < 0) {
        ft_primary_lost(error_get_pretty(err));
        error_free(err);
        return false;
    }
    if (ft_primary.welcomed) {
        ft_primary.mode->settled(false);
    }
    return ft_primary.ch;
}

static void primary_readable(void *opaque)
{
    drain_socket();
}

static void cannot_reach(const char *error)
{
    g_autofree char *why = g_strdup_printf("cannot reach %s: %s",
                                           ft_status.peer, error);

    ft_peers_next();
    if (ft_primary.wanted) {
        complain(why);
        ft_state_set(FT_ROLE_PRIMARY, FT_STATE_UNPROTECTED, why);
        redial_later();
    }
}

static void tick(void)
{
    FtPrimary *p = &ft_primary;
    int64_t limit = p->welcomed ? ft_opts.timeout_ms :
                    FT_HANDSHAKE_TIMEOUT_MS;

    if (dialling && get_clock() - dialled_ns > limit * 1000000) {
        /* The kernel would try for minutes */
        attempt++;
        dialling = false;
        cannot_reach("no answer");
        return;
    }
    /* A link's silence is judged by whoever reads */
    if (p->ch && ft_channel_links(p->ch) && !drain_socket()) {
        return;
    }
    ft_link_dial_turn(p->ch);
    ft_link_view_update(p->ch);
    if (!p->ch || get_clock() - ft_channel_last_rx(p->ch) < limit * 1000000) {
        return;
    }
    if (drain_socket() &&
        get_clock() - ft_channel_last_rx(p->ch) >= limit * 1000000) {
        g_autofree char *why = g_strdup_printf(
            "nothing has come from %s for %" PRId64 " ms", ft_status.peer,
            limit);

        ft_primary_lost(why);
    }
}

static void connected(QIOTask *task, gpointer opaque)
{
    FtPrimary *p = &ft_primary;
    QIOChannelSocket *sioc = QIO_CHANNEL_SOCKET(qio_task_get_source(task));
    g_autoptr(GByteArray) hello = NULL;
    g_autofree char *json = NULL;
    Error *err = NULL;

    if (*(uint64_t *)opaque != attempt) {
        /* Given up long ago, or somebody has named another address */
        return;
    }
    dialling = false;
    if (qio_task_propagate_error(task, &err)) {
        cannot_reach(error_get_pretty(err));
        error_free(err);
        return;
    }
    if (!p->wanted || p->ch) {
        return;
    }
    p->connected_ns = get_clock();
    ft_cut_forget_longest();
    ft_loop_forget_turns();
    if (!ft_mirror_attach(&err) || !ft_ram_init(&p->ram, &err)) {
        ft_primary_lost(error_get_pretty(err));
        error_free(err);
        return;
    }
    p->ch = ft_channel_new(sioc, ft_opts.timeout_ms);
    hello = g_byte_array_new();
    json = ft_machine_describe(&p->ram, ft_mirror_disks(),
                               ft_status.generation);
    ft_wire_put_hello(hello, json);
    ft_link_dial_offer(p->ch, hello);
    ft_channel_send(p->ch, hello->data, hello->len);
    ft_channel_start_thread(p->ch);
    ft_channel_set_handler(p->ch, primary_readable, NULL);
}

static void dial(void *opaque)
{
    QIOChannelSocket *sioc;
    SocketAddress addr = { .type = SOCKET_ADDRESS_TYPE_INET };

    if (!ft_primary.wanted || ft_primary.ch || dialling ||
        ft_primary.undecided) {
        return;
    }
    if (ft_arbiter_claiming()) {
        /* The number a new peer has to know is not certain yet */
        redial_later();
        return;
    }
    if (ft_disk_sync_reading()) {
        /* A new copy begins with a drain, which would wait for that */
        ft_state_set(FT_ROLE_PRIMARY, FT_STATE_UNPROTECTED, "a disk has not "
                     "answered yet what the last first copy asked of it");
        redial_later();
        return;
    }
    dialling = true;
    attempt++;
    dialled_ns = get_clock();
    addr.u.inet = *ft_peers_current()->inet;
    ft_state_set_peer(ft_peers_current()->text);
    sioc = qio_channel_socket_new();
    qio_channel_set_name(QIO_CHANNEL(sioc), "ft-primary");
    qio_channel_socket_connect_async(sioc, &addr, connected,
                                     g_memdup2(&attempt, sizeof(attempt)),
                                     g_free, NULL);
    object_unref(OBJECT(sioc));
}

void ft_primary_start(void)
{
    if (!redial) {
        redial = timer_new_ms(QEMU_CLOCK_REALTIME, dial, NULL);
    }
    ft_primary.wanted = true;
    dialling = false;
    attempt++;
    ft_state_set_peer(ft_peers_current()->text);
    ft_loop_watch(ft_opts.timeout_ms / FT_BEATS_PER_TIMEOUT, tick);
    timer_mod(redial, qemu_clock_get_ms(QEMU_CLOCK_REALTIME));
}

/* Read until the peer confirms END; false: it did not */
static bool await_ended(void)
{
    FtPrimary *p = &ft_primary;
    int64_t end = get_clock() + ft_opts.timeout_ms * 1000000LL;
    FtRecord rec;

    while (get_clock() < end) {
        int ret = ft_channel_read(p->ch, &rec, NULL);

        if (ret < 0) {
            return false;
        }
        if (ret > 0 && rec.type == FT_REC_ENDED) {
            return true;
        }
        if (ret > 0 && !take_record(&rec)) {
            return false;
        }
        if (ret == 0) {
            p->mode->settled(true);
            ft_channel_poll(p->ch, (end - get_clock()) / 1000000 + 1);
        }
    }
    return false;
}

/* False: the peer has not confirmed it; it may be gone by now */
static bool say_end(FtEndReason reason, const char *text)
{
    g_autoptr(GByteArray) end = g_byte_array_new();

    ft_wire_put_end(end, reason, text);
    ft_channel_send(ft_primary.ch, end->data, end->len);
    return await_ended();
}

/* This process ends with the guest switched off; @exposed: there is a peer */
static void leave(bool exposed, bool confirmed)
{
    FtPrimary *p = &ft_primary;

    if (p->undecided) {
        /* Another copy may run: what is held must not get out */
        ft_gate_close();
        ft_mirror_drop();
    } else if (exposed) {
        ft_arbiter_leave(confirmed);
    }
}

void ft_primary_end(FtEndReason reason, const char *text, bool again)
{
    FtPrimary *p = &ft_primary;
    bool exposed = p->ch && p->welcomed && p->mode->exposed();
    bool confirmed = true;

    if (ft_switchover_leave() || ft_status.state == FT_STATE_FENCED) {
        return;
    }
    if (again && !p->handed_over) {
        ft_switchover_undo(text);
    } else {
        ft_switchover_failed(text);
    }
    p->wanted = again;
    if (redial && !again) {
        timer_del(redial);
    }
    if (p->ch && p->welcomed) {
        p->mode->quiesce();
        confirmed = say_end(reason, text) || !exposed;
        if (p->ch && p->handed_over && !confirmed) {
            /* Its answer was to decide, and there is none */
            fence(text);
            return;
        }
        if (!p->ch) {
            /* Taken over or lost meanwhile: all is said and done */
            return;
        }
    }
    ft_primary_disconnect();
    if (reason == FT_END_GUEST_OFF) {
        leave(exposed, confirmed);
    } else if (!confirmed && ft_arbiter_on()) {
        ask_arbiter(text);
        return;
    }
    if (p->undecided) {
        return;
    }
    ft_mirror_release();
    ft_gate_open();
    ft_state_set(FT_ROLE_PRIMARY, FT_STATE_UNPROTECTED, text);
    if (again) {
        redial_later();
    }
}
