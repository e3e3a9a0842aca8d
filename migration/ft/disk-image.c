/*
 * QEMU-FT: the secondary's images, to be written
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A waiting secondary's images are inactive, as on the target of a
 * migration: no locks, nothing cached is relied upon.  Activating one reads
 * its metadata anew and takes its lock, which fails while anybody else
 * writes to it.  The guest's own devices, which do nothing yet, share them
 * with us.
 */
#include "qemu/osdep.h"
#include "qemu/coroutine.h"
#include "qapi/error.h"
#include "block/block_int.h"
#include "disk-image.h"

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
static int coroutine_fn discard(BlockBackend *blk, const FtDiskOp *op)
{
    Discard d = { .co = qemu_coroutine_self() };

    blk_aio_pdiscard(blk, op->offset, op->length, discarded, &d);
    qemu_coroutine_yield();
    /* An image that cannot discard keeps what it has */
    return d.ret == -ENOTSUP || d.ret == -EINVAL ? 0 : d.ret;
}

static int coroutine_fn image_perform(void *blk, const FtJournalOp *op)
{
    const FtDiskOp *d = &op->op;

    switch (d->kind) {
    case FT_DISK_WRITE:
        return blk_co_pwrite(blk, d->offset, d->length, op->data, 0);
    case FT_DISK_ZERO:
        return blk_co_pwrite_zeroes(blk, d->offset, d->length,
                                    d->may_unmap ? BDRV_REQ_MAY_UNMAP : 0);
    case FT_DISK_DISCARD:
        return discard(blk, d);
    case FT_DISK_FLUSH:
        return blk_co_flush(blk);
    default:
        g_assert_not_reached();
    }
}

static int coroutine_fn image_read(void *blk, int64_t offset, int64_t bytes,
                                   uint8_t *data)
{
    return blk_co_pread(blk, offset, bytes, data, 0);
}

static void image_release(void *blk)
{
    blk_unref(blk);
}

static bool lock(const FtDisk *d, Error **errp)
{
    GRAPH_RDLOCK_GUARD_MAINLOOP();

    if (bdrv_activate(d->bs, errp) < 0) {
        error_prepend(errp, "disk %s of the secondary cannot be used: ",
                      d->name);
        return false;
    }
    return true;
}

bool ft_images_lock(const FtDisks *disks, Error **errp)
{
    for (uint32_t i = 0; i < disks->n; i++) {
        if (!lock(&disks->disk[i], errp)) {
            return false;
        }
    }
    return true;
}

static bool add(FtApply *a, const FtDisk *d, Error **errp)
{
    BlockBackend *blk = blk_new(qemu_get_aio_context(),
                                BLK_PERM_CONSISTENT_READ | BLK_PERM_WRITE,
                                BLK_PERM_ALL);
    FtApplyTarget target = {
        .opaque = blk,
        .perform = image_perform,
        .read = image_read,
        .release = image_release,
    };

    blk_set_allow_aio_context_change(blk, true);
    if (blk_insert_bs(blk, d->bs, errp) < 0) {
        error_prepend(errp, "disk %s of the secondary cannot be written: ",
                      d->name);
        blk_unref(blk);
        return false;
    }
    blk_set_enable_write_cache(blk, true);
    ft_disk_unflushed(d->bs);
    target.name = g_strdup_printf("disk %s of the secondary", d->name);
    ft_apply_add(a, &target);
    return true;
}

bool ft_images_add(FtApply *a, const FtDisks *disks, Error **errp)
{
    for (uint32_t i = 0; i < disks->n; i++) {
        if (!add(a, &disks->disk[i], errp)) {
            return false;
        }
    }
    return true;
}
