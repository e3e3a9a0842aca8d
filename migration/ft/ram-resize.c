/*
 * QEMU-FT: changing the length of a RAM block
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A file of its own: before QEMU 10.2 the header that declares
 * qemu_ram_resize() can only be used in code built once per target.
 */
#include "qemu/osdep.h"
#if __has_include("system/ram_addr.h")
#include "system/ram_addr.h"
#else
#include "cpu.h"
#include "exec/ram_addr.h"
#endif
#include "qapi/error.h"
#include "ram.h"

bool ft_ram_resize(FtBlock *b, uint64_t used, Error **errp)
{
    if (used != b->used && qemu_ram_resize(b->rb, used, errp) < 0) {
        return false;
    }
    b->used = used;
    return true;
}
