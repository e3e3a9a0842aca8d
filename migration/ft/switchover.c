/*
 * QEMU-FT: moving the guest to the peer on purpose
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Unlike a takeover, a switchover can be exact: the guest stops, all it has
 * done is committed, all it has said is let go, and only then the peer is
 * told.
 *
 *     asked    no cut but the last is begun; the epoch in flight is awaited
 *     stopped  packets for the guest go to the peer (inbound.c), the guest
 *              stops, the last cut; its ack, stable; its output goes
 *     said     shared images are flushed and their locks given up;
 *              SWITCHOVER, which is a HANDOVER that loses nothing
 *     done     TAKEOVER: the guest runs there.  Packets are passed on for
 *              AFTERGLOW_MS more, until the network has learnt the way
 *
 * The guest is stopped as for a migration (guest.c), not only paused as for a
 * cut: it will not go on, and its devices have to let go of their images.
 * The run state it is to have on the other side is stored before.
 *
 * Whatever comes in between before SWITCHOVER has been sent, the guest goes
 * on here, unprotected until the peer has another first copy; so it does when
 * that takes longer than FT_HUNG_FACTOR times the time-out.  Afterwards the
 * rules of HANDOVER hold: the answer decides.
 *
 * Who asks over QMP waits in a coroutine.  Then no other QMP command is
 * carried out until the peer has answered or is given up, that is for a few
 * milliseconds, or about the time-out.
 */
#include "qemu/osdep.h"
#include "qemu/coroutine.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-ft.h"
#include "block/aio.h"
#include "block/block.h"
#include "migration/global_state.h"
#include "system/runstate.h"
#include "arbiter.h"
#include "disk-hold.h"
#include "disk-mirror.h"
#include "failout.h"
#include "fault.h"
#include "gate.h"
#include "guest.h"
#include "inbound.h"
#include "options.h"
#include "primary.h"
#include "role.h"
#include "state.h"
#include "switchover.h"

#define AFTERGLOW_MS 100
#define LOCK_WAIT_MS 500
#define LOCK_NAP_US 2000

typedef enum FtSwitchStep {
    FT_SWITCH_NONE,
    FT_SWITCH_ASKED,
    FT_SWITCH_STOPPED,
    FT_SWITCH_SAID,
    FT_SWITCH_DONE,
} FtSwitchStep;

static struct {
    FtSwitchStep step;
    char *why;
    int64_t asked_ns, stopped_ns, said_ns;
    bool inactive;              /* the shared images are the peer's */
    QEMUTimer *limit, *afterglow;
    Coroutine *waiter;
    char *error;                /* for @waiter; NULL: all went well */
} sw;

bool ft_switchover_active(void)
{
    return sw.step != FT_SWITCH_NONE && sw.step != FT_SWITCH_DONE;
}

/* Later, at the end of what is under way here */
static void tell_waiter(const char *error)
{
    Coroutine *co = sw.waiter;

    if (co) {
        sw.waiter = NULL;
        sw.error = g_strdup(error);
        aio_co_schedule(qemu_get_aio_context(), co);
    }
}

static void over(FtSwitchStep step, const char *error)
{
    sw.step = step;
    timer_del(sw.limit);
    g_free(sw.why);
    sw.why = NULL;
    tell_waiter(error);
}

/*
 * The peer may have had the images for a moment; whoever it was that said
 * the guest goes on here has given them up before
 */
static void activate_images(void)
{
    int64_t end = get_clock() + LOCK_WAIT_MS * 1000000LL;
    Error *err = NULL;

    if (!sw.inactive) {
        return;
    }
    sw.inactive = false;
    for (;;) {
        bdrv_activate_all(&err);
        if (!err || get_clock() >= end) {
            break;
        }
        error_free(err);
        err = NULL;
        g_usleep(LOCK_NAP_US);
    }
    if (err) {
        error_reportf_err(err, "fault tolerance: a shared disk did not come "
                          "back: ");
    }
}

void ft_switchover_undo(const char *why)
{
    FtPrimary *p = &ft_primary;
    FtSwitchStep step = sw.step;

    if (!ft_switchover_active()) {
        return;
    }
    over(FT_SWITCH_NONE, why);
    if (step == FT_SWITCH_ASKED) {
        return;
    }
    p->handed_over = false;
    activate_images();
    ft_guest_allow();
    ft_inbound_return();
    warn_report("fault tolerance: the switchover failed (%s); the guest goes "
                "on here", why);
}

void ft_switchover_failed(const char *why)
{
    if (ft_switchover_active()) {
        ft_inbound_forget();
        over(FT_SWITCH_NONE, why);
    }
}

/* The peer gets the locks; what is written is on stable storage then */
static bool give_up_images(Error **errp)
{
    if (!ft_opts.shared) {
        return true;
    }
    if (!ft_mirror_settle(errp)) {
        return false;
    }
    if (ft_hold_bytes()) {
        error_setg(errp, "writes to a shared drive are still held");
        return false;
    }
    sw.inactive = true;
    if (bdrv_inactivate_all() < 0) {
        error_setg(errp, "a shared drive cannot be given up");
        return false;
    }
    return true;
}

