/*
 * QEMU-FT: from options to a running engine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Start-up has two steps.  When all devices exist, what cannot be
 * protected is refused and gates are put in place.  The network is touched
 * only when the main loop turns: before that the machine is not reset yet.
 *
 * A guest that ends on purpose - switched off, or QEMU told to quit or
 * terminated - must not live on elsewhere: the peer is told, and its answer
 * awaited, in a shutdown notifier.  With -no-shutdown (libvirt) a guest
 * that switches itself off leaves QEMU running and may be reset and
 * started again; then protection goes on, and a secondary that finds its
 * primary dead in that state ends instead of taking over.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-ft.h"
#include "block/block.h"
#include "migration/blocker.h"
#include "system/cpus.h"
#include "system/runstate.h"
#include "system/runstate-action.h"
#include "system/system.h"
#include "compat.h"
#include "monitor/monitor-internal.h"
#include "arbiter.h"
#include "disk-mirror.h"
#include "failout.h"
#include "fault.h"
#include "gate.h"
#include "incoming.h"
#include "keeper.h"
#include "machine.h"
#include "options.h"
#include "peers.h"
#include "primary.h"
#include "secondary.h"
#include "start.h"
#include "state.h"
#include "switchover.h"
#include "uplink.h"

static Error *blocker;
static bool discard_disabled;

static bool prepare(Error **errp)
{
    if (!ft_machine_can_protect(errp) || !ft_arbiter_init(errp)) {
        return false;
    }
    if (!discard_disabled) {
        if (ram_block_discard_disable(true) < 0) {
            error_setg(errp, "a device gives guest memory back to the host "
                       "(virtio-mem or the like), which fault tolerance "
                       "cannot follow; remove it");
            return false;
        }
        discard_disabled = true;
    }
    ft_hotplug_watch();
    ft_uplink_find();
    ft_keeper_start();
    return true;
}

static bool prepare_primary(Error **errp)
{
    if (ft_incoming_under_way()) {
        error_setg(errp, "the guest comes by -incoming and does not run here "
                   "yet; it is protected as soon as it does");
        return false;
    }
    if (!prepare(errp)) {
        return false;
    }
    if (!ft_arbiter_start(errp)) {
        return false;
    }
    error_setg(&blocker, "fault tolerance is on; use ft-stop first");
    if (migrate_add_blocker_internal(&blocker, errp) < 0) {
        return false;
    }
    ft_failout_init();
    if (!ft_mirror_attach(errp)) {
        migrate_del_blocker(&blocker);
        return false;
    }
    ft_gate_net_attach();
    ft_gate_console_attach();
    ft_reset_watch();
    return true;
}

static void guest_ends(Notifier *n, void *opaque)
{
    ShutdownCause cause = *(ShutdownCause *)opaque;
    Error *err = NULL;

    if (ft_status.role != FT_ROLE_PRIMARY ||
        (shutdown_action == SHUTDOWN_ACTION_PAUSE &&
         shutdown_caused_by_guest(cause))) {
        return;
    }
    if (ft_switchover_leave()) {
        /* The guest is elsewhere */
        ft_mirror_detach();
        return;
    }
    if (ft_primary.wanted) {
        /* Whatever it still writes has to reach the peer before the END */
        pause_all_vcpus();
        bdrv_drain_all();
    }
    if (!ft_mirror_settle(&err)) {
        /* The peer has what our disk lacks, and our lock once we are gone */
        error_reportf_err(err, ft_primary.welcomed ?
                          "fault tolerance: the peer takes over: " :
                          "fault tolerance: there is no peer to go on: ");
        ft_primary_abandon();
        ft_mirror_detach();
        return;
    }
    ft_primary_end(FT_END_GUEST_OFF, shutdown_caused_by_guest(cause) ?
                   "the guest was switched off" : "QEMU was told to end",
                   false);
    ft_mirror_detach();
}

static Notifier shutdown_notifier = { .notify = guest_ends };

static void watch_shutdown(void)
{
    static bool watching;

    if (!watching) {
        qemu_register_shutdown_notifier(&shutdown_notifier);
        watching = true;
    }
}

void ft_start_undo(void)
{
    if (blocker) {
        migrate_del_blocker(&blocker);
    }
}

bool ft_start_listening(Error **errp)
{
    qmp_disable_command(&qmp_commands, "migrate-incoming",
                        "this QEMU waits for a fault tolerant guest "
                        "(-ft-listen)");
    ft_opts.listen = true;
    return ft_secondary_start(errp);
}

/* A running guest is to have a peer, whoever it has been so far */
static bool protect(Error **errp)
{
    ft_opts.listen = false;
    if (!prepare_primary(errp)) {
        return false;
    }
    watch_shutdown();
    ft_state_set(FT_ROLE_PRIMARY, FT_STATE_UNPROTECTED,
                 "the peer has not answered yet");
    ft_primary_start();
    return true;
}

/* Later than ft-start or -ft-peer, and somebody may have come in between */
static void protect_unasked(const char *failure)
{
    Error *err = NULL;

    if (ft_status.role != FT_ROLE_PRIMARY ||
        ft_status.state != FT_STATE_UNPROTECTED || ft_primary.wanted) {
        return;
    }
    if (!protect(&err)) {
        ft_state_set(FT_ROLE_PRIMARY, FT_STATE_UNPROTECTED,
                     error_get_pretty(err));
        error_reportf_err(err, "fault tolerance: %s: ", failure);
    }
}

