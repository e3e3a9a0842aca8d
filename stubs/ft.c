/*
 * QEMU-FT: the hook of device state, for programs that are not a system
 * emulator
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "migration/vmstate.h"
#include "migration/ft/ft.h"

const VMStateField *ft_vmstate_write(QEMUFile *f,
                                     const VMStateDescription *vmsd,
                                     void *opaque, JSONWriter *vmdesc,
                                     int version_id)
{
    return vmsd->fields;
}
