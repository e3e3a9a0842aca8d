/*
 * QEMU-FT: receiving what the guest does to its disks
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Until the first commit there is no state that could be spoilt: what the
 * first copy brings, and what the guest writes beside it, goes to the images
 * at once.  From then on only committed epochs do.
 *
 * Memory: what waits to be applied (FT_DISK_BACKLOG, or the one epoch that
 * exceeds it) and what belongs to the two epochs that can be open, which the
 * primary bounds (disk-log.c) and FT_WIRE_MAX_DISK_EPOCH limits.
 */
#include "qemu/osdep.h"
#include "disk-intake.h"

bool ft_disk_intake_find(FtDiskIntake *in, Error **errp)
{
    return ft_disks_find(&in->disks, errp);
}

bool ft_disk_intake_open(FtDiskIntake *in, void (*wake)(void *),
                         void *opaque, Error **errp)
{
    uint64_t sizes[FT_WIRE_MAX_DISKS];

    for (uint32_t i = 0; i < in->disks.n; i++) {
        sizes[i] = in->disks.disk[i].size;
    }
    in->apply = ft_apply_new(&in->disks, wake, opaque, errp);
    if (!in->apply) {
        return false;
    }
    ft_journal_init(&in->journal, in->disks.n, sizes);
    return true;
}

void ft_disk_intake_destroy(FtDiskIntake *in)
{
    if (in->apply) {
        ft_apply_free(in->apply);
        ft_journal_destroy(&in->journal);
        in->apply = NULL;
    }
    ft_disks_free(&in->disks);
}

bool ft_disk_intake_record(FtDiskIntake *in, const FtRecord *rec,
                           Error **errp)
{
    if (!ft_journal_record(&in->journal, rec, errp)) {
        return false;
    }
    if (!in->journal.committed && !in->journal.begun) {
        FtJournalPart part;

        ft_journal_part_init(&part);
        ft_journal_take(&in->journal, &part);
        ft_apply_submit(in->apply, &part);
    }
    return true;
}

void ft_disk_intake_begin(FtDiskIntake *in)
{
    ft_journal_begin(&in->journal);
}

uint64_t ft_disk_intake_commit(FtDiskIntake *in)
{
    FtJournalPart part;

    ft_journal_part_init(&part);
    ft_journal_commit(&in->journal, &part);
    return ft_apply_submit(in->apply, &part);
}

void ft_disk_intake_end(FtDiskIntake *in)
{
    FtJournalPart part;

    ft_journal_part_init(&part);
    ft_journal_take_all(&in->journal, &part);
    ft_apply_submit(in->apply, &part);
}
