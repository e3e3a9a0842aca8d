/*
 * QEMU-FT: the connection between the two sides
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writing.  Each hop to another thread costs 30 to 50 us, more than all
 * else in a small epoch, so the main loop, or the vCPU that cuts, writes what
 * fits into the socket itself, with the BQL.  It never waits: the rest, or
 * everything while the thread is busy, is queued for the channel's thread.  At
 * any time one of the two writes: the thread while @writing, under @lock, and
 * who has the BQL only when the queue is empty and @writing is clear.  So
 * bytes leave in the order of the calls and records never mix.
 *
 * Large things (the first copy, a large epoch) are jobs: they run in the
 * thread and may wait for the socket.
 *
 * Beats.  The thread sends one whenever a fifth of the time-out has passed
 * since the last, also between the records of a job.  It does not need the
 * main loop for that, but says how old the main loop's last turn is.
 *
 * Reading.  One buffer, filled by as few system calls as possible; records
 * are decoded in place.  The reader is the main loop on the primary and the
 * receiver thread on the secondary.
 *
 * Several links.  With @links the bytes go through links.c instead, which
 * keeps them and knows the socket.  Whole records are counted as they are
 * taken; what concerns the links only is not shown to the caller.
 *
 * Closing.  shutdown() wakes a thread that waits for the socket.
 */
#include "qemu/osdep.h"
#include <poll.h>
#include <sys/resource.h>
#include "qemu/atomic.h"
#include "qemu/event_notifier.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "block/aio.h"
#include "crypto/random.h"
#include "channel.h"
#include "loop.h"

#define RX_SIZE (2 * (FT_WIRE_MAX_PAYLOAD + sizeof(FtRecHeader)))
#define WHOLE (32 * KiB)        /* which a socket takes at once */

typedef struct Item {
    FtChannelJob *job;          /* NULL: write @data */
    void *opaque;
    GByteArray *data;
} Item;

struct FtChannel {
    QIOChannel *ioc;            /* the connection, also when @links has it */
    int fd;                     /* of the socket below, to poll */
    FtLinks *links;             /* NULL: there is only that; set once */
    bool accepts_links;
    EventNotifier wake;         /* ends ft_channel_poll() */
    int64_t beat_ns;            /* longest time between two beats */

    /* Under @lock */
    QemuMutex lock;
    QemuCond cond;              /* there is something to do */
    QemuCond idle;              /* @writing was cleared */
    GQueue items;
    size_t sending;             /* bytes of a call with the BQL, 0: none */
    bool writing;
    bool closing;

    QemuThread thread;
    bool have_thread;

    /* Whoever writes */
    GByteArray *beat;
    int64_t next_beat, next_link_beat;
    uint64_t beat_counter;
    FtLease lease;

    /* The reader */
    uint8_t *rx;
    size_t rx_start, rx_end;
    uint64_t confirmed;         /* of @taken, last told to the peer */
    bool ended;                 /* nothing more can be read */

    /* Atomic */
    FtTraffic traffic;
    uint64_t queued;            /* bytes in @items */
    uint64_t taken;             /* bytes of the records read */
    bool failed, leaving;
    uint64_t echo;              /* counter of the last beat read */
};

FtChannel *ft_channel_new(QIOChannelSocket *sioc, uint32_t timeout_ms)
{
    FtChannel *ch = g_new0(FtChannel, 1);

    ch->ioc = QIO_CHANNEL(object_ref(OBJECT(sioc)));
    ch->fd = sioc->fd;
    event_notifier_init(&ch->wake, false);
    qio_channel_set_blocking(ch->ioc, false, NULL);
    qio_channel_set_delay(ch->ioc, false);
    ch->beat_ns = timeout_ms * 1000000LL / FT_BEATS_PER_TIMEOUT;
    qemu_mutex_init(&ch->lock);
    qemu_cond_init(&ch->cond);
    qemu_cond_init(&ch->idle);
    g_queue_init(&ch->items);
    ft_lease_init(&ch->lease, timeout_ms);
    ch->beat = g_byte_array_new();
    ch->rx = g_malloc(RX_SIZE);
    ch->traffic.last_rx = ch->traffic.last_tx = get_clock();
    return ch;
}

