/*
 * QEMU-FT: hooks for programs that are not a system emulator
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "chardev/char.h"
#include "migration/vmstate.h"
#include "migration/ft/ft.h"

int ft_chr_write(Chardev *chr, const uint8_t *buf, int len, bool write_all)
{
    return qemu_chr_write(chr, buf, len, write_all);
}

const VMStateField *ft_vmstate_write(QEMUFile *f,
                                     const VMStateDescription *vmsd,
                                     void *opaque, JSONWriter *vmdesc,
                                     int version_id)
{
    return vmsd->fields;
}
