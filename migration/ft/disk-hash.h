/*
 * QEMU-FT: comparing a part of a disk with the other side's
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_DISK_HASH_H
#define MIGRATION_FT_DISK_HASH_H

#include "wire.h"

/**
 * ft_disk_hash: SHA-256 of @len bytes at @data, in a thread of the pool
 *
 * Coroutines of the main loop.
 *
 * A guest could make two parts that collide under a fast hash, and would
 * then find the other one after a takeover.
 */
void coroutine_fn ft_disk_hash(const uint8_t *data, size_t len,
                               uint8_t hash[FT_WIRE_DISK_HASH]);

#endif
