/*
 * QEMU-FT: who may act
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All functions: main loop, BQL held.
 */
#ifndef MIGRATION_FT_ARBITER_H
#define MIGRATION_FT_ARBITER_H

#include "qapi/qapi-types-ft.h"
#include "arbiter-store.h"

/**
 * FtClaimDone: the answer to a claim; at top level of the main loop, or from
 * within ft_arbiter_claim() when there is no arbiter
 *
 * @won: this copy may act, and no other
 * @why: when not: one sentence
 * @ended: when not: the guest has been switched off
 */
typedef void FtClaimDone(bool won, const char *why, bool ended);

/** ft_arbiter_on: there is an arbiter (key arbiter) */
bool ft_arbiter_on(void);

/**
 * ft_arbiter_name: which record it is, the same text on both sides
 *
 * Empty without an arbiter.
 */
const char *ft_arbiter_name(void);

/**
 * ft_arbiter_init: read the keys; no I/O
 *
 * False with @errp set, naming the key.
 */
bool ft_arbiter_init(Error **errp);

/** ft_arbiter_warn: say once that there is none */
void ft_arbiter_warn(void);

/**
 * ft_arbiter_start: may a guest that is not running anywhere start here?
 *
 * Waits for the arbiter.  Sets the generation of ft_status.  False with @errp
 * set when another host's copy acts, or may be the newer one, or when the
 * arbiter cannot be reached.
 */
bool ft_arbiter_start(Error **errp);

/**
 * ft_arbiter_watch: look at the record from time to time, from now on
 *
 * @seen: called at top level with what is there
 */
void ft_arbiter_watch(void (*seen)(const FtSeat *seat));

/** ft_arbiter_look: look soon */
void ft_arbiter_look(void);

/**
 * ft_arbiter_claim: ask to act as generation ft_status.generation + 1
 *
 * One claim at a time.  It is repeated until the arbiter has answered: that
 * its outcome is not known is no answer.
 */
void ft_arbiter_claim(FtClaimDone *done);

/** ft_arbiter_reachable: the last question was answered, or there is none */
bool ft_arbiter_reachable(void);

/** ft_arbiter_claiming: a claim has not been answered yet */
bool ft_arbiter_claiming(void);

/**
 * ft_arbiter_leave: the guest is off, and this process about to end
 *
 * @both: the peer has confirmed it and has all that is on the disks, so the
 *     guest may be started again on either host; else only here
 *
 * Waits for a moment; what is not written then is never written.
 */
void ft_arbiter_leave(bool both);

/** ft_arbiter_info: for query-ft; NULL without an arbiter */
FtArbiterInfo *ft_arbiter_info(void);

#endif
