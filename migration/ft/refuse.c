/*
 * QEMU-FT: what cannot be protected
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The one place that looks for things an epoch would miss: memory written
 * by somebody else (vhost, shared memory), output that passes no gate
 * (vhost), state that is in no vmstate.  Each is refused by name
 * before the guest runs, or by ft-start.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "block/block.h"
#include "migration/misc.h"
#include "net/net.h"
#include "net/vhost_net.h"
#include "system/block-backend.h"
#include "system/replay.h"
#if __has_include("exec/icount.h")
#include "exec/icount.h"
#else
#include "system/cpu-timers.h"
#endif
#include "compat.h"
#include "migration/migration.h"
#include "machine.h"

/* Types whose back end shares guest memory or talks past QEMU */
static const char *const unsafe_prefixes[] = {
    "vhost-", "vfio-", "ivshmem-", "qxl", "xen-",
};

static int refuse_device(Object *obj, void *opaque)
{
    Error **errp = opaque;
    const char *type = object_get_typename(obj);
    DeviceState *dev = (DeviceState *)object_dynamic_cast(obj, TYPE_DEVICE);

    for (int i = 0; dev && i < ARRAY_SIZE(unsafe_prefixes); i++) {
        if (g_str_has_prefix(type, unsafe_prefixes[i])) {
            g_autofree char *path = object_get_canonical_path(obj);

            error_setg(errp, "device %s (%s) cannot be protected by fault "
                       "tolerance; remove it", dev->id ?: path, type);
            return 1;
        }
    }
    return 0;
}

static bool netdevs_ok(Error **errp)
{
    NetClientState *nc;

    QTAILQ_FOREACH(nc, &net_clients, next) {
        if (nc->info->type != NET_CLIENT_DRIVER_NIC && get_vhost_net(nc)) {
            error_setg(errp, "netdev %s uses vhost, which fault tolerance "
                       "cannot protect; use vhost=off", nc->name);
            return false;
        }
    }
    return true;
}

static bool drives_ok(Error **errp)
{
    g_autofree FtDisks *disks = g_new0(FtDisks, 1);
    bool ok = ft_disks_find(disks, errp);

    ft_disks_free(disks);
    return ok;
}

static bool memory_ok(Error **errp)
{
    g_autofree FtRam *ram = g_new0(FtRam, 1);
    bool ok = ft_ram_init(ram, errp);

    for (uint32_t i = 0; ok && i < ram->n; i++) {
        if (qemu_ram_is_shared(ram->blocks[i].rb)) {
            error_setg(errp, "RAM block %s is shared with other processes, "
                       "which fault tolerance cannot follow; use share=off",
                       ram->blocks[i].name);
            ok = false;
        }
    }
    ft_ram_destroy(ram);
    return ok;
}

bool ft_machine_can_protect(Error **errp)
{
    if (replay_mode != REPLAY_MODE_NONE || icount_enabled()) {
        error_setg(errp, "-icount cannot be combined with fault tolerance; "
                   "remove it");
        return false;
    }
    if (migration_is_running()) {
        error_setg(errp, "a migration is under way; wait for its end");
        return false;
    }
    if (object_child_foreach_recursive(qdev_get_machine(), refuse_device,
                                       errp)) {
        return false;
    }
    return netdevs_ok(errp) && drives_ok(errp) && memory_ok(errp) &&
           !qemu_savevm_state_blocked(errp) && !migration_is_blocked(errp);
}