/* Write what the socket takes; -1: connection gone */
static ssize_t write_some(FtChannel *ch, const uint8_t *data, size_t len)
{
    size_t done = 0;

    if (ch->links) {
        return ft_links_write(ch->links, data, len, !ch->have_thread);
    }
    while (done < len) {
        ssize_t n = qio_channel_write(ch->ioc, (const char *)data + done,
                                      len - done, NULL);

        if (n == QIO_CHANNEL_ERR_BLOCK) {
            break;
        }
        if (n <= 0) {
            qatomic_set(&ch->failed, true);
            return -1;
        }
        done += n;
    }
    if (done) {
        ft_traffic_sent(&ch->traffic, done);
    }
    return done;
}

/* On the links that carry no records; false: it was not time for it */
static bool beat_standbys(FtChannel *ch)
{
    int64_t now = get_clock();

    if (now < ch->next_link_beat) {
        return false;
    }
    ch->next_link_beat = now + ch->beat_ns;
    ft_links_beat(ch->links, qatomic_read_u64(&ch->taken), ft_loop_age_ms());
    return true;
}

/*
 * A thread of its own waits until the socket has it all, or the link is
 * lost.  The reader, who writes for himself, must not: what he waits for may
 * have to be read first.
 */
static bool write_to_links(FtChannel *ch, const uint8_t *data, size_t len)
{
    for (;;) {
        size_t n = write_some(ch, data, len);

        data += n;
        len -= n;
        if (qatomic_read(&ch->failed)) {
            return false;
        }
        if (!len && !(ch->have_thread && ft_links_pending(ch->links))) {
            return true;
        }
        if (!n && !ch->have_thread) {
            /* The peer confirms nothing of 64 MiB */
            qatomic_set(&ch->failed, true);
            return false;
        }
        if (ch->have_thread) {
            ft_links_wait(ch->links, ch->beat_ns / 1000000);
            beat_standbys(ch);
        }
    }
}

static bool write_all(FtChannel *ch, const uint8_t *data, size_t len)
{
    if (ch->links) {
        return write_to_links(ch, data, len);
    }
    while (len) {
        ssize_t n = write_some(ch, data, len);

        if (n < 0 || qatomic_read(&ch->failed)) {
            return false;
        }
        data += n;
        len -= n;
        if (len) {
            qio_channel_wait(ch->ioc, G_IO_OUT);
        }
    }
    return true;
}

bool ft_channel_beat(FtChannel *ch)
{
    int64_t now = get_clock();
    FtBeat beat;

    if (ch->links) {
        beat_standbys(ch);
    }
    if (now < ch->next_beat) {
        return true;
    }
    ch->next_beat = now + ch->beat_ns;
    beat = (FtBeat) {
        .counter = ++ch->beat_counter,
        .echo = qatomic_read_u64(&ch->echo),
        .age_ms = ft_loop_age_ms(),
    };
    ft_lease_sent(&ch->lease, beat.counter, ft_lease_now(),
                  (beat.age_ms + 1) * 1000000LL);
    g_byte_array_set_size(ch->beat, 0);
    ft_wire_put_beat(ch->beat, &beat);
    if (ch->links) {
        ft_wire_put_received(ch->beat, qatomic_read_u64(&ch->taken),
                             beat.age_ms);
    }
    return write_all(ch, ch->beat->data, ch->beat->len);
}

void ft_channel_set_timeout(FtChannel *ch, uint32_t timeout_ms)
{
    ch->beat_ns = timeout_ms * 1000000LL / FT_BEATS_PER_TIMEOUT;
}

void ft_channel_take_beat(FtChannel *ch, const FtBeat *beat)
{
    qatomic_set_u64(&ch->echo, beat->counter);
    ft_lease_echo(&ch->lease, beat->echo);
}

FtLease *ft_channel_lease(FtChannel *ch)
{
    return &ch->lease;
}

bool ft_channel_write(FtChannel *ch, const void *data, size_t len)
{
    return write_all(ch, data, len) && ft_channel_beat(ch) &&
           !qatomic_read(&ch->leaving);
}

/* Whole records at a time, so that beats can go between them */
static void write_queued(FtChannel *ch, GByteArray *data)
{
    write_all(ch, data->data, data->len);
    qatomic_sub(&ch->queued, data->len);
    g_byte_array_free(data, true);
}

