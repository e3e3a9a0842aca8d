/*
 * QEMU-FT: writing committed epochs to images
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One coroutine in the main loop, the pump, takes operations in their order
 * and starts them.  Several run at a time, but
 *  - one that overlaps another in flight waits for it;
 *  - a flush waits for all before it, on every disk, and all after it wait
 *    for the flush to succeed.
 * So the images only go through states that the guest's own disks could
 * have been left in by a power failure: whatever the guest flushed before it
 * wrote something else is on stable storage before that something is
 * written.  Losing the power while an epoch is half applied is no worse than
 * losing it on a host without fault tolerance.
 *
 * A flush of a disk that nothing was written to since its last one is not
 * carried out.
 *
 * After the first failure nothing more is performed: on the secondary the
 * copy is of no use any more; on the primary (disk-hold.c) whoever owns the
 * operations tries again.
 *
 * An epoch is stable when the last flush in it has succeeded.  That is what
 * its output may wait for.
 *
 * On the secondary the receiver thread submits and waits; it never touches
 * the block layer.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/coroutine.h"
#include "qemu/main-loop.h"
#include "qemu/memalign.h"
#include "qemu/thread.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "block/aio-wait.h"
#include "disk-apply.h"
#include "disk-hash.h"
#include "fault.h"

#define MAX_INFLIGHT 16
#define NAP_NS 100000

/* An epoch, and where its last flush is */
typedef struct Mark {
    uint64_t epoch, position;
} Mark;

typedef struct Flight {
    QLIST_ENTRY(Flight) next;
    FtApply *a;
    FtJournalOp *op;
} Flight;

struct FtApply {
    uint32_t n;
    FtApplyTarget target[FT_WIRE_MAX_DISKS];
    bool dirty[FT_WIRE_MAX_DISKS];      /* written to since its last flush */
    void (*wake)(void *opaque);
    bool (*held_up)(void);
    void *opaque;

    QemuMutex lock;
    QemuCond moved;
    /* Under @lock */
    FtJournalPart queue;
    uint64_t bytes;             /* of all that is not done */
    uint64_t submitted;         /* operations ever */
    uint64_t taken;             /* of these, by the pump */
    uint64_t submitted_epoch;
    GArray *marks;              /* of epochs that are not stable */
    bool busy;                  /* the pump or a request runs */
    bool stop;
    char *error;
    GByteArray *answers;
    bool attention;             /* atomic */

    /* The main loop's */
    Coroutine *pump;            /* waits for a request to end */
    unsigned inflight;
    QLIST_HEAD(, Flight) flights;
};

static void fail(FtApply *a, uint16_t disk, const char *what, int ret)
{
    QEMU_LOCK_GUARD(&a->lock);
    if (!a->error) {
        a->error = g_strdup_printf("%s %s failed: %s", what,
                                   a->target[disk].name, strerror(-ret));
    }
}

static bool broken(FtApply *a)
{
    QEMU_LOCK_GUARD(&a->lock);
    return a->error || a->stop;
}

static void tell(FtApply *a)
{
    qatomic_set(&a->attention, true);
    qemu_cond_broadcast(&a->moved);
    a->wake(a->opaque);
}

static void coroutine_fn answer(FtApply *a, FtJournalOp *op)
{
    FtApplyTarget *t = &a->target[op->op.disk];
    uint8_t hash[FT_WIRE_DISK_HASH];
    uint8_t *data = qemu_memalign(4096, op->op.length);
    FtDiskSame same = { .offset = op->op.offset, .disk = op->op.disk };
    int ret = t->read(t->opaque, op->op.offset, op->op.length, data);

    if (ret < 0) {
        fail(a, op->op.disk, "reading", ret);
    } else {
        ft_disk_hash(data, op->op.length, hash);
        same.same = !memcmp(hash, op->hash, sizeof(hash));
        WITH_QEMU_LOCK_GUARD(&a->lock) {
            ft_wire_put_disk_same(a->answers, &same);
        }
    }
    qemu_vfree(data);
    tell(a);
}

static void done_with(FtApply *a, FtJournalOp *op, bool performed)
{
    WITH_QEMU_LOCK_GUARD(&a->lock) {
        a->bytes -= ft_journal_op_bytes(op);
        qemu_cond_broadcast(&a->moved);
    }
    ft_journal_op_end(op, performed);
}

