/*
 * QEMU-FT: a primary whose guest comes by -incoming
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libvirt starts a domain that it has saved, or that moves here, with
 * -incoming and all the options of the domain, -ft-peer among them.  Until
 * the guest runs here there is nothing to protect: its RAM is being written
 * by the migration, and its images are not ours.  So what cannot be protected
 * is refused at start, as always, but disks, gates and the connection wait:
 *
 *     inmigrate ---> RAM and devices loaded ---> the guest runs ---> ft-start
 *
 * Not sooner: one that has arrived paused may be taken back by whoever sent
 * it, and then an end of this process must not end the other one.  Not even
 * then with postcopy, where RAM comes last.
 *
 * QEMU tells nobody when all this is so; the main loop looks.  Until then the
 * guest is what it would be without -ft-peer: unprotected, its output free.
 *
 * With an arbiter this is refused (start.c): a claim for a guest that comes
 * would end the one that is still running where it comes from.
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "system/runstate.h"
#include "migration/migration.h"
#include "incoming.h"
#include "options.h"
#include "state.h"

#define LOOK_MS 10

static struct {
    QEMUTimer *timer;
    void (*arrived)(void);
} in;

bool ft_incoming_under_way(void)
{
    if (ft_opts.incoming_given && runstate_is_running() &&
        migration_incoming_get_current()->state ==
        MIGRATION_STATUS_COMPLETED) {
        /* For good, whatever this process becomes later */
        ft_opts.incoming_given = false;
    }
    return ft_opts.incoming_given;
}

static void look(void *opaque)
{
    bool failed = migration_incoming_get_current()->state ==
                  MIGRATION_STATUS_FAILED;

    if (ft_incoming_under_way() && !failed) {
        timer_mod(in.timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + LOOK_MS);
        return;
    }
    timer_free(in.timer);
    in.timer = NULL;
    if (failed) {
        ft_state_set(FT_ROLE_PRIMARY, FT_STATE_UNPROTECTED,
                     "the guest's migration to here has failed");
    } else {
        in.arrived();
    }
}

void ft_incoming_await(void (*arrived)(void))
{
    in.arrived = arrived;
    in.timer = timer_new_ms(QEMU_CLOCK_REALTIME, look, NULL);
    look(NULL);
}
