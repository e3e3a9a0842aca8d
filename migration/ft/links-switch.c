/*
 * QEMU-FT: when a link is lost, and which is used then
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The end of a connection is told by the kernel.  The silence of the active
 * link counts only when another link brought two records at least a quarter
 * of the time-out after its last word: by then it should have brought a
 * beat.  When this process, or the peer, has stood still, all links are
 * silent, and what comes first may come over any of them.
 *
 * When none is left, a connection may still be there that is only silent.
 * It is kept (ft_links_retire()) as the one connection of other sessions is:
 * once its cable is back it brings END or TAKEOVER.
 */
#include "qemu/osdep.h"
#include <poll.h>
#include "qemu/atomic.h"
#include "qemu/lockable.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "links-int.h"

bool ft_links_confirm(FtLinks *ls, const FtRecord *rec, Error **errp)
{
    uint64_t received;
    uint32_t age;
    bool ok;

    ft_wire_get_received(rec, &received, &age);
    qatomic_set(&ls->peer_age_ms, age);
    WITH_QEMU_LOCK_GUARD(&ls->lock) {
        ok = ft_stream_confirm(&ls->out, received);
    }
    event_notifier_set(&ls->kick);
    if (!ok) {
        error_setg(errp, "the peer confirms %" PRIu64 " bytes, more than it "
                   "was sent", received);
    }
    return ok;
}

/* Both streams go on here; @rec says where ours does */
static bool go_on_locked(FtLinks *ls, FtLink *l, const FtRecord *rec,
                         Error **errp)
{
    uint64_t received = ft_wire_get_u64(rec);

    if (!ft_stream_rewind(&ls->out, received)) {
        error_setg(errp, "the peer wants to go on at byte %" PRIu64 ", which "
                   "is not kept", received);
        return false;
    }
    l->phase = FT_LINK_ACTIVE;
    ls->active = l;
    return true;
}

FtLinksEvent ft_links_switched(FtLinks *ls, FtLink *l, const FtRecord *rec,
                               Error **errp)
{
    bool ok;

    WITH_QEMU_LOCK_GUARD(&ls->lock) {
        ok = go_on_locked(ls, l, rec, errp);
        ft_links_pump_locked(ls);
    }
    event_notifier_set(&ls->kick);
    return ok ? FT_LINKS_RESTART : FT_LINKS_GONE;
}

/* Secondary: the primary has found the active link lost */
FtLinksEvent ft_links_switch_here(FtLinks *ls, FtLink *l, const FtRecord *rec,
                                  uint64_t taken, Error **errp)
{
    g_autoptr(GByteArray) answer = g_byte_array_new();
    bool ok;

    if (ls->active) {
        ft_links_drop(ls, ls->active, 0);
    }
    ft_wire_put_u64(answer, FT_REC_SWITCHED, taken);
    WITH_QEMU_LOCK_GUARD(&ls->lock) {
        ok = go_on_locked(ls, l, rec, errp);
        if (ok) {
            ft_link_say(l, answer, ls->traffic);
            ft_links_pump_locked(ls);
        }
    }
    return ok ? FT_LINKS_RESTART : FT_LINKS_GONE;
}

/*
 * The standby link heard last, of those heard twice since @since and not
 * silent themselves
 */
static FtLink *best_standby(FtLinks *ls, int64_t since, int64_t now)
{
    FtLink *best = NULL;

    for (int i = 0; i < FT_WIRE_MAX_LINKS; i++) {
        FtLink *l = ls->link[i];

        if (l && l->phase == FT_LINK_STANDBY && l->before_rx > since &&
            now - l->last_rx <= ls->timeout_ns &&
            (!best || l->last_rx > best->last_rx)) {
            best = l;
        }
    }
    return best;
}

/*
 * While all are silent none is dropped: should all be lost, any of them may
 * bring the peer's last word, or ours, once its cable is back.
 */
static void drop_silent(FtLinks *ls, int64_t now)
{
    if (now - qatomic_read_i64(&ls->traffic->last_rx) > ls->timeout_ns / 2) {
        return;
    }
    for (int i = 0; i < FT_WIRE_MAX_LINKS; i++) {
        FtLink *l = ls->link[i];

        if (l && l != ls->active && now - l->last_rx > ls->timeout_ns) {
            ft_link_reset(l);
            ft_links_drop(ls, l, FT_REDIAL_MS);
        }
    }
}

