/*
 * QEMU-FT: from options to a running engine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_START_H
#define MIGRATION_FT_START_H

/** ft_start_at_machine_done: start what ft_opts says once devices exist */
void ft_start_at_machine_done(void);

/* hotplug.c: notice devices that come and go, from now on */
void ft_hotplug_watch(void);

/* hotplug.c: what has been noticed is acted on, if it has not been yet */
void ft_hotplug_settle(void);

/* hotplug.c: a device that is here can, or cannot, be unplugged */
void ft_hotplug_hold(bool hold);

/* reset.c: mark what a reset writes unseen, from now on */
void ft_reset_watch(void);

/**
 * ft_start_after_takeover: look for a new peer, when any address is known
 *
 * Main loop; begins @ms later.
 */
void ft_start_after_takeover(uint32_t ms);

/** ft_start_listening: wait for a primary, as -ft-listen has it; main loop */
bool ft_start_listening(Error **errp);

/** ft_start_undo: the guest has no protection that forbids a migration */
void ft_start_undo(void);

#endif
