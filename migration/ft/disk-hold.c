/*
 * QEMU-FT: writes to shared disks, held back until they are committed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Two hosts that share an image need no mirror, but a survivor goes back to
 * the last commit, and must not find a disk from its own future.  So a
 * write is output like any other: it is kept in memory, and told to the
 * peer, until its epoch is committed; then it goes to the image.  The guest
 * reads through what is held.
 *
 *     write ---> held, DISK ---> ack ---> image ---> flush ---> APPLIED
 *                                                           peer forgets
 *
 * Until the image has it on stable storage the peer keeps what is committed,
 * and so do we: a flush may be the first to say that the image is full, and
 * then what was written before is gone.  We flush of our own accord once
 * SYNC_BYTES have gone out since, so that both memories, and what the peer
 * has to write at a takeover, stay bounded.
 *
 * A guest's flush is answered at once: nobody outside can know before its
 * epoch is committed, and with durability=disk the output of that epoch
 * also waits until the flush has been carried out here.
 *
 * Holding begins and ends while all devices are drained, so that a request
 * lies wholly on one side.  It begins with the first cut.
 *
 * An image that fails takes writes that the guest believes done.  They are
 * kept; the guest is stopped (io-error) and told to the user, and when it is
 * continued they are tried again.  Reading through them goes on meanwhile.
 *
 * Threads: ft_hold_put() and ft_hold_look() come from wherever requests run;
 * everything else belongs to the main loop.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "qemu/event_notifier.h"
#include "qemu/interval-tree.h"
#include "qemu/iov.h"
#include "qemu/main-loop.h"
#include "qemu/thread.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "system/runstate.h"
#include "disk-apply.h"
#include "disk-hold.h"
#include "disk-log.h"
#include "guest.h"
#include "state.h"

#define SYNC_BYTES (8 * MiB)

typedef struct Held {
    FtJournalOp j;              /* what the applier performs */
    IntervalTreeNode range;     /* of a WRITE or a ZERO */
    QTAILQ_ENTRY(Held) next;
    uint64_t seq;               /* order of arrival */
    bool submitted;             /* the applier has it, or has written it */
    bool written;               /* but it is not flushed yet */
    int refs;                   /* atomic */
} Held;

/* A flush of our own */
typedef struct Sync {
    FtJournalOp j;
    bool last;                  /* of those for one epoch */
} Sync;

struct FtHoldView {
    GPtrArray *ops;             /* Held, in order of arrival */
};

static struct {
    bool ready;
    QemuMutex lock;
    bool on;                    /* atomic */
    /* Under @lock */
    IntervalTreeRoot tree[FT_WIRE_MAX_DISKS];
    QTAILQ_HEAD(, Held) all;    /* in order */
    uint64_t seq, last_epoch;
    uint64_t bytes;             /* atomic */

    /* The main loop's */
    FtFilter *filter[FT_WIRE_MAX_DISKS];
    uint32_t n;
    FtApply *apply;
    EventNotifier event;        /* the applier has news */
    void (*changed)(void);
    uint64_t committed, stable;
    uint64_t since_sync;        /* bytes committed since the last flush */
    bool releasing;             /* all else stands still */
    bool stuck;                 /* an image has failed */
    bool again;                 /* and the guest has been continued since */
    bool is_void;               /* another copy has the images (atomic) */
    void (*released)(void);     /* once that succeeds after all */
} hold;

bool ft_hold_on(void)
{
    return qatomic_read(&hold.on);
}

uint64_t ft_hold_bytes(void)
{
    return qatomic_read_u64(&hold.bytes);
}

static void unref(Held *h)
{
    if (qatomic_dec_fetch(&h->refs)) {
        return;
    }
    if (h->j.data) {
        ft_disk_log_free(h->j.data);
    }
    g_free(h);
}

static bool in_tree(const Held *h)
{
    return h->j.op.kind == FT_DISK_WRITE || h->j.op.kind == FT_DISK_ZERO;
}

