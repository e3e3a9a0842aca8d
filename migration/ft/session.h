/*
 * QEMU-FT: a session, as the secondary sees it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_SESSION_H
#define MIGRATION_FT_SESSION_H

#include "qemu/event_notifier.h"
#include "qemu/thread.h"
#include "carried.h"
#include "channel.h"
#include "disk-intake.h"
#include "intake.h"
#include "machine.h"
#include "takeover.h"
#include "uplink.h"

typedef enum FtVerdict {
    FT_VERDICT_NONE,
    FT_VERDICT_DEAD,            /* take over if anything is committed */
    FT_VERDICT_STALE,           /* dead, but may have gone on without us */
    FT_VERDICT_ENDED,           /* the primary said END */
    FT_VERDICT_UNUSABLE,        /* this copy is wrong */
} FtVerdict;

typedef struct FtSession {
    FtRam ram;
    FtIntake intake;
    FtDiskIntake disks;
    FtCarried carried;
    FtChannel *ch;
    FtTerms terms;              /* the primary's */
    char *listens_at;           /* where it would wait; NULL: nowhere */
    QemuThread thread;
    EventNotifier *event;       /* first commit, or the thread's verdict */
    int64_t timeout_ns;

    /* The thread's */
    uint32_t peer_age_ms;
    GByteArray *ack;            /* being sent */
    /*
     * This process sent nothing for about the time-out, so that the primary
     * may have given it up.  Over once the primary begins an epoch after an
     * ack sent since: it still counts on us.
     */
    bool stalled;
    uint64_t acked_since;       /* the first epoch, 0: none */
    bool broken;                /* the primary has broken the protocol */
    int older_seen;             /* the record has an older generation */

    /* Set by the thread before it sets @event, read after joining it */
    FtVerdict verdict;
    FtTakeoverCause cause;
    FtEndReason end_reason;
    char *message;
    int64_t detect_ns;

    /* Atomic */
    uint64_t committed;
    char *changed;              /* this machine is another one now: why */
    GByteArray *to_say;         /* a record from the main loop, or NULL */
    FtUplinks *uplinks;         /* the primary's, for the main loop */
} FtSession;

/*
 * receiver.c
 *
 * ft_receiver_start: the thread owns @s until it has a verdict
 * ft_receiver_resize: of a RAM block, for the intake; takes the BQL
 */
void ft_receiver_start(FtSession *s);
bool ft_receiver_resize(FtBlock *b, uint64_t used, Error **errp);

/*
 * heir.c; main loop
 *
 * ft_heir_take: the primary of @s, whose thread has been joined, is dead: take
 *     over, now or later, or drop the copy; @s is no longer the caller's
 * ft_heir_take_later: likewise, @ms from now
 * ft_heir_waits: does a copy wait for an answer, or for its disks?
 * ft_heir_forget: @s is about to be freed
 * ft_heir_old_primary: the connection to the one that was inherited from, or
 *     NULL
 * ft_heir_close_old_primary: that is long ago
 */
void ft_heir_take(FtSession *s);
void ft_heir_take_later(FtSession *s, uint32_t ms);
bool ft_heir_waits(void);
void ft_heir_forget(FtSession *s);
FtChannel *ft_heir_old_primary(void);
void ft_heir_close_old_primary(void);

/*
 * secondary.c; main loop
 *
 * ft_session_wait: for a primary; @why is shown to users
 * ft_session_conclude: end and free
 * ft_session_quit: end the process, -no-shutdown or not
 */
void ft_session_wait(const char *why);
void ft_session_conclude(FtSession *s);
void ft_session_quit(void);

#endif
