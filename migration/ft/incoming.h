/*
 * QEMU-FT: a primary whose guest comes by -incoming
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_INCOMING_H
#define MIGRATION_FT_INCOMING_H

/** ft_incoming_under_way: the guest comes by -incoming and has not run yet */
bool ft_incoming_under_way(void);

/**
 * ft_incoming_await: call @arrived when the guest runs here
 *
 * Main loop, once.  @arrived is called from the main loop; never when the
 * migration fails, which becomes the reason of the state.
 */
void ft_incoming_await(void (*arrived)(void));

#endif
