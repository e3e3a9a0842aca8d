/*
 * QEMU-FT: guest RAM as both sides see it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/units.h"
#include "hash.h"
#include "ram.h"
#include "trace.h"

#define HASH_STEP (64 * MiB)

void ft_ram_destroy(FtRam *ram)
{
    for (uint32_t i = 0; i < ram->n; i++) {
        g_free(ram->blocks[i].name);
    }
    ram->n = 0;
}

uint64_t ft_ram_max_bytes(const FtRam *ram)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < ram->n; i++) {
        sum += ram->blocks[i].max;
    }
    return sum;
}

uint64_t ft_ram_hash(const FtRam *ram, void (*progress)(void *),
                     void *opaque)
{
    uint64_t hash = 0;

    for (uint32_t i = 0; i < ram->n; i++) {
        const FtBlock *b = &ram->blocks[i];

        for (uint64_t pos = 0; pos < b->used; pos += HASH_STEP) {
            hash = ft_hash(b->host + pos, MIN(b->used - pos, HASH_STEP),
                           hash);
            if (progress) {
                progress(opaque);
            }
        }
        trace_ft_ram_hash(b->name, b->used, hash);
    }
    return hash;
}
