/*
 * QEMU-FT: reading from the links of a session
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/lockable.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "links-int.h"

/* Secondary: take what the door has brought */
static void take_offered(FtLinks *ls)
{
    for (int i = 0; i < FT_WIRE_MAX_LINKS; i++) {
        g_autoptr(GByteArray) rec = NULL;
        FtLink *l;

        WITH_QEMU_LOCK_GUARD(&ls->lock) {
            l = ls->offered[i];
            ls->offered[i] = NULL;
        }
        if (!l) {
            continue;
        }
        if (ls->link[i] && ls->link[i] == ls->active) {
            ft_link_free(l);
            continue;
        }
        if (ls->link[i]) {
            ft_links_drop(ls, ls->link[i], 0);
        }
        rec = g_byte_array_new();
        ft_wire_put(rec, FT_REC_ATTACHED, NULL, 0);
        ft_links_insert(ls, l, FT_LINK_STANDBY);
        WITH_QEMU_LOCK_GUARD(&ls->lock) {
            ft_links_set_known(ls, l);
        }
        ft_links_say_now(ls, l, rec);
    }
}

/* Whether the peer, in its role, may say @word on a standby link */
static bool is_last_word(FtLinks *ls, const FtRecord *rec)
{
    return rec->type == (ls->dials ? FT_REC_TAKEOVER : FT_REC_END);
}

/* A record on a link that is not active; DRY: go on with the next */
static FtLinksEvent link_record(FtLinks *ls, FtLink *l, const FtRecord *rec,
                                uint64_t taken, Error **errp)
{
    bool standby = l->phase == FT_LINK_STANDBY;
    Error *err = NULL;

    if (rec->type & FT_WIRE_OPTIONAL) {
        return FT_LINKS_DRY;
    }
    if (rec->type == FT_REC_RECEIVED && l->phase != FT_LINK_ATTACHING) {
        return ft_links_confirm(ls, rec, errp) ? FT_LINKS_DRY : FT_LINKS_GONE;
    }
    if (is_last_word(ls, rec)) {
        return FT_LINKS_WORD;
    }
    if (ls->dials && rec->type == FT_REC_ATTACHED &&
        l->phase == FT_LINK_ATTACHING) {
        WITH_QEMU_LOCK_GUARD(&ls->lock) {
            l->phase = FT_LINK_STANDBY;
            ft_links_set_known(ls, l);
        }
        return FT_LINKS_DRY;
    }
    if (ls->dials && rec->type == FT_REC_SWITCHED &&
        l->phase == FT_LINK_SWITCHING) {
        return ft_links_switched(ls, l, rec, errp);
    }
    if (!ls->dials && rec->type == FT_REC_SWITCH && standby) {
        return ft_links_switch_here(ls, l, rec, taken, errp);
    }
    error_setg(&err, "%s: %s on a standby link", l->text,
               ft_rec_name(rec->type));
    if (rec->type != FT_REC_REFUSE) {
        warn_report_err(err);
    } else {
        error_free(err);
    }
    ft_links_drop(ls, l, FT_REDIAL_REFUSED_MS);
    return FT_LINKS_DRY;
}

/* Read a link that is not active */
static FtLinksEvent look_at(FtLinks *ls, int number, uint64_t taken,
                            FtRecord *rec, Error **errp)
{
    FtLink *l;

    /* A record may drop the link, or make it the active one */
    while ((l = ls->link[number]) && l != ls->active) {
        int ret = ft_link_next(l, rec, ls->traffic, NULL);
        FtLinksEvent ev;

        if (ret == 0) {
            break;
        }
        if (ret < 0) {
            ft_links_drop(ls, l, FT_REDIAL_MS);
            break;
        }
        ev = link_record(ls, l, rec, taken, errp);
        if (ev != FT_LINKS_DRY) {
            return ev;
        }
    }
    return FT_LINKS_DRY;
}

/* Read the other links: those that have something to read, or @all */
static FtLinksEvent look_around(FtLinks *ls, bool all, uint64_t taken,
                                FtRecord *rec, Error **errp)
{
    if (all) {
        ls->looked_ns = get_clock();
    }
    take_offered(ls);
    for (int i = 0; i < FT_WIRE_MAX_LINKS; i++) {
        FtLink *l = ls->link[i];

        if (l && l != ls->active && (all || l->readable)) {
            FtLinksEvent ev = look_at(ls, i, taken, rec, errp);

            if (ev != FT_LINKS_DRY) {
                return ev;
            }
        }
    }
    return FT_LINKS_DRY;
}

/* False: nothing is there, and the active link may be gone */
static bool read_active(FtLinks *ls, void *buf, size_t room, size_t *n)
{
    Error *err = NULL;
    ssize_t got = ft_link_read(ls->active, buf, room, ls->traffic, &err);

    if (got > 0) {
        *n = got;
        return true;
    }
    if (got < 0) {
        g_free(ls->why);
        ls->why = g_strdup(error_get_pretty(err));
        error_free(err);
        ft_links_drop(ls, ls->active, FT_REDIAL_MS);
    }
    return false;
}

FtLinksEvent ft_links_receive(FtLinks *ls, uint64_t taken, void *buf,
                              size_t room, size_t *n, FtRecord *word,
                              Error **errp)
{
    FtLinksEvent ev = FT_LINKS_DRY;

    if (get_clock() - ls->looked_ns > ls->timeout_ns / 10) {
        /* Not only when dry: a stream under load may never be */
        ev = look_around(ls, true, taken, word, errp);
        if (ev != FT_LINKS_DRY) {
            return ev;
        }
    }
    if (ls->active && read_active(ls, buf, room, n)) {
        return FT_LINKS_BYTES;
    }
    ev = look_around(ls, !ls->active, taken, word, errp);
    return ev == FT_LINKS_DRY ? ft_links_judge(ls, taken, errp) : ev;
}

bool ft_links_record(FtLinks *ls, const FtRecord *rec, Error **errp)
{
    if (rec->type == FT_REC_RECEIVED) {
        return ft_links_confirm(ls, rec, errp);
    }
    if (rec->type == FT_REC_ATTACHED && ls->dials && !ls->ready) {
        ls->ready = true;
        return true;
    }
    error_setg(errp, "the peer said %s out of turn", ft_rec_name(rec->type));
    return false;
}
