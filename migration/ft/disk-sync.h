/*
 * QEMU-FT: the first copy of the disks
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All functions: main loop, BQL held.
 */
#ifndef MIGRATION_FT_DISK_SYNC_H
#define MIGRATION_FT_DISK_SYNC_H

#include "qapi/qapi-types-ft.h"
#include "channel.h"

/**
 * ft_disk_sync_start: copy all mirrored disks to the peer
 *
 * The log is on already.
 *
 * @finished: called once, at top level of the main loop, with NULL or with
 *     one sentence when a disk could not be read
 */
void ft_disk_sync_start(FtChannel *ch, FtDiskSync mode,
                        void (*finished)(const char *error));

/**
 * ft_disk_sync_stop: give up, if it still goes on; @finished is not called
 *
 * Does not wait: what is being read at this moment is read to its end, and
 * keeps the guest from writing to the same place.
 */
void ft_disk_sync_stop(void);

/** ft_disk_sync_reading: a copy that was given up still waits for a disk */
bool ft_disk_sync_reading(void);

/** ft_disk_sync_settle: wait until it does not; before the filters go */
void ft_disk_sync_settle(void);

/** ft_disk_sync_answer: a DISKSAME has come; false with @errp set: nonsense */
bool ft_disk_sync_answer(const FtRecord *rec, Error **errp);

/** ft_disk_sync_remaining: bytes of disk @index that are still to be done */
uint64_t ft_disk_sync_remaining(uint32_t index);
bool ft_disk_sync_active(void);

#endif
