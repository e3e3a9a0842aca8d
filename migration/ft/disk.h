/*
 * QEMU-FT: the guest's writable disks
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_DISK_H
#define MIGRATION_FT_DISK_H

#include "qapi/qapi-types-ft.h"
#include "system/block-backend.h"
#include "wire.h"

typedef struct FtDisk {
    char *device;               /* QOM path of the device, the key */
    char *name;                 /* for people */
    char *storage;              /* where the data are, "": cannot be told */
    BlockBackend *blk;          /* the device's, referenced */
    BlockDriverState *bs;       /* its root when the list was made */
    uint64_t size;
} FtDisk;

typedef struct FtDisks {
    uint32_t n;
    FtDisk disk[FT_WIRE_MAX_DISKS];
} FtDisks;

/**
 * ft_disks_find: list every disk that the guest can write, by device
 *
 * Main loop, BQL held.  False with @errp set, naming the drive, when there
 * is one that cannot be mirrored.
 */
bool ft_disks_find(FtDisks *disks, Error **errp);
void ft_disks_free(FtDisks *disks);

/** ft_disk_is_writable: @blk is a drive the guest can write now */
bool ft_disk_is_writable(BlockBackend *blk);

/**
 * ft_disk_unflushed: let the next flush of @bs reach the host's disk
 *
 * QEMU leaves out the flush of a node that it has not written to; what an
 * earlier process wrote may never have been flushed.  Main loop.
 */
void ft_disk_unflushed(BlockDriverState *bs);

/** ft_disks_describe: for the handshake */
FtDiskIdList *ft_disks_describe(const FtDisks *disks);

/**
 * ft_disks_match: the primary's disks exist here, with the same size, on
 * storage of our own, or with @shared on the same storage
 *
 * False with @errp set to a sentence for the primary.
 */
bool ft_disks_match(FtDiskIdList *here, FtDiskIdList *there, bool shared,
                    Error **errp);

#endif
