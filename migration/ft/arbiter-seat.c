/*
 * QEMU-FT: the arbiter's record as text
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One line of JSON, so that an administrator can read it with etcdctl or cat:
 *
 *   {"version": 1, "vm": "UUID", "generation": 3, "holder": "hostA",
 *    "claim": "32 hex digits", "ended": false}
 *
 * All six members are there and no other: a record is rewritten as a whole,
 * so what is not understood would be lost.  It names its VM because two VMs
 * may be given the same file by mistake.
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qobject/qbool.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qobject/qnum.h"
#include "arbiter-store.h"

#define SEAT_VERSION 1
#define SEAT_MEMBERS 6
#define HOST_MAX 253

void ft_seat_clear(FtSeat *seat)
{
    g_free(seat->holder);
    g_free(seat->claim);
    *seat = (FtSeat) { 0 };
}

void ft_seat_copy(FtSeat *to, const FtSeat *from)
{
    if (to == from) {
        return;
    }
    ft_seat_clear(to);
    *to = *from;
    to->holder = g_strdup(from->holder);
    to->claim = g_strdup(from->claim);
}

bool ft_seat_same(const FtSeat *a, const FtSeat *b)
{
    return a->generation == b->generation && a->ended == b->ended &&
           !g_strcmp0(a->holder, b->holder) && !g_strcmp0(a->claim, b->claim);
}

bool ft_seat_host_valid(const char *name)
{
    size_t len = strlen(name);

    return len >= 1 && len <= HOST_MAX &&
           strspn(name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-._:") == len;
}

bool ft_seat_valid(const FtSeat *seat, Error **errp)
{
    if (seat->generation < 1 || seat->generation > FT_GENERATION_MAX) {
        error_setg(errp, "generation %" PRIu64 " is out of range",
                   seat->generation);
        return false;
    }
    if (!seat->holder || !ft_seat_host_valid(seat->holder)) {
        error_setg(errp, "the holder is not a host name");
        return false;
    }
    if (!seat->claim || strlen(seat->claim) != FT_CLAIM_DIGITS ||
        strspn(seat->claim, "0123456789abcdef") != FT_CLAIM_DIGITS) {
        error_setg(errp, "the claim is not %d hex digits", FT_CLAIM_DIGITS);
        return false;
    }
    return true;
}

char *ft_seat_encode(const FtSeat *seat, const char *vm)
{
    /* Nothing that ft_seat_valid() lets pass needs an escape */
    return g_strdup_printf("{\"version\": %d, \"vm\": \"%s\", "
                           "\"generation\": %" PRIu64 ", \"holder\": \"%s\", "
                           "\"claim\": \"%s\", \"ended\": %s}\n",
                           SEAT_VERSION, vm, seat->generation, seat->holder,
                           seat->claim, seat->ended ? "true" : "false");
}

static bool get_number(const QDict *dict, const char *key, uint64_t *value)
{
    QNum *num = qobject_to(QNum, qdict_get(dict, key));

    return num && qnum_get_try_uint(num, value);
}

/* Types only; what the members say is for ft_seat_valid() */
static bool get_members(const QDict *dict, FtSeat *seat, Error **errp)
{
    QBool *ended = qobject_to(QBool, qdict_get(dict, "ended"));

    if (qdict_size(dict) != SEAT_MEMBERS || !ended ||
        !get_number(dict, "generation", &seat->generation) ||
        !qdict_get_try_str(dict, "holder") ||
        !qdict_get_try_str(dict, "claim")) {
        error_setg(errp, "a member is missing, of a wrong type, or unknown");
        return false;
    }
    /* Borrowed: freed with @dict */
    seat->holder = (char *)qdict_get_str(dict, "holder");
    seat->claim = (char *)qdict_get_str(dict, "claim");
    seat->ended = qbool_get_bool(ended);
    return true;
}

bool ft_seat_decode(FtSeat *seat, const char *vm, const char *text,
                    Error **errp)
{
    QObject *object = qobject_from_json(text, NULL);
    g_autoptr(QDict) dict = qobject_to(QDict, object);
    const char *whose;
    uint64_t version;
    FtSeat raw;

    if (!dict) {
        qobject_unref(object);
        error_setg(errp, "it is not a JSON object");
        return false;
    }
    if (!get_number(dict, "version", &version) || version != SEAT_VERSION) {
        error_setg(errp, "its version is not %d", SEAT_VERSION);
        return false;
    }
    whose = qdict_get_try_str(dict, "vm");
    if (g_strcmp0(whose, vm)) {
        error_setg(errp, "it is not the record of this VM, %s", vm);
        return false;
    }
    if (!get_members(dict, &raw, errp) || !ft_seat_valid(&raw, errp)) {
        return false;
    }
    ft_seat_copy(seat, &raw);
    return true;
}