static void forget_locked(Held *h)
{
    QTAILQ_REMOVE(&hold.all, h, next);
    if (in_tree(h)) {
        interval_tree_remove(&h->range, &hold.tree[h->j.op.disk]);
    }
    qatomic_set_u64(&hold.bytes, hold.bytes - ft_journal_op_bytes(&h->j));
}

/* A flush has succeeded, and the applier starts nothing beside one */
static void forget_written_locked(uint16_t disk)
{
    Held *h, *next;

    QTAILQ_FOREACH_SAFE(h, &hold.all, next, next) {
        if (h->written && h->j.op.disk == disk) {
            forget_locked(h);
            unref(h);
        }
    }
}

/* The applier is through with it */
static void held_done(FtJournalOp *op, bool performed)
{
    Held *h = container_of(op, Held, j);

    QEMU_LOCK_GUARD(&hold.lock);
    h->submitted = h->written = performed;
    if (performed && op->op.kind == FT_DISK_FLUSH) {
        forget_written_locked(op->op.disk);     /* @h too */
    }
}

static void sync_done(FtJournalOp *op, bool performed)
{
    Sync *s = container_of(op, Sync, j);

    if (performed) {
        WITH_QEMU_LOCK_GUARD(&hold.lock) {
            forget_written_locked(op->op.disk);
        }
    }
    if (performed && s->last) {
        ft_disk_log_applied(op->op.epoch);
    }
    g_free(s);
}

static void insert_locked(Held *h)
{
    h->j.done = held_done;
    h->refs = 1;
    h->seq = ++hold.seq;
    /* Without epochs it belongs to the last one there was */
    hold.last_epoch = MAX(hold.last_epoch, h->j.op.epoch);
    h->j.op.epoch = hold.last_epoch;
    QTAILQ_INSERT_TAIL(&hold.all, h, next);
    if (in_tree(h)) {
        h->range.start = h->j.op.offset;
        h->range.last = h->j.op.offset + h->j.op.length - 1;
        interval_tree_insert(&h->range, &hold.tree[h->j.op.disk]);
    }
    qatomic_set_u64(&hold.bytes, hold.bytes + ft_journal_op_bytes(&h->j));
}

void ft_hold_put(const FtDiskOp *op)
{
    Held *h;

    if (qatomic_read(&hold.is_void)) {
        if (op->data) {
            ft_disk_log_free((uint8_t *)op->data);
        }
        return;
    }
    h = g_new0(Held, 1);
    h->j.op = *op;
    h->j.op.data = NULL;
    h->j.data = (uint8_t *)op->data;
    QEMU_LOCK_GUARD(&hold.lock);
    insert_locked(h);
}

/* Reading */

static int compare_seq(gconstpointer a, gconstpointer b)
{
    const Held *x = *(Held *const *)a, *y = *(Held *const *)b;

    return x->seq < y->seq ? -1 : 1;
}

FtHoldView *ft_hold_look(uint16_t disk, int64_t offset, int64_t bytes)
{
    uint64_t last = offset + bytes - 1;
    IntervalTreeNode *node;
    FtHoldView *view;

    QEMU_LOCK_GUARD(&hold.lock);
    node = interval_tree_iter_first(&hold.tree[disk], offset, last);
    if (!node) {
        return NULL;
    }
    view = g_new(FtHoldView, 1);
    view->ops = g_ptr_array_new();
    for (; node; node = interval_tree_iter_next(node, offset, last)) {
        Held *h = container_of(node, Held, range);

        qatomic_inc(&h->refs);
        g_ptr_array_add(view->ops, h);
    }
    g_ptr_array_sort(view->ops, compare_seq);
    return view;
}

static void lay(const Held *h, uint64_t offset, QEMUIOVector *qiov)
{
    uint64_t from = MAX(offset, h->range.start);
    uint64_t to = MIN(offset + qiov->size, h->range.last + 1);

    if (h->j.op.kind == FT_DISK_ZERO) {
        qemu_iovec_memset(qiov, from - offset, 0, to - from);
    } else {
        qemu_iovec_from_buf(qiov, from - offset,
                            h->j.data + (from - h->range.start), to - from);
    }
}