void ft_channel_prefer_thread(bool prefer)
{
    setpriority(PRIO_PROCESS, qemu_get_thread_id(), prefer ? -10 : 0);
}

static void enqueue_locked(FtChannel *ch, Item item)
{
    if (item.data) {
        qatomic_add(&ch->queued, item.data->len);
    }
    g_queue_push_tail(&ch->items, g_memdup2(&item, sizeof(item)));
    qemu_cond_signal(&ch->cond);
}

/* The thread is to write what the links have taken and the socket has not */
static void nudge_locked(FtChannel *ch)
{
    if (ch->links && ch->have_thread && !ch->writing &&
        g_queue_is_empty(&ch->items) && !qatomic_read(&ch->failed) &&
        ft_links_pending(ch->links)) {
        enqueue_locked(ch, (Item) { .data = g_byte_array_new() });
    }
}

static void *channel_thread(void *opaque)
{
    FtChannel *ch = opaque;

    ft_channel_prefer_thread(true);
    qemu_mutex_lock(&ch->lock);
    while (!ch->closing) {
        Item *item = NULL;

        if (!ch->writing) {
            item = g_queue_pop_head(&ch->items);
            ch->writing = true;
            qemu_mutex_unlock(&ch->lock);
            if (item && item->job) {
                item->job(ch, item->opaque);
            } else if (item) {
                write_queued(ch, item->data);
            }
            g_free(item);
            ft_channel_beat(ch);
            qemu_mutex_lock(&ch->lock);
            ch->writing = false;
            qemu_cond_broadcast(&ch->idle);
            /* A switch meanwhile has left it to us */
            nudge_locked(ch);
        }
        if (g_queue_is_empty(&ch->items) && !ch->closing) {
            int64_t ms = (ch->next_beat - get_clock()) / 1000000;

            qemu_cond_timedwait(&ch->cond, &ch->lock, MAX(ms, 1));
        }
    }
    qemu_mutex_unlock(&ch->lock);
    return NULL;
}

void ft_channel_start_thread(FtChannel *ch)
{
    ch->have_thread = true;
    qemu_thread_create(&ch->thread, "ft-channel", channel_thread, ch,
                       QEMU_THREAD_JOINABLE);
}

static void drop_items_locked(FtChannel *ch)
{
    Item *item;

    while ((item = g_queue_pop_head(&ch->items))) {
        if (item->data) {
            qatomic_sub(&ch->queued, item->data->len);
            g_byte_array_free(item->data, true);
        }
        g_free(item);
    }
}

void ft_channel_farewell(FtChannel *ch, const void *data, size_t len,
                         uint32_t ms)
{
    int64_t end = get_clock() + ms * 1000000LL;

    if (ch->links) {
        ft_links_shout(ch->links, data, len);
    }
    qatomic_set(&ch->leaving, true);
    QEMU_LOCK_GUARD(&ch->lock);
    while (!qatomic_read(&ch->failed)) {
        Item *next = g_queue_peek_head(&ch->items);
        int64_t left = (end - get_clock()) / 1000000;

        /* The rest of a record has to go first; a job need not begin */
        if (!ch->writing && (!next || next->job)) {
            if (ch->links) {
                ft_links_write(ch->links, data, len, true);
            } else {
                write_some(ch, data, len);
            }
            break;
        }
        if (left <= 0) {
            break;
        }
        qemu_cond_timedwait(&ch->idle, &ch->lock, left);
    }
    drop_items_locked(ch);
}

bool ft_channel_retire(FtChannel *ch)
{
    WITH_QEMU_LOCK_GUARD(&ch->lock) {
        if (ch->writing || qatomic_read(&ch->failed)) {
            return false;
        }
        drop_items_locked(ch);
        ch->closing = true;
        qemu_cond_signal(&ch->cond);
    }
    if (ch->have_thread) {
        qemu_thread_join(&ch->thread);
        ch->have_thread = false;
    }
    if (ch->links) {
        ft_links_retire(ch->links);
    }
    return true;
}

