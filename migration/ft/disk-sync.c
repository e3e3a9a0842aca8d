/*
 * QEMU-FT: the first copy of the disks
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The guest runs, and what it writes is logged, before the first part is
 * read.  A few coroutines take one part of a disk after another.  A part is
 * locked against the guest's writes from before it is read until it is in
 * the connection, so the order of records is the order of what they hold,
 * and a part may be copied at any time and any number of times.
 *
 * hash: the part's SHA-256 goes first.  The peer compares with what it has
 * once it has applied all that came before, and answers.  When it differs
 * the part is read again, because the guest may have written meanwhile (and
 * sent that too, over contents the peer did not have).
 *
 * The guest comes first: never more than WINDOW bytes wait in the connection
 * on behalf of the copy, and the rate can be limited by the user.
 *
 * Each copy is a Sync of its own.  One that is given up is only told to stop:
 * a disk may take its time for a read, and neither the guest nor the monitor
 * has to wait for that.  Its workers end one by one; until then each keeps the
 * lock of the part it reads.  Its back ends and its memory are freed when
 * the next copy begins or the filters go: everything is drained there anyway,
 * which to free a back end does too.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/coroutine.h"
#include "qemu/cutils.h"
#include "qemu/event_notifier.h"
#include "qemu/main-loop.h"
#include "qemu/memalign.h"
#include "qemu/ratelimit.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "block/aio-wait.h"
#include "block/block_int.h"
#include "disk-hash.h"
#include "disk-log.h"
#include "disk-mirror.h"
#include "disk-sync.h"
#include "fault.h"
#include "options.h"

#define PART (256 * KiB)
#define WORKERS 8
#define WINDOW (4 * MiB)
#define NAP_NS 1000000

typedef struct Sync Sync;

typedef struct Worker {
    Sync *s;
    FtFilter *filter;           /* of the part in hand */
    int64_t offset, bytes;
    uint8_t *data;
    Coroutine *waiting;         /* for the peer's answer */
    bool asked, same;
} Worker;

struct Sync {
    QSLIST_ENTRY(Sync) next;    /* of those given up */
    bool stop;
    FtChannel *ch;              /* not to be used after @stop */
    FtDiskSync mode;
    void (*finished)(const char *error);
    EventNotifier done;
    char *error;
    RateLimit limit;
    BlockBackend *blk[FT_WIRE_MAX_DISKS];
    uint64_t remaining[FT_WIRE_MAX_DISKS];
    uint32_t disk;              /* the next part */
    int64_t offset;
    unsigned running;
    Worker worker[WORKERS];
};

static Sync *now;               /* NULL: there is none */
static QSLIST_HEAD(, Sync) given_up;

bool ft_disk_sync_active(void)
{
    return now;
}

uint64_t ft_disk_sync_remaining(uint32_t index)
{
    return now ? now->remaining[index] : 0;
}

bool ft_disk_sync_reading(void)
{
    Sync *s;

    QSLIST_FOREACH(s, &given_up, next) {
        if (s->running) {
            return true;
        }
    }
    return false;
}

static void fail(Sync *s, const char *disk, int ret)
{
    if (!s->error) {
        s->error = g_strdup_printf("reading drive %s for the first copy "
                                   "failed: %s", disk, strerror(-ret));
    }
    s->stop = true;
}

static bool next_part(Worker *w)
{
    const FtDisks *disks = ft_mirror_disks();
    Sync *s = w->s;

    while (!s->stop && s->disk < disks->n) {
        int64_t size = disks->disk[s->disk].size;

        if (s->offset < size) {
            w->filter = ft_mirror_filter(s->disk);
            w->offset = s->offset;
            w->bytes = MIN(PART, size - s->offset);
            s->offset += w->bytes;
            return true;
        }
        s->disk++;
        s->offset = 0;
    }
    return false;
}

