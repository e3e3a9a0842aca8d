/*
 * QEMU-FT: the first copy of guest RAM
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_FIRSTCOPY_H
#define MIGRATION_FT_FIRSTCOPY_H

#include "arena.h"
#include "channel.h"
#include "compress.h"
#include "ram.h"

typedef struct FtFirstCopy {
    FtRam *ram;
    FtChannel *ch;
    FtCompress *compress;
    FtArena list;               /* pages of this round; round 0: all */
    unsigned int round;
    uint64_t enough;            /* pages the first cut may find dirty */
    uint64_t last_size;
    bool asked;                 /* the peer has to confirm this round */
    EventNotifier done;         /* it has */
    void (*finished)(void);
    uint64_t remaining;         /* bytes of this round to be sent, atomic */
} FtFirstCopy;

/**
 * ft_first_copy_start: send all of RAM while the guest runs
 *
 * @enough: pages that the first cut may find dirty
 * @finished: called once in the main loop, at top level, when it is time
 *     for the first cut
 *
 * Main loop; dirty logging is on.
 */
bool ft_first_copy_start(FtFirstCopy *fc, FtRam *ram, FtChannel *ch,
                         FtCompress *compress, uint64_t enough,
                         void (*finished)(void),
                         Error **errp);

/**
 * ft_first_copy_answer: the peer has stored all of @round
 *
 * False with @errp set when it cannot have.  Main loop.
 */
bool ft_first_copy_answer(FtFirstCopy *fc, uint64_t round, Error **errp);

/** ft_first_copy_stop: after the channel was closed */
void ft_first_copy_stop(FtFirstCopy *fc);

#endif
