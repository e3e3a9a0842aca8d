/*
 * QEMU-FT: let the connection end first when this process dies
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_KEEPER_H
#define MIGRATION_FT_KEEPER_H

/**
 * ft_keeper_start: make sure that there is a keeper for this process
 *
 * Main thread only.  May be called again, as after a fork.  Without one
 * (not allowed by the host) nothing breaks: the peer learns of a death
 * later.
 */
void ft_keeper_start(void);

#endif
