/*
 * QEMU-FT: receiving what the guest does to its disks
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Until the first commit there is no state that could be spoilt: what the
 * first copy brings, and what the guest writes beside it, goes to the images
 * at once.  From then on only committed epochs do.
 *
 * With durability=disk output of an epoch waits on the primary until the
 * guest's flushes in it are carried out here.  The acknowledgement does not
 * wait: it says up to which epoch that is so, and STABLE says more later.
 *
 * Shared images are the primary's as long as it lives.  There is no first
 * copy, only what the guest has written lately.  What is committed is
 * kept until it says APPLIED: until then its host may lose some of it.  At a
 * takeover all that was kept is written, in order, whether or not it is
 * there already: the images hold some of it, and nothing newer.  When that
 * fails it can be tried again, from the start: what was written may be lost
 * with the flush that failed.
 *
 * Memory: what waits to be applied (BACKLOG, or the one epoch that exceeds
 * it) and what belongs to the two epochs that can be open, which the
 * primary bounds (disk-log.c) and FT_WIRE_MAX_DISK_EPOCH limits.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "block/block.h"
#include "disk-image.h"
#include "disk-intake.h"
#include "options.h"

/* A committed epoch is acknowledged once less than so much waits */
#define BACKLOG (64 * MiB)
#define LOCK_NAP_US 2000

bool ft_disk_intake_find(FtDiskIntake *in, Error **errp)
{
    return ft_disks_find(&in->disks, errp);
}

static void applier_woke(void *ch)
{
    ft_channel_wake(ch);
}

bool ft_disk_intake_open(FtDiskIntake *in, FtChannel *ch, uint32_t timeout_ms,
                         Error **errp)
{
    uint64_t sizes[FT_WIRE_MAX_DISKS];

    for (uint32_t i = 0; i < in->disks.n; i++) {
        sizes[i] = in->disks.disk[i].size;
    }
    in->shared = ft_opts.shared;
    in->ch = ch;
    in->timeout_ns = timeout_ms * 1000000LL;
    in->apply = ft_apply_new(applier_woke, NULL, ch);
    ft_journal_init(&in->journal, in->disks.n, sizes);
    ft_journal_part_init(&in->kept);
    return in->shared || (ft_images_lock(&in->disks, errp) &&
                          ft_images_add(in->apply, &in->disks, errp));
}

void ft_disk_intake_destroy(FtDiskIntake *in)
{
    if (in->apply) {
        ft_apply_free(in->apply);
        ft_journal_destroy(&in->journal);
        ft_journal_part_free(&in->kept);
        in->apply = NULL;
    }
    ft_disks_free(&in->disks);
}

uint64_t ft_disk_intake_bytes(const FtDiskIntake *in)
{
    return ft_apply_bytes(in->apply) + qatomic_read_u64(&in->kept_bytes);
}

static void note_kept(FtDiskIntake *in)
{
    qatomic_set_u64(&in->kept_bytes, in->kept.bytes);
}

static bool take_applied(FtDiskIntake *in, uint64_t epoch, Error **errp)
{
    if (!in->shared || epoch > in->journal.committed) {
        error_setg(errp, "the peer said that epoch %" PRIu64 " is applied, "
                   "after epoch %" PRIu64, epoch, in->journal.committed);
        return false;
    }
    ft_journal_part_drop(&in->kept, epoch);
    note_kept(in);
    return true;
}

bool ft_disk_intake_record(FtDiskIntake *in, const FtRecord *rec,
                           Error **errp)
{
    if (rec->type == FT_REC_APPLIED) {
        return take_applied(in, ft_wire_get_u64(rec), errp);
    }
    if (!ft_journal_record(&in->journal, rec, errp)) {
        return false;
    }
    if (!in->journal.committed && !in->journal.begun && !in->shared) {
        FtJournalPart part;

        ft_journal_part_init(&part);
        ft_journal_take(&in->journal, &part);
        ft_apply_submit(in->apply, &part, 1);
    }
    return true;
}

void ft_disk_intake_begin(FtDiskIntake *in)
{
    ft_journal_begin(&in->journal);
}

/* Up to which of the acknowledged epochs output may go */
static uint64_t stable_now(FtDiskIntake *in)
{
    return in->durable && !in->shared ?
           MIN(ft_apply_stable(in->apply), in->acked) : in->acked;
}

static char *check_pace(FtDiskIntake *in)
{
    uint64_t bytes = ft_apply_bytes(in->apply);
    int64_t now = get_clock();

    if (!bytes || bytes != in->last_bytes) {
        in->last_bytes = bytes;
        in->moved_ns = now;
    } else if (now - in->moved_ns > FT_HUNG_FACTOR * in->timeout_ns) {
        return g_strdup("the disks of the secondary do not answer");
    }
    return NULL;
}

