/*
 * QEMU-FT: the guest's disks on the primary, mirrored or shared
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Filters are in place as long as protection is wanted, connected or not.
 * The log starts with all devices drained: the first copy then sees every
 * write either in the image or in the log.
 *
 * Shared disks are not copied.  The peer needs what the guest has written
 * since the last flush that we know of, because our host may lose that: so
 * the log starts, then everything is flushed, and only then comes the first
 * cut, from which on writes are held (disk-hold.c).
 *
 * Drives come and go: a drive that the guest can write and that has no
 * filter would be silently unprotected.  So each cut looks, and the
 * connection ends when it finds one.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/event_notifier.h"
#include "qemu/main-loop.h"
#include "qemu/units.h"
#include "block/block.h"
#include "disk-hold.h"
#include "disk-log.h"
#include "disk-mirror.h"
#include "disk-sync.h"
#include "failout.h"
#include "options.h"
#include "primary.h"

#define BACKLOG_MAX (64 * MiB)  /* of committed writes to shared disks */

static struct {
    FtDisks disks;
    FtFilter *filter[FT_WIRE_MAX_DISKS];
    bool attached;
    void (*settled)(void);
} mirror;

/* One at a time; what comes back from an earlier one is ignored */
static struct {
    EventNotifier event;
    bool ready;
    uint64_t number;
    uint32_t missing;
    char *error;
    void (*finished)(const char *error);
} flush;

static void image_failed(FtFilter *f, int ret, const char *what)
{
    /* The peer has no other copy of a shared disk: the guest has to know */
    if (!ft_opts.shared) {
        ft_failout_note(ft_filter_disk(f)->name, what, ret);
    }
}

void ft_mirror_detach(void)
{
    if (ft_hold_on() && !ft_hold_is_void()) {
        /* A shared disk has failed: what the guest has written is here */
        return;
    }
    ft_disk_sync_settle();
    for (uint32_t i = 0; i < mirror.disks.n; i++) {
        if (mirror.filter[i]) {
            ft_filter_remove(mirror.filter[i]);
            mirror.filter[i] = NULL;
        }
    }
    ft_disks_free(&mirror.disks);
    ft_hold_reset();
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

void ft_mirror_start(FtChannel *ch, const uint64_t *epoch,
                     void (*settled)(void))
{
    mirror.settled = settled;
    bdrv_drain_all_begin();
    ft_disk_log_start(ch, epoch);
    bdrv_drain_all_end();
}

void ft_mirror_stop(void)
{
    flush.finished = NULL;
    ft_disk_log_stop();
}

bool ft_mirror_release(void)
{
    return ft_hold_release(ft_primary_mended);
}

bool ft_mirror_settle(Error **errp)
{
    return ft_hold_settle(errp);
}

void ft_mirror_drop(void)
{
    ft_hold_drop();
}

static void flushes_done(EventNotifier *e)
{
    void (*finished)(const char *error) = flush.finished;

    if (event_notifier_test_and_clear(e) && finished && !flush.missing) {
        flush.finished = NULL;
        finished(flush.error);
    }
}

static void one_flushed(void *opaque, int ret)
{
    uint64_t *number = opaque;

    if (*number == flush.number) {
        flush.missing--;
        if (ret < 0 && !flush.error) {
            flush.error = g_strdup_printf("a shared drive cannot be flushed: "
                                          "%s", strerror(-ret));
        }
        event_notifier_set(&flush.event);
    }
    g_free(number);
}

void ft_mirror_flush(void (*finished)(const char *error))
{
    if (!flush.ready) {
        event_notifier_init(&flush.event, false);
        event_notifier_set_handler(&flush.event, flushes_done);
        flush.ready = true;
    }
    g_free(flush.error);
    flush.error = NULL;
    flush.number++;
    flush.missing = mirror.disks.n;
    flush.finished = finished;
    for (uint32_t i = 0; i < mirror.disks.n; i++) {
        ft_disk_unflushed(blk_bs(mirror.disks.disk[i].blk));
        blk_aio_flush(mirror.disks.disk[i].blk, one_flushed,
                      g_memdup2(&flush.number, sizeof(flush.number)));
    }
    event_notifier_set(&flush.event);
}

void ft_mirror_cut(void)
{
    ft_disk_log_cut();
    if (ft_opts.shared && !ft_hold_on()) {
        ft_hold_start(mirror.filter, mirror.disks.n, mirror.settled);
    }
}

bool ft_mirror_stuck(void)
{
    return ft_hold_on() && !ft_hold_is_void() && !ft_disk_log_on();
}

bool ft_mirror_overloaded(void)
{
    return ft_hold_backlog() > BACKLOG_MAX;
}

void ft_mirror_commit(uint64_t epoch)
{
    ft_hold_commit(epoch);
}

uint64_t ft_mirror_stable(uint64_t peer)
{
    return ft_hold_on() && ft_opts.durability == FT_DURABILITY_DISK ?
           MIN(peer, ft_hold_stable()) : peer;
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
