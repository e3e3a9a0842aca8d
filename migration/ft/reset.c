/*
 * QEMU-FT: what a reset writes behind the dirty log's back
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A reset puts the original content back into memory regions that were
 * loaded as ROM images (hw/core/loader.c), straight into host memory: no
 * dirty bit is set.  The ACPI tables are such a region, and the guest has
 * changed them by then.  Upstream gets away with it, since the tables are
 * rebuilt, and marked, when the firmware reads them again; here a cut can
 * come in between.  The self-check found it.
 *
 * So each reset marks these regions; what did not change is not sent.
 */
#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "qemu/rcu_queue.h"
#include "exec/cpu-common.h"
#include "exec/ramlist.h"
#include "system/reset.h"
#include "compat.h"
#include "migration/ram.h"
#include "start.h"

static void mark_images(void *opaque)
{
    RAMBlock *rb;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH_MIGRATABLE(rb) {
        if (g_str_has_prefix(qemu_ram_get_idstr(rb), "/rom@") ||
            memory_region_is_rom(rb->mr) ||
            memory_region_is_romd(rb->mr)) {
            memory_region_set_dirty(rb->mr, 0, qemu_ram_get_used_length(rb));
        }
    }
}

void ft_reset_watch(void)
{
    static bool watching;

    if (!watching) {
        qemu_register_reset(mark_images, NULL);
        watching = true;
    }
}
