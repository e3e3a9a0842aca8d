/*
 * QEMU-FT: the side that holds the copy
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_SECONDARY_H
#define MIGRATION_FT_SECONDARY_H

#include "disk.h"

/**
 * ft_secondary_start: listen on ft_opts.addr
 *
 * Main loop, BQL held; the process is in RUN_STATE_INMIGRATE.  False with
 * @errp set when the address cannot be used.
 */
bool ft_secondary_start(Error **errp);

/** ft_secondary_changed: a device came or went; the copy fits no more */
void ft_secondary_changed(const char *what);

/**
 * ft_secondary_say: send a record to the primary, if there is one
 *
 * @rec: freed.  Takes the place of one that has not been sent yet: it says
 * how things are now, not what has happened.  Main loop.
 */
void ft_secondary_say(GByteArray *rec);

/* For query-ft; main loop */
typedef struct FtSecondaryCounters {
    uint64_t epoch, bytes_sent, bytes_received, journal_bytes;
} FtSecondaryCounters;

FtSecondaryCounters ft_secondary_counters(void);

/** ft_secondary_disks: of the session; NULL: there is none; main loop */
const FtDisks *ft_secondary_disks(void);

#endif
