/*
 * QEMU-FT: the filter on top of each disk of the guest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_DISK_FILTER_H
#define MIGRATION_FT_DISK_FILTER_H

#include "block/reqlist.h"
#include "disk.h"
#include "journal.h"

typedef struct FtFilter FtFilter;

/**
 * ft_filter_insert: put a filter between @disk's device and its image
 *
 * @index: the disk's number in the protocol
 * @failed: called when the image has failed: any thread, a coroutine
 *
 * Main loop, BQL held; drains.  NULL with @errp set: nothing has changed.
 */
FtFilter *ft_filter_insert(const FtDisk *disk, uint16_t index,
                           void (*failed)(FtFilter *f, int ret,
                                          const char *what), Error **errp);

/** ft_filter_remove: take it out again, if it is still there, and free it */
void ft_filter_remove(FtFilter *f);

/**
 * ft_filter_covers: everything @f's disk's device writes passes through @f
 *
 * False after somebody has changed the block graph, or the device is gone.
 */
bool ft_filter_covers(FtFilter *f);

const FtDisk *ft_filter_disk(FtFilter *f);
uint16_t ft_filter_index(FtFilter *f);

/** ft_filter_draining: some disk is drained right now; any thread */
bool ft_filter_draining(void);

/**
 * ft_filter_perform: carry out on the image what was held back from it
 *
 * 0 or -errno.
 */
int coroutine_fn ft_filter_perform(FtFilter *f, const FtJournalOp *op);

/** ft_filter_image: the node below, for reading; NULL when it has gone */
BlockDriverState *ft_filter_image(FtFilter *f);

/*
 * Keep a range from being written while the first copy reads it and puts it
 * into the log.  @req is the caller's memory.
 */
void coroutine_fn ft_filter_lock(FtFilter *f, BlockReq *req, int64_t offset,
                                 int64_t bytes);
void coroutine_fn ft_filter_unlock(FtFilter *f, BlockReq *req);

#endif
