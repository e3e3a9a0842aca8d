/*
 * QEMU-FT: the connections of a session, and the streams over them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 *    link 0 ==== active =====   the stream, both ways
 *    link 1 ---- standby ----   RECEIVED, both ways
 *
 * What is said goes into @out, which keeps it until the peer has confirmed
 * it, and from there to the active link.  When that is lost, the primary
 * moves both streams to another one: SWITCH says where the peer's stream is
 * to go on, SWITCHED where ours is.  Both numbers count whole records, so a
 * stream always goes on at the beginning of one.
 *
 * While there is no active link, writing goes on into @out until the limit.
 *
 * Threads.  One reads, one at a time writes (channel.c has who).  Only the
 * reader adds, removes and switches links, under @lock, so it may look at
 * them without; everybody else takes @lock.  No socket is waited for under
 * it.  A writer that fails marks the link; the reader finds the end itself,
 * after it has read what the peer had said before.
 *
 * links-write.c, links-read.c and links-switch.c have the rest.
 */
#include "qemu/osdep.h"
#include <poll.h>
#include "qemu/atomic.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "block/aio.h"
#include "links-int.h"

void ft_links_set_known(FtLinks *ls, FtLink *l)
{
    g_free(ls->known[l->number]);
    ls->known[l->number] = g_strdup(l->text);
}

FtLinks *ft_links_new(const FtLinksSetup *setup)
{
    FtLinks *ls = g_new0(FtLinks, 1);
    FtLink *l = ft_link_new(setup->first, setup->number, setup->text);

    ls->dials = setup->dials;
    memcpy(ls->session, setup->session, sizeof(ls->session));
    ls->timeout_ns = setup->timeout_ns;
    ls->traffic = setup->traffic;
    event_notifier_init(&ls->kick, false);
    qemu_mutex_init(&ls->lock);
    ft_stream_init(&ls->out, setup->said, FT_WIRE_MAX_KEPT);
    l->phase = FT_LINK_ACTIVE;
    ls->link[l->number] = ls->active = l;
    ft_links_set_known(ls, l);
    return ls;
}

static void readable(void *opaque)
{
    FtLink *l = opaque;
    FtLinks *ls = l->owner;

    l->readable = true;
    ls->cb(ls->cb_opaque);
}

static void watch(FtLinks *ls, FtLink *l)
{
    l->owner = ls;
    qio_channel_set_aio_fd_handler(l->ioc, iohandler_get_aio_context(),
                                   ls->cb ? readable : NULL, NULL, NULL, l);
}

void ft_links_insert(FtLinks *ls, FtLink *l, FtLinkPhase phase)
{
    qemu_mutex_lock(&ls->lock);
    l->phase = phase;
    ls->link[l->number] = l;
    qemu_mutex_unlock(&ls->lock);
    if (ls->cb) {
        watch(ls, l);
    }
}

void ft_links_drop(FtLinks *ls, FtLink *l, uint32_t retry_ms)
{
    qemu_mutex_lock(&ls->lock);
    ls->link[l->number] = NULL;
    if (ls->active == l) {
        ls->active = NULL;
        ls->lost_ns = get_clock();
    }
    qemu_mutex_unlock(&ls->lock);
    ls->retry_ns[l->number] = get_clock() + retry_ms * 1000000LL;
    if (ls->cb) {
        qio_channel_set_aio_fd_handler(l->ioc, iohandler_get_aio_context(),
                                       NULL, NULL, NULL, NULL);
    }
    ft_link_free(l);
}

void ft_links_free(FtLinks *ls)
{
    for (int i = 0; i < FT_WIRE_MAX_LINKS; i++) {
        if (ls->link[i]) {
            ft_links_drop(ls, ls->link[i], 0);
        }
        if (ls->offered[i]) {
            ft_link_free(ls->offered[i]);
        }
        g_free(ls->known[i]);
    }
    ft_stream_destroy(&ls->out);
    event_notifier_cleanup(&ls->kick);
    qemu_mutex_destroy(&ls->lock);
    g_free(ls->why);
    g_free(ls);
}

void ft_links_shutdown(FtLinks *ls)
{
    QEMU_LOCK_GUARD(&ls->lock);
    ls->shut = true;
    for (int i = 0; i < FT_WIRE_MAX_LINKS; i++) {
        if (ls->link[i]) {
            qio_channel_shutdown(ls->link[i]->ioc,
                                 QIO_CHANNEL_SHUTDOWN_BOTH, NULL);
        }
    }
    event_notifier_set(&ls->kick);
}