void ft_channel_close(FtChannel *ch)
{
    qatomic_set(&ch->failed, true);
    ft_channel_set_handler(ch, NULL, NULL);
    if (ch->links) {
        ft_links_shutdown(ch->links);
    } else if (ch->ioc) {
        qio_channel_shutdown(ch->ioc, QIO_CHANNEL_SHUTDOWN_BOTH, NULL);
    }
    qemu_mutex_lock(&ch->lock);
    ch->closing = true;
    qemu_cond_signal(&ch->cond);
    qemu_mutex_unlock(&ch->lock);
    if (ch->have_thread) {
        qemu_thread_join(&ch->thread);
    }
    drop_items_locked(ch);
    if (ch->links) {
        ft_links_free(ch->links);
    }
    object_unref(OBJECT(ch->ioc));
    g_byte_array_free(ch->beat, true);
    event_notifier_cleanup(&ch->wake);
    qemu_cond_destroy(&ch->cond);
    qemu_cond_destroy(&ch->idle);
    qemu_mutex_destroy(&ch->lock);
    ft_lease_destroy(&ch->lease);
    g_free(ch->rx);
    g_free(ch);
}

void ft_channel_send(FtChannel *ch, const void *data, size_t len)
{
    ssize_t done = 0;

    QEMU_LOCK_GUARD(&ch->lock);
    if (!ch->writing && g_queue_is_empty(&ch->items)) {
        /* Under the lock: short, since the socket is never waited for */
        ch->sending = len;
        barrier();
        done = write_some(ch, data, len);
        barrier();
        ch->sending = 0;
    }
    if (done >= 0 && done < len) {
        GByteArray *rest = g_byte_array_sized_new(len - done);

        g_byte_array_append(rest, (const guint8 *)data + done, len - done);
        enqueue_locked(ch, (Item) { .data = rest });
    } else {
        nudge_locked(ch);
    }
}

int ft_channel_fd(FtChannel *ch)
{
    return ch->links ? -1 : ch->fd;
}

bool ft_channel_between_records(FtChannel *ch)
{
    bool locked = pthread_mutex_trylock(&ch->lock.lock);

    /*
     * A call with the BQL is under way: of what is short a socket that has
     * taken all before takes all, or the call has not begun.
     */
    return !ch->links && !ch->writing && g_queue_is_empty(&ch->items) &&
           (!locked || (ch->sending && ch->sending <= WHOLE));
}

void ft_channel_post(FtChannel *ch, FtChannelJob *job, void *opaque)
{
    QEMU_LOCK_GUARD(&ch->lock);
    enqueue_locked(ch, (Item) { .job = job, .opaque = opaque });
}

/*
 * Read from the links; 0: nothing, 2: @rec is a last word from a standby
 * link, -1: none is left
 */
static int fill_from_links(FtChannel *ch, FtRecord *rec, Error **errp)
{
    size_t n = 0;

    switch (ft_links_receive(ch->links, ch->taken, ch->rx + ch->rx_end,
                             RX_SIZE - ch->rx_end, &n, rec, errp)) {
    case FT_LINKS_BYTES:
        ch->rx_end += n;
        return 1;
    case FT_LINKS_RESTART:
        ch->rx_start = ch->rx_end = 0;
        WITH_QEMU_LOCK_GUARD(&ch->lock) {
            nudge_locked(ch);
        }
        return 1;
    case FT_LINKS_WORD:
        return 2;
    case FT_LINKS_GONE:
        ch->ended = ft_links_ended(ch->links);
        return -1;
    case FT_LINKS_DRY:
        break;
    }
    return 0;
}

/* Read what is there; 0: nothing, 2: @rec, -1: end of the connection */
static int fill(FtChannel *ch, FtRecord *rec, Error **errp)
{
    ssize_t n;

    if (ch->rx_start == ch->rx_end) {
        ch->rx_start = ch->rx_end = 0;
    } else if (ch->rx_start && RX_SIZE - ch->rx_end < RX_SIZE / 2) {
        memmove(ch->rx, ch->rx + ch->rx_start, ch->rx_end - ch->rx_start);
        ch->rx_end -= ch->rx_start;
        ch->rx_start = 0;
    }
    if (ch->links) {
        return fill_from_links(ch, rec, errp);
    }
    n = qio_channel_read(ch->ioc, (char *)ch->rx + ch->rx_end,
                         RX_SIZE - ch->rx_end, errp);
    if (n == QIO_CHANNEL_ERR_BLOCK) {
        return 0;
    }
    if (n <= 0) {
        ch->ended = true;
        if (n == 0) {
            error_setg(errp, "the peer closed the connection");
        }
        return -1;
    }
    ch->rx_end += n;
    ft_traffic_received(&ch->traffic, n);
    return 1;
}

