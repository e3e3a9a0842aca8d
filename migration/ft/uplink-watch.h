/*
 * QEMU-FT: be told when an interface of the host changes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_UPLINK_WATCH_H
#define MIGRATION_FT_UPLINK_WATCH_H

#include "uplink-table.h"

/**
 * ft_uplink_watch_start: keep a table of the interfaces from now on
 *
 * @changed: called whenever it has changed, at top level of the main loop
 *
 * Main loop; once.  A host that does not allow it is told of in a warning;
 * then there is no table.
 */
void ft_uplink_watch_start(void (*changed)(void));

/** ft_uplink_watch_table: NULL as long as it is not complete */
const FtUplinkTable *ft_uplink_watch_table(void);

/** ft_uplink_watch_poll: take what the kernel has told by now */
void ft_uplink_watch_poll(void);

#endif
