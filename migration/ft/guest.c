/*
 * QEMU-FT: a guest that must not run
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A copy of the guest that is fenced, undecided, or given to the peer must
 * stay as it is, whatever users and management tools say.  QEMU has a run
 * state with that meaning, made for the source of a migration that the
 * destination may have: "finish-migrate".  cont is refused in it, a reset does
 * not change it (others it changes to "prelaunch", where cont works), a wake-up
 * wants a suspended guest, and there is a way into it from every state but
 * those of saving and loading, and a way back.
 *
 *     any ---forbid---> finish-migrate ---allow------> what it was before
 *                                      ---laid down--> inmigrate (role.c)
 *
 * Who does not ask for the run state is a debugger (gdbstub) and the end of a
 * dump that was begun before.  They start the guest by vm_start() or its
 * first half, which sets the run state, tells everybody, and only then
 * resumes the vCPUs.  None of them runs a single instruction while the run
 * state is not "running": the last one that is told takes it away again.
 * The devices have been told by then that the guest runs; a timer makes
 * that good, at top level.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "system/runstate.h"
#include "guest.h"

static RunState from = RUN_STATE__MAX;  /* MAX: it is not forbidden */
static QEMUTimer *stop_again;

bool ft_guest_forbidden(void)
{
    return from != RUN_STATE__MAX;
}

static void stop_devices(void *opaque)
{
    if (ft_guest_forbidden()) {
        /* Else vm_stop() has nothing to do */
        runstate_set(RUN_STATE_RUNNING);
        vm_stop(RUN_STATE_FINISH_MIGRATE);
    }
}

/* In a dump's thread, or as a monitor's or debugger's command */
static void started(void *opaque, bool running, RunState state)
{
    if (running && ft_guest_forbidden()) {
        error_report("fault tolerance: somebody has started a copy of the "
                     "guest that must not run; it stays stopped");
        runstate_set(RUN_STATE_FINISH_MIGRATE);
        timer_mod(stop_again, 0);
    }
}

static void watch_starts(void)
{
    if (!stop_again) {
        stop_again = timer_new_ms(QEMU_CLOCK_REALTIME, stop_devices, NULL);
        /* Called last when the guest starts */
        qemu_add_vm_change_state_handler_prio(started, NULL, INT_MAX);
    }
}

void ft_guest_forbid(void)
{
    RunState now = runstate_get();

    watch_starts();
    if (now == RUN_STATE_SAVE_VM) {
        /* A dump has stopped it, and this is the only way out of there */
        now = RUN_STATE_RUNNING;
        runstate_set(now);
    }
    if (now != RUN_STATE_FINISH_MIGRATE) {
        /* There is no way back to "debug" */
        from = now == RUN_STATE_DEBUG ? RUN_STATE_PAUSED : now;
    } else if (!ft_guest_forbidden()) {
        /* A migration's, which may yet fail */
        from = RUN_STATE_PAUSED;
    }
    vm_stop_force_state(RUN_STATE_FINISH_MIGRATE);
}

void ft_guest_allow(void)
{
    RunState to = from;

    from = RUN_STATE__MAX;
    if (to != RUN_STATE__MAX && runstate_check(RUN_STATE_FINISH_MIGRATE)) {
        vm_resume(to);
    }
}

void ft_guest_laid_down(void)
{
    from = RUN_STATE__MAX;
}

void ft_guest_halt(RunState state)
{
    if (runstate_check(RUN_STATE_SUSPENDED) || vm_get_suspended()) {
        /* It may only be paused */
        state = RUN_STATE_PAUSED;
    }
    if (!ft_guest_forbidden()) {
        vm_stop(state);
    } else if (runstate_is_live(from)) {
        from = state;
    }
}
