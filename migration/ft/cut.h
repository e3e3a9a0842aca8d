/*
 * QEMU-FT: the cut
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_CUT_H
#define MIGRATION_FT_CUT_H

#include "arena.h"
#include "epoch.h"
#include "ram.h"

/* What a cut collects; main loop only, then whoever sends it */
typedef struct FtCut {
    uint64_t epoch;
    uint32_t unacked;           /* epochs in flight before it */
    FtArena list;               /* FtPageId of each page */
    FtArena pages;              /* their content, in the same order */
    uint64_t npages;
    bool in_place;              /* @pages is empty: ship.c has taken them */
    GByteArray *device;         /* until sent: ship.c takes it */
    bool last;                  /* of a guest that is stopped; see below */
    bool hashed;
    uint64_t ram_hash, device_hash;

    /* Nanoseconds: where the pause went */
    int64_t start, stop, save, harvest, copy, resume, total;
    int64_t check;              /* of @copy: hashing for the self-check */
    bool without_pause;
} FtCut;

typedef struct FtShip FtShip;

typedef enum FtCutResult {
    FT_CUT_DONE,
    FT_CUT_SKIPPED,             /* try again a little later */
    FT_CUT_FAILED,              /* a device does not save: give up */
} FtCutResult;

bool ft_cut_init(FtCut *cut, const FtRam *ram, uint32_t keep_pages,
                 Error **errp);

/**
 * ft_cut_populate: have the memory for a usual cut; tens of milliseconds
 *
 * Any thread, before the first cut.
 */
void ft_cut_populate(FtCut *cut);
void ft_cut_destroy(FtCut *cut);

/**
 * ft_cut_take: stop the guest, collect everything, let it go on
 *
 * @ship: may take the pages while the guest stands still
 * @hash: also hash all RAM and the device state (self-check)
 *
 * With @cut->last the guest goes on elsewhere: the caller has stored the run
 * state it is to have there (global_state_store()) and stopped it.
 *
 * Top level of the main loop only: a timer, an fd handler or an event
 * notifier; or, while ft_loop_waits(), the thread of a vCPU that has fallen
 * asleep as the last one or rests (ft_vcpu_rest()); asserted.  @epoch is in
 * phase CUT after FT_CUT_DONE, else as it was.
 */
FtCutResult ft_cut_take(FtCut *cut, FtEpoch *epoch, FtRam *ram, FtShip *ship,
                        bool hash, Error **errp);

/**
 * ft_cut_harvest: only list the pages written since the last harvest
 *
 * For the first copy.  @list NULL: forget them.  Same conditions; false:
 * skipped.
 */
bool ft_cut_harvest(FtRam *ram, FtArena *list);

/**
 * ft_cut_longest_us: how long the guest has stood still at most
 *
 * In a cut or a harvest since ft_cut_forget_longest(); main loop.
 */
uint64_t ft_cut_longest_us(void);
void ft_cut_forget_longest(void);

#endif
