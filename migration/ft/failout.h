/*
 * QEMU-FT: going on with the peer's disks when one of ours fails
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_FAILOUT_H
#define MIGRATION_FT_FAILOUT_H

/** ft_failout_init: main loop, before the first filter is in place */
void ft_failout_init(void);

/**
 * ft_failout_note: an image has failed; any thread
 *
 * @what: what was tried, as in "writing to drive x"
 */
void ft_failout_note(const char *disk, const char *what, int ret);

/** ft_failout_pending: a cut must not be taken: it would hold the error */
bool ft_failout_pending(void);

/** ft_failout_over: the guest goes on here, with the error; main loop */
void ft_failout_over(void);

#endif
