/*
 * QEMU-FT: the connection to a peer that may have taken over
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_FORMER_H
#define MIGRATION_FT_FORMER_H

#include "channel.h"

/**
 * ft_former_keep: listen to @ch for a TAKEOVER, which fences this side
 *
 * Main loop.  False: there is nothing left to listen to, and @ch is the
 * caller's still; else it replaces the one that was kept.
 */
bool ft_former_keep(FtChannel *ch);

/** ft_former_close: nobody there can have taken over any more; main loop */
void ft_former_close(void);

#endif