/* Tell the peer what it need not keep any more */
static void confirm(FtChannel *ch)
{
    g_autoptr(GByteArray) rec = g_byte_array_new();

    ch->confirmed = ch->taken;
    ft_wire_put_received(rec, ch->taken, ft_loop_age_ms());
    write_all(ch, rec->data, rec->len);
}

/* Secondary: the primary names the session, and this link of it */
static bool begin_links(FtChannel *ch, const FtRecord *rec, Error **errp)
{
    g_autoptr(GByteArray) answer = g_byte_array_new();
    g_autofree char *address = ft_channel_remote_host(ch);
    const uint8_t *session;
    FtLinksSetup setup = {
        .first = QIO_CHANNEL_SOCKET(ch->ioc),
        .text = address ?: "an unknown address",
        .timeout_ns = ch->beat_ns * FT_BEATS_PER_TIMEOUT,
        .said = ch->traffic.bytes_sent,
        .traffic = &ch->traffic,
    };

    if (!ft_wire_get_attach(rec, &session, &setup.number, errp)) {
        return false;
    }
    memcpy(setup.session, session, sizeof(setup.session));
    ch->accepts_links = false;
    /* Pairs with ft_channel_links() */
    qatomic_store_release(&ch->links, ft_links_new(&setup));
    ft_wire_put(answer, FT_REC_ATTACHED, NULL, 0);
    return write_all(ch, answer->data, answer->len);
}

/* Is it about the links?  1: yes, 0: it is the caller's, -1: it is wrong */
static int take_link_record(FtChannel *ch, const FtRecord *rec, Error **errp)
{
    if (rec->type == FT_REC_ATTACH && ch->accepts_links) {
        return begin_links(ch, rec, errp) ? 1 : -1;
    }
    /* Behind HELLO, or not at all */
    ch->accepts_links = false;
    if (ch->links && (rec->type == FT_REC_RECEIVED ||
                      (rec->type >= FT_REC_ATTACH &&
                       rec->type <= FT_REC_SWITCHED))) {
        return ft_links_record(ch->links, rec, errp) ? 1 : -1;
    }
    return 0;
}

int ft_channel_read(FtChannel *ch, FtRecord *rec, Error **errp)
{
    for (;;) {
        int ret = ft_wire_next(ch->rx + ch->rx_start,
                               ch->rx_end - ch->rx_start, rec, errp);

        if (ret > 0) {
            ch->rx_start += rec->total;
            qatomic_set_u64(&ch->taken, ch->taken + rec->total);
            ret = take_link_record(ch, rec, errp);
            if (ret > 0) {
                continue;
            }
            if (ch->links && !ch->have_thread &&
                ch->taken - ch->confirmed >= FT_WIRE_CONFIRM) {
                confirm(ch);
            }
            return ret < 0 ? ret : 1;
        }
        if (ret == 0) {
            ret = fill(ch, rec, errp);
        }
        if (ret <= 0) {
            return ret;
        }
        if (ret == 2) {
            return 1;
        }
    }
}

bool ft_channel_ended(FtChannel *ch)
{
    return ch->ended;
}

void ft_channel_poll(FtChannel *ch, uint32_t ms)
{
    struct pollfd pfd[] = {
        { .fd = ch->fd, .events = POLLIN },
        { .fd = event_notifier_get_fd(&ch->wake), .events = POLLIN },
    };
    bool woken = ch->links ? ft_links_poll(ch->links, pfd[1].fd, ms) :
                 poll(pfd, 2, ms) > 0 && pfd[1].revents;

    /* A system call, where the peer waits for an acknowledgement */
    if (woken) {
        event_notifier_test_and_clear(&ch->wake);
    }
}

void ft_channel_wake(FtChannel *ch)
{
    event_notifier_set(&ch->wake);
}

