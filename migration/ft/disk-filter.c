/*
 * QEMU-FT: the filter on top of each disk of the guest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A request goes to the image first; when that has succeeded it is put into
 * the log for the peer (disk-log.c), and then the guest hears of it.
 *
 * A write is copied before anything else: the guest may change its buffer
 * while the write is under way, and image and peer have to get the same.
 *
 * Requests that overlap would reach image and log in different orders, so
 * one waits for the other; disks in good use have none.  The first copy
 * locks what it reads in the same way.
 *
 * While nobody is connected requests pass through untouched.
 *
 * Shared images are another matter: what changes them goes to disk-hold.c,
 * and to the peer, and reads see through what is held there.
 *
 * An error of the image is told to failout.c and returned: by the time the
 * guest could act on it this copy of the guest has stopped for good, unless
 * there is no peer that can go on.
 *
 * What would take the filter out of the path of writes - snapshots, mirror
 * and commit jobs, resizing - is refused by op blockers while it is in
 * place.  Backup works: it puts its own filter above or below.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/coroutine.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "block/block_int.h"
#include "block/graph-lock.h"
#include "disk-filter.h"
#include "disk-hold.h"
#include "disk-log.h"
#include "fault.h"
#include "options.h"

struct FtFilter {
    BlockDriverState *bs;       /* NULL: somebody has taken it out */
    const FtDisk *disk;
    uint16_t index;
    void (*failed)(FtFilter *f, int ret, const char *what);
    Error *blocker;
    CoMutex lock;
    BlockReqList busy;          /* ranges written or copied right now */
    int draining;               /* atomic */
};

static int all_draining;        /* atomic: the sum */

typedef struct FtFilterState {
    FtFilter *f;
} FtFilterState;

static FtFilter *filter_of(BlockDriverState *bs)
{
    return ((FtFilterState *)bs->opaque)->f;
}

void coroutine_fn ft_filter_lock(FtFilter *f, BlockReq *req, int64_t offset,
                                 int64_t bytes)
{
    QEMU_LOCK_GUARD(&f->lock);
    reqlist_wait_all(&f->busy, offset, bytes, &f->lock);
    reqlist_init_req(&f->busy, req, offset, bytes);
}

void coroutine_fn ft_filter_unlock(FtFilter *f, BlockReq *req)
{
    QEMU_LOCK_GUARD(&f->lock);
    reqlist_remove_req(req);
}

/* An error that says something of the image, not of the request */
static int settle(FtFilter *f, int ret, const char *what)
{
    if (ret < 0 && ret != -ENOTSUP && ret != -EINVAL && ret != -EAGAIN &&
        ret != -ECANCELED && ret != -ENOMEDIUM && ret != -ENOMEM) {
        f->failed(f, ret, what);
    }
    return ret;
}

static int coroutine_fn GRAPH_RDLOCK
filter_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes,
              QEMUIOVector *qiov, BdrvRequestFlags flags)
{
    FtFilter *f = filter_of(bs);
    FtHoldView *held = ft_hold_on() ?
                       ft_hold_look(f->index, offset, bytes) : NULL;
    int ret = bdrv_co_preadv(bs->backing, offset, bytes, qiov, flags);

    if (held) {
        ft_hold_lay(held, offset, qiov);
    }
    return settle(f, ret, "reading");
}

/* Whether a request must not simply pass through */
static bool watched(BdrvRequestFlags flags)
{
    return ft_hold_on() ||
           (ft_disk_log_on() && !(flags & BDRV_REQ_WRITE_UNCHANGED));
}

