/*
 * QEMU-FT: hooks for programs that are not a system emulator
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "chardev/char.h"
#include "migration/ft/ft.h"

int ft_chr_write(Chardev *chr, const uint8_t *buf, int len, bool write_all)
{
    return qemu_chr_write(chr, buf, len, write_all);
}

int ft_vmstate_bulk(QEMUFile *f, const VMStateField *field, void *elems,
                    int n, JSONWriter *vmdesc)
{
    return n;
}