/* Everything is committed and let go */
static void all_let_go(const char *error)
{
    FtPrimary *p = &ft_primary;
    g_autoptr(GByteArray) rec = NULL;
    Error *err = NULL;

    if (sw.step != FT_SWITCH_STOPPED && sw.step != FT_SWITCH_ASKED) {
        return;
    }
    if (error || !give_up_images(&err)) {
        g_autofree char *text = g_strdup_printf(
            "the switchover failed: %s",
            error ?: error_get_pretty(err));

        error_free(err);
        ft_primary_lost(text);
        return;
    }
    ft_fault(FT_FAULT_SWITCH_READY);
    rec = g_byte_array_new();
    ft_wire_put_text(rec, FT_REC_SWITCHOVER, sw.why);
    ft_gate_close();
    p->handed_over = true;
    sw.step = FT_SWITCH_SAID;
    sw.said_ns = get_clock();
    ft_channel_send(p->ch, rec->data, rec->len);
    ft_fault(FT_FAULT_SWITCH_SAID);
}

/* False: not now */
static bool stop_guest(void)
{
    FtPrimary *p = &ft_primary;

    if (qemu_reset_requested_get() || qemu_shutdown_requested_get() ||
        runstate_check(RUN_STATE_SAVE_VM)) {
        return false;
    }
    sw.step = FT_SWITCH_STOPPED;
    sw.stopped_ns = get_clock();
    ft_inbound_capture(p->ch);
    global_state_store();
    ft_guest_forbid();
    return true;
}

static bool may_switch(Error **errp)
{
    FtPrimary *p = &ft_primary;

    if (ft_status.role == FT_ROLE_SECONDARY) {
        error_setg(errp, "this QEMU is a waiting secondary; use "
                   "ft-switchover on the primary");
    } else if (ft_switchover_active()) {
        error_setg(errp, "a switchover is under way already");
    } else if (p->handed_over || ft_failout_pending()) {
        error_setg(errp, "the guest is being handed over, because a disk has "
                   "failed");
    } else if (!p->welcomed || ft_status.state != FT_STATE_PROTECTED) {
        error_setg(errp, "the guest is not protected but %s%s%s; there is "
                   "nobody to switch over to", FtState_str(ft_status.state),
                   ft_status.reason ? ": " : "", ft_status.reason ?: "");
    } else if (!ft_arbiter_reachable()) {
        error_setg(errp, "the arbiter cannot be asked, and has to know who "
                   "runs the guest; try again when it can");
    } else if (!runstate_is_live(runstate_get()) &&
               !runstate_check(RUN_STATE_PAUSED)) {
        error_setg(errp, "the guest is in the run state %s; only one that "
                   "runs or is paused can be switched over",
                   RunState_str(runstate_get()));
    } else {
        return true;
    }
    return false;
}

/* A disk that does not answer, on either side, or a guest that resets */
static void too_late(void *opaque)
{
    if (sw.step == FT_SWITCH_ASKED || sw.step == FT_SWITCH_STOPPED) {
        ft_primary_lost("the switchover failed: the guest's output could not "
                        "be let go in time");
    }
}

bool ft_primary_switch_over(const char *why, Error **errp)
{
    if (!may_switch(errp)) {
        return false;
    }
    info_report("fault tolerance: switching over to the peer: %s", why);
    sw.step = FT_SWITCH_ASKED;
    sw.why = g_strdup(why);
    sw.asked_ns = get_clock();
    if (!sw.limit) {
        sw.limit = timer_new_ms(QEMU_CLOCK_REALTIME, too_late, NULL);
    }
    timer_mod(sw.limit, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
              FT_HUNG_FACTOR * ft_opts.timeout_ms);
    ft_primary.mode->finish(stop_guest, all_let_go);
    return true;
}

bool ft_switchover_leave(void)
{
    if (sw.step != FT_SWITCH_DONE) {
        return false;
    }
    sw.step = FT_SWITCH_NONE;
    timer_del(sw.afterglow);
    ft_inbound_forget();
    ft_primary.mode->quiesce();
    ft_mirror_drop();
    ft_primary_disconnect();
    ft_role_to_secondary();
    return true;
}

static void afterglow_over(void *opaque)
{
    ft_switchover_leave();
}

bool ft_switchover_done(uint64_t generation)
{
    int64_t now = get_clock();
    g_autofree char *why = NULL;

    if (sw.step != FT_SWITCH_SAID) {
        return false;
    }
    info_report("fault tolerance: switched over to the peer as generation %"
                PRIu64 "; the guest was awaited for %" PRId64 " us, stopped "
                "for %" PRId64 " us, of which the peer took %" PRId64 " us",
                generation, (sw.stopped_ns - sw.asked_ns) / 1000,
                (now - sw.stopped_ns) / 1000, (now - sw.said_ns) / 1000);
    why = g_strdup_printf("switched over to the peer, which runs the guest as "
                          "generation %" PRIu64, generation);
    ft_primary.handed_over = false;
    ft_primary.wanted = false;
    sw.inactive = false;
    over(FT_SWITCH_DONE, NULL);
    ft_state_set(FT_ROLE_PRIMARY, FT_STATE_FENCED, why);
    if (!sw.afterglow) {
        sw.afterglow = timer_new_ms(QEMU_CLOCK_REALTIME, afterglow_over,
                                    NULL);
    }
    timer_mod(sw.afterglow, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
              AFTERGLOW_MS);
    return true;
}

void coroutine_fn qmp_ft_switchover(Error **errp)
{
    g_autofree char *error = NULL;

    if (!ft_primary_switch_over("asked for with ft-switchover", errp)) {
        return;
    }
    sw.waiter = qemu_coroutine_self();
    qemu_coroutine_yield();
    error = g_steal_pointer(&sw.error);
    if (error) {
        error_setg(errp, "%s", error);
    }
}