static int coroutine_fn GRAPH_RDLOCK
logged_write(BlockDriverState *bs, int64_t offset, int64_t bytes,
             QEMUIOVector *qiov, BdrvRequestFlags flags)
{
    FtFilter *f = filter_of(bs);
    uint8_t *data = ft_disk_log_buffer(bytes);
    QEMUIOVector copy = QEMU_IOVEC_INIT_BUF(copy, data, bytes);
    FtDiskOp op = {
        .offset = offset,
        .length = bytes,
        .disk = f->index,
        .kind = FT_DISK_WRITE,
        .data = data,
    };
    BlockReq req;
    int ret;

    if (!data) {
        return -ENOMEM;
    }
    qemu_iovec_to_buf(qiov, 0, data, bytes);
    ft_filter_lock(f, &req, offset, bytes);
    if (ft_hold_on()) {
        ft_disk_log_put(&op);
        ft_hold_put(&op);
        data = NULL;
        ret = 0;
    } else {
        ret = bdrv_co_pwritev(bs->backing, offset, bytes, &copy,
                              flags & ~BDRV_REQ_REGISTERED_BUF);
        if (ret >= 0) {
            ft_disk_log_put(&op);
        }
    }
    ft_filter_unlock(f, &req);
    if (data) {
        ft_disk_log_free(data);
    }
    ft_fault(FT_FAULT_DISK_WRITE);
    return ret;
}

static int coroutine_fn GRAPH_RDLOCK
filter_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
               QEMUIOVector *qiov, BdrvRequestFlags flags)
{
    FtFilter *f = filter_of(bs);
    int ret;

    if (!watched(flags)) {
        ret = bdrv_co_pwritev(bs->backing, offset, bytes, qiov, flags);
    } else {
        ft_disk_log_wait(&f->draining);
        ret = logged_write(bs, offset, bytes, qiov, flags);
    }
    return settle(f, ret, "writing to");
}

/* A ZERO or a DISCARD */
static int coroutine_fn GRAPH_RDLOCK
logged_range(BlockDriverState *bs, FtDiskOp *op, BdrvRequestFlags flags)
{
    FtFilter *f = filter_of(bs);
    BlockReq req;
    int ret = 0;

    ft_filter_lock(f, &req, op->offset, op->length);
    if (ft_hold_on()) {
        ft_disk_log_put(op);
        ft_hold_put(op);
    } else {
        ret = op->kind == FT_DISK_ZERO ?
              bdrv_co_pwrite_zeroes(bs->backing, op->offset, op->length,
                                    flags) :
              bdrv_co_pdiscard(bs->backing, op->offset, op->length);
        if (ret >= 0) {
            ft_disk_log_put(op);
        }
    }
    ft_filter_unlock(f, &req);
    return ret;
}

static int coroutine_fn GRAPH_RDLOCK
filter_pwrite_zeroes(BlockDriverState *bs, int64_t offset, int64_t bytes,
                     BdrvRequestFlags flags)
{
    FtFilter *f = filter_of(bs);
    FtDiskOp op = {
        .offset = offset,
        .length = bytes,
        .disk = f->index,
        .kind = FT_DISK_ZERO,
        .may_unmap = flags & BDRV_REQ_MAY_UNMAP,
    };
    int ret;

    if (!watched(flags)) {
        ret = bdrv_co_pwrite_zeroes(bs->backing, offset, bytes, flags);
    } else {
        ft_disk_log_wait(&f->draining);
        ret = logged_range(bs, &op, flags);
    }
    return settle(f, ret, "writing to");
}

static int coroutine_fn GRAPH_RDLOCK
filter_pdiscard(BlockDriverState *bs, int64_t offset, int64_t bytes)
{
    FtDiskOp op = {
        .offset = offset,
        .length = bytes,
        .disk = filter_of(bs)->index,
        .kind = FT_DISK_DISCARD,
    };

    if (!watched(0)) {
        return bdrv_co_pdiscard(bs->backing, offset, bytes);
    }
    return logged_range(bs, &op, 0);
}

static int coroutine_fn GRAPH_RDLOCK filter_flush(BlockDriverState *bs)
{
    FtFilter *f = filter_of(bs);
    FtDiskOp op = { .disk = f->index, .kind = FT_DISK_FLUSH };
    int ret;

    if (!bs->backing) {
        return 0;
    }
    if (ft_hold_on()) {
        ft_disk_log_put(&op);
        ft_hold_put(&op);
        return 0;
    }
    ret = bdrv_co_flush(bs->backing->bs);
    if (ret >= 0 && ft_disk_log_on()) {
        ft_disk_log_put(&op);
    }
    return settle(f, ret, "flushing");
}

