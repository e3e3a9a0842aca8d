/*
 * QEMU-FT: one of the connections of a session
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_LINK_H
#define MIGRATION_FT_LINK_H

#include "io/channel-socket.h"
#include "wire.h"

/* What went over the connections of a session; the times in get_clock() */
typedef struct FtTraffic {
    /* Atomic */
    int64_t last_rx, last_tx, tx_gap;
    uint64_t bytes_sent, bytes_received;
} FtTraffic;

void ft_traffic_sent(FtTraffic *t, size_t n);
void ft_traffic_received(FtTraffic *t, size_t n);

typedef enum FtLinkPhase {
    FT_LINK_ATTACHING,          /* primary: ATTACH is not answered yet */
    FT_LINK_STANDBY,
    FT_LINK_SWITCHING,          /* primary: SWITCH is not answered yet */
    FT_LINK_ACTIVE,
} FtLinkPhase;

#define FT_LINK_IN (16 * KiB)

typedef struct FtLink {
    QIOChannel *ioc;
    int fd;                     /* of the socket below, to poll */
    uint32_t number;
    char *text;                 /* the address, for users */
    FtLinkPhase phase;
    void *owner;                /* for the handler of its socket */

    /* Whoever may write */
    GByteArray *out;            /* link records that the socket did not take */
    bool broken;                /* a write has failed */

    /* The reader's */
    uint8_t *in;                /* FT_LINK_IN bytes, for link records */
    size_t in_start, in_end;
    int64_t last_rx, before_rx; /* the last two times something came */
    int64_t since;              /* when the present phase began */
    bool readable;
} FtLink;

/** ft_link_new: @sioc is referenced and made non-blocking; @text is copied */
FtLink *ft_link_new(QIOChannelSocket *sioc, uint32_t number,
                    const char *text);

/**
 * ft_link_reset: let ft_link_free() end it at once, with all that is under way
 *
 * Where nothing is acknowledged an orderly end waits behind what was sent.
 */
void ft_link_reset(FtLink *l);

/** ft_link_free: end the connection */
void ft_link_free(FtLink *l);

/**
 * ft_link_write: write what the socket takes
 *
 * Whatever ft_link_say() has put off goes first.  Returns bytes of @data;
 * after a failure 0, with @broken set.
 */
size_t ft_link_write(FtLink *l, const void *data, size_t len, FtTraffic *t);

/** ft_link_say: a link record, now or as soon as the socket takes it */
void ft_link_say(FtLink *l, const GByteArray *rec, FtTraffic *t);

/**
 * ft_link_read: read into @buf
 *
 * What was read with a link record before goes first.  0: nothing is there,
 * -1 with @errp set: the connection has ended.
 */
ssize_t ft_link_read(FtLink *l, void *buf, size_t room, FtTraffic *t,
                     Error **errp);

/**
 * ft_link_next: the next link record
 *
 * 1: @rec is valid until the next call, 0: there is none, -1 with @errp set:
 * the connection has ended, or the peer breaks the protocol.
 */
int ft_link_next(FtLink *l, FtRecord *rec, FtTraffic *t, Error **errp);

#endif
