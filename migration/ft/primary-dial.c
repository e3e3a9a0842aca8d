/*
 * QEMU-FT: how the primary finds a peer
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Dialled again every second while protection is wanted, one address after the
 * other; sooner after a switchover, whose other side is about to listen.  Only
 * the newest attempt counts: an older one may still be answered.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "io/channel-socket.h"
#include "io/task.h"
#include "arbiter.h"
#include "cut.h"
#include "disk-mirror.h"
#include "disk-sync.h"
#include "link-dial.h"
#include "loop.h"
#include "machine.h"
#include "options.h"
#include "peers.h"
#include "primary-int.h"
#include "state.h"
#include "takeover.h"

static QEMUTimer *redial;
static bool dialling;
static uint64_t attempt;        /* number of the one that counts */
static int64_t dialled_ns;      /* when it began */
static char *last_complaint;

void ft_primary_complain(const char *what)
{
    if (!last_complaint || !g_str_equal(last_complaint, what)) {
        warn_report("fault tolerance: %s", what);
        g_free(last_complaint);
        last_complaint = g_strdup(what);
    }
}

void ft_primary_reached(void)
{
    g_free(last_complaint);
    last_complaint = NULL;
}

void ft_primary_redial_in(int64_t ms)
{
    if (ft_primary.wanted) {
        timer_mod(redial, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + ms);
    }
}

void ft_primary_redial_later(void)
{
    ft_primary_redial_in(ft_takeover_switched_lately() ? FT_REDIAL_SOON_MS :
              FT_REDIAL_MS);
}

void ft_primary_redial_stop(void)
{
    if (redial) {
        timer_del(redial);
    }
}

static void cannot_reach(const char *error)
{
    g_autofree char *why = g_strdup_printf("cannot reach %s: %s",
                                           ft_status.peer, error);

    ft_peers_next();
    if (ft_primary.wanted) {
        ft_primary_complain(why);
        ft_state_set(FT_ROLE_PRIMARY, FT_STATE_UNPROTECTED, why);
        ft_primary_redial_later();
    }
}

bool ft_primary_dial_expire(int64_t limit_ms)
{
    if (!dialling || get_clock() - dialled_ns <= limit_ms * 1000000) {
        return false;
    }
    /* The kernel would try for minutes */
    attempt++;
    dialling = false;
    cannot_reach("no answer");
    return true;
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
    ft_channel_set_handler(p->ch, ft_primary_readable, NULL);
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
        ft_primary_redial_later();
        return;
    }
    if (ft_disk_sync_reading()) {
        /* A new copy begins with a drain, which would wait for that */
        ft_state_set(FT_ROLE_PRIMARY, FT_STATE_UNPROTECTED, "a disk has not "
                     "answered yet what the last first copy asked of it");
        ft_primary_redial_later();
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
    ft_loop_watch(ft_opts.timeout_ms / FT_BEATS_PER_TIMEOUT, ft_primary_tick);
    timer_mod(redial, qemu_clock_get_ms(QEMU_CLOCK_REALTIME));
}
