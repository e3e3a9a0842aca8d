/*
 * QEMU-FT: packets of an epoch, on the side that holds the copy
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pure data.  Belongs to the receiver thread; after its end, to the main
 * loop.
 */
#ifndef MIGRATION_FT_CARRIED_H
#define MIGRATION_FT_CARRIED_H

#include "qemu/queue.h"
#include "wire.h"

typedef QSIMPLEQ_HEAD(FtCarriedList, FtCarriedPacket) FtCarriedList;

typedef struct FtCarriedQueue {
    FtCarriedList list;         /* by epoch, in the order of arrival */
    size_t bytes;               /* of the packets in it, heads included */
} FtCarriedQueue;

typedef struct FtCarried {
    uint64_t committed;         /* epoch that would be gone on from */
    FtCarriedQueue output;      /* of @committed and before, and open */
    FtCarriedQueue input;       /* that came after @committed */
} FtCarried;

void ft_carried_init(FtCarried *c);

/** ft_carried_clear: forget all packets */
void ft_carried_clear(FtCarried *c);

/**
 * ft_carried_record: take an OUTPUT or INPUT
 *
 * @open: the epoch that has begun and is not committed, 0: none
 *
 * False with @errp set: the peer broke the protocol; nothing was taken.
 */
bool ft_carried_record(FtCarried *c, const FtRecord *rec, uint64_t open,
                       Error **errp);

/** ft_carried_commit: a takeover would go on from @epoch from now on */
void ft_carried_commit(FtCarried *c, uint64_t epoch);

/**
 * ft_carried_give_output: hand out what may leave, in order, and forget all
 * output
 *
 * ft_carried_give_input: hand out what the guest has not got
 *
 * Return how many packets that were.
 */
uint64_t ft_carried_give_output(FtCarried *c, void (*give)(const FtPacket *));
uint64_t ft_carried_give_input(FtCarried *c, void (*give)(const FtPacket *));

#endif
