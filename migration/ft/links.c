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
 * Judging.  The end of the active link is told by the kernel.  Its silence
 * counts only while another link brought two records after its last word:
 * when this process, or the peer, has stood still, all links are silent.
 */
#include "qemu/osdep.h"
#include <poll.h>
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "qemu/event_notifier.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "block/aio.h"
#include "links.h"
#include "stream.h"

#define PIECE (64 * KiB)        /* written in one go under @lock */

struct FtLinks {
    /* Set once */
    bool dials;
    uint8_t session[FT_WIRE_SESSION];
    int64_t timeout_ns;
    FtTraffic *traffic;
    EventNotifier kick;         /* ends ft_links_wait() */

    /* Under @lock; the reader changes the links and may read them without */
    QemuMutex lock;
    FtStream out;
    FtLink *link[FT_WIRE_MAX_LINKS];
    FtLink *active;             /* NULL: between two */
    FtLink *offered[FT_WIRE_MAX_LINKS];     /* secondary: for the reader */
    char *known[FT_WIRE_MAX_LINKS];         /* address, once attached */
    bool shut;

    /* The reader's */
    bool ended;                 /* no link is left */
    bool ready;                 /* primary: the peer knows the session */
    int64_t retry_ns[FT_WIRE_MAX_LINKS];
    int64_t lost_ns;            /* when the active link was lost */
    int64_t looked_ns;          /* when all links were last read */
    char *why;                  /* how it was lost */
    IOHandler *cb;
    void *cb_opaque;

    /* Atomic */
    uint32_t peer_age_ms;
    uint64_t unsent;
};

static void set_known(FtLinks *ls, FtLink *l)
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
    set_known(ls, l);
    return ls;
}

/* Forget a link; @retry_ms: when the primary may dial it again */
static void drop(FtLinks *ls, FtLink *l, uint32_t retry_ms)
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
            drop(ls, ls->link[i], 0);
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

/* Writing */

static bool can_write_locked(FtLinks *ls)
{
    return ls->active && !ls->active->broken && !ls->shut;
}

/* From the stream to the socket, as much as it takes */
static void pump_locked(FtLinks *ls)
{
    const uint8_t *data = NULL;
    size_t len, n;

    while (can_write_locked(ls)) {
        len = MIN(ft_stream_peek(&ls->out, &data), PIECE);
        n = ft_link_write(ls->active, data, len, ls->traffic);
        ft_stream_advance(&ls->out, n);
        if (n < len || !len) {
            break;
        }
    }
    qatomic_set_u64(&ls->unsent, ls->out.end - ls->out.sent);
}

static bool pending_locked(FtLinks *ls)
{
    return can_write_locked(ls) &&
           (ls->out.sent < ls->out.end || ls->active->out->len);
}

