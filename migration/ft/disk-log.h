/*
 * QEMU-FT: what the guest does to its disks, on its way to the peer
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_DISK_LOG_H
#define MIGRATION_FT_DISK_LOG_H

#include "channel.h"

/** ft_disk_log_on: requests have to be logged; any thread */
bool ft_disk_log_on(void);

/**
 * ft_disk_log_start: log from now on
 *
 * @epoch: where to read the epoch that requests belong to
 *
 * Main loop, with all block devices drained: a request is logged whole or
 * not at all.
 */
void ft_disk_log_start(FtChannel *ch, const uint64_t *epoch);

/** ft_disk_log_stop: nothing is sent any more when this returns; main loop */
void ft_disk_log_stop(void);

/** ft_disk_log_cut: a new epoch has begun; drained */
void ft_disk_log_cut(void);

/**
 * ft_disk_log_wait: before a request of @bytes, wait until there is room
 *
 * @draining: cuts the wait short as soon as it is not 0
 *
 * At most for a tenth of a second, a second for shared disks: whoever issued
 * the request may hold the BQL, without which nothing moves on.
 */
void coroutine_fn ft_disk_log_wait(const int *draining);

/** ft_disk_log_too_long: a cut should come soon to bound the peer's memory */
bool ft_disk_log_too_long(void);

/*
 * A write's data in an aligned buffer of their own, with room for the record
 * around them.  NULL: no memory.
 */
uint8_t *ft_disk_log_buffer(size_t bytes);
void ft_disk_log_free(uint8_t *data);

/**
 * ft_disk_log_put: send one operation, in the epoch of this moment
 *
 * For a WRITE @op->data is from ft_disk_log_buffer().  Any thread; never
 * waits.  The caller keeps requests that overlap from running side by side.
 */
void ft_disk_log_put(FtDiskOp *op);

/**
 * ft_disk_log_applied: tell the peer that epochs up to @epoch are on shared
 * storage, stable; main loop
 */
void ft_disk_log_applied(uint64_t epoch);

/** ft_disk_log_bytes: bytes of records sent since the start */
uint64_t ft_disk_log_bytes(void);

#endif
