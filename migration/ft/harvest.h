/*
 * QEMU-FT: which pages the guest has written
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_HARVEST_H
#define MIGRATION_FT_HARVEST_H

#include "arena.h"
#include "hot.h"
#include "ram.h"

/**
 * ft_harvest_start: switch on dirty logging
 *
 * Main loop, BQL held.  False with @errp set when the accelerator cannot.
 * From then on every page written is found by the next harvest.
 */
bool ft_harvest_start(Error **errp);
void ft_harvest_stop(void);

/**
 * ft_harvest: append the pages written since the last call to @list
 *
 * @hot: pages that stay dirty, which are listed each time; or NULL
 * @list: FtPageId each, ascending
 *
 * BQL held, no vCPU running, no device writing.  Returns the number of
 * pages.  The arena of a list has room for every page there is.
 */
uint64_t ft_harvest(const FtRam *ram, const FtHot *hot, FtArena *list);

/**
 * ft_harvest_count: how many pages have been written, at least @enough
 *
 * Without those that the last harvest left dirty.  BQL held; the guest may
 * run.  Stops counting at @enough.
 */
uint64_t ft_harvest_count(const FtRam *ram, uint64_t enough);

#endif
