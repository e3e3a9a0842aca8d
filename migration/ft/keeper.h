/*
 * QEMU-FT: a process that outlives this one for a moment
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_KEEPER_H
#define MIGRATION_FT_KEEPER_H

#define FT_KEEPER_MAX_FILES 128

/**
 * ft_keeper_start: make sure that there is a keeper for this process
 *
 * Main thread only.  May be called again, as after a fork.  Without one
 * (not allowed by the host) nothing breaks: the peer learns of a death
 * later.
 */
void ft_keeper_start(void);

/**
 * ft_keeper_give: have @act called once this process is dead
 *
 * @fds: copies of these are the keeper's from then on, instead of those it
 *     had; @n is FT_KEEPER_MAX_FILES at most
 * @act: gets the numbers of the copies, in the same order.  It shares our
 *     memory as it was when we died, with any lock held, and may do nothing
 *     but compute, read(), write(), ppoll() and ask for the time
 *
 * Main thread.  False: there is no keeper that could.
 */
bool ft_keeper_give(const int *fds, int n, void (*act)(const int *fds));

/**
 * ft_keeper_take_back: nothing is to be done any more
 *
 * Holds at once.  The copies are closed as soon as the keeper runs.
 */
void ft_keeper_take_back(void);

#endif
