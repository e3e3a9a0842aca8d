/*
 * QEMU-FT: the links of the session, as told to users
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Links change in whichever thread reads them.  The main loop compares, a
 * few times within the time-out, what it has told with what is.
 */
#include "qemu/osdep.h"
#include "qapi/qapi-events-ft.h"
#include "link-view.h"
#include "state.h"

static FtLinkView told[FT_WIRE_MAX_LINKS];

static FtLinkState state_of(const FtLinkView *v)
{
    return v->health == FT_LINK_IS_ACTIVE ? FT_LINK_STATE_ACTIVE :
           v->health == FT_LINK_IS_STANDBY ? FT_LINK_STATE_STANDBY :
           FT_LINK_STATE_DOWN;
}

static char *describe_down(void)
{
    GString *s = NULL;

    for (int i = 0; i < FT_WIRE_MAX_LINKS; i++) {
        if (told[i].health == FT_LINK_IS_DOWN) {
            if (!s) {
                s = g_string_new("the link to ");
            } else {
                g_string_append(s, " and the link to ");
            }
            g_string_append_printf(s, "%s", told[i].text);
        }
    }
    return s ? g_string_free(g_string_append(s, " is down"), false) : NULL;
}

void ft_link_view_update(FtChannel *ch)
{
    FtLinks *links = ch ? ft_channel_links(ch) : NULL;
    g_autofree char *down = NULL;
    FtLinkView now[FT_WIRE_MAX_LINKS] = { 0 };

    if (links) {
        ft_links_view(links, now);
    }
    for (int i = 0; i < FT_WIRE_MAX_LINKS; i++) {
        bool same = now[i].health == told[i].health &&
                    !g_strcmp0(now[i].text, told[i].text);

        g_free(told[i].text);
        told[i] = now[i];
        if (!same && now[i].health != FT_LINK_UNKNOWN) {
            qapi_event_send_ft_link_changed(i, now[i].text,
                                            state_of(&now[i]));
        }
    }
    down = describe_down();
    ft_state_lack(FT_LACK_LINK, down);
}

FtLinkInfoList *ft_link_view_list(void)
{
    FtLinkInfoList *list = NULL, **tail = &list;

    for (int i = 0; i < FT_WIRE_MAX_LINKS; i++) {
        FtLinkInfo *info;

        if (told[i].health == FT_LINK_UNKNOWN) {
            continue;
        }
        info = g_new0(FtLinkInfo, 1);
        info->number = i;
        info->address = g_strdup(told[i].text);
        info->state = state_of(&told[i]);
        QAPI_LIST_APPEND(tail, info);
    }
    return list;
}