/* False: the copy has been given up */
static bool coroutine_fn wait_for_room(Worker *w)
{
    Sync *s = w->s;
    int64_t until = get_clock() +
                    ratelimit_calculate_delay(&s->limit, w->bytes);

    /* Short naps: the next copy waits for their end */
    while (!s->stop && (get_clock() < until ||
                        ft_channel_queued(s->ch) > WINDOW)) {
        qemu_co_sleep_ns(QEMU_CLOCK_REALTIME, NAP_NS);
    }
    return !s->stop;
}

/* Without touching the data where the image knows; @zero tells */
static int coroutine_fn read_part(Worker *w, bool *zero)
{
    BlockBackend *blk = w->s->blk[ft_filter_index(w->filter)];

    WITH_GRAPH_RDLOCK_GUARD() {
        *zero = bdrv_co_is_zero_fast(blk_bs(blk), w->offset, w->bytes) == 1;
    }
    if (*zero) {
        memset(w->data, 0, w->bytes);
        return 0;
    }
    return blk_co_pread(blk, w->offset, w->bytes, w->data, 0);
}

static void send_part(Worker *w, bool zero)
{
    FtDiskOp op = {
        .offset = w->offset,
        .length = w->bytes,
        .disk = ft_filter_index(w->filter),
        .kind = zero || buffer_is_zero(w->data, w->bytes) ? FT_DISK_ZERO :
                FT_DISK_WRITE,
        .may_unmap = true,
        .data = w->data,
    };

    ft_disk_log_put(&op);
}

static void coroutine_fn ask(Worker *w)
{
    g_autoptr(GByteArray) rec = g_byte_array_new();
    FtDiskHash h = {
        .offset = w->offset,
        .length = w->bytes,
        .disk = ft_filter_index(w->filter),
    };

    ft_disk_hash(w->data, w->bytes, h.hash);
    if (w->s->stop) {
        /* While a thread computed that */
        return;
    }
    ft_wire_put_disk_hash(rec, &h);
    w->asked = true;
    ft_channel_send(w->s->ch, rec->data, rec->len);
}

/* Until the peer has answered; the range is not locked meanwhile */
static void coroutine_fn wait_for_answer(Worker *w)
{
    while (w->asked && !w->s->stop) {
        w->waiting = qemu_coroutine_self();
        qemu_coroutine_yield();
    }
}

static int coroutine_fn copy_part(Worker *w, bool question)
{
    BlockReq req;
    bool zero;
    int ret;

    ft_filter_lock(w->filter, &req, w->offset, w->bytes);
    ret = read_part(w, &zero);
    /* Once it is given up there may be another connection already */
    if (ret >= 0 && !w->s->stop) {
        if (question) {
            ask(w);
        } else {
            send_part(w, zero);
        }
    }
    ft_filter_unlock(w->filter, &req);
    return ret;
}

static int coroutine_fn do_part(Worker *w)
{
    int ret;

    if (!wait_for_room(w)) {
        return 0;
    }
    if (w->s->mode == FT_DISK_SYNC_FULL) {
        return copy_part(w, false);
    }
    ret = copy_part(w, true);
    if (ret < 0) {
        return ret;
    }
    wait_for_answer(w);
    if (w->same || !wait_for_room(w)) {
        return 0;
    }
    return copy_part(w, false);
}

static void coroutine_fn work(void *opaque)
{
    Worker *w = opaque;
    Sync *s = w->s;

    while (next_part(w)) {
        int ret = do_part(w);

        if (ret < 0) {
            fail(s, ft_filter_disk(w->filter)->name, ret);
            break;
        }
        s->remaining[ft_filter_index(w->filter)] -= w->bytes;
        ft_fault(FT_FAULT_DISK_SYNC);
    }
    ft_disk_log_free(w->data);
    if (--s->running == 0) {
        event_notifier_set(&s->done);
    }
    aio_wait_kick();
}

/* What was copied has to be on stable storage before it counts */
static void flush_all(void)
{
    for (uint32_t i = 0; i < ft_mirror_disks()->n; i++) {
        FtDiskOp op = { .disk = i, .kind = FT_DISK_FLUSH };

        ft_disk_log_put(&op);
    }
}

