/*
 * QEMU-FT: receiving what the guest does to its disks
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_DISK_INTAKE_H
#define MIGRATION_FT_DISK_INTAKE_H

#include "qemu/units.h"
#include "disk-apply.h"

/* A committed epoch is acknowledged once less than so much waits */
#define FT_DISK_BACKLOG (64 * MiB)

typedef struct FtDiskIntake {
    FtDisks disks;
    FtJournal journal;          /* what is not committed */
    FtApply *apply;             /* what is; NULL: not initialised */
} FtDiskIntake;

/*
 * Main loop, BQL held.
 *
 * ft_disk_intake_find: list this machine's disks, to be compared
 * ft_disk_intake_open: have them ready to be written; @wake as for
 *     ft_apply_new()
 */
bool ft_disk_intake_find(FtDiskIntake *in, Error **errp);
bool ft_disk_intake_open(FtDiskIntake *in, void (*wake)(void *),
                         void *opaque, Error **errp);
void ft_disk_intake_destroy(FtDiskIntake *in);

/*
 * Receiver thread.
 *
 * ft_disk_intake_record: take a DISK or DISKHASH; false with @errp set: the
 *     peer has broken the protocol
 * ft_disk_intake_begin: the BEGIN of the next epoch has come
 * ft_disk_intake_commit: that epoch is committed: have it applied; returns
 *     the position of its last flush, 0 when the guest made none
 * ft_disk_intake_end: have everything applied, no epoch will follow
 */
bool ft_disk_intake_record(FtDiskIntake *in, const FtRecord *rec,
                           Error **errp);
void ft_disk_intake_begin(FtDiskIntake *in);
uint64_t ft_disk_intake_commit(FtDiskIntake *in);
void ft_disk_intake_end(FtDiskIntake *in);

#endif
