/*
 * QEMU-FT: the hook of character devices, for programs that are not a system
 * emulator
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Alone in its file: what saves device state need not have chardevs.
 */
#include "qemu/osdep.h"
#include "chardev/char.h"
#include "migration/ft/ft.h"

int ft_chr_write(Chardev *chr, const uint8_t *buf, int len, bool write_all)
{
    return qemu_chr_write(chr, buf, len, write_all);
}
