/*
 * QEMU-FT: writing to the links of a session
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <poll.h>
#include "qemu/atomic.h"
#include "qemu/lockable.h"
#include "qemu/units.h"
#include "links-int.h"

#define PIECE (64 * KiB)        /* written in one go under @lock */

static bool can_write_locked(FtLinks *ls)
{
    return ls->active && !ls->active->broken && !ls->shut;
}

/* From the stream to the socket; true: there is more, and it may take it */
static bool pump_piece_locked(FtLinks *ls)
{
    const uint8_t *data = NULL;
    size_t len, n;

    if (!can_write_locked(ls)) {
        return false;
    }
    len = MIN(ft_stream_peek(&ls->out, &data), PIECE);
    n = ft_link_write(ls->active, data, len, ls->traffic);
    ft_stream_advance(&ls->out, n);
    qatomic_set_u64(&ls->unsent, ls->out.end - ls->out.sent);
    return len && n == len;
}

void ft_links_pump_locked(FtLinks *ls)
{
    while (pump_piece_locked(ls)) {
        ;
    }
}

/* Others get at the links in between */
static void pump(FtLinks *ls)
{
    bool more;

    do {
        QEMU_LOCK_GUARD(&ls->lock);
        more = pump_piece_locked(ls);
    } while (more);
}

static bool pending_locked(FtLinks *ls)
{
    return can_write_locked(ls) &&
           (ls->out.sent < ls->out.end || ls->active->out->len);
}

void ft_links_say_now(FtLinks *ls, FtLink *l, const GByteArray *rec)
{
    QEMU_LOCK_GUARD(&ls->lock);
    ft_link_say(l, rec, ls->traffic);
}

size_t ft_links_write(FtLinks *ls, const void *data, size_t len, bool eager)
{
    size_t n = 0;

    pump(ls);
    WITH_QEMU_LOCK_GUARD(&ls->lock) {
        if (eager || !pending_locked(ls)) {
            n = ft_stream_append(&ls->out, data, len);
        }
        qatomic_set_u64(&ls->unsent, ls->out.end - ls->out.sent);
    }
    pump(ls);
    return n;
}

bool ft_links_pending(FtLinks *ls)
{
    QEMU_LOCK_GUARD(&ls->lock);
    return pending_locked(ls);
}

void ft_links_wait(FtLinks *ls, uint32_t ms)
{
    struct pollfd pfd[2] = {
        { .fd = event_notifier_get_fd(&ls->kick), .events = POLLIN },
    };
    int n = 1;

    WITH_QEMU_LOCK_GUARD(&ls->lock) {
        if (ls->shut) {
            return;
        }
        if (pending_locked(ls)) {
            pfd[n++] = (struct pollfd) {
                .fd = ls->active->fd, .events = POLLOUT,
            };
        }
    }
    /*
     * Should the reader close that socket now, and another get its number:
     * then this wait ends too early, or when the switch kicks it.
     */
    poll(pfd, n, ms);
    event_notifier_test_and_clear(&ls->kick);
}

void ft_links_beat(FtLinks *ls, uint64_t taken, uint32_t age_ms)
{
    g_autoptr(GByteArray) rec = g_byte_array_new();

    ft_wire_put_received(rec, taken, age_ms);
    QEMU_LOCK_GUARD(&ls->lock);
    for (int i = 0; i < FT_WIRE_MAX_LINKS; i++) {
        FtLink *l = ls->link[i];

        /* One that waits for the socket is enough */
        if (l && l->phase == FT_LINK_STANDBY && !l->out->len && !ls->shut) {
            ft_link_say(l, rec, ls->traffic);
        } else if (l && l->phase != FT_LINK_ACTIVE) {
            ft_link_write(l, NULL, 0, ls->traffic);
        }
    }
}

void ft_links_shout(FtLinks *ls, const void *data, size_t len)
{
    g_autoptr(GByteArray) rec = g_byte_array_new();

    g_byte_array_append(rec, data, len);
    QEMU_LOCK_GUARD(&ls->lock);
    for (int i = 0; i < FT_WIRE_MAX_LINKS; i++) {
        FtLink *l = ls->link[i];

        /* Behind SWITCH a whole record is in the stream, as good a place */
        if (l && (l->phase == FT_LINK_STANDBY ||
                  l->phase == FT_LINK_SWITCHING)) {
            ft_link_say(l, rec, ls->traffic);
        }
    }
}

uint64_t ft_links_unsent(FtLinks *ls)
{
    return qatomic_read_u64(&ls->unsent);
}
