/*
 * QEMU-FT: ending protection on purpose
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The guest was switched off, QEMU told to quit, or the user said ft-stop: the
 * peer is told with END, so that it does not take over, and its answer awaited,
 * so that what was held may go.  Without an answer the peer may have taken
 * over: an arbiter decides, or nobody knows better.
 *
 * Main loop, BQL held; nothing else turns meanwhile.
 */
#include "qemu/osdep.h"
#include "arbiter.h"
#include "disk-mirror.h"
#include "gate.h"
#include "options.h"
#include "primary-int.h"
#include "state.h"
#include "switchover.h"

/* Read until the peer confirms END; false: it did not */
static bool await_ended(void)
{
    FtPrimary *p = &ft_primary;
    int64_t end = get_clock() + ft_opts.timeout_ms * 1000000LL;
    FtRecord rec;

    while (get_clock() < end) {
        int ret = ft_channel_read(p->ch, &rec, NULL);

        if (ret < 0) {
            return false;
        }
        if (ret > 0 && rec.type == FT_REC_ENDED) {
            return true;
        }
        if (ret > 0 && !ft_primary_take(&rec)) {
            return false;
        }
        if (ret == 0) {
            p->mode->settled(true);
            ft_channel_poll(p->ch, (end - get_clock()) / 1000000 + 1);
        }
    }
    return false;
}

/* False: the peer has not confirmed it; it may be gone by now */
static bool say_end(FtEndReason reason, const char *text)
{
    g_autoptr(GByteArray) end = g_byte_array_new();

    ft_wire_put_end(end, reason, text);
    ft_channel_send(ft_primary.ch, end->data, end->len);
    return await_ended();
}

/* This process ends with the guest switched off; @exposed: there is a peer */
static void leave(bool exposed, bool confirmed)
{
    FtPrimary *p = &ft_primary;

    if (p->undecided) {
        /* Another copy may run: what is held must not get out */
        ft_gate_close();
        ft_mirror_drop();
    } else if (exposed) {
        ft_arbiter_leave(confirmed);
    }
}

void ft_primary_end(FtEndReason reason, const char *text, bool again)
{
    FtPrimary *p = &ft_primary;
    bool exposed = p->ch && p->welcomed && p->mode->exposed();
    bool confirmed = true;

    if (ft_switchover_leave() || ft_status.state == FT_STATE_FENCED) {
        return;
    }
    if (again && !p->handed_over) {
        ft_switchover_undo(text);
    } else {
        ft_switchover_failed(text);
    }
    p->wanted = again;
    if (!again) {
        ft_primary_redial_stop();
    }
    if (p->ch && p->welcomed) {
        p->mode->quiesce();
        confirmed = say_end(reason, text) || !exposed;
        if (p->ch && p->handed_over && !confirmed) {
            /* Its answer was to decide, and there is none */
            ft_primary_fence(text);
            return;
        }
        if (!p->ch) {
            /* Taken over or lost meanwhile: all is said and done */
            return;
        }
    }
    ft_primary_disconnect();
    if (reason == FT_END_GUEST_OFF) {
        leave(exposed, confirmed);
    } else if (!confirmed && ft_arbiter_on()) {
        ft_primary_ask_arbiter(text);
        return;
    }
    if (p->undecided) {
        return;
    }
    ft_mirror_release();
    ft_gate_open();
    ft_state_set(FT_ROLE_PRIMARY, FT_STATE_UNPROTECTED, text);
    if (again) {
        ft_primary_redial_later();
    }
}