static void coroutine_fn fly(void *opaque)
{
    Flight *f = opaque;
    FtApply *a = f->a;
    uint16_t disk = f->op->op.disk;
    Coroutine *waiting;
    int ret = 0;

    if (f->op->question) {
        answer(a, f->op);
    } else {
        ret = a->target[disk].perform(a->target[disk].opaque, f->op);
        a->dirty[disk] = true;
        if (ret < 0) {
            fail(a, disk, "writing to", ret);
            tell(a);
        }
        ft_fault(FT_FAULT_DISK_APPLIED);
    }
    done_with(a, f->op, ret >= 0);
    QLIST_REMOVE(f, next);
    g_free(f);
    a->inflight--;
    waiting = a->pump;
    if (waiting) {
        a->pump = NULL;
        aio_co_wake(waiting);
    }
}

static bool overlaps(FtApply *a, const FtDiskOp *d)
{
    Flight *f;

    QLIST_FOREACH(f, &a->flights, next) {
        const FtDiskOp *o = &f->op->op;

        if (o->disk == d->disk && o->offset < d->offset + d->length &&
            d->offset < o->offset + o->length) {
            return true;
        }
    }
    return false;
}

/* Until a request has ended */
static void coroutine_fn wait_one(FtApply *a)
{
    a->pump = qemu_coroutine_self();
    qemu_coroutine_yield();
}

static void coroutine_fn wait_allowed(FtApply *a)
{
    while (a->held_up && a->held_up()) {
        qemu_co_sleep_ns(QEMU_CLOCK_REALTIME, NAP_NS);
    }
}

static void coroutine_fn launch(FtApply *a, FtJournalOp *op)
{
    Flight *f;

    while (a->inflight >= MAX_INFLIGHT || overlaps(a, &op->op)) {
        wait_one(a);
    }
    wait_allowed(a);
    /* What it waited for may have failed, and must not come after it */
    if (broken(a)) {
        done_with(a, op, false);
        return;
    }
    f = g_new0(Flight, 1);
    f->a = a;
    f->op = op;
    QLIST_INSERT_HEAD(&a->flights, f, next);
    a->inflight++;
    qemu_coroutine_enter(qemu_coroutine_create(fly, f));
}

/* True: an epoch has become stable */
static bool flushed(FtApply *a, uint64_t position)
{
    guint n = 0;

    QEMU_LOCK_GUARD(&a->lock);
    while (n < a->marks->len &&
           g_array_index(a->marks, Mark, n).position <= position) {
        n++;
    }
    g_array_remove_range(a->marks, 0, n);
    return n;
}

static void coroutine_fn flush(FtApply *a, FtJournalOp *op, uint64_t position)
{
    uint16_t disk = op->op.disk;
    bool ok, news = false;

    while (a->inflight) {
        wait_one(a);
    }
    wait_allowed(a);
    ok = !broken(a);
    if (ok && a->dirty[disk]) {
        int ret = a->target[disk].perform(a->target[disk].opaque, op);

        if (ret < 0) {
            fail(a, disk, "flushing", ret);
            ok = false;
            news = true;
        } else {
            a->dirty[disk] = false;
        }
    }
    if (ok) {
        news = flushed(a, position);
    }
    done_with(a, op, ok);
    if (news) {
        tell(a);
    }
}

static FtJournalOp *next_op(FtApply *a, uint64_t *position)
{
    FtJournalOp *op;

    QEMU_LOCK_GUARD(&a->lock);
    op = QSIMPLEQ_FIRST(&a->queue.ops);
    if (op) {
        QSIMPLEQ_REMOVE_HEAD(&a->queue.ops, next);
        *position = ++a->taken;
    }
    return op;
}

/* The end of the pump, unless more has come meanwhile */
static bool rest(FtApply *a)
{
    QEMU_LOCK_GUARD(&a->lock);
    a->busy = !QSIMPLEQ_EMPTY(&a->queue.ops);
    qemu_cond_broadcast(&a->moved);
    return !a->busy;
}

static void coroutine_fn pump(void *opaque)
{
    FtApply *a = opaque;
    FtJournalOp *op;
    uint64_t position;

    do {
        while ((op = next_op(a, &position))) {
            if (broken(a)) {
                done_with(a, op, false);
            } else if (!op->question && op->op.kind == FT_DISK_FLUSH) {
                flush(a, op, position);
            } else {
                launch(a, op);
            }
        }
        while (a->inflight) {
            wait_one(a);
        }
    } while (!rest(a));
    aio_wait_kick();
}

/* Main loop */
static void kick(void *opaque)
{
    qemu_coroutine_enter(qemu_coroutine_create(pump, opaque));
}

