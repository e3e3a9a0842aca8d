/*
 * QEMU-FT: role and state, as told to users
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is legal in each state:
 *
 * unprotected   primary: the guest runs alone, output passes at once
 *               secondary: waiting for a primary; may not take over
 * syncing       the first copy is under way; as unprotected otherwise
 * protected     primary: output waits for the ack of its epoch
 *               secondary: holds a committed epoch; may take over
 * degraded      as protected, something named is lost
 * taking-over   secondary only: the committed state is being loaded
 * fenced        old primary only: vCPUs stopped for good, output dropped
 *
 * Main loop only, with the BQL held.
 */
#ifndef MIGRATION_FT_STATE_H
#define MIGRATION_FT_STATE_H

#include "qapi/qapi-types-ft.h"

typedef struct FtStatus {
    FtRole role;
    FtState state;
    char *reason;               /* NULL: nothing worth telling */
    char *peer;                 /* NULL: no other side known */
    uint64_t generation;        /* number of the copy that acts */
    FtTakeover *takeover;       /* NULL: none happened here */
} FtStatus;

extern FtStatus ft_status;

/**
 * ft_state_lack: something that protection should have is missing, or back
 *
 * @text: one sentence, copied; NULL: it is there
 *
 * Emits FT_DEGRADED when that changes.  While anything is missing a protected
 * guest is shown as degraded; ft_status.state stays protected.
 */
void ft_state_lack(FtLack what, const char *text);

/** ft_state_shown: the state and the reason as users see them */
FtState ft_state_shown(const char **reason);

/** ft_state_lacks: for query-ft */
FtDegradationList *ft_state_lacks(void);

/**
 * ft_state_set: the one setter; traces and emits FT_STATE_CHANGED
 *
 * @reason: one sentence or NULL; copied
 */
void ft_state_set(FtRole role, FtState state, const char *reason);
void ft_state_set_peer(const char *peer);

#endif
