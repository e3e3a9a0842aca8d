/*
 * QEMU-FT: devices that come and go
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The peer's machine was compared with this one device by device.  When a
 * device is plugged or unplugged here, what the peer holds cannot be
 * loaded there any more: protection ends and the peer is dialled again,
 * which works once a secondary with the same devices listens.  On the
 * secondary likewise: its copy cannot be loaded any more, and it says so.  One
 * that is about to take over has nobody to say it to, so there no device comes
 * or goes.
 *
 * The listener is called in the middle of a monitor command or of a guest's
 * access; a timer does the rest at top level.  No cut comes between: cuts
 * run at top level too, and timers of one list run in order of their time.
 */
#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "hw/qdev-core.h"
#include "system/system.h"
#include "disk-mirror.h"
#include "gate.h"
#include "primary.h"
#include "secondary.h"
#include "start.h"
#include "state.h"
#include "uplink.h"

static QEMUTimer *timer;
static char *change;
static Error *held;            /* why nothing can be unplugged */

static void machine_changed(void *opaque)
{
    if (ft_status.role == FT_ROLE_SECONDARY) {
        ft_secondary_changed(change);
    } else if (ft_primary.wanted) {
        if (ft_primary.ch) {
            ft_primary_end(FT_END_MACHINE_CHANGED, change, true);
        }
        /* A new connection finds the disks that there are then */
        ft_mirror_detach();
        ft_gate_net_attach();
        ft_gate_console_attach();
    }
    ft_uplink_find();
    g_free(change);
    change = NULL;
}

static void note_change(DeviceState *dev, const char *what)
{
    if (!phase_check(PHASE_MACHINE_READY) ||
        !(ft_primary.wanted || ft_status.role == FT_ROLE_SECONDARY)) {
        return;
    }
    /* A device may have parts of its own; the one with a name is the user's */
    if (!change || dev->id) {
        g_free(change);
        change = g_strdup_printf("device %s (%s) was %s",
                                 dev->id ?: "without id",
                                 object_get_typename(OBJECT(dev)), what);
    }
    timer_mod(timer, 0);
}

static void device_came(DeviceListener *listener, DeviceState *dev)
{
    note_change(dev, "plugged");
}

static void device_went(DeviceListener *listener, DeviceState *dev)
{
    ft_gate_console_detach(dev);
    note_change(dev, "unplugged");
}

/* device_add asks whether a device is to be hidden for now */
static bool refuse_plug(DeviceListener *listener, const QDict *opts,
                        bool from_json, Error **errp)
{
    if (held) {
        error_propagate(errp, error_copy(held));
    }
    return false;
}

static int set_blocker(Object *obj, void *opaque)
{
    DeviceState *dev = (DeviceState *)object_dynamic_cast(obj, TYPE_DEVICE);
    bool *hold = opaque;

    if (dev && DEVICE_GET_CLASS(dev)->hotpluggable) {
        if (*hold) {
            qdev_add_unplug_blocker(dev, held);
        } else {
            qdev_del_unplug_blocker(dev, held);
        }
    }
    return 0;
}

void ft_hotplug_hold(bool hold)
{
    if (hold == !!held) {
        return;
    }
    if (hold) {
        error_setg(&held, "this secondary is about to take over; try again "
                   "when it has");
    }
    object_child_foreach_recursive(qdev_get_machine(), set_blocker, &hold);
    if (!hold) {
        error_free(held);
        held = NULL;
    }
}

void ft_hotplug_settle(void)
{
    if (timer && timer_pending(timer)) {
        timer_del(timer);
        machine_changed(NULL);
    }
}

void ft_hotplug_watch(void)
{
    static DeviceListener listener = {
        .realize = device_came,
        .unrealize = device_went,
        .hide_device = refuse_plug,
    };

    if (!timer) {
        timer = timer_new_ms(QEMU_CLOCK_REALTIME, machine_changed, NULL);
        device_listener_register(&listener);
    }
}
