/*
 * QEMU-FT: the one hash used for checks on the wire and for the self-check
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A file of its own, because xxhash.h of the library and QEMU's header of
 * the same name must not meet.
 */
#include "qemu/osdep.h"
#include <xxhash.h>
#include "hash.h"

uint64_t ft_hash(const void *buf, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(buf, len, seed);
}
