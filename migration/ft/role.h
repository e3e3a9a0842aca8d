/*
 * QEMU-FT: an old primary becomes a secondary
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_ROLE_H
#define MIGRATION_FT_ROLE_H

/**
 * ft_role_to_secondary: the guest runs elsewhere: wait for it here
 *
 * Soon, at top level of the main loop; does nothing without the key listen.
 * The guest is stopped, the connection closed, output dropped, and what was
 * held back from shared images is void.
 *
 * Main loop, BQL held.
 */
void ft_role_to_secondary(void);

#endif
