/*
 * QEMU-FT: which pages the guest has written
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Uses the dirty bitmap of the migration client, which QEMU keeps for
 * vCPUs (TCG marks in the store slow path, KVM's log is merged in by
 * memory_global_dirty_log_sync()) and for device models.  No migration can
 * run beside it: start.c holds a blocker.
 *
 * Not reused: cpu_physical_memory_sync_dirty_bitmap().  Under TCG it resets
 * the TLBs with an address relative to the block, so stores to any block
 * but the first go unseen afterwards; and it skips the reset when the bits
 * it clears were already known.  Here bits are taken out, and if there was any
 * the TLBs are reset once for all blocks (tlb.c), since each reset walks the
 * TLB entries of every vCPU.
 *
 * Pages that are hot keep their bit and their TLB entries (hot.c).  They are
 * few, and count as written only when there is something else to be counted.
 *
 * With the vCPUs stopped a store is either complete, bit and data, or has
 * not begun; that is what makes bit and copy agree.
 *
 * Built once per target because of the dirty bitmap's inline functions.
 */
#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/rcu.h"
#include "exec/cpu-common.h"
#if __has_include("system/physmem.h")
#include "system/memory.h"
#include "system/physmem.h"
#include "system/ramblock.h"
#else
#include "cpu.h"
#include "exec/ram_addr.h"
#include "exec/memory.h"
#define physical_memory_set_dirty_range cpu_physical_memory_set_dirty_range
#endif
#include "exec/ramlist.h"
#include "exec/target_page.h"
#include "qapi/error.h"
#include "system/tcg.h"
#include "ft.h"
#include "harvest.h"
#include "tlb.h"

static uint64_t left_dirty;     /* by the last harvest; under the BQL */

bool ft_harvest_start(Error **errp)
{
    bool ok;

    left_dirty = 0;
    qemu_mutex_lock_ramlist();
    ok = memory_global_dirty_log_start(GLOBAL_DIRTY_MIGRATION, errp);
    qemu_mutex_unlock_ramlist();
    return ok;
}

void ft_harvest_stop(void)
{
    memory_global_dirty_log_stop(GLOBAL_DIRTY_MIGRATION);
}

void ft_ram_written(void *host, size_t len)
{
    ram_addr_t first;

    if (likely(!global_dirty_tracking)) {
        return;
    }
    RCU_READ_LOCK_GUARD();
    first = qemu_ram_addr_from_host(host);
    /* Else a bounce buffer */
    if (first != RAM_ADDR_INVALID) {
        physical_memory_set_dirty_range(first, len,
                                        1 << DIRTY_MEMORY_MIGRATION);
    }
}

/*
 * The words of the bitmap from @page on that lie side by side, for @n pages
 * at most.  RAM blocks start on a multiple of BITS_PER_LONG pages, so words
 * are never shared.
 */
static unsigned long *words_at(unsigned long *const *blocks, uint64_t page,
                               uint64_t n, uint64_t *words)
{
    uint64_t at = page % DIRTY_MEMORY_BLOCK_SIZE;

    *words = DIV_ROUND_UP(MIN(n, DIRTY_MEMORY_BLOCK_SIZE - at),
                          BITS_PER_LONG);
    return &blocks[page / DIRTY_MEMORY_BLOCK_SIZE][at / BITS_PER_LONG];
}

/* Take the bits of one word, the first of which is @page of @n, but for @hot */
static void harvest_word(unsigned long *word, unsigned long hot,
                         uint64_t page, uint64_t n, uint32_t index,
                         FtArena *list)
{
    unsigned long found = qatomic_fetch_and(word, hot);

    left_dirty += hot ? ctpopl(found & hot) : 0;
    if (n - page < BITS_PER_LONG) {
        found &= BITMAP_LAST_WORD_MASK(n - page);
    }
    while (found && list) {
        FtPageId *id = (FtPageId *)ft_arena_take(list, sizeof(*id));

        *id = ft_page_id(index, page + ctzl(found));
        found &= found - 1;
    }
}

/* Take the bits of one block, and list them; true when there was any */
static bool harvest_block(unsigned long *const *dirty, const FtBlock *b,
                          const unsigned long *hot, uint32_t index,
                          FtArena *list)
{
    int bits = qemu_target_page_bits();
    uint64_t first = b->offset >> bits, n = b->used >> bits, words;
    bool any = false;

    for (uint64_t page = 0; page < n; page += words * BITS_PER_LONG) {
        unsigned long *word = words_at(dirty, first + page, n - page, &words);

        for (uint64_t i = 0; i < words; i++) {
            if (word[i]) {
                uint64_t at = page + i * BITS_PER_LONG;

                harvest_word(&word[i], hot ? hot[at / BITS_PER_LONG] : 0, at,
                             n, index, list);
                any = true;
            }
        }
    }
    return any;
}

uint64_t ft_harvest(const FtRam *ram, const FtHot *hot, FtArena *list)
{
    size_t before = list ? list->used : 0;
    bool any = false;

    memory_global_dirty_log_sync(false);
    RCU_READ_LOCK_GUARD();
    unsigned long *const *dirty = qatomic_rcu_read(
        &ram_list.dirty_memory[DIRTY_MEMORY_MIGRATION])->blocks;

    left_dirty = 0;
    for (uint32_t i = 0; i < ram->n; i++) {
        const FtBlock *b = &ram->blocks[i];

        if (b->used && harvest_block(dirty, b, hot ? hot->pages[i] : NULL, i,
                                     list)) {
            memory_region_clear_dirty_bitmap(b->rb->mr, 0, b->used);
            any = true;
        }
    }
    if (any && tcg_enabled()) {
        ft_tlb_clean(ram, hot);
    }
    return list ? (list->used - before) / sizeof(FtPageId) : 0;
}

static uint64_t count_block(unsigned long *const *dirty, const FtBlock *b,
                            uint64_t enough)
{
    int bits = qemu_target_page_bits();
    uint64_t first = b->offset >> bits, n = b->used >> bits, words;
    uint64_t count = 0;

    for (uint64_t page = 0; page < n; page += words * BITS_PER_LONG) {
        unsigned long *word = words_at(dirty, first + page, n - page, &words);

        for (uint64_t i = 0; i < words && count < enough; i++) {
            unsigned long found = qatomic_read(&word[i]);

            /* Hardly any is set, and the compiler's ctpopl() is a call */
            if (unlikely(found)) {
                count += ctpopl(found);
            }
        }
    }
    return count;
}

uint64_t ft_harvest_count(const FtRam *ram, uint64_t enough)
{
    uint64_t count = 0;

    memory_global_dirty_log_sync(false);
    RCU_READ_LOCK_GUARD();
    unsigned long *const *dirty = qatomic_rcu_read(
        &ram_list.dirty_memory[DIRTY_MEMORY_MIGRATION])->blocks;

    enough += left_dirty;
    for (uint32_t i = 0; i < ram->n && count < enough; i++) {
        count += count_block(dirty, &ram->blocks[i], enough - count);
    }
    /* Of those a few may be clean by now: the guest's memory has shrunk */
    return count - MIN(count, left_dirty);
}
