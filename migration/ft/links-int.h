/*
 * QEMU-FT: what the files of the links share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_LINKS_INT_H
#define MIGRATION_FT_LINKS_INT_H

#include "qemu/event_notifier.h"
#include "qemu/thread.h"
#include "qemu/units.h"
#include "links.h"
#include "stream.h"

struct FtLinks {
    /* Set once */
    bool dials;
    uint8_t session[FT_WIRE_SESSION];
    int64_t timeout_ns;
    FtTraffic *traffic;
    EventNotifier kick;         /* ends ft_links_wait() */

    /* Under @lock; the reader changes the links and may read them without */
    QemuMutex lock;
    FtStream out;
    FtLink *link[FT_WIRE_MAX_LINKS];
    FtLink *active;             /* NULL: between two */
    FtLink *offered[FT_WIRE_MAX_LINKS];     /* secondary: for the reader */
    char *known[FT_WIRE_MAX_LINKS];         /* address, once attached */
    bool shut;

    /* The reader's */
    bool ended;                 /* no link is left */
    bool retired;               /* none is judged */
    bool ready;                 /* primary: the peer knows the session */
    int64_t retry_ns[FT_WIRE_MAX_LINKS];
    int64_t lost_ns;            /* when the active link was lost */
    int64_t looked_ns;          /* when all links were last read */
    char *why;                  /* how it was lost */
    IOHandler *cb;
    void *cb_opaque;

    /* Atomic */
    uint32_t peer_age_ms;
    uint64_t unsent;
};

/* links.c; the reader's thread */
void ft_links_set_known(FtLinks *ls, FtLink *l);
void ft_links_insert(FtLinks *ls, FtLink *l, FtLinkPhase phase);
/* Forget a link; @retry_ms: when the primary may dial it again */
void ft_links_drop(FtLinks *ls, FtLink *l, uint32_t retry_ms);

/* links-write.c; one writer at a time, the reader when it must answer */
void ft_links_pump_locked(FtLinks *ls);
void ft_links_say_now(FtLinks *ls, FtLink *l, const GByteArray *rec);

/*
 * links-switch.c; the reader's thread
 *
 * ft_links_confirm: the peer has RECEIVED so much; false with @errp set: it
 *     cannot have
 * ft_links_switched: primary: the peer has moved its stream to @l
 * ft_links_switch_here: secondary: the peer asks for it; @taken as in
 *     ft_links_receive()
 * ft_links_judge: is a link silent, is another one to be used, is none left?
 */
bool ft_links_confirm(FtLinks *ls, const FtRecord *rec, Error **errp);
FtLinksEvent ft_links_switched(FtLinks *ls, FtLink *l, const FtRecord *rec,
                               Error **errp);
FtLinksEvent ft_links_switch_here(FtLinks *ls, FtLink *l, const FtRecord *rec,
                                  uint64_t taken, Error **errp);
FtLinksEvent ft_links_judge(FtLinks *ls, uint64_t taken, Error **errp);

#endif