/* At top level: it drains */
static void free_sync(Sync *s)
{
    event_notifier_set_handler(&s->done, NULL);
    event_notifier_cleanup(&s->done);
    for (uint32_t i = 0; i < FT_WIRE_MAX_DISKS; i++) {
        blk_unref(s->blk[i]);
    }
    ratelimit_destroy(&s->limit);
    g_free(s->error);
    g_free(s);
}

static void all_done(EventNotifier *e)
{
    Sync *s = container_of(e, Sync, done);
    void (*finished)(const char *error) = s->finished;
    g_autofree char *error = NULL;

    if (!event_notifier_test_and_clear(e) || s != now || s->running) {
        return;
    }
    now = NULL;
    error = g_steal_pointer(&s->error);
    free_sync(s);
    if (!error) {
        flush_all();
    }
    finished(error);
}

static bool open_readers(Sync *s, Error **errp)
{
    const FtDisks *disks = ft_mirror_disks();

    for (uint32_t i = 0; i < disks->n; i++) {
        BlockBackend *blk = blk_new(qemu_get_aio_context(),
                                    BLK_PERM_CONSISTENT_READ, BLK_PERM_ALL);

        blk_set_allow_aio_context_change(blk, true);
        s->blk[i] = blk;
        if (blk_insert_bs(blk, ft_filter_image(ft_mirror_filter(i)),
                          errp) < 0) {
            return false;
        }
        s->remaining[i] = disks->disk[i].size;
    }
    return true;
}

void ft_disk_sync_start(FtChannel *ch, FtDiskSync mode,
                        void (*finished)(const char *error))
{
    Error *err = NULL;
    Sync *s;

    assert(!now);
    ft_disk_sync_settle();
    s = now = g_new0(Sync, 1);
    s->ch = ch;
    s->mode = mode;
    s->finished = finished;
    event_notifier_init(&s->done, false);
    event_notifier_set_handler(&s->done, all_done);
    ratelimit_init(&s->limit);
    ratelimit_set_speed(&s->limit, (uint64_t)ft_opts.sync_rate * MiB,
                        100000000);
    if (mode == FT_DISK_SYNC_NONE || !ft_mirror_disks()->n) {
        event_notifier_set(&s->done);
        return;
    }
    if (!open_readers(s, &err)) {
        s->error = g_strdup(error_get_pretty(err));
        error_free(err);
        event_notifier_set(&s->done);
        return;
    }
    for (int i = 0; i < WORKERS; i++) {
        Worker *w = &s->worker[i];

        *w = (Worker) { .s = s, .data = ft_disk_log_buffer(PART) };
        s->running++;
        aio_co_enter(qemu_get_aio_context(), qemu_coroutine_create(work, w));
    }
}

static void wake(Worker *w)
{
    Coroutine *co = w->waiting;

    w->waiting = NULL;
    if (co) {
        aio_co_wake(co);
    }
}

void ft_disk_sync_stop(void)
{
    Sync *s = now;

    if (!s) {
        return;
    }
    now = NULL;
    s->stop = true;
    QSLIST_INSERT_HEAD(&given_up, s, next);
    for (int i = 0; i < WORKERS; i++) {
        wake(&s->worker[i]);
    }
}

void ft_disk_sync_settle(void)
{
    Sync *s;

    AIO_WAIT_WHILE_UNLOCKED(NULL, ft_disk_sync_reading());
    while ((s = QSLIST_FIRST(&given_up))) {
        QSLIST_REMOVE_HEAD(&given_up, next);
        free_sync(s);
    }
}

bool ft_disk_sync_answer(const FtRecord *rec, Error **errp)
{
    FtDiskSame a;

    if (!ft_wire_get_disk_same(rec, ft_mirror_disks()->n, &a, errp)) {
        return false;
    }
    for (int i = 0; now && i < WORKERS; i++) {
        Worker *w = &now->worker[i];

        if (w->asked && w->offset == a.offset &&
            ft_filter_index(w->filter) == a.disk) {
            w->asked = false;
            w->same = a.same;
            wake(w);
            return true;
        }
    }
    error_setg(errp, "the peer has answered a question about disk %u that "
               "was not asked", a.disk);
    return false;
}
