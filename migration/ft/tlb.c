/*
 * QEMU-FT: making stores go through the emulator's slow path again
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A TLB entry without TLB_NOTDIRTY lets the guest store to its page without
 * anybody being told; it has lost that flag in a store which marked the page
 * dirty.  Whoever takes the mark away has to put the flag back.  Upstream's
 * tlb_reset_dirty() does so for a range of addresses and walks all entries of
 * all MMU modes for it.  Here one walk is for all RAM, leaves out modes that
 * have no entries, and pages that stay dirty (hot.c).
 *
 * The flag may always be added: it costs a slow store.  To leave it out is
 * right only where the mark stays.
 *
 * Built once per target, because of the bits below the page number.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bitops.h"
#include "qemu/rcu.h"
#include "hw/core/cpu.h"
#if __has_include("exec/tlb-flags.h")
#include "cpu.h"
#include "exec/target_page.h"
#include "exec/tlb-flags.h"
#else
#include "cpu.h"
#include "exec/cpu-all.h"
#endif
#include "tlb.h"

#define SLOW_ANYWAY \
    (TLB_INVALID_MASK | TLB_MMIO | TLB_DISCARD_WRITE | TLB_NOTDIRTY)

typedef struct Walk {
    const FtRam *ram;
    const FtHot *hot;
    uint32_t block;             /* where the last entry led to */
} Walk;

/* The page at @host is RAM that is sent, and not hot */
static bool to_clean(Walk *w, uintptr_t host)
{
    for (uint32_t i = 0; i < w->ram->n; i++) {
        const FtBlock *b = &w->ram->blocks[w->block];
        uintptr_t at = host - (uintptr_t)b->host;

        if (at < b->max) {
            return !w->hot || !w->hot->n ||
                   !test_bit(at >> TARGET_PAGE_BITS,
                             w->hot->pages[w->block]);
        }
        w->block = (w->block + 1) % w->ram->n;
    }
    return false;
}

static void clean_entry(Walk *w, CPUTLBEntry *entry)
{
    uintptr_t addr = entry->addr_write;

    if (!(addr & SLOW_ANYWAY) &&
        to_clean(w, (addr & TARGET_PAGE_MASK) + entry->addend)) {
        qatomic_set(&entry->addr_write, addr | TLB_NOTDIRTY);
    }
}

static void clean_cpu(Walk *w, CPUState *cpu)
{
    CPUTLB *tlb = &cpu->neg.tlb;

    qemu_spin_lock(&tlb->c.lock);
    for (int mode = 0; mode < NB_MMU_MODES; mode++) {
        CPUTLBDescFast *fast = &tlb->f[mode];
        size_t n = (fast->mask >> CPU_TLB_ENTRY_BITS) + 1;

        /* Nothing was entered since it was flushed */
        if (!(tlb->c.dirty & 1 << mode)) {
            continue;
        }
        for (size_t i = 0; i < n; i++) {
            clean_entry(w, &fast->table[i]);
        }
        for (size_t i = 0; i < CPU_VTLB_SIZE; i++) {
            clean_entry(w, &tlb->d[mode].vtable[i]);
        }
    }
    qemu_spin_unlock(&tlb->c.lock);
}

void ft_tlb_clean(const FtRam *ram, const FtHot *hot)
{
    Walk w = { .ram = ram, .hot = hot };
    CPUState *cpu;

    RCU_READ_LOCK_GUARD();
    CPU_FOREACH(cpu) {
        clean_cpu(&w, cpu);
    }
}
