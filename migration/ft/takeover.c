/*
 * QEMU-FT: going on with the committed state
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * RAM is in place already.  The device state is loaded now, for the first
 * time: loading is made for a fresh process, and a waiting secondary is
 * one, exactly as the target of a migration is.
 *
 * The run state comes from the stream, not from -S: libvirt starts both
 * sides with -S, and a guest that was paused on the primary has to be
 * paused here.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "qapi/qapi-events-ft.h"
#include "exec/cpu-common.h"
#include "migration/global_state.h"
#include "migration/misc.h"
#include "net/announce.h"
#include "system/runstate.h"
#include "compat.h"
#include "checkpoint.h"
#include "device.h"
#include "gate.h"
#include "inbound.h"
#include "options.h"
#include "start.h"
#include "state.h"
#include "takeover.h"
#include "trace.h"
#include "virtio.h"

/* About when the old primary waits for its guest */
#define SWITCHED_REDIAL_MS 250

/* For so long it may still be getting ready for that */
#define SWITCHED_LATELY_NS 5000000000LL

static AnnounceTimer announce;
static int64_t switched_ns;     /* when; 0: there was no switchover */

bool ft_takeover_switched_lately(void)
{
    return switched_ns && get_clock() - switched_ns < SWITCHED_LATELY_NS;
}

/*
 * The name of the run state stands in the section "globalstate"; it is in
 * the committed bytes whether or not they have been loaded.
 */
bool ft_committed_guest_is_off(const FtIntake *in)
{
    static const char section[] = "globalstate";
    const uint8_t *s = in->device->data;
    size_t len = in->device->len, name = sizeof(section) - 1;

    for (size_t i = 0; i + name + 64 < len; i++) {
        if (!memcmp(s + i, section, name)) {
            /* instance, version, size: three u32, then the name */
            return !strncmp((const char *)s + i + name + 12, "shutdown", 9);
        }
    }
    return false;
}

/* Self-check: what was loaded, saved again, has to be what was loaded */
static void compare_reload(const FtIntake *in)
{
    g_autoptr(GByteArray) again = g_byte_array_new();
    g_autofree char *section = NULL;
    Error *err = NULL;

    if (!ft_opts.self_check) {
        return;
    }
    if (!ft_device_save(again, NULL, &err)) {
        error_report_err(err);
        ft_counters.checks_failed++;
        return;
    }
    section = ft_device_differs(in->device->data, in->device->len,
                                again->data, again->len);
    if (section) {
        error_report("fault tolerance: self-check: the state of %s changed "
                     "by loading it", section);
        ft_counters.checks_failed++;
    } else {
        ft_counters.checks_passed++;
    }
}

static void run_guest(void)
{
    RunState state = global_state_get_runstate();
    Error *err = NULL;

    if (!migration_block_activate(&err)) {
        error_report_err(err);
        exit(EXIT_FAILURE);
    }
    if (runstate_is_live(state)) {
        vm_resume(state);
    } else {
        runstate_set(RUN_STATE_PAUSED);
    }
}

void ft_takeover(FtIntake *in, FtTakeoverCause cause, int64_t detect_ns,
                 FtTakeoverLoaded *state_loaded, void *opaque)
{
    int64_t start = get_clock(), loaded;
    FtTakeover *t = g_new0(FtTakeover, 1);
    bool switched = cause == FT_TAKEOVER_CAUSE_SWITCHOVER;
    Error *err = NULL;

    ft_state_set(FT_ROLE_SECONDARY, FT_STATE_TAKING_OVER, NULL);
    if (!ft_device_load(in->device->data, in->device->len, &err)) {
        if (state_loaded) {
            state_loaded(opaque, error_get_pretty(err));
        }
        error_report_err(err);
        exit(EXIT_FAILURE);
    }
    loaded = get_clock();
    if (state_loaded) {
        state_loaded(opaque, NULL);
    }
    /* This process may be an old primary that is to speak again */
    ft_gate_open();
    compare_reload(in);
    ft_status.generation++;
    run_guest();
    ft_virtio_notify_all();
    qemu_announce_self(&announce, migrate_announce_params());

    t->cause = cause;
    t->epoch = in->committed;
    t->detect_us = detect_ns / 1000;
    t->load_us = (loaded - start) / 1000;
    t->total_us = (get_clock() - start) / 1000;
    qapi_free_FtTakeover(ft_status.takeover);
    ft_status.takeover = t;
    trace_ft_takeover(FtTakeoverCause_str(cause), t->epoch, t->total_us);
    qapi_event_send_ft_failover(ft_status.generation, t->epoch, cause);
    ft_state_set(FT_ROLE_PRIMARY, FT_STATE_UNPROTECTED,
                 switched ? "the guest was switched over to this side" :
                 "the primary died and this side took over");
    info_report("fault tolerance: took over from epoch %" PRIu64 " as "
                "generation %" PRIu64 " (%s)", t->epoch,
                ft_status.generation, FtTakeoverCause_str(cause));
    switched_ns = switched ? get_clock() : 0;
    ft_start_after_takeover(switched ? SWITCHED_REDIAL_MS : FT_REDIAL_MS);
}

void ft_takeover_deliver(FtCarried *carried)
{
    FtTakeover *t = ft_status.takeover;

    /* In this order: the guest's answers to the second follow the first */
    t->sent = ft_carried_give_output(carried, ft_gate_net_say);
    t->delivered = ft_carried_give_input(carried, ft_inbound_give);
}
