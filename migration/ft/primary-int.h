/*
 * QEMU-FT: what the files of the primary know of each other
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Main loop, BQL held, all of it.
 */
#ifndef MIGRATION_FT_PRIMARY_INT_H
#define MIGRATION_FT_PRIMARY_INT_H

#include "primary.h"

/* primary.c: the connection */

/* Read all that has arrived; false once the connection is gone */
bool ft_primary_drain(void);

/* One record; false once the connection is gone */
bool ft_primary_take(const FtRecord *rec);

/* ft_channel_set_handler()'s */
void ft_primary_readable(void *opaque);

/* ft_loop_watch()'s: judge silence */
void ft_primary_tick(void);

/* The peer of the connection that goes may take over, and could tell */
void ft_primary_expect_former(bool expect);

/* primary-dial.c */

/* Said once, not every second, until ft_primary_reached() */
void ft_primary_complain(const char *what);
void ft_primary_reached(void);

void ft_primary_redial_in(int64_t ms);
void ft_primary_redial_later(void);
void ft_primary_redial_stop(void);

/* Give up an attempt that has lasted longer; true if there was one */
bool ft_primary_dial_expire(int64_t limit_ms);

/* primary-fate.c: what becomes of the guest here */

/* Stop for good, because another copy runs or may run */
void ft_primary_fence(const char *why);

/* The same: the peer has taken over as @generation */
void ft_primary_fenced(uint64_t generation);

/* The peer has said that it will not go on: this side does, broken or not */
void ft_primary_take_back(void);

/* ft_primary_lost(), but the peer itself says that it has no copy any more */
void ft_primary_renounced(const char *why);

/* The same, as the peer's disk is broken: of no use until that is mended */
void ft_primary_disk_bad(const char *why);

/* Undecided from now on, until the arbiter has answered */
void ft_primary_ask_arbiter(const char *why);

#endif
