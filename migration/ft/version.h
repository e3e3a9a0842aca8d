/*
 * QEMU-FT: its own version
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_VERSION_H
#define MIGRATION_FT_VERSION_H

/*
 * major.minor of the protocol, then the patch level.  The one place;
 * scripts/build-next builds an emulator with another patch level.
 */
#ifndef FT_VERSION
#define FT_VERSION "4.2.0"
#endif

extern const char ft_version[];

#endif
