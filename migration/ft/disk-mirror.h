/*
 * QEMU-FT: the disks that are mirrored, on the primary
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All functions: main loop, BQL held.
 */
#ifndef MIGRATION_FT_DISK_MIRROR_H
#define MIGRATION_FT_DISK_MIRROR_H

#include "channel.h"
#include "disk-filter.h"

/**
 * ft_mirror_attach: put a filter on every disk that the guest can write
 *
 * Does nothing when that has been done.  False with @errp set, naming the
 * drive, when one cannot be mirrored: then there is no filter at all.
 */
bool ft_mirror_attach(Error **errp);

/** ft_mirror_detach: take all filters out */
void ft_mirror_detach(void);

const FtDisks *ft_mirror_disks(void);
FtFilter *ft_mirror_filter(uint32_t index);

/**
 * ft_mirror_start: log what the guest does, from this moment
 *
 * @epoch: where to read the number of the epoch
 */
void ft_mirror_start(FtChannel *ch, const uint64_t *epoch);
void ft_mirror_stop(void);

/**
 * ft_mirror_covers: every disk that the guest can write goes through its
 * filter
 *
 * Cheap enough for each cut.  False with @errp set, naming the drive.
 */
bool ft_mirror_covers(Error **errp);

#endif