/* Primary: ask for the switch, and say nothing more on that link */
static FtLinksEvent begin_switch(FtLinks *ls, FtLink *l, uint64_t taken)
{
    g_autoptr(GByteArray) rec = g_byte_array_new();

    ft_wire_put_u64(rec, FT_REC_SWITCH, taken);
    QEMU_LOCK_GUARD(&ls->lock);
    l->phase = FT_LINK_SWITCHING;
    l->since = get_clock();
    ft_link_say(l, rec, ls->traffic);
    return FT_LINKS_RESTART;
}

static FtLink *switching(FtLinks *ls)
{
    for (int i = 0; i < FT_WIRE_MAX_LINKS; i++) {
        if (ls->link[i] && ls->link[i]->phase == FT_LINK_SWITCHING) {
            return ls->link[i];
        }
    }
    return NULL;
}

static bool any(FtLinks *ls)
{
    for (int i = 0; i < FT_WIRE_MAX_LINKS; i++) {
        if (ls->link[i]) {
            return true;
        }
    }
    return false;
}

/* A silent link may be left, which the primary keeps for TAKEOVER */
static FtLinksEvent gone(FtLinks *ls, Error **errp)
{
    ls->ended = !ls->dials || !any(ls);
    error_setg(errp, "%s", ls->why ?: "all links to the peer are lost");
    return FT_LINKS_GONE;
}

/* A peer that is busy with its disks beats, and answers later */
static bool may_answer(FtLinks *ls, FtLink *l, int64_t now)
{
    return now - MAX(l->since, l->last_rx) < ls->timeout_ns / 2 &&
           now - l->since < FT_HUNG_FACTOR * ls->timeout_ns;
}

/* Primary: there is no active link */
static FtLinksEvent find_another(FtLinks *ls, int64_t now, uint64_t taken,
                                 Error **errp)
{
    FtLink *asked = switching(ls);
    FtLink *next;

    if (asked && may_answer(ls, asked, now)) {
        return FT_LINKS_DRY;
    }
    next = best_standby(ls, 0, now);
    if (!next) {
        /* END is still to be said, on the one that was asked */
        return gone(ls, errp);
    }
    if (asked) {
        ft_link_reset(asked);
        ft_links_drop(ls, asked, FT_REDIAL_MS);
    }
    return begin_switch(ls, next, taken);
}

/* It may have spoken since it was read last */
static bool has_spoken(FtLink *l)
{
    struct pollfd pfd = { .fd = l->fd, .events = POLLIN };

    return poll(&pfd, 1, 0) > 0;
}

/*
 * Has the peer, within the last quarter of the time-out, said something on
 * another link, twice?  A live link would have brought a beat by then.
 */
static bool is_silent(FtLinks *ls, FtLink *l, int64_t now)
{
    return now - l->last_rx >= ls->timeout_ns / 2 &&
           best_standby(ls, l->last_rx + ls->timeout_ns / 4, now) &&
           !has_spoken(l);
}

FtLinksEvent ft_links_judge(FtLinks *ls, uint64_t taken, Error **errp)
{
    int64_t now = get_clock();

    if (ls->retired) {
        return any(ls) ? FT_LINKS_DRY : gone(ls, errp);
    }
    drop_silent(ls, now);
    if (ls->active) {
        if (!is_silent(ls, ls->active, now)) {
            return FT_LINKS_DRY;
        }
        g_free(ls->why);
        ls->why = g_strdup_printf("the link to %s is silent",
                                  ls->active->text);
        ft_link_reset(ls->active);
        ft_links_drop(ls, ls->active, FT_REDIAL_MS);
    }
    if (ls->dials) {
        return find_another(ls, now, taken, errp);
    }
    if (!best_standby(ls, 0, now) || now - ls->lost_ns > ls->timeout_ns) {
        return gone(ls, errp);
    }
    return FT_LINKS_DRY;
}