size_t ft_links_write(FtLinks *ls, const void *data, size_t len, bool eager)
{
    size_t n = 0;

    QEMU_LOCK_GUARD(&ls->lock);
    pump_locked(ls);
    if (eager || !pending_locked(ls)) {
        n = ft_stream_append(&ls->out, data, len);
        pump_locked(ls);
    }
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

/* Reading */

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

static void insert(FtLinks *ls, FtLink *l, FtLinkPhase phase)
{
    qemu_mutex_lock(&ls->lock);
    l->phase = phase;
    ls->link[l->number] = l;
    qemu_mutex_unlock(&ls->lock);
    if (ls->cb) {
        watch(ls, l);
    }
}

static void say_now(FtLinks *ls, FtLink *l, const GByteArray *rec)
{
    QEMU_LOCK_GUARD(&ls->lock);
    ft_link_say(l, rec, ls->traffic);
}

/* Secondary: take what the door has brought */
static void take_offered(FtLinks *ls)
{
    for (int i = 0; i < FT_WIRE_MAX_LINKS; i++) {
        g_autoptr(GByteArray) rec = NULL;
        FtLink *l;

        WITH_QEMU_LOCK_GUARD(&ls->lock) {
            l = ls->offered[i];
            ls->offered[i] = NULL;
        }
        if (!l) {
            continue;
        }
        if (ls->link[i] && ls->link[i] == ls->active) {
            ft_link_free(l);
            continue;
        }
        if (ls->link[i]) {
            drop(ls, ls->link[i], 0);
        }
        rec = g_byte_array_new();
        ft_wire_put(rec, FT_REC_ATTACHED, NULL, 0);
        insert(ls, l, FT_LINK_STANDBY);
        WITH_QEMU_LOCK_GUARD(&ls->lock) {
            set_known(ls, l);
        }
        say_now(ls, l, rec);
    }
}

static bool confirm(FtLinks *ls, const FtRecord *rec, Error **errp)
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

static FtLinksEvent switched(FtLinks *ls, FtLink *l, const FtRecord *rec,
                             Error **errp)
{
    bool ok;

    WITH_QEMU_LOCK_GUARD(&ls->lock) {
        ok = go_on_locked(ls, l, rec, errp);
        pump_locked(ls);
    }
    event_notifier_set(&ls->kick);
    return ok ? FT_LINKS_RESTART : FT_LINKS_GONE;
}

/* Secondary: the primary has found the active link lost */
static FtLinksEvent switch_here(FtLinks *ls, FtLink *l, const FtRecord *rec,
                                uint64_t taken, Error **errp)
{
    g_autoptr(GByteArray) answer = g_byte_array_new();
    bool ok;

    if (ls->active) {
        drop(ls, ls->active, 0);
    }
    ft_wire_put_u64(answer, FT_REC_SWITCHED, taken);
    WITH_QEMU_LOCK_GUARD(&ls->lock) {
        ok = go_on_locked(ls, l, rec, errp);
        if (ok) {
            ft_link_say(l, answer, ls->traffic);
            pump_locked(ls);
        }
    }
    return ok ? FT_LINKS_RESTART : FT_LINKS_GONE;
}

/* Whether the peer, in its role, may say @word on a standby link */
static bool is_last_word(FtLinks *ls, const FtRecord *rec)
{
    return rec->type == (ls->dials ? FT_REC_TAKEOVER : FT_REC_END);
}

/* A record on a link that is not active; DRY: go on with the next */
static FtLinksEvent link_record(FtLinks *ls, FtLink *l, const FtRecord *rec,
                                uint64_t taken, Error **errp)
{
    bool standby = l->phase == FT_LINK_STANDBY;
    Error *err = NULL;

    if (rec->type & FT_WIRE_OPTIONAL) {
        return FT_LINKS_DRY;
    }
    if (rec->type == FT_REC_RECEIVED && l->phase != FT_LINK_ATTACHING) {
        return confirm(ls, rec, errp) ? FT_LINKS_DRY : FT_LINKS_GONE;
    }
    if (is_last_word(ls, rec)) {
        return FT_LINKS_WORD;
    }
    if (ls->dials && rec->type == FT_REC_ATTACHED &&
        l->phase == FT_LINK_ATTACHING) {
        WITH_QEMU_LOCK_GUARD(&ls->lock) {
            l->phase = FT_LINK_STANDBY;
            set_known(ls, l);
        }
        return FT_LINKS_DRY;
    }
    if (ls->dials && rec->type == FT_REC_SWITCHED &&
        l->phase == FT_LINK_SWITCHING) {
        return switched(ls, l, rec, errp);
    }
    if (!ls->dials && rec->type == FT_REC_SWITCH && standby) {
        return switch_here(ls, l, rec, taken, errp);
    }
    error_setg(&err, "%s: %s on a standby link", l->text,
               ft_rec_name(rec->type));
    if (rec->type != FT_REC_REFUSE) {
        warn_report_err(err);
    } else {
        error_free(err);
    }
    drop(ls, l, FT_REDIAL_REFUSED_MS);
    return FT_LINKS_DRY;
}

/* Read a link that is not active */
static FtLinksEvent look_at(FtLinks *ls, int number, uint64_t taken,
                            FtRecord *rec, Error **errp)
{
    FtLink *l;

    /* A record may drop the link, or make it the active one */
    while ((l = ls->link[number]) && l != ls->active) {
        int ret = ft_link_next(l, rec, ls->traffic, NULL);
        FtLinksEvent ev;

        if (ret == 0) {
            break;
        }
        if (ret < 0) {
            drop(ls, l, FT_REDIAL_MS);
            break;
        }
        ev = link_record(ls, l, rec, taken, errp);
        if (ev != FT_LINKS_DRY) {
            return ev;
        }
    }
    return FT_LINKS_DRY;
}

/* Read the other links: those that have something to read, or @all */
static FtLinksEvent look_around(FtLinks *ls, bool all, uint64_t taken,
                                FtRecord *rec, Error **errp)
{
    if (all) {
        ls->looked_ns = get_clock();
    }
    take_offered(ls);
    for (int i = 0; i < FT_WIRE_MAX_LINKS; i++) {
        FtLink *l = ls->link[i];

        if (l && l != ls->active && (all || l->readable)) {
            FtLinksEvent ev = look_at(ls, i, taken, rec, errp);

            if (ev != FT_LINKS_DRY) {
                return ev;
            }
        }
    }
    return FT_LINKS_DRY;
}

/* Judging */

/* The standby link heard last, of those heard twice since @since */
static FtLink *best_standby(FtLinks *ls, int64_t since)
{
    FtLink *best = NULL;

    for (int i = 0; i < FT_WIRE_MAX_LINKS; i++) {
        FtLink *l = ls->link[i];

        if (l && l->phase == FT_LINK_STANDBY && l->before_rx > since &&
            (!best || l->last_rx > best->last_rx)) {
            best = l;
        }
    }
    return best;
}

static void drop_silent(FtLinks *ls, int64_t now)
{
    for (int i = 0; i < FT_WIRE_MAX_LINKS; i++) {
        FtLink *l = ls->link[i];

        if (l && l != ls->active && now - l->last_rx > ls->timeout_ns) {
            ft_link_reset(l);
            drop(ls, l, FT_REDIAL_MS);
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

static FtLinksEvent gone(FtLinks *ls, Error **errp)
{
    ls->ended = true;
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
    FtLink *l = switching(ls);

    if (l && may_answer(ls, l, now)) {
        return FT_LINKS_DRY;
    }
    if (l) {
        ft_link_reset(l);
        drop(ls, l, FT_REDIAL_MS);
    }
    l = best_standby(ls, 0);
    return l ? begin_switch(ls, l, taken) : gone(ls, errp);
}

static FtLinksEvent judge(FtLinks *ls, uint64_t taken, Error **errp)
{
    int64_t now = get_clock();

    drop_silent(ls, now);
    if (ls->active) {
        int64_t heard = ls->active->last_rx;

        if (now - heard < ls->timeout_ns / 2 || !best_standby(ls, heard)) {
            return FT_LINKS_DRY;
        }
        g_free(ls->why);
        ls->why = g_strdup_printf("the link to %s is silent",
                                  ls->active->text);
        ft_link_reset(ls->active);
        drop(ls, ls->active, FT_REDIAL_MS);
    }
    if (ls->dials) {
        return find_another(ls, now, taken, errp);
    }
    if (!best_standby(ls, 0) || now - ls->lost_ns > ls->timeout_ns) {
        return gone(ls, errp);
    }
    return FT_LINKS_DRY;
}

/* False: nothing is there, and the active link may be gone */
static bool read_active(FtLinks *ls, void *buf, size_t room, size_t *n)
{
    Error *err = NULL;
    ssize_t got = ft_link_read(ls->active, buf, room, ls->traffic, &err);

    if (got > 0) {
        *n = got;
        return true;
    }
    if (got < 0) {
        g_free(ls->why);
        ls->why = g_strdup(error_get_pretty(err));
        error_free(err);
        drop(ls, ls->active, FT_REDIAL_MS);
    }
    return false;
}

FtLinksEvent ft_links_receive(FtLinks *ls, uint64_t taken, void *buf,
                              size_t room, size_t *n, FtRecord *word,
                              Error **errp)
{
    FtLinksEvent ev = FT_LINKS_DRY;

    if (get_clock() - ls->looked_ns > ls->timeout_ns / 10) {
        /* Not only when dry: a stream under load may never be */
        ev = look_around(ls, true, taken, word, errp);
        if (ev != FT_LINKS_DRY) {
            return ev;
        }
    }
    if (ls->active && read_active(ls, buf, room, n)) {
        return FT_LINKS_BYTES;
    }
    ev = look_around(ls, !ls->active, taken, word, errp);
    return ev == FT_LINKS_DRY ? judge(ls, taken, errp) : ev;
}

bool ft_links_record(FtLinks *ls, const FtRecord *rec, Error **errp)
{
    if (rec->type == FT_REC_RECEIVED) {
        return confirm(ls, rec, errp);
    }
    if (rec->type == FT_REC_ATTACHED && ls->dials && !ls->ready) {
        ls->ready = true;
        return true;
    }
    error_setg(errp, "the peer said %s out of turn", ft_rec_name(rec->type));
    return false;
}

void ft_links_poll(FtLinks *ls, int wake_fd, uint32_t ms)
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
    if (poll(pfd, n + 1, ms) > 0) {
        for (int i = 0; i < n; i++) {
            of[i]->readable = pfd[i].revents;
        }
    }
}

uint32_t ft_links_peer_age_ms(FtLinks *ls)
{
    return qatomic_read(&ls->peer_age_ms);
}

bool ft_links_ended(FtLinks *ls)
{
    return ls->ended;
}

/* More links */

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
    insert(ls, l, FT_LINK_ATTACHING);
    say_now(ls, l, rec);
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
