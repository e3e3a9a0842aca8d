/*
 * QEMU-FT: the links of the session, as told to users
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All functions: main loop.
 */
#ifndef MIGRATION_FT_LINK_VIEW_H
#define MIGRATION_FT_LINK_VIEW_H

#include "channel.h"
#include "qapi/qapi-types-ft.h"

/**
 * ft_link_view_update: tell users what has changed since the last call
 *
 * @ch: of the session; NULL: there is none any more
 */
void ft_link_view_update(FtChannel *ch);

/** ft_link_view_list: for query-ft; to be freed */
FtLinkInfoList *ft_link_view_list(void);

#endif
