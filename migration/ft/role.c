/*
 * QEMU-FT: an old primary becomes a secondary
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A waiting secondary is a machine whose vCPUs, devices and translated code
 * do not look at guest RAM, whose images are inactive, and which was reset
 * since anything ran on it: loading a device state is made for that.  A new
 * process is such a machine.  One whose guest has stopped for good can be
 * made one, by what loadvm does, in another order because RAM arrives here
 * long before the device state:
 *
 *  1 vm_stop() has stopped vCPUs, virtio's threads and the clock, and has
 *    drained the images: no request is in flight, nothing touches RAM
 *  2 the filters are taken out of the disks, and the migration blocker goes
 *  3 the machine is reset as for loadvm.  Devices forget what they had
 *    queued.  It writes ROM images to RAM: so before the first copy
 *  4 run state "inmigrate": cont cannot start it, and the images' back ends
 *    share them with us once they are
 *  5 the images are made inactive: their locks are free
 *  6 the door is opened
 *
 * Output stays dropped (gate.c) until a takeover: a reset may make a device
 * speak, and announcements of an earlier takeover may still be due.
 *
 * Translated code of the old guest is flushed when the state of the vCPUs
 * is loaded, before they run.  Nobody logs dirty pages: that ended with the
 * connection.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "block/block.h"
#include "system/runstate.h"
#include "system/system.h"
#include "disk-mirror.h"
#include "failout.h"
#include "guest.h"
#include "options.h"
#include "role.h"
#include "secondary.h"
#include "start.h"
#include "state.h"

static bool lay_down_guest(Error **errp)
{
    ft_failout_over();
    vm_stop(RUN_STATE_PAUSED);
    ft_mirror_detach();
    ft_start_undo();
    bdrv_drain_all();
    qemu_system_reset(SHUTDOWN_CAUSE_SNAPSHOT_LOAD);
    if (!runstate_check(RUN_STATE_PRELAUNCH)) {
        runstate_set(RUN_STATE_PRELAUNCH);
    }
    runstate_set(RUN_STATE_INMIGRATE);
    ft_guest_laid_down();
    if (bdrv_inactivate_all() < 0) {
        error_setg(errp, "the disks cannot be given up");
        return false;
    }
    return true;
}

static void become_secondary(void *opaque)
{
    QEMUTimer **timer = opaque;
    Error *err = NULL;

    timer_free(*timer);
    *timer = NULL;
    if (ft_status.state != FT_STATE_FENCED) {
        return;
    }
    if (!lay_down_guest(&err) || !ft_start_listening(&err)) {
        ft_state_set(FT_ROLE_PRIMARY, FT_STATE_FENCED,
                     error_get_pretty(err));
        error_reportf_err(err, "fault tolerance: this QEMU cannot wait for "
                          "the guest it has had; end it: ");
    }
}

void ft_role_to_secondary(void)
{
    static QEMUTimer *timer;

    if (!ft_opts.listen_at.inet || timer) {
        return;
    }
    timer = timer_new_ms(QEMU_CLOCK_REALTIME, become_secondary, &timer);
    timer_mod(timer, 0);
}