void ft_apply_submit(FtApply *a, FtJournalPart *part, uint64_t epoch)
{
    uint64_t position = 0, n = 0;
    bool first;
    FtJournalOp *op;

    QSIMPLEQ_FOREACH(op, &part->ops, next) {
        n++;
        if (!op->question && op->op.kind == FT_DISK_FLUSH) {
            position = n;
        }
    }
    WITH_QEMU_LOCK_GUARD(&a->lock) {
        a->submitted_epoch = epoch;
        if (position) {
            Mark mark = { epoch, a->submitted + position };

            g_array_append_val(a->marks, mark);
        }
        a->submitted += n;
        a->bytes += part->bytes;
        first = !a->busy && n;
        a->busy |= first;
        ft_journal_part_append(&a->queue, part);
    }
    if (first) {
        aio_bh_schedule_oneshot(qemu_get_aio_context(), kick, a);
    }
}

uint64_t ft_apply_stable(FtApply *a)
{
    QEMU_LOCK_GUARD(&a->lock);
    return a->marks->len ? g_array_index(a->marks, Mark, 0).epoch - 1 :
           a->submitted_epoch;
}

static bool reached_locked(FtApply *a, FtApplyGoal goal, uint64_t value)
{
    switch (goal) {
    case FT_APPLY_BELOW:
        return a->bytes < value;
    case FT_APPLY_IDLE:
        return !a->busy;
    }
    g_assert_not_reached();
}

bool ft_apply_wait(FtApply *a, FtApplyGoal goal, uint64_t value, uint32_t ms)
{
    QEMU_LOCK_GUARD(&a->lock);
    if (!a->error && !reached_locked(a, goal, value)) {
        qemu_cond_timedwait(&a->moved, &a->lock, ms);
    }
    return a->error || reached_locked(a, goal, value);
}

char *ft_apply_error(FtApply *a)
{
    QEMU_LOCK_GUARD(&a->lock);
    return g_strdup(a->error);
}

bool ft_apply_attention(FtApply *a)
{
    return qatomic_read(&a->attention) && qatomic_xchg(&a->attention, false);
}

void ft_apply_answers(FtApply *a, GByteArray *out)
{
    QEMU_LOCK_GUARD(&a->lock);
    if (a->answers->len) {
        g_byte_array_append(out, a->answers->data, a->answers->len);
        g_byte_array_set_size(a->answers, 0);
    }
}

uint64_t ft_apply_bytes(FtApply *a)
{
    QEMU_LOCK_GUARD(&a->lock);
    return a->bytes;
}

FtApply *ft_apply_new(void (*wake)(void *opaque), bool (*held_up)(void),
                      void *opaque)
{
    FtApply *a = g_new0(FtApply, 1);

    a->wake = wake;
    a->held_up = held_up;
    a->opaque = opaque;
    qemu_mutex_init(&a->lock);
    qemu_cond_init(&a->moved);
    ft_journal_part_init(&a->queue);
    QLIST_INIT(&a->flights);
    a->answers = g_byte_array_new();
    a->marks = g_array_new(false, false, sizeof(Mark));
    return a;
}

void ft_apply_add(FtApply *a, const FtApplyTarget *target)
{
    a->target[a->n] = *target;
    /* What an earlier process has written may not be stable yet */
    a->dirty[a->n] = true;
    a->n++;
}

static bool is_busy(FtApply *a)
{
    QEMU_LOCK_GUARD(&a->lock);
    return a->busy;
}

bool ft_apply_finish(FtApply *a, Error **errp)
{
    g_autofree char *error = NULL;

    AIO_WAIT_WHILE_UNLOCKED(NULL, is_busy(a));
    error = ft_apply_error(a);
    if (error) {
        error_setg(errp, "%s", error);
        return false;
    }
    return true;
}

void ft_apply_free(FtApply *a)
{
    if (!a) {
        return;
    }
    WITH_QEMU_LOCK_GUARD(&a->lock) {
        a->stop = true;
    }
    AIO_WAIT_WHILE_UNLOCKED(NULL, is_busy(a));
    for (uint32_t i = 0; i < a->n; i++) {
        if (a->target[i].release) {
            a->target[i].release(a->target[i].opaque);
        }
        g_free(a->target[i].name);
    }
    g_byte_array_free(a->answers, true);
    g_array_free(a->marks, true);
    g_free(a->error);
    qemu_cond_destroy(&a->moved);
    qemu_mutex_destroy(&a->lock);
    g_free(a);
}
