/*
 * QEMU-FT: what becomes of the guest here when its peer is gone
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 *     lost         goes on unprotected, with the output it had said let go
 *     undecided    asks the arbiter first: the peer may hold a committed state
 *                  that it has not renounced.  Output and writes to shared
 *                  disks stay held.  The guest runs on for a time-out, so that
 *                  a quick answer costs nothing, and is then stopped, so that
 *                  a late one does not cost memory without end
 *     handed over  the peer's answer decides, and without one nobody can know
 *     fenced       another copy runs: this one stops for good
 *
 * Everything runs in the main loop with the BQL held.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/timer.h"
#include "block/block.h"
#include "system/cpus.h"
#include "carry.h"
#include "arbiter.h"
#include "disk-mirror.h"
#include "failout.h"
#include "gate.h"
#include "guest.h"
#include "options.h"
#include "peers.h"
#include "primary-int.h"
#include "role.h"
#include "state.h"
#include "switchover.h"

static QEMUTimer *undecided_for;
static bool insisted;           /* the user has decided before the arbiter */

void ft_primary_fence(const char *why)
{
    FtPrimary *p = &ft_primary;

    p->mode->quiesce();
    ft_switchover_failed(why);
    ft_gate_close();
    p->wanted = p->undecided = p->handed_over = false;
    ft_guest_forbid();
    /* Now that the last request has ended in what is held */
    ft_mirror_drop();
    ft_primary_disconnect();
    if (ft_opts.shared) {
        /* The other copy waits for the locks */
        bdrv_inactivate_all();
    }
    error_report("fault tolerance: %s; this copy of the guest is stopped",
                 why);
    ft_state_set(FT_ROLE_PRIMARY, FT_STATE_FENCED, why);
}

void ft_primary_fenced(uint64_t generation)
{
    g_autofree char *why = g_strdup_printf(
        "the peer has taken over as generation %" PRIu64, generation);

    ft_primary_fence(why);
    ft_role_to_secondary();
}

void ft_primary_take_back(void)
{
    FtPrimary *p = &ft_primary;

    p->handed_over = false;
    ft_failout_over();
    if (ft_switchover_active()) {
        ft_switchover_undo("the peer could not go on");
        return;
    }
    ft_guest_allow();
}

/* The peer has no copy, or may not use it */
static void go_on_alone(const char *why)
{
    FtPrimary *p = &ft_primary;

    p->undecided = false;
    /* A reply must not leave before what it vouches for is on the disk */
    if (ft_mirror_release()) {
        ft_gate_open();
        ft_state_set(FT_ROLE_PRIMARY, FT_STATE_UNPROTECTED, why);
    }
    /* With a disk that has failed, to where it waits for cont */
    ft_guest_allow();
    ft_primary_redial_later();
}

/* Top level of the main loop */
static void decided(bool won, const char *why, bool ended)
{
    FtPrimary *p = &ft_primary;
    g_autofree char *lost = g_strdup(ft_status.reason);

    if (won) {
        ft_status.generation++;
    }
    if (insisted) {
        insisted = false;
        if (!won) {
            ft_primary_fence(why);
        }
        return;
    }
    if (!p->undecided) {
        return;
    }
    timer_del(undecided_for);
    if (won) {
        go_on_alone(lost);
    } else {
        ft_primary_outvoted(why);
    }
}

static void undecided_too_long(void *opaque)
{
    FtPrimary *p = &ft_primary;

    if (p->undecided) {
        ft_guest_forbid();
        warn_report("fault tolerance: the guest is paused until the arbiter "
                    "says whether this copy may go on");
    }
}

void ft_primary_ask_arbiter(const char *why)
{
    FtPrimary *p = &ft_primary;

    if (!undecided_for) {
        undecided_for = timer_new_ms(QEMU_CLOCK_REALTIME, undecided_too_long,
                                     NULL);
    }
    p->undecided = true;
    ft_state_set(FT_ROLE_PRIMARY, FT_STATE_DEGRADED, why);
    timer_mod(undecided_for, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
              ft_opts.timeout_ms);
    ft_arbiter_claim(decided);
}

