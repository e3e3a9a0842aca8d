/*
 * QEMU-FT: the side that runs the guest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One connection at a time, dialled again every second while protection is
 * wanted.  Whatever goes wrong with it ends in ft_primary_lost(): the guest
 * goes on unprotected, with the output it had said let go.  The exception
 * is TAKEOVER: then another copy of the guest runs already, and this one
 * stops for good.
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
#include "system/runstate.h"
#include "arbiter.h"
#include "checkpoint.h"
#include "cut.h"
#include "disk-mirror.h"
#include "failout.h"
#include "gate.h"
#include "harvest.h"
#include "loop.h"
#include "machine.h"
#include "options.h"
#include "peers.h"
#include "primary.h"
#include "state.h"
#include "trace.h"

FtPrimary ft_primary = { .mode = &ft_checkpoint_mode };

static QEMUTimer *redial;
static bool dialling;
static uint64_t attempt;        /* number of the one that counts */
static int64_t dialled_ns;      /* when it began */
static char *last_complaint;    /* said once, not every second */

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
    redial_in(FT_REDIAL_MS);
}

/* Break the connection and free what hangs on it; the gate is untouched */
static void disconnect(void)
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
    ft_channel_close(p->ch);
    p->ch = NULL;
    if (p->welcomed) {
        p->welcomed = false;
        p->mode->stop();
    }
    ft_ram_destroy(&p->ram);
}

static void fence(const char *why)
{
    FtPrimary *p = &ft_primary;

    p->mode->quiesce();
    ft_gate_close();
    p->wanted = false;
    vm_stop(runstate_check(RUN_STATE_SUSPENDED) ? RUN_STATE_PAUSED :
            RUN_STATE_INTERNAL_ERROR);
    /* Now that the last request has ended in what is held */
    ft_mirror_drop();
    disconnect();
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
    if (p->was_running) {
        vm_start();
    }
}

void ft_primary_lost(const char *why)
{
    FtPrimary *p = &ft_primary;
    bool had_copy = p->welcomed;
    Error *err = NULL;

    if (p->handed_over) {
        g_autofree char *text = g_strdup_printf(
            "the guest was handed over to the peer, which has not answered "
            "(%s)", why);

        fence(text);
        return;
    }
    if (had_copy) {
        g_autoptr(GByteArray) bye = g_byte_array_new();

        /* For a peer that was only slow: do not take over any more */
        p->mode->quiesce();
        ft_wire_put_end(bye, FT_END_GIVEN_UP, why);
        ft_channel_farewell(p->ch, bye->data, bye->len,
                            ft_opts.timeout_ms / 2);
    }
    complain(why);
    if (had_copy && !ft_may_act(FT_CLAIM_GO_ON_ALONE, ft_status.generation,
                                &err)) {
        fence(error_get_pretty(err));
        error_free(err);
        return;
    }
    if (p->ch && !had_copy) {
        ft_peers_next();
    }
    disconnect();
    /* A reply must not leave before what it vouches for is on the disk */
    if (!ft_mirror_stuck()) {
        ft_gate_open();
        ft_state_set(FT_ROLE_PRIMARY, FT_STATE_UNPROTECTED, why);
    }
    redial_later();
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
}

bool ft_primary_hand_over(const char *why)
{
    FtPrimary *p = &ft_primary;
    g_autoptr(GByteArray) rec = NULL;

    if (!p->welcomed || p->handed_over ||
        ft_status.state != FT_STATE_PROTECTED) {
        return false;
    }
    warn_report("fault tolerance: %s; handing the guest over to the peer",
                why);
    p->mode->quiesce();
    p->handed_over = true;
    p->was_running = runstate_is_running();
    pause_all_vcpus();
    ft_gate_close();
    rec = g_byte_array_new();
    ft_wire_put_text(rec, FT_REC_HANDOVER, why);
    ft_channel_send(p->ch, rec->data, rec->len);
    /* Not sooner: it flushes a disk that may take its time to fail */
    vm_stop(RUN_STATE_PAUSED);
    return true;
}

/* The peer's disk is broken, so its copy is of no use until that is mended */
static void peer_disk_bad(const char *why)
{
    ft_primary_lost(why);
    if (ft_status.state == FT_STATE_UNPROTECTED) {
        ft_state_set(FT_ROLE_PRIMARY, FT_STATE_DEGRADED, why);
    }
    redial_in(FT_REDIAL_REFUSED_MS);
}

static void welcome(const FtRecord *rec)
{
    FtPrimary *p = &ft_primary;
    Error *err = NULL;

    if (p->welcomed || !ft_wire_get_welcome(rec, &err) ||
        !p->mode->start(&p->ram, p->ch, &err)) {
        ft_primary_lost(err ? error_get_pretty(err) :
                        "the peer sent WELCOME twice");
        error_free(err);
        return;
    }
    p->welcomed = true;
    g_free(last_complaint);
    last_complaint = NULL;
    ft_state_set(FT_ROLE_PRIMARY, FT_STATE_SYNCING, NULL);
}

static void judge_beat(const FtRecord *rec)
{
    uint32_t age;

    ft_wire_get_beat(rec, &age);
    if (age > FT_HUNG_FACTOR * ft_opts.timeout_ms) {
        ft_primary_lost("the peer's main loop does not turn any more");
    }
}

/* One record; false once the connection is gone */
static bool take_record(const FtRecord *rec)
{
    FtPrimary *p = &ft_primary;
    g_autofree char *text = NULL;
    Error *err = NULL;

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
        ft_primary_lost(text);
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
        judge_beat(rec);
        break;
    case FT_REC_TAKEOVER:
        if (p->welcomed) {
            fenced(ft_wire_get_u64(rec));
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
    ft_channel_send(p->ch, hello->data, hello->len);
    ft_channel_start_thread(p->ch);
    ft_channel_set_handler(p->ch, primary_readable, NULL);
}

static void dial(void *opaque)
{
    QIOChannelSocket *sioc;
    SocketAddress addr = { .type = SOCKET_ADDRESS_TYPE_INET };

    if (!ft_primary.wanted || ft_primary.ch || dialling) {
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

void ft_primary_end(FtEndReason reason, const char *text, bool again)
{
    FtPrimary *p = &ft_primary;

    p->wanted = again;
    if (redial && !again) {
        timer_del(redial);
    }
    if (p->ch && p->welcomed) {
        g_autoptr(GByteArray) end = g_byte_array_new();

        p->mode->quiesce();
        ft_wire_put_end(end, reason, text);
        ft_channel_send(p->ch, end->data, end->len);
        if (!await_ended() && !p->ch) {
            /* Taken over or lost meanwhile: all is said and done */
            return;
        }
    }
    disconnect();
    ft_gate_open();
    ft_state_set(FT_ROLE_PRIMARY, FT_STATE_UNPROTECTED, text);
    if (again) {
        redial_later();
    }
}