void ft_hold_lay(FtHoldView *view, int64_t offset, QEMUIOVector *qiov)
{
    for (guint i = 0; i < view->ops->len; i++) {
        Held *h = g_ptr_array_index(view->ops, i);

        lay(h, offset, qiov);
        unref(h);
    }
    g_ptr_array_free(view->ops, true);
    g_free(view);
}

/* Writing */

static int coroutine_fn perform(void *filter, const FtJournalOp *op)
{
    return ft_filter_perform(filter, op);
}

static bool held_up(void)
{
    return !hold.releasing && ft_filter_draining();
}

static void applier_woke(void *opaque)
{
    event_notifier_set(&hold.event);
}

/* What an earlier one has written, but not flushed, is written again */
static void new_applier(void)
{
    Held *h;

    ft_apply_free(hold.apply);
    WITH_QEMU_LOCK_GUARD(&hold.lock) {
        QTAILQ_FOREACH(h, &hold.all, next) {
            h->submitted = h->written = false;
        }
    }
    hold.apply = ft_apply_new(applier_woke, held_up, NULL);
    for (uint32_t i = 0; i < hold.n; i++) {
        FtApplyTarget target = {
            .name = g_strdup_printf("shared drive %s",
                                    ft_filter_disk(hold.filter[i])->name),
            .opaque = hold.filter[i],
            .perform = perform,
        };

        ft_apply_add(hold.apply, &target);
    }
}

static void add_sync(FtJournalPart *part, uint64_t epoch)
{
    for (uint32_t i = 0; i < hold.n; i++) {
        Sync *s = g_new0(Sync, 1);

        s->j.op.kind = FT_DISK_FLUSH;
        s->j.op.disk = i;
        s->j.op.epoch = epoch;
        s->j.done = sync_done;
        s->last = i == hold.n - 1;
        ft_journal_part_push(part, &s->j);
    }
}

/* Hand the operations of one epoch to the applier; false: there are none */
static bool submit_next(uint64_t limit)
{
    uint64_t epoch = 0;
    FtJournalPart part;
    Held *h;

    ft_journal_part_init(&part);
    WITH_QEMU_LOCK_GUARD(&hold.lock) {
        QTAILQ_FOREACH(h, &hold.all, next) {
            if (h->submitted) {
                continue;
            }
            if (h->j.op.epoch > limit || (epoch && h->j.op.epoch != epoch)) {
                break;
            }
            epoch = h->j.op.epoch;
            h->submitted = true;
            ft_journal_part_push(&part, &h->j);
        }
    }
    if (epoch) {
        hold.since_sync += part.bytes;
        ft_apply_submit(hold.apply, &part, epoch);
    }
    return epoch;
}

void ft_hold_commit(uint64_t epoch)
{
    FtJournalPart part;

    if (!ft_hold_on()) {
        return;
    }
    hold.committed = epoch;
    if (hold.stuck) {
        return;
    }
    while (submit_next(epoch)) {
        ;
    }
    ft_journal_part_init(&part);
    if (hold.since_sync > SYNC_BYTES || hold.releasing) {
        hold.since_sync = 0;
        add_sync(&part, epoch);
    }
    /* Also when it is empty: the epoch is stable after those before it */
    ft_apply_submit(hold.apply, &part, epoch);
}

uint64_t ft_hold_backlog(void)
{
    return hold.apply ? ft_apply_bytes(hold.apply) : 0;
}

uint64_t ft_hold_stable(void)
{
    return MAX(hold.stable, ft_apply_stable(hold.apply));
}

static bool empty(void)
{
    QEMU_LOCK_GUARD(&hold.lock);
    return QTAILQ_EMPTY(&hold.all);
}

static void end(void)
{
    qatomic_set(&hold.on, false);
    ft_apply_free(hold.apply);
    hold.apply = NULL;
    hold.stuck = hold.again = false;
    hold.changed = NULL;
}

static void image_failed(const char *error)
{
    g_autofree char *why = g_strdup_printf(
        "%s; the guest is stopped and nothing is lost: mend it and use cont",
        error);

    if (hold.stuck) {
        return;
    }
    hold.stuck = true;
    error_report("fault tolerance: %s", why);
    ft_state_set(FT_ROLE_PRIMARY, FT_STATE_DEGRADED, why);
    ft_guest_halt(RUN_STATE_IO_ERROR);
}

