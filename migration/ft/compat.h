/*
 * QEMU-FT: names that changed between QEMU 10.0 and later versions
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The engine uses the newest names; this file maps them to older ones.
 */
#ifndef MIGRATION_FT_COMPAT_H
#define MIGRATION_FT_COMPAT_H

#if __has_include("system/memory.h")
#include "system/memory.h"
#include "system/ramblock.h"
#else
#include "exec/memory.h"
#include "exec/ramblock.h"
#endif
#if __has_include("hw/core/boards.h")
#include "hw/core/boards.h"
#include "hw/core/qdev-properties.h"
#include "hw/core/qdev-properties-system.h"
#else
#include "hw/boards.h"
#include "hw/qdev-properties.h"
#include "hw/qdev-properties-system.h"
#endif
#include "chardev/char-fe.h"
#include "qapi/error.h"
#include "migration/savevm.h"

/* 10.2 made loading report through errp and renamed the front end */
#if __has_include("system/physmem.h")
#define ft_compat_load_device_state(f, errp) qemu_load_device_state(f, errp)
typedef CharFrontend FtCharFrontend;
#else
static inline int ft_compat_load_device_state(QEMUFile *f, Error **errp)
{
    int ret = qemu_load_device_state(f);

    if (ret < 0) {
        error_setg(errp, "loading the device state failed: %s",
                   strerror(-ret));
    }
    return ret;
}
typedef CharBackend FtCharFrontend;
#endif

#endif
