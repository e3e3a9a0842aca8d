/*
 * QEMU-FT: pages that are written in every epoch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A harvest makes the pages it lists clean, and the guest's first store to
 * each of them then goes the slow way, in the emulator by a function that
 * marks the page dirty again.  A guest that answers requests writes the same
 * pages each time: its stacks, its queues, what it counts.  To make these clean
 * is of no use.  So a page that has changed in HOT_AFTER epochs in a row stays
 * dirty, bit and TLB entries (harvest.c): it is listed in each epoch, whether
 * written or not, and costs a comparison at worst.  The first time it is found
 * to be the same as before it is an ordinary page again.
 *
 * Of each page the last epoch in which it changed is kept, and how many before
 * it did without a gap.  Never more than HOT_MAX are hot: a guest that
 * overwrites much memory would else have all of it compared when it stops.
 */
#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qemu/bitmap.h"
#include "qapi/error.h"
#include "hot.h"

#define HOT_AFTER 4
#define HOT_MAX 256

/* Of a streak: its length, the rest are the low bits of its last epoch */
#define LENGTH_BITS 4
#define LENGTH_MAX ((1u << LENGTH_BITS) - 1)

QEMU_BUILD_BUG_ON(HOT_AFTER > LENGTH_MAX);

bool ft_hot_init(FtHot *h, const FtRam *ram, Error **errp)
{
    *h = (FtHot) { .n = ram->n };
    for (uint32_t i = 0; i < ram->n; i++) {
        uint64_t pages = ram->blocks[i].max / ram->page_size;

        /* Memory is only used for pages that are written */
        h->size[i] = pages * sizeof(uint32_t);
        h->streak[i] = mmap(NULL, h->size[i], PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                            0);
        if (h->streak[i] == MAP_FAILED) {
            h->streak[i] = NULL;
            error_setg_errno(errp, errno, "cannot reserve %zu bytes of "
                             "address space for what is known of each page",
                             h->size[i]);
            ft_hot_destroy(h);
            return false;
        }
        h->pages[i] = bitmap_new(pages);
    }
    return true;
}

void ft_hot_destroy(FtHot *h)
{
    for (uint32_t i = 0; i < h->n; i++) {
        if (h->streak[i]) {
            munmap(h->streak[i], h->size[i]);
        }
        g_free(h->pages[i]);
    }
    *h = (FtHot) { 0 };
}

static uint32_t streak_of(uint64_t epoch, uint32_t length)
{
    return (uint32_t)epoch << LENGTH_BITS | length;
}

void ft_hot_note(FtHot *h, FtPageId id, uint64_t epoch, bool changed)
{
    uint64_t number = ft_page_number(id);
    uint32_t *streak, length = 1;
    unsigned long *pages;

    if (!h->n) {
        return;
    }
    streak = &h->streak[ft_page_block(id)][number];
    pages = h->pages[ft_page_block(id)];
    if (!changed) {
        *streak = 0;
        h->count -= test_and_clear_bit(number, pages);
        return;
    }
    if (*streak >> LENGTH_BITS == streak_of(epoch - 1, 0) >> LENGTH_BITS) {
        length = MIN((*streak & LENGTH_MAX) + 1, LENGTH_MAX);
    }
    *streak = streak_of(epoch, length);
    if (length >= HOT_AFTER && h->count < HOT_MAX) {
        h->count += !test_and_set_bit(number, pages);
    }
}
