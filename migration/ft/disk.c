/*
 * QEMU-FT: the guest's writable disks
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A disk is whatever a device of the machine can write through the block
 * layer: virtio, SCSI, IDE and NVMe disks, SD cards, floppies with a medium,
 * flash.  Its key is the QOM path of that device, which the handshake has
 * compared already.
 *
 * Two QEMUs must not mirror an image onto itself.  On one host the image's
 * lock prevents it, and the inode tells; a LUN that two hosts see has a
 * world-wide name.
 */
#include "qemu/osdep.h"
#include <sys/sysmacros.h>
#include "qemu/atomic.h"
#include "qapi/error.h"
#include "block/block_int.h"
#include "hw/qdev-core.h"
#include "disk.h"
#include "options.h"

bool ft_disk_is_writable(BlockBackend *blk)
{
    return blk_get_attached_dev(blk) && blk_is_available(blk) &&
           blk_supports_write_perm(blk);
}

static char *device_path(BlockBackend *blk)
{
    return object_get_canonical_path(OBJECT(blk_get_attached_dev(blk)));
}

static char *disk_name(BlockBackend *blk)
{
    DeviceState *dev = blk_get_attached_dev(blk);

    return g_strdup(*blk_name(blk) ? blk_name(blk) :
                    dev->id ?: bdrv_get_node_name(blk_bs(blk)));
}

static char *first_line(const char *path)
{
    char *text = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return NULL;
    }
    return g_strchomp(text);
}

static char *storage_of_file(const char *filename)
{
    g_autofree char *boot = NULL;
    struct stat st;

    if (stat(filename, &st) < 0) {
        return g_strdup("");
    }
    if (S_ISBLK(st.st_mode)) {
        g_autofree char *path = g_strdup_printf(
            "/sys/dev/block/%u:%u/device/wwid", major(st.st_rdev),
            minor(st.st_rdev));
        g_autofree char *wwid = first_line(path);

        if (wwid) {
            return g_strdup_printf("lun:%s", wwid);
        }
    }
    boot = first_line("/proc/sys/kernel/random/boot_id");
    return g_strdup_printf("%s:%" PRIx64 ":%" PRIx64, boot ?: "",
                           (uint64_t)(S_ISBLK(st.st_mode) ? st.st_rdev :
                                      st.st_dev), (uint64_t)st.st_ino);
}

static char *storage_of(BlockDriverState *bs)
{
    GRAPH_RDLOCK_GUARD_MAINLOOP();

    while (bdrv_primary_bs(bs)) {
        bs = bdrv_primary_bs(bs);
    }
    if (!bs->drv || !bs->drv->protocol_name) {
        return g_strdup("");
    }
    if (g_str_equal(bs->drv->protocol_name, "file") ||
        g_str_equal(bs->drv->protocol_name, "host_device")) {
        return storage_of_file(bs->filename);
    }
    return g_strdup(bs->exact_filename);
}

static bool is_snapshot(BlockDriverState *bs)
{
    GRAPH_RDLOCK_GUARD_MAINLOOP();

    return bdrv_skip_filters(bs)->open_flags & BDRV_O_TEMPORARY;
}

static bool add_disk(FtDisks *disks, BlockBackend *blk, Error **errp)
{
    FtDisk *d = &disks->disk[disks->n];
    g_autofree char *name = disk_name(blk);
    int64_t size = blk_getlength(blk);
    uint64_t perm, others;

    if (disks->n == FT_WIRE_MAX_DISKS) {
        error_setg(errp, "drive %s is one more than the %d that fault "
                   "tolerance mirrors; remove it", name, FT_WIRE_MAX_DISKS);
        return false;
    }
    if (size < 0) {
        error_setg(errp, "cannot find out the size of drive %s: %s", name,
                   strerror(-size));
        return false;
    }
    if (is_snapshot(blk_bs(blk))) {
        error_setg(errp, "drive %s has snapshot=on: what the guest writes "
                   "would be lost with either host; remove snapshot=on",
                   name);
        return false;
    }
    blk_get_perm(blk, &perm, &others);
    if (ft_opts.shared && (others & BLK_PERM_WRITE)) {
        error_setg(errp, "drive %s lets others write to its image "
                   "(share-rw=on), so its lock tells nothing; remove that or "
                   "shared=on", name);
        return false;
    }
    *d = (FtDisk) {
        .device = device_path(blk),
        .name = g_steal_pointer(&name),
        .storage = storage_of(blk_bs(blk)),
        .blk = blk,
        .bs = blk_bs(blk),
        .size = size,
    };
    blk_ref(blk);
    disks->n++;
    return true;
}

