/*
 * QEMU-FT: the side that runs the guest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_PRIMARY_H
#define MIGRATION_FT_PRIMARY_H

#include "arbiter-store.h"
#include "channel.h"
#include "ram.h"

/*
 * What makes a moment committed.  The connection, the roles, the gate and
 * the end of a connection are the same for every mode.  All callbacks run
 * in the main loop with the BQL held.
 */
typedef struct FtMode {
    const char *name;
    /*
     * The peer has accepted this machine: begin to mirror.  On failure
     * with @errp set nothing is left behind and stop() is not called.
     */
    bool (*start)(FtRam *ram, FtChannel *ch, Error **errp);
    /*
     * A record that concerns the mode (any but those of the connection).
     * False with @errp set: the peer broke the protocol.
     */
    bool (*record)(const FtRecord *rec, Error **errp);
    /*
     * All that had arrived has been taken, and no TAKEOVER was in it: act
     * on the records.  At top level, except while an END waits for its
     * answer (@ending).
     */
    void (*settled)(bool ending);
    /* The peer may hold a committed state */
    bool (*exposed)(void);
    /*
     * Once more, and then never again: at a moment when that is possible
     * @stop is called (false: not now, try again), then all is cut and
     * sent, and once that is committed and its output has been let go
     * @done is called.  Both at top level.  @done with an error: there was
     * no such cut.  Nothing is called once detach() was.
     */
    void (*finish)(bool (*stop)(void), void (*done)(const char *error));
    /* No more cuts from now on; the connection is still there */
    void (*quiesce)(void);
    /* The connection is about to go: leave it alone from now on */
    void (*detach)(void);
    /* The connection and its thread are gone: free everything, once */
    void (*stop)(void);
} FtMode;

extern const FtMode ft_checkpoint_mode;

typedef struct FtPrimary {
    const FtMode *mode;
    bool wanted;                /* dial whenever there is no connection */
    uint16_t minor;             /* of the protocol, that both speak */
    bool welcomed;              /* the mode runs */
    bool handed_over;           /* HANDOVER was said; its answer decides */
    bool undecided;             /* lost the peer, waits for the arbiter */
    FtChannel *ch;              /* NULL: not connected */
    int64_t connected_ns;       /* since when */
    FtRam ram;
    uint64_t past_sent, past_received;  /* bytes of earlier connections */
} FtPrimary;

extern FtPrimary ft_primary;

/** ft_primary_start: protect the guest: dial ft_opts.addr and keep at it */
void ft_primary_start(void);

/**
 * ft_primary_end: tell the peer that this is meant, and end protection
 *
 * Waits for the peer's answer, at most the time-out, so that the peer can
 * no longer take over; then lets held output go.
 *
 * @again: dial again
 */
void ft_primary_end(FtEndReason reason, const char *text, bool again);

/**
 * ft_primary_hand_over: stop here, let the peer go on from the last commit
 *
 * @why: one sentence: what is broken here
 *
 * False when there is no peer that could; then nothing has happened.  Top
 * level of the main loop.
 */
bool ft_primary_hand_over(const char *why);

/**
 * ft_primary_abandon: this process is about to end, and the peer is to go on
 *
 * The connection ends with the process.
 */
void ft_primary_abandon(void);

/**
 * ft_primary_switch_over: stop here, let the peer go on, losing nothing
 *
 * @why: one sentence: what for
 *
 * False with @errp set to one sentence when that cannot be; then nothing has
 * happened.  Else it is under way: the state tells how it ends (switchover.h
 * for those who wait for it).  Main loop, BQL held.
 */
bool ft_primary_switch_over(const char *why, Error **errp);

/** ft_primary_disconnect: the connection goes, without a word to the peer */
void ft_primary_disconnect(void);

/** ft_primary_mended: a shared disk that had failed is well again */
void ft_primary_mended(void);

/**
 * ft_primary_lost: the peer is gone or has misbehaved; go on unprotected
 *
 * With an arbiter only once that has decided so, unless there is nothing the
 * peer could take over with.
 *
 * @why: one sentence
 */
void ft_primary_lost(const char *why);

/** ft_primary_seen: what the arbiter's record says now (ft_arbiter_watch()) */
void ft_primary_seen(const FtSeat *seat);

/** ft_primary_outvoted: another copy acts by the record; stop for good */
void ft_primary_outvoted(const char *why);

/**
 * ft_primary_insist: the user says that the other copy is dead
 *
 * Only while undecided: acts without the arbiter's answer.
 */
void ft_primary_insist(void);

#endif
