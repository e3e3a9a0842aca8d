/*
 * QEMU-FT: writing committed epochs to the secondary's images
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
 * An image that fails once is not written to again: what follows is dropped,
 * and the copy is of no use any more.
 *
 * The receiver thread submits and waits; it never touches the block layer.
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
#include "block/block_int.h"
#include "disk-apply.h"
#include "disk-hash.h"
#include "fault.h"

#define MAX_INFLIGHT 16

typedef struct Target {
    char *name;
    BlockBackend *blk;
    bool dirty;                 /* written to since its last flush */
} Target;

typedef struct Flight {
    QLIST_ENTRY(Flight) next;
    FtApply *a;
    FtJournalOp *op;
} Flight;

struct FtApply {
    uint32_t n;
    Target target[FT_WIRE_MAX_DISKS];
    void (*wake)(void *opaque);
    void *opaque;

    QemuMutex lock;
    QemuCond moved;
    /* Under @lock */
    FtJournalPart queue;
    uint64_t bytes;             /* of all that is not done */
    uint64_t submitted;         /* operations ever */
    uint64_t taken;             /* of these, by the pump */
    uint64_t flushed;           /* position of the last flush that is done */
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

static void fail(FtApply *a, Target *t, const char *what, int ret)
{
    QEMU_LOCK_GUARD(&a->lock);
    if (!a->error) {
        a->error = g_strdup_printf("%s disk %s of the secondary failed: %s",
                                   what, t->name, strerror(-ret));
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
    Target *t = &a->target[op->op.disk];
    uint8_t hash[FT_WIRE_DISK_HASH];
    uint8_t *data = qemu_memalign(4096, op->op.length);
    FtDiskSame same = { .offset = op->op.offset, .disk = op->op.disk };
    int ret = blk_co_pread(t->blk, op->op.offset, op->op.length, data, 0);

    if (ret < 0) {
        fail(a, t, "reading", ret);
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

typedef struct Discard {
    Coroutine *co;
    int ret;
} Discard;

static void discarded(void *opaque, int ret)
{
    Discard *d = opaque;

    d->ret = ret;
    aio_co_wake(d->co);
}

/* blk_co_pdiscard() has one parameter more in some releases */
static int coroutine_fn discard(Target *t, const FtDiskOp *op)
{
    Discard d = { .co = qemu_coroutine_self() };

    blk_aio_pdiscard(t->blk, op->offset, op->length, discarded, &d);
    qemu_coroutine_yield();
    /* An image that cannot discard keeps what it has */
    return d.ret == -ENOTSUP || d.ret == -EINVAL ? 0 : d.ret;
}

static int coroutine_fn perform(FtApply *a, FtJournalOp *op)
{
    Target *t = &a->target[op->op.disk];
    FtDiskOp *d = &op->op;

    switch (d->kind) {
    case FT_DISK_WRITE:
        return blk_co_pwrite(t->blk, d->offset, d->length, op->data, 0);
    case FT_DISK_ZERO:
        return blk_co_pwrite_zeroes(t->blk, d->offset, d->length,
                                    d->may_unmap ? BDRV_REQ_MAY_UNMAP : 0);
    case FT_DISK_DISCARD:
        return discard(t, d);
    default:
        g_assert_not_reached();
    }
}

static void done_with(FtApply *a, FtJournalOp *op)
{
    QEMU_LOCK_GUARD(&a->lock);
    a->bytes -= ft_journal_op_bytes(op);
    ft_journal_op_free(op);
    qemu_cond_broadcast(&a->moved);
}

static void coroutine_fn fly(void *opaque)
{
    Flight *f = opaque;
    FtApply *a = f->a;
    Target *t = &a->target[f->op->op.disk];
    Coroutine *waiting;

    if (f->op->question) {
        answer(a, f->op);
    } else {
        int ret = perform(a, f->op);

        t->dirty = true;
        if (ret < 0) {
            fail(a, t, "writing to", ret);
            tell(a);
        }
        ft_fault(FT_FAULT_DISK_APPLIED);
    }
    done_with(a, f->op);
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

static void coroutine_fn launch(FtApply *a, FtJournalOp *op)
{
    Flight *f = g_new0(Flight, 1);

    while (a->inflight >= MAX_INFLIGHT || overlaps(a, &op->op)) {
        wait_one(a);
    }
    f->a = a;
    f->op = op;
    QLIST_INSERT_HEAD(&a->flights, f, next);
    a->inflight++;
    qemu_coroutine_enter(qemu_coroutine_create(fly, f));
}

static void coroutine_fn flush(FtApply *a, FtJournalOp *op, uint64_t position)
{
    Target *t = &a->target[op->op.disk];
    int ret = 0;

    while (a->inflight) {
        wait_one(a);
    }
    if (t->dirty && !broken(a)) {
        t->dirty = false;
        ret = blk_co_flush(t->blk);
    }
    if (ret < 0) {
        fail(a, t, "flushing", ret);
    } else if (!broken(a)) {
        QEMU_LOCK_GUARD(&a->lock);
        a->flushed = position;
    }
    done_with(a, op);
    if (ret < 0) {
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
                done_with(a, op);
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

uint64_t ft_apply_submit(FtApply *a, FtJournalPart *part)
{
    uint64_t position = 0, n = 0;
    bool first;
    FtJournalOp *op;

    if (QSIMPLEQ_EMPTY(&part->ops)) {
        return 0;
    }
    QSIMPLEQ_FOREACH(op, &part->ops, next) {
        n++;
        if (!op->question && op->op.kind == FT_DISK_FLUSH) {
            position = n;
        }
    }
    WITH_QEMU_LOCK_GUARD(&a->lock) {
        if (position) {
            position += a->submitted;
        }
        a->submitted += n;
        a->bytes += part->bytes;
        first = !a->busy;
        a->busy = true;
        ft_journal_part_append(&a->queue, part);
    }
    if (first) {
        aio_bh_schedule_oneshot(qemu_get_aio_context(), kick, a);
    }
    return position;
}

static bool reached_locked(FtApply *a, FtApplyGoal goal, uint64_t value)
{
    switch (goal) {
    case FT_APPLY_FLUSHED:
        return a->flushed >= value;
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
    return qatomic_read(&a->attention);
}

void ft_apply_answers(FtApply *a, GByteArray *out)
{
    qatomic_set(&a->attention, false);
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

static bool activate(BlockDriverState *bs, Error **errp)
{
    GRAPH_RDLOCK_GUARD_MAINLOOP();

    return bdrv_activate(bs, errp) >= 0;
}

static bool open_target(FtApply *a, const FtDisk *d, Error **errp)
{
    Target *t = &a->target[a->n];

    if (!activate(d->bs, errp)) {
        error_prepend(errp, "disk %s of the secondary cannot be used: ",
                      d->name);
        return false;
    }
    t->blk = blk_new(qemu_get_aio_context(),
                     BLK_PERM_CONSISTENT_READ | BLK_PERM_WRITE, BLK_PERM_ALL);
    blk_set_allow_aio_context_change(t->blk, true);
    a->n++;
    t->name = g_strdup(d->name);
    if (blk_insert_bs(t->blk, d->bs, errp) < 0) {
        error_prepend(errp, "disk %s of the secondary cannot be written: ",
                      d->name);
        return false;
    }
    blk_set_enable_write_cache(t->blk, true);
    return true;
}

FtApply *ft_apply_new(const FtDisks *disks, void (*wake)(void *),
                      void *opaque, Error **errp)
{
    FtApply *a = g_new0(FtApply, 1);

    a->wake = wake;
    a->opaque = opaque;
    qemu_mutex_init(&a->lock);
    qemu_cond_init(&a->moved);
    ft_journal_part_init(&a->queue);
    QLIST_INIT(&a->flights);
    a->answers = g_byte_array_new();
    for (uint32_t i = 0; i < disks->n; i++) {
        if (!open_target(a, &disks->disk[i], errp)) {
            ft_apply_free(a);
            return NULL;
        }
    }
    return a;
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
        blk_unref(a->target[i].blk);
        g_free(a->target[i].name);
    }
    g_byte_array_free(a->answers, true);
    g_free(a->error);
    qemu_cond_destroy(&a->moved);
    qemu_mutex_destroy(&a->lock);
    g_free(a);
}