static void arrived(void)
{
    protect_unasked("the guest is here, but not protected");
}

/* Only what needs no guest; the rest follows in arrived() */
static bool prepare_incoming(Error **errp)
{
    if (ft_opts.listen) {
        error_setg(errp, "cannot be combined with -incoming; remove "
                   "-incoming");
        return false;
    }
    if (!prepare(errp)) {
        return false;
    }
    if (ft_arbiter_on()) {
        error_setg(errp, "a guest that has an arbiter cannot come by "
                   "-incoming, because it may still run where it comes from; "
                   "remove -incoming, or arbiter=");
        return false;
    }
    return true;
}

static bool prepare_what_is_asked(Error **errp)
{
    if (ft_opts.incoming_given) {
        return prepare_incoming(errp);
    }
    return ft_opts.listen ? prepare(errp) : prepare_primary(errp);
}

static void begin(void *opaque)
{
    QEMUTimer **timer = opaque;
    Error *err = NULL;

    timer_free(*timer);
    if (!ft_opts.listen) {
        ft_arbiter_watch(ft_primary_seen);
        if (ft_opts.incoming_given) {
            ft_incoming_await(arrived);
        } else {
            ft_primary_start();
        }
        ft_arbiter_warn();
        return;
    }
    if (!ft_start_listening(&err)) {
        error_report_err(err);
        exit(EXIT_FAILURE);
    }
    ft_arbiter_warn();
}

static void machine_done(Notifier *n, void *opaque)
{
    static QEMUTimer *timer;
    Error *err = NULL;

    if (!ft_fault_init(&err) || !prepare_what_is_asked(&err)) {
        error_reportf_err(err, "-ft-%s: ",
                          ft_opts.listen ? "listen" : "peer");
        exit(EXIT_FAILURE);
    }
    if (!ft_opts.listen) {
        ft_state_set_peer(ft_peers_current()->text);
        ft_state_set(FT_ROLE_PRIMARY, FT_STATE_UNPROTECTED,
                     ft_opts.incoming_given ?
                     "the guest comes by -incoming and does not run here "
                     "yet" :
                     "the peer has not answered yet");
    }
    if (ft_opts.stamp) {
        /* What is sent right after a takeover is stamped too */
        ft_gate_net_attach();
    }
    watch_shutdown();
    timer = timer_new_ms(QEMU_CLOCK_REALTIME, begin, &timer);
    timer_mod(timer, 0);
}

void ft_start_at_machine_done(void)
{
    static Notifier notifier = { .notify = machine_done };

    qemu_add_machine_init_done_notifier(&notifier);
}

static void protect_again(void *opaque)
{
    QEMUTimer **timer = opaque;

    timer_free(*timer);
    protect_unasked("not protected again");
}

void ft_start_after_takeover(uint32_t ms)
{
    static QEMUTimer *timer;

    if (ft_peers_current()) {
        /* The clients come first, who have waited long enough */
        timer = timer_new_ms(QEMU_CLOCK_REALTIME, protect_again, &timer);
        timer_mod(timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + ms);
    }
}

void qmp_ft_start(const char *peer, Error **errp)
{
    if (ft_status.role == FT_ROLE_SECONDARY) {
        error_setg(errp, "this QEMU is a waiting secondary; use ft-start on "
                   "the primary");
        return;
    }
    if (ft_primary.wanted) {
        if (!peer || ft_primary.ch) {
            error_setg(errp, "protection is on already; use ft-stop first");
        } else if (ft_peers_prefer(peer, errp)) {
            ft_primary_start();
        }
        return;
    }
    if (ft_status.state == FT_STATE_FENCED) {
        error_setg(errp, "this copy of the guest is fenced; another one runs");
        return;
    }
    if (peer && !ft_peers_prefer(peer, errp)) {
        return;
    }
    if (!ft_peers_current()) {
        error_setg(errp, "no peer is known; give peer=host:port");
        return;
    }
    protect(errp);
}

void qmp_ft_stop(bool has_force, bool force, Error **errp)
{
    if (ft_primary.undecided && has_force && force) {
        ft_primary.wanted = false;
        ft_primary_insist();
        ft_mirror_detach();
        ft_start_undo();
        return;
    }
    if (ft_primary.undecided) {
        error_setg(errp, "this copy waits for the arbiter's answer; with "
                   "force=true it goes on without, which is safe only if the "
                   "other copy does not run");
        return;
    }
    if (!ft_primary.wanted) {
        error_setg(errp, "protection is not on");
        return;
    }
    if (ft_switchover_active()) {
        error_setg(errp, "a switchover is under way; wait for its end");
        return;
    }
    if (ft_primary.handed_over) {
        error_setg(errp, "the guest is being handed over to the peer, because "
                   "a disk has failed");
        return;
    }
    if (!ft_mirror_settle(errp)) {
        error_append_hint(errp, "Mend it and use cont, or quit: then the peer "
                          "goes on.\n");
        return;
    }
    ft_primary_end(FT_END_STOPPED, "stopped by ft-stop", false);
    ft_mirror_detach();
    ft_start_undo();
}
