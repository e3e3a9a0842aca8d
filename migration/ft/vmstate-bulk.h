/*
 * QEMU-FT: writing arrays of device state at once
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_VMSTATE_BULK_H
#define MIGRATION_FT_VMSTATE_BULK_H

/**
 * ft_vmstate_bulk_enable: let ft_vmstate_bulk() write arrays from now on
 *
 * To be switched off again by the same caller; with the BQL held.
 */
void ft_vmstate_bulk_enable(bool on);

#endif
