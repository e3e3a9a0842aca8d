/*
 * QEMU-FT: writing device state by plan
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_VMSTATE_WRITE_H
#define MIGRATION_FT_VMSTATE_WRITE_H

/**
 * ft_vmstate_write_enable: let ft_vmstate_write() write from now on
 *
 * To be switched off again by the same caller; with the BQL held.  What was
 * put into a file meanwhile has to be flushed before the next time.
 */
void ft_vmstate_write_enable(bool on);

#endif
