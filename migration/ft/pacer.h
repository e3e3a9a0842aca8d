/*
 * QEMU-FT: when to cut
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_PACER_H
#define MIGRATION_FT_PACER_H

#include "cut.h"
#include "ram.h"

typedef enum FtCutCause {
    FT_CAUSE_INTERVAL,
    FT_CAUSE_IDLE,
    FT_CAUSE_COMPLETE,
    FT_CAUSE_QUIET,
    FT_CAUSE_DELAY,
    FT_CAUSE_DIRTY,
    FT_CAUSE_DISK,
    FT_CAUSE__MAX,
} FtCutCause;

/**
 * ft_pacer_start: call @cut whenever it is time for one
 *
 * @in_flight: most epochs at once
 * @cut: called at top level of the main loop when a cut may be made;
 *     it has to call ft_pacer_cut_done() or ft_pacer_cut_skipped()
 * @cut_here: called likewise where a cut may be made too, by ft_cut_take(),
 *     in the thread of a vCPU; false: there is none, let @cut try
 */
void ft_pacer_start(const FtRam *ram, uint32_t in_flight,
                    void (*cut)(FtCutCause cause),
                    bool (*cut_here)(FtCutCause cause));
void ft_pacer_stop(void);

/** ft_pacer_output: the gate holds one more packet; BQL, any thread */
void ft_pacer_output(void);

/**
 * ft_pacer_cut_done: @cut was made for @cause and its epoch is in flight
 *
 * @handed: what ft_ship() said: another may be cut before the ack
 */
void ft_pacer_cut_done(const FtCut *cut, FtCutCause cause, bool handed);

/** ft_pacer_cut_skipped: no cut was made, it has to be tried again */
void ft_pacer_cut_skipped(void);

/**
 * ft_pacer_committed: an epoch was acknowledged; top level
 *
 * @left: epochs still in flight
 * @ack: what the way there and back took, ns; 0: unknown
 */
void ft_pacer_committed(uint32_t left, int64_t ack);

#endif
