/*
 * QEMU-FT: the guest's disks on the primary, mirrored or shared
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
 * @settled: called at top level when ft_mirror_stable() may have grown
 */
void ft_mirror_start(FtChannel *ch, const uint64_t *epoch,
                     void (*settled)(void));

/** ft_mirror_stop: the peer is gone; what is held for shared disks stays so */
void ft_mirror_stop(void);

/**
 * ft_mirror_release: this copy goes on alone: what was held goes to shared
 * disks; waits
 *
 * False: a disk has failed, the guest is stopped (ft_mirror_stuck()).
 */
bool ft_mirror_release(void);

/**
 * ft_mirror_settle: what is committed is in shared disks, stable; waits
 *
 * False with @errp set when a disk has failed.
 */
bool ft_mirror_settle(Error **errp);

/** ft_mirror_drop: another copy of the guest runs: what is held is void */
void ft_mirror_drop(void);

/**
 * ft_mirror_flush: have all that is in the images on stable storage
 *
 * @finished: called once at top level of the main loop, with an error or
 *     NULL, unless ft_mirror_stop() comes first
 */
void ft_mirror_flush(void (*finished)(const char *error));

/** ft_mirror_cut: a new epoch begins; drained; not before ft_mirror_start() */
void ft_mirror_cut(void);

/** ft_mirror_commit: @epoch is committed */
void ft_mirror_commit(uint64_t epoch);

/**
 * ft_mirror_stuck: a shared disk has failed after the peer had gone
 *
 * ft_primary_mended() is called when it is well again.
 */
bool ft_mirror_stuck(void);

/** ft_mirror_overloaded: shared disks cannot keep up; let them */
bool ft_mirror_overloaded(void);

/**
 * ft_mirror_stable: up to which of the epochs that are stable on the peer,
 * @peer, the output may go
 */
uint64_t ft_mirror_stable(uint64_t peer);

/**
 * ft_mirror_covers: every disk that the guest can write goes through its
 * filter
 *
 * Cheap enough for each cut.  False with @errp set, naming the drive.
 */
bool ft_mirror_covers(Error **errp);

#endif
