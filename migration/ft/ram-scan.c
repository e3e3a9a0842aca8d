/*
 * QEMU-FT: listing the RAM blocks of this machine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "qemu/rcu_queue.h"
#include "qapi/error.h"
#include "exec/cpu-common.h"
#include "exec/ramlist.h"
#include "exec/target_page.h"
#include "compat.h"
#include "migration/ram.h"
#include "ram.h"

bool ft_ram_init(FtRam *ram, Error **errp)
{
    RAMBlock *rb;

    ram->n = 0;
    ram->page_size = qemu_target_page_size();
    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH_MIGRATABLE(rb) {
        FtBlock *b = &ram->blocks[ram->n];

        if (ram->n == FT_WIRE_MAX_BLOCKS) {
            error_setg(errp, "the machine has more than %d RAM blocks; "
                       "it cannot be protected", FT_WIRE_MAX_BLOCKS);
            ft_ram_destroy(ram);
            return false;
        }
        *b = (FtBlock) {
            .rb = rb,
            .name = g_strdup(qemu_ram_get_idstr(rb)),
            .host = qemu_ram_get_host_addr(rb),
            .offset = qemu_ram_get_offset(rb),
            .used = qemu_ram_get_used_length(rb),
            .max = qemu_ram_get_max_length(rb),
            .readonly = rb->flags & RAM_READONLY,
        };
        ram->n++;
    }
    return true;
}

void ft_ram_refresh(FtRam *ram)
{
    for (uint32_t i = 0; i < ram->n; i++) {
        ram->blocks[i].used = qemu_ram_get_used_length(ram->blocks[i].rb);
    }
}