void ft_links_retire(FtLinks *ls)
{
    ls->retired = true;
}

void ft_links_set_handler(FtLinks *ls, IOHandler *cb, void *opaque)
{
    bool had = ls->cb;

    ls->cb = cb;
    ls->cb_opaque = opaque;
    for (int i = 0; i < FT_WIRE_MAX_LINKS && (cb || had); i++) {
        if (ls->link[i]) {
            watch(ls, ls->link[i]);
        }
    }
}

bool ft_links_poll(FtLinks *ls, int wake_fd, uint32_t ms)
{
    struct pollfd pfd[FT_WIRE_MAX_LINKS + 1];
    FtLink *of[FT_WIRE_MAX_LINKS + 1];
    int n = 0;

    for (int i = 0; i < FT_WIRE_MAX_LINKS; i++) {
        if (ls->link[i]) {
            of[n] = ls->link[i];
            pfd[n++] = (struct pollfd) {
                .fd = ls->link[i]->fd, .events = POLLIN,
            };
        }
    }
    pfd[n] = (struct pollfd) { .fd = wake_fd, .events = POLLIN };
    if (poll(pfd, n + 1, ms) <= 0) {
        return false;
    }
    for (int i = 0; i < n; i++) {
        of[i]->readable = pfd[i].revents;
    }
    return pfd[n].revents;
}

uint32_t ft_links_peer_age_ms(FtLinks *ls)
{
    return qatomic_read(&ls->peer_age_ms);
}

bool ft_links_ended(FtLinks *ls)
{
    return ls->ended;
}

bool ft_links_ready(FtLinks *ls)
{
    return ls->ready;
}

bool ft_links_wants(FtLinks *ls, uint32_t number)
{
    return !ls->link[number] && get_clock() >= ls->retry_ns[number];
}

void ft_links_put_off(FtLinks *ls, uint32_t number)
{
    ls->retry_ns[number] = get_clock() + FT_REDIAL_MS * 1000000LL;
}

void ft_links_attach_record(FtLinks *ls, GByteArray *out)
{
    ft_wire_put_attach(out, ls->session, ls->active->number);
}

void ft_links_add(FtLinks *ls, QIOChannelSocket *sioc, uint32_t number,
                  const char *text)
{
    g_autoptr(GByteArray) rec = g_byte_array_new();
    FtLink *l = ft_link_new(sioc, number, text);

    ft_wire_put_attach(rec, ls->session, number);
    ft_links_insert(ls, l, FT_LINK_ATTACHING);
    ft_links_say_now(ls, l, rec);
}

bool ft_links_offer(FtLinks *ls, QIOChannelSocket *sioc,
                    const uint8_t *session, uint32_t number,
                    const char *text, Error **errp)
{
    if (memcmp(session, ls->session, sizeof(ls->session))) {
        error_setg(errp, "this is a link of another session");
        return false;
    }
    QEMU_LOCK_GUARD(&ls->lock);
    if (ls->active && ls->active->number == number) {
        error_setg(errp, "link %" PRIu32 " is there already", number);
        return false;
    }
    if (ls->offered[number]) {
        ft_link_free(ls->offered[number]);
    }
    ls->offered[number] = ft_link_new(sioc, number, text);
    return true;
}

static FtLinkHealth health_locked(FtLinks *ls, int number)
{
    FtLink *l = ls->link[number];

    if (!ls->known[number]) {
        return FT_LINK_UNKNOWN;
    }
    if (l && (l->phase == FT_LINK_ACTIVE || l->phase == FT_LINK_SWITCHING)) {
        return FT_LINK_IS_ACTIVE;
    }
    return l && l->phase == FT_LINK_STANDBY ? FT_LINK_IS_STANDBY :
           FT_LINK_IS_DOWN;
}

void ft_links_view(FtLinks *ls, FtLinkView view[FT_WIRE_MAX_LINKS])
{
    QEMU_LOCK_GUARD(&ls->lock);
    for (int i = 0; i < FT_WIRE_MAX_LINKS; i++) {
        view[i].health = health_locked(ls, i);
        view[i].text = g_strdup(ls->known[i]);
    }
}
