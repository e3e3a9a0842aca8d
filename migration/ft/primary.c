/*
 * QEMU-FT: the side that runs the guest: its connection
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One connection at a time (primary-dial.c).  Whatever goes wrong with it ends
 * in ft_primary_lost(): the guest goes on unprotected, with exceptions
 * (primary-fate.c).  An end on purpose is told to the peer (primary-end.c).
 *
 * Silence is judged by the main loop's tick, after reading what the socket
 * holds: when this process was starved or stopped, the peer's words, or
 * its TAKEOVER, have been waiting there.
 *
 * Everything runs in the main loop with the BQL held.
 */
#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "checkpoint.h"
#include "former.h"
#include "link-dial.h"
#include "link-view.h"
#include "options.h"
#include "primary-int.h"
#include "state.h"
#include "switchover.h"
#include "uplink.h"

FtPrimary ft_primary = { .mode = &ft_checkpoint_mode };

static bool may_have_taken_over;

void ft_primary_expect_former(bool expect)
{
    may_have_taken_over = expect;
}

/* Break the connection and free what hangs on it; the gate is untouched */
void ft_primary_disconnect(void)
{
    FtPrimary *p = &ft_primary;

    if (!p->ch) {
        return;
    }
    p->past_sent += ft_channel_bytes_sent(p->ch);
    p->past_received += ft_channel_bytes_received(p->ch);
    if (p->welcomed) {
        p->mode->detach();
    }
    if (!may_have_taken_over || !ft_former_keep(p->ch)) {
        ft_channel_close(p->ch);
    }
    may_have_taken_over = false;
    p->ch = NULL;
    if (p->welcomed) {
        p->welcomed = false;
        p->mode->stop();
    }
    ft_ram_destroy(&p->ram);
    ft_uplink_heard(NULL);
}

static void take_uplinks(const FtRecord *rec)
{
    FtUplinks told;
    Error *err = NULL;

    if (ft_wire_get_uplinks(rec, &told, &err)) {
        ft_uplink_heard(&told);
    } else {
        ft_primary_lost(error_get_pretty(err));
        error_free(err);
    }
}

static void welcome(const FtRecord *rec)
{
    FtPrimary *p = &ft_primary;
    g_autoptr(GByteArray) uplinks = NULL;
    Error *err = NULL;

    if (p->welcomed || !ft_wire_get_welcome(rec, &p->minor, &err) ||
        !p->mode->start(&p->ram, p->ch, &err)) {
        ft_primary_lost(err ? error_get_pretty(err) :
                        "the peer sent WELCOME twice");
        error_free(err);
        return;
    }
    ft_former_close();
    p->welcomed = true;
    ft_primary_reached();
    uplinks = ft_uplink_record();
    ft_channel_send(p->ch, uplinks->data, uplinks->len);
    ft_state_set(FT_ROLE_PRIMARY, FT_STATE_SYNCING, NULL);
}

static void take_beat(const FtRecord *rec)
{
    FtBeat beat;

    ft_wire_get_beat(rec, &beat);
    ft_channel_take_beat(ft_primary.ch, &beat);
    if (beat.age_ms > FT_HUNG_FACTOR * ft_opts.timeout_ms) {
        ft_primary_lost("the peer's main loop does not turn any more");
    }
}

bool ft_primary_take(const FtRecord *rec)
{
    FtPrimary *p = &ft_primary;
    g_autofree char *text = NULL;
    Error *err = NULL;

    if (rec->type == FT_REC_UPLINK) {
        take_uplinks(rec);
        return p->ch;
    }
    if (rec->type & FT_WIRE_OPTIONAL) {
        return true;
    }
    switch (rec->type) {
    case FT_REC_WELCOME:
        welcome(rec);
        break;
    case FT_REC_FAILED:
        text = ft_wire_get_text(rec);
        ft_counters.checks_failed += g_str_has_prefix(text, "self-check");
        if (p->handed_over) {
            ft_primary_take_back();
        }
        ft_primary_renounced(text);
        break;
    case FT_REC_DISKBAD:
        text = ft_wire_get_text(rec);
        if (p->handed_over) {
            ft_primary_take_back();
        }
        ft_primary_disk_bad(text);
        break;
    case FT_REC_REFUSE:
        text = ft_wire_get_text(rec);
        ft_primary_lost(text);
        /* What has to change is on a command line */
        ft_primary_redial_in(FT_REDIAL_REFUSED_MS);
        break;
    case FT_REC_BEAT:
        take_beat(rec);
        break;
    case FT_REC_TAKEOVER:
        if (p->welcomed) {
            if (!ft_switchover_done(ft_wire_get_u64(rec))) {
                ft_primary_fenced(ft_wire_get_u64(rec));
            }
            break;
        }
        /* fall through */
    default:
        if (!p->welcomed || !p->mode->record(rec, &err)) {
            ft_primary_lost(err ? error_get_pretty(err) :
                            "the peer spoke out of turn");
            error_free(err);
        }
    }
    return p->ch;
}

bool ft_primary_drain(void)
{
    Error *err = NULL;
    FtRecord rec;
    int ret;

    while ((ret = ft_channel_read(ft_primary.ch, &rec, &err)) > 0) {
        if (!ft_primary_take(&rec)) {
            return false;
        }
    }
    if (ret < 0) {
        ft_primary_lost(error_get_pretty(err));
        error_free(err);
        return false;
    }
    if (ft_primary.welcomed) {
        ft_primary.mode->settled(false);
    }
    return ft_primary.ch;
}

void ft_primary_readable(void *opaque)
{
    ft_primary_drain();
}

void ft_primary_tick(void)
{
    FtPrimary *p = &ft_primary;
    int64_t limit = p->welcomed ? ft_opts.timeout_ms :
                    FT_HANDSHAKE_TIMEOUT_MS;

    if (ft_primary_dial_expire(limit)) {
        return;
    }
    /* A link's silence is judged by whoever reads */
    if (p->ch && ft_channel_links(p->ch) && !ft_primary_drain()) {
        return;
    }
    ft_link_dial_turn(p->ch);
    ft_link_view_update(p->ch);
    if (!p->ch || get_clock() - ft_channel_last_rx(p->ch) < limit * 1000000) {
        return;
    }
    if (ft_primary_drain() &&
        get_clock() - ft_channel_last_rx(p->ch) >= limit * 1000000) {
        g_autofree char *why = g_strdup_printf(
            "nothing has come from %s for %" PRId64 " ms", ft_status.peer,
            limit);

        ft_primary_lost(why);
    }
}
