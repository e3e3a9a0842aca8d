/*
 * QEMU-FT: a large buffer that is filled and emptied as a whole
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Address space for the largest possible content is reserved once; memory
 * is used only as far as it has been filled.  So nothing is moved or
 * allocated while the vCPUs stand still.  Not thread-safe: an arena belongs
 * to whoever fills it, then to whoever was handed its content.
 */
#ifndef MIGRATION_FT_ARENA_H
#define MIGRATION_FT_ARENA_H

typedef struct FtArena {
    uint8_t *base;
    size_t used;
    size_t limit;               /* bytes reserved */
    size_t keep;                /* bytes that stay populated */
    size_t high;                /* most bytes used since the last trim */
} FtArena;

/**
 * ft_arena_init: reserve @limit bytes, of which @keep stay once populated
 *
 * False with @errp set when the address space cannot be had.
 */
bool ft_arena_init(FtArena *a, size_t limit, size_t keep, Error **errp);

/**
 * ft_arena_populate: have the first @keep bytes now, not when they are used
 *
 * Takes milliseconds; any thread, while nobody else uses the arena.
 */
void ft_arena_populate(FtArena *a);
void ft_arena_destroy(FtArena *a);

/** ft_arena_take: the next @n bytes, or NULL when the limit is reached */
static inline uint8_t *ft_arena_take(FtArena *a, size_t n)
{
    uint8_t *p = a->base + a->used;

    if (n > a->limit - a->used) {
        return NULL;
    }
    a->used += n;
    return p;
}

/** ft_arena_reset: empty it; memory beyond @keep goes back to the host */
void ft_arena_reset(FtArena *a);

#endif
