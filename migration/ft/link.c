/*
 * QEMU-FT: one of the connections of a session
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A socket with two small buffers.  As a standby it carries nothing but
 * small records, which must never be cut short by a full socket: what is
 * not taken waits in @out, before anything else.  What was read behind a
 * link record may belong to the stream already: whoever reads the stream
 * from this link gets it first.
 *
 * Nothing waits.  The caller says who may write at a time.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "link.h"

void ft_traffic_sent(FtTraffic *t, size_t n)
{
    int64_t now = get_clock();

    qatomic_set_i64(&t->tx_gap, MAX(t->tx_gap, now - t->last_tx));
    qatomic_set_i64(&t->last_tx, now);
    qatomic_set_u64(&t->bytes_sent, t->bytes_sent + n);
}

void ft_traffic_received(FtTraffic *t, size_t n)
{
    qatomic_set_i64(&t->last_rx, get_clock());
    qatomic_set_u64(&t->bytes_received, t->bytes_received + n);
}

FtLink *ft_link_new(QIOChannelSocket *sioc, uint32_t number,
                    const char *text)
{
    FtLink *l = g_new0(FtLink, 1);

    l->ioc = QIO_CHANNEL(object_ref(OBJECT(sioc)));
    l->fd = sioc->fd;
    qio_channel_set_blocking(l->ioc, false, NULL);
    qio_channel_set_delay(l->ioc, false);
    l->number = number;
    l->text = g_strdup(text);
    l->out = g_byte_array_new();
    l->in = g_malloc(FT_LINK_IN);
    l->since = l->last_rx = l->before_rx = get_clock();
    return l;
}

void ft_link_reset(FtLink *l)
{
    struct linger now = { .l_onoff = 1, .l_linger = 0 };

    setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

void ft_link_free(FtLink *l)
{
    qio_channel_shutdown(l->ioc, QIO_CHANNEL_SHUTDOWN_BOTH, NULL);
    qio_channel_close(l->ioc, NULL);
    object_unref(OBJECT(l->ioc));
    g_byte_array_free(l->out, true);
    g_free(l->text);
    g_free(l->in);
    g_free(l);
}

static size_t write_some(FtLink *l, const uint8_t *data, size_t len,
                         FtTraffic *t)
{
    size_t done = 0;

    while (done < len && !l->broken) {
        ssize_t n = qio_channel_write(l->ioc, (const char *)data + done,
                                      len - done, NULL);

        if (n == QIO_CHANNEL_ERR_BLOCK) {
            break;
        }
        if (n <= 0) {
            l->broken = true;
        } else {
            done += n;
        }
    }
    if (done) {
        ft_traffic_sent(t, done);
    }
    return done;
}

size_t ft_link_write(FtLink *l, const void *data, size_t len, FtTraffic *t)
{
    if (l->out->len) {
        size_t n = write_some(l, l->out->data, l->out->len, t);

        g_byte_array_remove_range(l->out, 0, n);
        if (l->out->len) {
            return 0;
        }
    }
    return write_some(l, data, len, t);
}

void ft_link_say(FtLink *l, const GByteArray *rec, FtTraffic *t)
{
    g_byte_array_append(l->out, rec->data, rec->len);
    ft_link_write(l, NULL, 0, t);
}

ssize_t ft_link_read(FtLink *l, void *buf, size_t room, FtTraffic *t,
                     Error **errp)
{
    ssize_t n = MIN(l->in_end - l->in_start, room);

    if (n) {
        memcpy(buf, l->in + l->in_start, n);
        l->in_start += n;
        return n;
    }
    l->readable = false;
    n = qio_channel_read(l->ioc, buf, room, errp);
    if (n == QIO_CHANNEL_ERR_BLOCK) {
        return 0;
    }
    if (n <= 0) {
        if (n == 0) {
            error_setg(errp, "the peer closed the connection");
        }
        return -1;
    }
    ft_traffic_received(t, n);
    l->before_rx = l->last_rx;
    l->last_rx = get_clock();
    return n;
}

int ft_link_next(FtLink *l, FtRecord *rec, FtTraffic *t, Error **errp)
{
    for (;;) {
        size_t have = l->in_end - l->in_start;
        int ret = ft_wire_next(l->in + l->in_start, have, rec, errp);
        uint8_t *buf;
        ssize_t n;

        if (ret > 0) {
            l->in_start += rec->total;
        }
        if (ret != 0) {
            return ret;
        }
        if (l->in_start) {
            memmove(l->in, l->in + l->in_start, have);
        }
        if (have == FT_LINK_IN) {
            error_setg(errp, "the peer sent a large record on a standby link");
            return -1;
        }
        /* Hidden from ft_link_read(), which would hand it out again */
        l->in_start = l->in_end = 0;
        buf = l->in + have;
        n = ft_link_read(l, buf, FT_LINK_IN - have, t, errp);
        l->in_end = have + MAX(n, 0);
        if (n <= 0) {
            return n;
        }
    }
}