/* The user has continued the guest: once more */
static void try_again(void)
{
    hold.again = false;
    if (!hold.changed) {
        if (ft_hold_release(hold.released)) {
            hold.released();
        }
        return;
    }
    hold.stuck = false;
    hold.stable = ft_hold_stable();
    new_applier();
    ft_hold_commit(hold.committed);
    ft_state_set(FT_ROLE_PRIMARY, FT_STATE_PROTECTED, NULL);
}

static void look_after(EventNotifier *e)
{
    g_autofree char *error = NULL;

    if (!event_notifier_test_and_clear(e) || !hold.apply) {
        return;
    }
    if (hold.stuck && hold.again) {
        try_again();
    }
    if (!hold.apply) {
        return;
    }
    error = ft_apply_error(hold.apply);
    if (error) {
        image_failed(error);
    } else if (hold.changed) {
        hold.changed();
    }
}

bool ft_hold_settle(Error **errp)
{
    bool ok;

    if (!ft_hold_on() || hold.is_void) {
        return true;
    }
    if (hold.stuck) {
        error_setg(errp, "writes of the guest to a shared drive that has "
                   "failed are held here");
        return false;
    }
    bdrv_drain_all_begin();
    hold.releasing = true;
    ft_hold_commit(hold.committed);
    ok = ft_apply_finish(hold.apply, errp);
    hold.releasing = false;
    bdrv_drain_all_end();
    return ok;
}

bool ft_hold_release(void (*later)(void))
{
    Error *err = NULL;

    if (!ft_hold_on() || hold.is_void) {
        return true;
    }
    hold.changed = NULL;
    hold.released = later;
    bdrv_drain_all_begin();
    hold.releasing = true;
    if (hold.stuck) {
        hold.stuck = false;
        new_applier();
    }
    ft_hold_commit(UINT64_MAX - 1);
    if (ft_apply_finish(hold.apply, &err) && empty()) {
        end();
    }
    hold.releasing = false;
    bdrv_drain_all_end();
    if (err) {
        image_failed(error_get_pretty(err));
        error_free(err);
        return false;
    }
    return true;
}

/* Trying again may have to stop the guest: not from within its start */
static void continued(void *opaque, bool running, RunState state)
{
    if (running && hold.stuck) {
        hold.again = true;
        event_notifier_set(&hold.event);
    }
}

void ft_hold_drop(void)
{
    Held *h;

    if (!ft_hold_on()) {
        return;
    }
    qatomic_set(&hold.is_void, true);
    ft_apply_free(hold.apply);
    hold.apply = NULL;
    while ((h = QTAILQ_FIRST(&hold.all))) {
        WITH_QEMU_LOCK_GUARD(&hold.lock) {
            forget_locked(h);
        }
        unref(h);
    }
    hold.stuck = hold.again = false;
    hold.changed = NULL;
}

bool ft_hold_is_void(void)
{
    return hold.is_void;
}

void ft_hold_reset(void)
{
    if (hold.is_void) {
        qatomic_set(&hold.on, false);
        qatomic_set(&hold.is_void, false);
    }
}

static void prepare(void)
{
    if (hold.ready) {
        return;
    }
    qemu_mutex_init(&hold.lock);
    QTAILQ_INIT(&hold.all);
    event_notifier_init(&hold.event, false);
    event_notifier_set_handler(&hold.event, look_after);
    qemu_add_vm_change_state_handler(continued, NULL);
    hold.ready = true;
}

void ft_hold_start(FtFilter *const *filter, uint32_t n,
                   void (*changed)(void))
{
    prepare();
    assert(!ft_hold_on());
    memcpy(hold.filter, filter, n * sizeof(*filter));
    hold.n = n;
    hold.changed = changed;
    hold.committed = hold.stable = hold.since_sync = hold.last_epoch = 0;
    new_applier();
    qatomic_set(&hold.on, true);
}
