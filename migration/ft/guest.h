/*
 * QEMU-FT: a guest that must not run
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All functions: main loop, BQL held, no vCPU thread.
 */
#ifndef MIGRATION_FT_GUEST_H
#define MIGRATION_FT_GUEST_H

#include "system/runstate.h"

/**
 * ft_guest_forbid: stop the guest, and let nobody start it
 *
 * Whatever run state it is in; its requests have ended and its images are
 * flushed when this returns.  May be called again.
 */
void ft_guest_forbid(void);

/**
 * ft_guest_allow: back to the run state of before ft_guest_forbid()
 *
 * Nothing happens when it was not forbidden.
 */
void ft_guest_allow(void);

/** ft_guest_laid_down: this process has no guest any more */
void ft_guest_laid_down(void);

/** ft_guest_forbidden: since ft_guest_forbid() */
bool ft_guest_forbidden(void);

/**
 * ft_guest_halt: stop the guest if it runs; the user may continue it
 *
 * @state: why; when it is forbidden, what ft_guest_allow() finds
 */
void ft_guest_halt(RunState state);

#endif