char *ft_disk_intake_turn(FtDiskIntake *in)
{
    g_autoptr(GByteArray) out = NULL;
    uint64_t stable;
    char *error;

    if (!ft_apply_attention(in->apply)) {
        return check_pace(in);
    }
    error = ft_apply_error(in->apply);
    if (error) {
        return error;
    }
    out = g_byte_array_new();
    ft_apply_answers(in->apply, out);
    stable = stable_now(in);
    if (stable > in->stable) {
        in->stable = stable;
        ft_wire_put_u64(out, FT_REC_STABLE, stable);
    }
    if (out->len) {
        ft_channel_write(in->ch, out->data, out->len);
    }
    return NULL;
}

static char *await(FtDiskIntake *in, FtApplyGoal goal, uint64_t value)
{
    char *error = NULL;
    bool there;

    do {
        there = ft_apply_wait(in->apply, goal, value, in->timeout_ns /
                              1000000 / FT_BEATS_PER_TIMEOUT);
        error = ft_disk_intake_turn(in);
        if (!there) {
            ft_channel_beat(in->ch);
        }
    } while (!there && !error);
    return error;
}

char *ft_disk_intake_room(FtDiskIntake *in)
{
    return await(in, FT_APPLY_BELOW, BACKLOG);
}

char *ft_disk_intake_settle(FtDiskIntake *in)
{
    return await(in, FT_APPLY_IDLE, 0);
}

char *ft_disk_intake_commit(FtDiskIntake *in, bool durable,
                            uint64_t *stable)
{
    FtJournalPart part;
    char *error;

    ft_journal_part_init(&part);
    ft_journal_commit(&in->journal, &part);
    in->durable = durable;
    if (in->shared) {
        ft_journal_part_append(&in->kept, &part);
        note_kept(in);
    } else {
        ft_apply_submit(in->apply, &part, in->journal.committed);
    }
    error = in->journal.committed == 1 ? ft_disk_intake_settle(in) :
            ft_disk_intake_room(in);
    in->acked = in->journal.committed;
    in->stable = *stable = stable_now(in);
    return error;
}

char *ft_disk_intake_idle(FtDiskIntake *in)
{
    return in->shared ? NULL : await(in, FT_APPLY_IDLE, 0);
}

char *ft_disk_intake_end(FtDiskIntake *in)
{
    FtJournalPart part;

    if (in->shared) {
        return NULL;
    }
    ft_journal_part_init(&part);
    ft_journal_take_all(&in->journal, &part);
    ft_apply_submit(in->apply, &part, in->journal.committed + 2);
    return await(in, FT_APPLY_IDLE, 0);
}

static bool lock(FtDiskIntake *in, uint32_t ms, Error **errp)
{
    int64_t end = get_clock() + ms * 1000000LL;
    Error *err = NULL;

    if (in->locked) {
        return true;
    }
    while (!ft_images_lock(&in->disks, &err)) {
        if (get_clock() >= end) {
            error_propagate(errp, err);
            return false;
        }
        error_free(err);
        err = NULL;
        g_usleep(LOCK_NAP_US);
    }
    in->locked = true;
    return true;
}

static void still_kept(FtJournalOp *op, bool performed)
{
}

/*
 * Put back in the order it had: what a failure stops ends before what is in
 * flight then
 */
static bool write_kept(FtDiskIntake *in, Error **errp)
{
    g_autoptr(GPtrArray) ops = g_ptr_array_new();
    FtJournalOp *op;
    bool ok;

    QSIMPLEQ_FOREACH(op, &in->kept.ops, next) {
        op->done = still_kept;
        g_ptr_array_add(ops, op);
    }
    ft_apply_submit(in->apply, &in->kept, in->journal.committed);
    ok = ft_apply_finish(in->apply, errp);
    for (guint i = 0; i < ops->len; i++) {
        op = g_ptr_array_index(ops, i);
        op->done = NULL;
        ft_journal_part_push(&in->kept, op);
    }
    return ok;
}

static bool finish_shared(FtDiskIntake *in, uint32_t lock_ms, Error **errp)
{
    if (!lock(in, lock_ms, errp)) {
        return false;
    }
    /* An applier that has failed does nothing any more */
    ft_apply_free(in->apply);
    in->apply = ft_apply_new(applier_woke, NULL, in->ch);
    return ft_images_add(in->apply, &in->disks, errp) && write_kept(in, errp);
}

bool ft_disk_intake_finish(FtDiskIntake *in, uint32_t lock_ms, Error **errp)
{
    Error *err = NULL;

    if (in->finished) {
        return true;
    }
    if (!(in->shared ? finish_shared(in, lock_ms, errp) :
          ft_apply_finish(in->apply, errp))) {
        return false;
    }
    /* The others too: once the guest is ours it is too late for an error */
    bdrv_activate_all(&err);
    if (err) {
        error_propagate_prepend(errp, err, "an image of the secondary cannot "
                                "be used: ");
        return false;
    }
    in->finished = true;
    return true;
}