uint64_t ft_channel_queued(FtChannel *ch)
{
    return qatomic_read_u64(&ch->queued) +
           (ch->links ? ft_links_unsent(ch->links) : 0);
}

void ft_channel_set_handler(FtChannel *ch, IOHandler *cb, void *opaque)
{
    if (ch->links) {
        ft_links_set_handler(ch->links, cb, opaque);
    } else if (ch->ioc) {
        qio_channel_set_aio_fd_handler(ch->ioc, iohandler_get_aio_context(),
                                       cb, NULL, NULL, opaque);
    }
}

int64_t ft_channel_last_rx(FtChannel *ch)
{
    return qatomic_read_i64(&ch->traffic.last_rx);
}

int64_t ft_channel_last_tx(FtChannel *ch)
{
    return qatomic_read_i64(&ch->traffic.last_tx);
}

int64_t ft_channel_tx_gap(FtChannel *ch)
{
    return MAX(qatomic_read_i64(&ch->traffic.tx_gap),
               get_clock() - ft_channel_last_tx(ch));
}

void ft_channel_reset_tx_gap(FtChannel *ch)
{
    qatomic_set_i64(&ch->traffic.tx_gap, 0);
}

uint64_t ft_channel_bytes_sent(FtChannel *ch)
{
    return qatomic_read_u64(&ch->traffic.bytes_sent);
}

uint64_t ft_channel_bytes_received(FtChannel *ch)
{
    return qatomic_read_u64(&ch->traffic.bytes_received);
}

/* Several links */

void ft_channel_offer_links(FtChannel *ch, uint32_t number,
                            const char *address, GByteArray *hello)
{
    FtLinksSetup setup = {
        .dials = true,
        .first = QIO_CHANNEL_SOCKET(ch->ioc),
        .number = number,
        .text = address,
        .timeout_ns = ch->beat_ns * FT_BEATS_PER_TIMEOUT,
        .traffic = &ch->traffic,
    };

    qcrypto_random_bytes(setup.session, sizeof(setup.session), &error_fatal);
    ch->links = ft_links_new(&setup);
    ft_links_attach_record(ch->links, hello);
}

void ft_channel_accept_links(FtChannel *ch)
{
    ch->accepts_links = true;
}

FtLinks *ft_channel_links(FtChannel *ch)
{
    /* Pairs with begin_links(); what it points to depends on the pointer */
    return qatomic_read(&ch->links);
}

bool ft_channel_attach(FtChannel *ch, FtChannel *caller,
                       const FtRecord *attach, Error **errp)
{
    g_autofree char *address = ft_channel_remote_host(caller);
    FtLinks *ls = ft_channel_links(ch);
    const uint8_t *session;
    uint32_t number;

    if (!ft_wire_get_attach(attach, &session, &number, errp)) {
        return false;
    }
    if (!ls) {
        error_setg(errp, "this is a link of another session");
        return false;
    }
    if (caller->rx_start != caller->rx_end) {
        error_setg(errp, "the peer did not wait for ATTACHED");
        return false;
    }
    if (!ft_links_offer(ls, QIO_CHANNEL_SOCKET(caller->ioc), session, number,
                        address ?: "an unknown address", errp)) {
        return false;
    }
    ft_channel_set_handler(caller, NULL, NULL);
    object_unref(OBJECT(g_steal_pointer(&caller->ioc)));
    ft_channel_close(caller);
    ft_channel_wake(ch);
    return true;
}

void ft_channel_shout(FtChannel *ch, const void *data, size_t len)
{
    ft_channel_send(ch, data, len);
    if (ch->links) {
        ft_links_shout(ch->links, data, len);
    }
}

uint32_t ft_channel_peer_age_ms(FtChannel *ch)
{
    return ch->links ? ft_links_peer_age_ms(ch->links) : 0;
}

char *ft_channel_remote_host(FtChannel *ch)
{
    SocketAddress *a = qio_channel_socket_get_remote_address(
        QIO_CHANNEL_SOCKET(ch->ioc), NULL);
    char *host = a && a->type == SOCKET_ADDRESS_TYPE_INET ?
                 g_strdup(a->u.inet.host) : NULL;

    qapi_free_SocketAddress(a);
    return host;
}