/* Both sides have to keep their size; the op blocker says so by name */
static int coroutine_fn GRAPH_RDLOCK
filter_truncate(BlockDriverState *bs, int64_t offset, bool exact,
                PreallocMode prealloc, BdrvRequestFlags flags, Error **errp)
{
    error_setg(errp, "drive %s is mirrored by fault tolerance and cannot be "
               "resized; use ft-stop first", filter_of(bs)->disk->name);
    return -EBUSY;
}

static void GRAPH_RDLOCK filter_refresh_limits(BlockDriverState *bs,
                                               Error **errp)
{
    bs->bl.max_transfer = MIN_NON_ZERO(bs->bl.max_transfer,
                                       FT_WIRE_MAX_DISK_DATA);
}

static void GRAPH_RDLOCK filter_refresh_filename(BlockDriverState *bs)
{
    if (bs->backing) {
        pstrcpy(bs->exact_filename, sizeof(bs->exact_filename),
                bs->backing->bs->filename);
    }
}

static void filter_drain_begin(BlockDriverState *bs)
{
    if (filter_of(bs)) {
        qatomic_inc(&filter_of(bs)->draining);
        qatomic_inc(&all_draining);
    }
}

static void filter_drain_end(BlockDriverState *bs)
{
    if (filter_of(bs)) {
        qatomic_dec(&filter_of(bs)->draining);
        qatomic_dec(&all_draining);
    }
}

static void filter_close(BlockDriverState *bs)
{
    FtFilter *f = filter_of(bs);

    if (f) {
        f->bs = NULL;
        /* A node that is closed hears nothing of the drain's end */
        qatomic_sub(&all_draining, qatomic_xchg(&f->draining, 0));
    }
}

static BlockDriver ft_filter_driver = {
    .format_name = "ft-mirror",
    .instance_size = sizeof(FtFilterState),
    .bdrv_co_preadv = filter_preadv,
    .bdrv_co_pwritev = filter_pwritev,
    .bdrv_co_pwrite_zeroes = filter_pwrite_zeroes,
    .bdrv_co_pdiscard = filter_pdiscard,
    .bdrv_co_flush = filter_flush,
    .bdrv_co_truncate = filter_truncate,
    .bdrv_refresh_limits = filter_refresh_limits,
    .bdrv_refresh_filename = filter_refresh_filename,
    .bdrv_drain_begin = filter_drain_begin,
    .bdrv_drain_end = filter_drain_end,
    .bdrv_close = filter_close,
    .bdrv_child_perm = bdrv_default_perms,
    .is_filter = true,
    .filtered_child_is_backing = true,
};

static void block_operations(FtFilter *f, bool block)
{
    static const BlockOpType types[] = {
        BLOCK_OP_TYPE_COMMIT_SOURCE, BLOCK_OP_TYPE_COMMIT_TARGET,
        BLOCK_OP_TYPE_EXTERNAL_SNAPSHOT, BLOCK_OP_TYPE_INTERNAL_SNAPSHOT,
        BLOCK_OP_TYPE_MIRROR_SOURCE, BLOCK_OP_TYPE_MIRROR_TARGET,
        BLOCK_OP_TYPE_RESIZE, BLOCK_OP_TYPE_STREAM, BLOCK_OP_TYPE_REPLACE,
        BLOCK_OP_TYPE_BACKUP_TARGET, BLOCK_OP_TYPE_CHANGE,
        BLOCK_OP_TYPE_EJECT, BLOCK_OP_TYPE_DRIVE_DEL,
        /* The image alone is not what the guest sees while writes are held */
        BLOCK_OP_TYPE_BACKUP_SOURCE,
    };
    int ntypes = ARRAY_SIZE(types) - !ft_opts.shared;
    BlockDriverState *nodes[] = { f->bs, ft_filter_image(f) };

    for (int n = 0; n < ARRAY_SIZE(nodes); n++) {
        for (int i = 0; nodes[n] && i < ntypes; i++) {
            if (block) {
                bdrv_op_block(nodes[n], types[i], f->blocker);
            } else {
                bdrv_op_unblock(nodes[n], types[i], f->blocker);
            }
        }
    }
}

