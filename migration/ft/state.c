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

static char *links_down;        /* NULL: none is */

FtState ft_state_shown(const char **reason)
{
    if (ft_status.state == FT_STATE_PROTECTED && links_down) {
        *reason = links_down;
        return FT_STATE_DEGRADED;
    }
    *reason = ft_status.reason;
    return ft_status.state;
}

static void send_event(void)
{
    const char *reason;
    FtState state = ft_state_shown(&reason);

    qapi_event_send_ft_state_changed(ft_status.role, state, reason);
}

void ft_state_set_links(const char *down)
{
    bool same = !g_strcmp0(links_down, down);

    g_free(links_down);
    links_down = g_strdup(down);
    if (!same && ft_status.state == FT_STATE_PROTECTED) {
        send_event();
    }
}

void ft_state_set(FtRole role, FtState state, const char *reason)
{
    bool same = ft_status.role == role && ft_status.state == state &&
                !g_strcmp0(ft_status.reason, reason);

    trace_ft_state(FtRole_str(role), FtState_str(state), reason ?: "");
    ft_status.role = role;
    ft_status.state = state;
    if (reason != ft_status.reason) {
        g_free(ft_status.reason);
        ft_status.reason = g_strdup(reason);
    }
    if (!same) {
        send_event();
    }
}

void ft_state_set_peer(const char *peer)
{
    g_free(ft_status.peer);
    ft_status.peer = g_strdup(peer);
}
