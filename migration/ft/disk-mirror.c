/*
 * QEMU-FT: the disks that are mirrored, on the primary
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Filters are in place as long as protection is wanted, connected or not.
 * The log starts with all devices drained: the first copy then sees every
 * write either in the image or in the log.
 *
 * Drives come and go: a drive that the guest can write and that has no
 * filter would be silently unprotected.  So each cut looks, and the
 * connection ends when it finds one.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "block/block.h"
#include "disk-log.h"
#include "disk-mirror.h"
#include "failout.h"

static struct {
    FtDisks disks;
    FtFilter *filter[FT_WIRE_MAX_DISKS];
    bool attached;
} mirror;

static void image_failed(FtFilter *f, int ret, const char *what)
{
    ft_failout_note(ft_filter_disk(f)->name, what, ret);
}

void ft_mirror_detach(void)
{
    for (uint32_t i = 0; i < mirror.disks.n; i++) {
        if (mirror.filter[i]) {
            ft_filter_remove(mirror.filter[i]);
            mirror.filter[i] = NULL;
        }
    }
    ft_disks_free(&mirror.disks);
    mirror.attached = false;
}

bool ft_mirror_attach(Error **errp)
{
    if (mirror.attached) {
        return true;
    }
    if (!ft_disks_find(&mirror.disks, errp)) {
        return false;
    }
    for (uint32_t i = 0; i < mirror.disks.n; i++) {
        mirror.filter[i] = ft_filter_insert(&mirror.disks.disk[i], i,
                                            image_failed, errp);
        if (!mirror.filter[i]) {
            ft_mirror_detach();
            return false;
        }
    }
    mirror.attached = true;
    return true;
}

const FtDisks *ft_mirror_disks(void)
{
    return &mirror.disks;
}

FtFilter *ft_mirror_filter(uint32_t index)
{
    return mirror.filter[index];
}

void ft_mirror_start(FtChannel *ch, const uint64_t *epoch)
{
    bdrv_drain_all_begin();
    ft_disk_log_start(ch, epoch);
    bdrv_drain_all_end();
}

void ft_mirror_stop(void)
{
    ft_disk_log_stop();
}

bool ft_mirror_covers(Error **errp)
{
    BlockBackend *blk = NULL;
    uint32_t writable = 0;

    for (uint32_t i = 0; i < mirror.disks.n; i++) {
        if (!ft_filter_covers(mirror.filter[i])) {
            error_setg(errp, "drive %s is not mirrored any more: it was "
                       "removed, or its block nodes were changed",
                       mirror.disks.disk[i].name);
            return false;
        }
    }
    while ((blk = blk_all_next(blk))) {
        writable += ft_disk_is_writable(blk);
    }
    if (writable != mirror.disks.n) {
        error_setg(errp, "the guest has %" PRIu32 " writable drives, %"
                   PRIu32 " of them are mirrored", writable, mirror.disks.n);
        return false;
    }
    return true;
}
