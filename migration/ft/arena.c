/*
 * QEMU-FT: a large buffer that is filled and emptied as a whole
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qapi/error.h"
#include "arena.h"

bool ft_arena_init(FtArena *a, size_t limit, size_t keep, Error **errp)
{
    size_t page = qemu_real_host_page_size();

    limit = ROUND_UP(MAX(limit, page), page);
    keep = MIN(ROUND_UP(keep, page), limit);
    *a = (FtArena) { .limit = limit, .keep = keep };
    a->base = mmap(NULL, limit, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (a->base == MAP_FAILED) {
        a->base = NULL;
        error_setg_errno(errp, errno, "cannot reserve %zu bytes of address "
                         "space for fault tolerance", limit);
        return false;
    }
    return true;
}

void ft_arena_populate(FtArena *a)
{
    for (size_t i = 0; i < a->keep; i += qemu_real_host_page_size()) {
        a->base[i] = 0;
    }
}

void ft_arena_destroy(FtArena *a)
{
    if (a->base) {
        munmap(a->base, a->limit);
    }
    *a = (FtArena) { 0 };
}

void ft_arena_reset(FtArena *a)
{
    a->high = MAX(a->high, a->used);
    if (a->high > a->keep) {
        madvise(a->base + a->keep, a->limit - a->keep, MADV_DONTNEED);
        a->high = a->keep;
    }
    a->used = 0;
}
