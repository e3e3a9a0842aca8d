/*
 * QEMU-FT: guest RAM as both sides see it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_RAM_H
#define MIGRATION_FT_RAM_H

#include "wire.h"

typedef struct FtBlock {
    struct RAMBlock *rb;        /* NULL in unit tests */
    char *name;
    uint8_t *host;
    uint64_t offset;            /* ram_addr_t of the first byte */
    uint64_t used, max;         /* bytes */
    bool readonly;              /* same on both sides, never written */
} FtBlock;

/*
 * The table is built once per connection, with the BQL held; blocks cannot
 * come or go while it is in use, since plugging a device ends the
 * connection first (hotplug.c).  @used changes only in the main loop on
 * the primary and in the receiver on the secondary.
 */
typedef struct FtRam {
    uint32_t n;
    uint32_t page_size;
    FtBlock blocks[FT_WIRE_MAX_BLOCKS];
} FtRam;

/** ft_ram_init: list all migratable blocks; false: more than the limit */
bool ft_ram_init(FtRam *ram, Error **errp);
void ft_ram_destroy(FtRam *ram);

/** ft_ram_refresh: take over lengths that have changed; BQL held */
void ft_ram_refresh(FtRam *ram);

/** ft_ram_resize: make a block @used bytes long; BQL held */
bool ft_ram_resize(FtBlock *b, uint64_t used, Error **errp);
uint64_t ft_ram_max_bytes(const FtRam *ram);

/**
 * ft_ram_hash: hash of the used bytes of all blocks in order
 *
 * @progress: called about every 64 MiB, may be NULL
 */
uint64_t ft_ram_hash(const FtRam *ram, void (*progress)(void *),
                     void *opaque);

/* A page as the harvest lists it: block number and page number */
typedef uint64_t FtPageId;

static inline FtPageId ft_page_id(uint32_t block, uint64_t page)
{
    return (uint64_t)block << 56 | page;
}

static inline uint32_t ft_page_block(FtPageId id)
{
    return id >> 56;
}

static inline uint64_t ft_page_number(FtPageId id)
{
    return id & ((1ULL << FT_WIRE_PAGE_BITS) - 1);
}

#endif
