/*
 * QEMU-FT: moving the guest to the peer on purpose
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * ft_primary_switch_over() in primary.h begins it.  Everything here: main
 * loop, BQL held; called by primary.c.
 */
#ifndef MIGRATION_FT_SWITCHOVER_H
#define MIGRATION_FT_SWITCHOVER_H

/** ft_switchover_active: from the command to the peer's answer */
bool ft_switchover_active(void);

/**
 * ft_switchover_undo: the guest goes on here, as it was
 *
 * @why: one sentence: what came in between
 *
 * Does nothing when no switchover is under way.
 */
void ft_switchover_undo(const char *why);

/**
 * ft_switchover_failed: this copy of the guest stays stopped, but not
 * because the peer has confirmed the switchover
 */
void ft_switchover_failed(const char *why);

/** ft_switchover_done: TAKEOVER has come; false: nobody had asked for it */
bool ft_switchover_done(uint64_t generation);

/**
 * ft_switchover_leave: the connection to the new side is of no use any more
 *
 * False: there was no switchover that is done.
 */
bool ft_switchover_leave(void);

#endif
