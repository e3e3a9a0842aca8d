/*
 * QEMU-FT: role and state, as told to users
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/qapi-events-ft.h"
#include "state.h"
#include "trace.h"

FtStatus ft_status = { .generation = 1 };
static char *lacks[FT_LACK__MAX];

FtState ft_state_shown(const char **reason)
{
    *reason = ft_status.reason;
    if (ft_status.state == FT_STATE_PROTECTED) {
        for (int i = 0; i < FT_LACK__MAX; i++) {
            if (lacks[i]) {
                *reason = lacks[i];
                return FT_STATE_DEGRADED;
            }
        }
    }
    return ft_status.state;
}

/* One event for whatever has changed */
static void tell(void)
{
    static FtRole role;
    static FtState state;
    static char *said;
    const char *reason;
    FtState now = ft_state_shown(&reason);

    if (role == ft_status.role && state == now && !g_strcmp0(said, reason)) {
        return;
    }
    trace_ft_state(FtRole_str(ft_status.role), FtState_str(now),
                   reason ?: "");
    role = ft_status.role;
    state = now;
    g_free(said);
    said = g_strdup(reason);
    qapi_event_send_ft_state_changed(role, state, reason);
}

void ft_state_set(FtRole role, FtState state, const char *reason)
{
    ft_status.role = role;
    ft_status.state = state;
    if (reason != ft_status.reason) {
        g_free(ft_status.reason);
        ft_status.reason = g_strdup(reason);
    }
    tell();
}

void ft_state_lack(FtLack what, const char *text)
{
    if (!g_strcmp0(lacks[what], text)) {
        return;
    }
    if (!lacks[what] != !text) {
        qapi_event_send_ft_degraded(what, text, text);
    }
    g_free(lacks[what]);
    lacks[what] = g_strdup(text);
    tell();
}

FtDegradationList *ft_state_lacks(void)
{
    FtDegradationList *list = NULL, **tail = &list;

    for (int i = 0; i < FT_LACK__MAX; i++) {
        if (lacks[i]) {
            FtDegradation *d = g_new0(FtDegradation, 1);

            d->lack = i;
            d->reason = g_strdup(lacks[i]);
            QAPI_LIST_APPEND(tail, d);
        }
    }
    return list;
}

void ft_state_set_peer(const char *peer)
{
    g_free(ft_status.peer);
    ft_status.peer = g_strdup(peer);
}