void ft_primary_insist(void)
{
    g_autofree char *why = g_strdup(ft_status.reason);

    timer_del(undecided_for);
    insisted = true;
    warn_report("fault tolerance: told to go on without the arbiter");
    go_on_alone(why);
}

void ft_primary_outvoted(const char *why)
{
    ft_primary_fence(why);
    ft_role_to_secondary();
}

void ft_primary_seen(const FtSeat *seat)
{
    g_autofree char *why = NULL;

    if (ft_status.role != FT_ROLE_PRIMARY || ft_arbiter_claiming() ||
        seat->generation <= ft_status.generation ||
        ft_primary.handed_over) {
        /* After a handover its answer decides, which is on its way */
        return;
    }
    if (ft_status.state == FT_STATE_FENCED) {
        if (!ft_primary.ch) {
            /* Nobody has said so, but the other one runs */
            ft_role_to_secondary();
        }
        return;
    }
    why = g_strdup_printf("the arbiter says that %s acts, as generation %"
                          PRIu64, seat->holder, seat->generation);
    ft_primary_outvoted(why);
}

/* @renounced: the peer itself has said that it has no copy any more */
static void lost(const char *why, bool renounced)
{
    FtPrimary *p = &ft_primary;
    bool had_copy = p->welcomed;
    bool exposed = had_copy && p->mode->exposed();

    if (ft_switchover_leave()) {
        return;
    }
    if (p->handed_over) {
        g_autofree char *text = g_strdup_printf(
            "the guest was handed over to the peer, which has not answered "
            "(%s)", why);

        ft_primary_fence(text);
        return;
    }
    ft_switchover_undo(why);
    if (had_copy) {
        g_autoptr(GByteArray) bye = g_byte_array_new();

        /* For a peer that was only slow: do not take over any more */
        p->mode->quiesce();
        ft_wire_put_end(bye, FT_END_GIVEN_UP, why);
        ft_channel_farewell(p->ch, bye->data, bye->len,
                            ft_opts.timeout_ms / 2);
    }
    ft_primary_complain(why);
    if (p->ch && !had_copy) {
        ft_peers_next();
    }
    ft_primary_expect_former(exposed && !renounced && !ft_arbiter_on() &&
                             !ft_channel_ended(p->ch));
    ft_primary_disconnect();
    if (exposed && !renounced && ft_arbiter_on()) {
        ft_primary_ask_arbiter(why);
    } else {
        go_on_alone(why);
    }
}

void ft_primary_lost(const char *why)
{
    lost(why, false);
}

void ft_primary_renounced(const char *why)
{
    lost(why, true);
}

void ft_primary_disk_bad(const char *why)
{
    ft_primary_renounced(why);
    if (ft_status.state == FT_STATE_UNPROTECTED) {
        ft_state_set(FT_ROLE_PRIMARY, FT_STATE_DEGRADED, why);
    }
    ft_primary_redial_in(FT_REDIAL_REFUSED_MS);
}

void ft_primary_abandon(void)
{
    ft_primary.mode->quiesce();
    ft_primary.wanted = false;
    ft_gate_close();
    ft_mirror_drop();
}

void ft_primary_mended(void)
{
    ft_gate_open();
    ft_state_set(FT_ROLE_PRIMARY, FT_STATE_UNPROTECTED,
                 "the peer has not answered yet");
}

bool ft_primary_hand_over(const char *why)
{
    FtPrimary *p = &ft_primary;
    g_autoptr(GByteArray) rec = NULL;

    if (!p->welcomed || p->handed_over || ft_switchover_active() ||
        ft_status.state != FT_STATE_PROTECTED) {
        return false;
    }
    warn_report("fault tolerance: %s; handing the guest over to the peer",
                why);
    p->mode->quiesce();
    p->handed_over = true;
    pause_all_vcpus();
    ft_gate_close();
    ft_carry_tell();
    rec = g_byte_array_new();
    ft_wire_put_text(rec, FT_REC_HANDOVER, why);
    ft_channel_send(p->ch, rec->data, rec->len);
    /* Not sooner: it flushes a disk that may take its time to fail */
    ft_guest_forbid();
    return true;
}