static void GRAPH_RDLOCK mark_unflushed(BlockDriverState *bs)
{
    BdrvChild *child;

    qatomic_inc(&bs->write_gen);
    QLIST_FOREACH(child, &bs->children, next) {
        mark_unflushed(child->bs);
    }
}

void ft_disk_unflushed(BlockDriverState *bs)
{
    GRAPH_RDLOCK_GUARD_MAINLOOP();

    mark_unflushed(bs);
}

static int compare_disks(const void *a, const void *b)
{
    return strcmp(((const FtDisk *)a)->device, ((const FtDisk *)b)->device);
}

bool ft_disks_find(FtDisks *disks, Error **errp)
{
    BlockBackend *blk = NULL;

    *disks = (FtDisks) { 0 };
    while ((blk = blk_all_next(blk))) {
        if (ft_disk_is_writable(blk) && !add_disk(disks, blk, errp)) {
            ft_disks_free(disks);
            return false;
        }
    }
    qsort(disks->disk, disks->n, sizeof(disks->disk[0]), compare_disks);
    return true;
}

void ft_disks_free(FtDisks *disks)
{
    for (uint32_t i = 0; i < disks->n; i++) {
        FtDisk *d = &disks->disk[i];

        g_free(d->device);
        g_free(d->name);
        g_free(d->storage);
        blk_unref(d->blk);
    }
    disks->n = 0;
}

FtDiskIdList *ft_disks_describe(const FtDisks *disks)
{
    FtDiskIdList *list = NULL, **tail = &list;

    for (uint32_t i = 0; i < disks->n; i++) {
        const FtDisk *d = &disks->disk[i];
        FtDiskId *id = g_new0(FtDiskId, 1);

        id->device = g_strdup(d->device);
        id->name = g_strdup(d->name);
        id->storage = g_strdup(d->storage);
        id->size = d->size;
        QAPI_LIST_APPEND(tail, id);
    }
    return list;
}

/*
 * Two hosts see one file with different device numbers: only where both name
 * this host, or a LUN, or a network disk, is a difference one.
 */
static bool could_be_same(const char *a, const char *b)
{
    size_t host = strcspn(a, ":");

    if (!*a || !*b || g_str_equal(a, b)) {
        return true;
    }
    return host == strcspn(b, ":") && strncmp(a, b, host) &&
           !g_str_has_prefix(a, "lun:") && !g_str_has_prefix(b, "lun:");
}

static bool same_disk(const FtDiskId *a, const FtDiskId *b, bool shared,
                      Error **errp)
{
    if (a->size != b->size) {
        error_setg(errp, "disk %.200s differs: %" PRIu64 " bytes on the "
                   "secondary, %" PRIu64 " on the primary; make both the "
                   "same size", b->name, a->size, b->size);
        return false;
    }
    if (shared && !could_be_same(a->storage, b->storage)) {
        error_setg(errp, "disk %.200s is not the same image on both sides, as "
                   "shared=on has it", b->name);
        return false;
    }
    if (!shared && *a->storage && g_str_equal(a->storage, b->storage)) {
        error_setg(errp, "disk %.200s is one image on both sides; give the "
                   "secondary an image of its own, or both shared=on",
                   b->name);
        return false;
    }
    return true;
}

bool ft_disks_match(FtDiskIdList *here, FtDiskIdList *there, bool shared,
                    Error **errp)
{
    int order = 0;

    for (; here && there; here = here->next, there = there->next) {
        order = strcmp(here->value->device, there->value->device);
        if (order) {
            break;
        }
        if (!same_disk(here->value, there->value, shared, errp)) {
            return false;
        }
    }
    if (there && (!here || order > 0)) {
        error_setg(errp, "disk %.200s is missing or read-only on the "
                   "secondary", there->value->name);
        return false;
    }
    if (here) {
        error_setg(errp, "disk %s is writable on the secondary, but missing "
                   "or read-only on the primary", here->value->name);
        return false;
    }
    return true;
}
