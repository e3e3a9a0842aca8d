/*
 * QEMU-FT: writes to shared disks, held back until they are committed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_DISK_HOLD_H
#define MIGRATION_FT_DISK_HOLD_H

#include "disk-filter.h"

/** ft_hold_on: requests go here and not to the images; any thread */
bool ft_hold_on(void);

/**
 * ft_hold_start: hold from now on what is done to @filter[]
 *
 * @changed: called at top level of the main loop when ft_hold_stable() may
 *     have grown
 *
 * Main loop, with all block devices drained.
 */
void ft_hold_start(FtFilter *const *filter, uint32_t n,
                   void (*changed)(void));

/**
 * ft_hold_put: hold one operation
 *
 * For a WRITE @op->data is from ft_disk_log_buffer(), and ours from now on.
 * Any thread; never waits.  @op->epoch is 0 when there are no epochs.
 */
void ft_hold_put(const FtDiskOp *op);

/*
 * Reading through what is held: ft_hold_look() before the image is read,
 * ft_hold_lay() after it; in between what was held may reach the image and
 * be held no longer.
 *
 * ft_hold_look: NULL when nothing is held for the range
 * ft_hold_lay: put it into @qiov, which holds the range at @offset; frees
 *     @view
 */
typedef struct FtHoldView FtHoldView;

FtHoldView *ft_hold_look(uint16_t disk, int64_t offset, int64_t bytes);
void ft_hold_lay(FtHoldView *view, int64_t offset, QEMUIOVector *qiov);

/** ft_hold_commit: what belongs to epochs up to @epoch may reach the images */
void ft_hold_commit(uint64_t epoch);

/** ft_hold_stable: all of the guest's flushes up to this epoch are done */
uint64_t ft_hold_stable(void);

/** ft_hold_bytes: memory of what is held; any thread */
uint64_t ft_hold_bytes(void);

/** ft_hold_backlog: of that, what is committed and waits for the images */
uint64_t ft_hold_backlog(void);

/**
 * ft_hold_settle: have all that is committed in the images, flushed; waits
 *
 * False with @errp set when an image has failed: what it lacks stays held.
 */
bool ft_hold_settle(Error **errp);

/**
 * ft_hold_release: there are no epochs any more: write all of it, then let
 * requests pass
 *
 * @later: called at top level when that succeeds only later
 *
 * Main loop, BQL held; waits.  When an image fails the guest is stopped with
 * the state io-error, its writes are held until it is continued, and the
 * result is false.
 */
bool ft_hold_release(void (*later)(void));

/**
 * ft_hold_drop: another copy of the guest has the images, or ours ends:
 * forget all that is held, and whatever still comes
 */
void ft_hold_drop(void);

/** ft_hold_is_void: that has happened */
bool ft_hold_is_void(void);

/**
 * ft_hold_reset: requests pass again after ft_hold_drop()
 *
 * When there are none and the filters are gone: for another life.
 */
void ft_hold_reset(void);

#endif
