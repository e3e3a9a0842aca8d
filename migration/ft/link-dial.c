/*
 * QEMU-FT: the primary's further links to its secondary
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every known address but the active one may be a second way to the same
 * secondary, or another host: only the answer to ATTACH tells.  So each is
 * dialled while it has no link, and nobody complains when it is none.
 *
 * A thread for each attempt, since names are looked up and a packet into a
 * cut link is never answered; it gives up after a second, where the
 * kernel would try for minutes and be of no use when the link comes back.
 * It touches nothing but its FtDial, and the main loop looks at that only
 * once @done is set.
 */
#include "qemu/osdep.h"
#include <glib-unix.h>
#include <netdb.h>
#include <poll.h>
#include "qemu/atomic.h"
#include "qemu/sockets.h"
#include "qemu/thread.h"
#include "link-dial.h"
#include "peers.h"

typedef struct FtDial {
    QemuThread thread;
    char *host, *port, *text;
    uint64_t session;           /* for which it is */
    int fd;                     /* -1: nobody there */
    bool done;                  /* atomic */
} FtDial;

static FtDial *dials[FT_WIRE_MAX_LINKS];
static uint64_t session;        /* number of the one that counts */

static bool connects(int fd, const struct addrinfo *a)
{
    struct pollfd pfd = { .fd = fd, .events = POLLOUT };
    int error = 0;
    socklen_t len = sizeof(error);

    if (connect(fd, a->ai_addr, a->ai_addrlen) == 0) {
        return true;
    }
    return errno == EINPROGRESS && poll(&pfd, 1, FT_REDIAL_MS) == 1 &&
           getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && !error;
}

static void *dial_thread(void *opaque)
{
    FtDial *d = opaque;
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;

    if (getaddrinfo(d->host, d->port, &hints, &list)) {
        list = NULL;
    }
    for (struct addrinfo *a = list; a && d->fd < 0; a = a->ai_next) {
        int fd = qemu_socket(a->ai_family, SOCK_STREAM, 0);

        if (fd >= 0) {
            g_unix_set_fd_nonblocking(fd, true, NULL);
            if (connects(fd, a)) {
                d->fd = fd;
            } else {
                close(fd);
            }
        }
    }
    if (list) {
        freeaddrinfo(list);
    }
    /* Pairs with finish() */
    qatomic_store_release(&d->done, true);
    return NULL;
}

static void begin(guint number)
{
    const FtAddress *a = ft_peers_at(number);
    FtDial *d = g_new0(FtDial, 1);

    d->host = g_strdup(a->inet->host);
    d->port = g_strdup(a->inet->port);
    d->text = g_strdup(a->text);
    d->session = session;
    d->fd = -1;
    dials[number] = d;
    qemu_thread_create(&d->thread, "ft-dial", dial_thread, d,
                       QEMU_THREAD_JOINABLE);
}

/* The attempt has ended: make it a link, if there is a session still */
static void finish(guint number, FtLinks *links)
{
    FtDial *d = dials[number];
    QIOChannelSocket *sioc = NULL;

    /* Pairs with dial_thread() */
    if (!d || !qatomic_load_acquire(&d->done)) {
        return;
    }
    qemu_thread_join(&d->thread);
    dials[number] = NULL;
    if (d->fd >= 0) {
        sioc = qio_channel_socket_new_fd(d->fd, NULL);
        if (!sioc) {
            close(d->fd);
        }
    }
    if (links && d->session == session && ft_links_wants(links, number)) {
        if (sioc) {
            qio_channel_set_name(QIO_CHANNEL(sioc), "ft-link");
            ft_links_add(links, sioc, number, d->text);
        } else {
            ft_links_put_off(links, number);
        }
    }
    if (sioc) {
        object_unref(OBJECT(sioc));
    }
    g_free(d->host);
    g_free(d->port);
    g_free(d->text);
    g_free(d);
}

void ft_link_dial_offer(FtChannel *ch, GByteArray *hello)
{
    session++;
    if (ft_peers_count() > 1 && ft_peers_current_at() < FT_WIRE_MAX_LINKS) {
        ft_channel_offer_links(ch, ft_peers_current_at(),
                               ft_peers_current()->text, hello);
    }
}

void ft_link_dial_turn(FtChannel *ch)
{
    FtLinks *links = ch ? ft_channel_links(ch) : NULL;

    for (guint i = 0; i < MIN(ft_peers_count(), FT_WIRE_MAX_LINKS); i++) {
        finish(i, links);
        if (links && !dials[i] && ft_links_ready(links) &&
            ft_links_wants(links, i)) {
            begin(i);
        }
    }
}
