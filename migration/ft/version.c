/*
 * QEMU-FT: its own version
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Alone in its file, so that another patch level is one object more.
 */
#include "qemu/osdep.h"
#include "version.h"

const char ft_version[] = FT_VERSION;
