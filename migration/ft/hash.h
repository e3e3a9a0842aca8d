/*
 * QEMU-FT: the one hash used for checks on the wire and for the self-check
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_HASH_H
#define MIGRATION_FT_HASH_H

/**
 * ft_hash: XXH3-64 of @len bytes at @buf (libxxhash)
 *
 * Chain pieces by passing the hash of the one before as @seed.
 */
uint64_t ft_hash(const void *buf, size_t len, uint64_t seed);

#endif