FtFilter *ft_filter_insert(const FtDisk *disk, uint16_t index,
                           void (*failed)(FtFilter *f, int ret,
                                          const char *what), Error **errp)
{
    BlockDriverState *bs = bdrv_new_open_driver(&ft_filter_driver, NULL,
                                                BDRV_O_RDWR | BDRV_O_UNMAP,
                                                errp);
    FtFilter *f;
    int ret;

    if (!bs) {
        return NULL;
    }
    bs->implicit = true;
    bs->never_freeze = true;
    bs->total_sectors = disk->bs->total_sectors;
    bs->supported_write_flags = BDRV_REQ_WRITE_UNCHANGED;
    bs->supported_zero_flags = BDRV_REQ_WRITE_UNCHANGED |
                               BDRV_REQ_MAY_UNMAP | BDRV_REQ_NO_FALLBACK;
    f = g_new0(FtFilter, 1);
    f->bs = bs;
    f->disk = disk;
    f->index = index;
    f->failed = failed;
    qemu_co_mutex_init(&f->lock);
    QLIST_INIT(&f->busy);
    ((FtFilterState *)bs->opaque)->f = f;

    bdrv_drained_begin(disk->bs);
    ret = bdrv_append(bs, disk->bs, errp);
    bdrv_drained_end(disk->bs);
    /* From now on the device's back end keeps it */
    bdrv_unref(bs);
    if (ret < 0) {
        error_prepend(errp, "drive %s cannot be mirrored: ", disk->name);
        g_free(f);
        return NULL;
    }
    error_setg(&f->blocker, "drive %s is %s by fault tolerance; use "
               "ft-stop first", disk->name,
               ft_opts.shared ? "held back" : "mirrored");
    block_operations(f, true);
    return f;
}

void ft_filter_remove(FtFilter *f)
{
    if (f->bs) {
        block_operations(f, false);
        bdrv_drop_filter(f->bs, &error_abort);
    }
    /* Whoever still holds the node keeps its state too */
    if (!f->bs) {
        error_free(f->blocker);
        g_free(f);
    }
}

bool ft_filter_draining(void)
{
    return qatomic_read(&all_draining);
}

int coroutine_fn ft_filter_perform(FtFilter *f, const FtJournalOp *op)
{
    const FtDiskOp *d = &op->op;
    BdrvChild *image;
    int ret;
    GRAPH_RDLOCK_GUARD();

    if (!f->bs || !f->bs->backing) {
        return -ENOMEDIUM;
    }
    image = f->bs->backing;
    if (!(image->perm & BLK_PERM_WRITE)) {
        /* The device has gone */
        return -ENOMEDIUM;
    }
    switch (d->kind) {
    case FT_DISK_WRITE:
        return bdrv_co_pwrite(image, d->offset, d->length, op->data, 0);
    case FT_DISK_ZERO:
        return bdrv_co_pwrite_zeroes(image, d->offset, d->length,
                                     d->may_unmap ? BDRV_REQ_MAY_UNMAP : 0);
    case FT_DISK_DISCARD:
        ret = bdrv_co_pdiscard(image, d->offset, d->length);
        /* An image that cannot discard keeps what it has */
        return ret == -ENOTSUP || ret == -EINVAL ? 0 : ret;
    case FT_DISK_FLUSH:
        return bdrv_co_flush(image->bs);
    default:
        g_assert_not_reached();
    }
}

bool ft_filter_covers(FtFilter *f)
{
    BlockDriverState *bs = blk_bs(f->disk->blk);
    GRAPH_RDLOCK_GUARD_MAINLOOP();

    if (!f->bs || !blk_get_attached_dev(f->disk->blk)) {
        return false;
    }
    while (bs && bs != f->bs) {
        bs = bdrv_filter_bs(bs);
    }
    return bs;
}

const FtDisk *ft_filter_disk(FtFilter *f)
{
    return f->disk;
}

uint16_t ft_filter_index(FtFilter *f)
{
    return f->index;
}

BlockDriverState *ft_filter_image(FtFilter *f)
{
    GRAPH_RDLOCK_GUARD_MAINLOOP();

    return f->bs ? bdrv_filter_bs(f->bs) : NULL;
}
