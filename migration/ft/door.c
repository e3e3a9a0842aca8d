/*
 * QEMU-FT: where primaries knock
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A connection is nothing but a few bytes in a buffer until it has delivered
 * a HELLO that fits this machine.  Scanners, half-open connections and other
 * protocols come no further than that: each has a few seconds, and there are
 * only so many at a time.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/queue.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "io/net-listener.h"
#include "door.h"
#include "options.h"

/* A connection that has not been admitted yet */
typedef struct FtCaller {
    QLIST_ENTRY(FtCaller) next;
    FtChannel *ch;
    QEMUTimer *deadline;
    bool refused;               /* only waiting for it to hang up */
} FtCaller;

static QIONetListener *listener;
static FtDoorAdmit *admit;
static FtDoorAttach *attach;
static QLIST_HEAD(, FtCaller) callers = QLIST_HEAD_INITIALIZER(callers);
static unsigned int n_callers;

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

/* A refusal is no news: a primary asks all addresses it knows */
static void take_attach(FtCaller *c, const FtRecord *rec)
{
    Error *err = NULL;

    if (attach(c->ch, rec, &err)) {
        c->ch = NULL;
        hang_up(c);
        return;
    }
    refuse(c, error_get_pretty(err));
    error_free(err);
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
    if (rec.type == FT_REC_ATTACH) {
        take_attach(c, &rec);
        return;
    }
    if (rec.type != FT_REC_HELLO) {
        refuse(c, "the first record has to be HELLO");
        return;
    }
    ft_channel_set_handler(c->ch, NULL, NULL);
    if (ft_wire_get_hello(&rec, &json, &err) && admit(c->ch, json, &err)) {
        c->ch = NULL;
        hang_up(c);
        return;
    }
    ft_channel_set_handler(c->ch, caller_readable, c);
    refuse_err(c, err);
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

bool ft_door_open(FtDoorAdmit *admit_cb, FtDoorAttach *attach_cb,
                  Error **errp)
{
    SocketAddress addr = { .type = SOCKET_ADDRESS_TYPE_INET };

    addr.u.inet = *ft_opts.listen_at.inet;
    admit = admit_cb;
    attach = attach_cb;
    listener = qio_net_listener_new();
    qio_net_listener_set_name(listener, "ft-listen");
    if (qio_net_listener_open_sync(listener, &addr, 1, errp) < 0) {
        error_prepend(errp, "-ft-listen %s: ", ft_opts.listen_at.text);
        return false;
    }
    qio_net_listener_set_client_func(listener, caller_connected, NULL, NULL);
    return true;
}

void ft_door_close(void)
{
    FtCaller *c;

    qio_net_listener_disconnect(listener);
    object_unref(OBJECT(listener));
    listener = NULL;
    while ((c = QLIST_FIRST(&callers))) {
        hang_up(c);
    }
}
