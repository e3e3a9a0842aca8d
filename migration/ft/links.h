/*
 * QEMU-FT: the connections of a session, and the streams over them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_LINKS_H
#define MIGRATION_FT_LINKS_H

#include "link.h"

typedef struct FtLinks FtLinks;

typedef struct FtLinksSetup {
    bool dials;                 /* this is the primary */
    uint8_t session[FT_WIRE_SESSION];
    QIOChannelSocket *first;    /* the active link; referenced */
    uint32_t number;            /* its own */
    const char *text;           /* its address */
    int64_t timeout_ns;
    uint64_t said;              /* bytes of the stream that are not kept */
    FtTraffic *traffic;         /* outlives the links */
} FtLinksSetup;

FtLinks *ft_links_new(const FtLinksSetup *setup);

/** ft_links_free: end all connections; nobody else uses @ls any more */
void ft_links_free(FtLinks *ls);

/** ft_links_shutdown: wake whoever waits; all reads and writes fail */
void ft_links_shutdown(FtLinks *ls);

/**
 * ft_links_retire: no more beats; links are read until each has ended, and
 * a switch that the peer asks for is answered
 *
 * The reader's thread, and nobody writes.
 */
void ft_links_retire(FtLinks *ls);

/*
 * Writing: one thread at a time.
 *
 * ft_links_write: take @data into the stream and write what the socket takes;
 *     returns how much was taken.  Unless @eager nothing is taken while
 *     earlier bytes wait for the socket.
 * ft_links_pending: do bytes wait for the socket of a link that works?
 * ft_links_wait: until the socket takes more, the active link is another
 *     one, or there is room again; at most @ms
 * ft_links_beat: say on the standby links that this side lives; @taken is
 *     the peer's stream so far, @age_ms that of the main loop
 * ft_links_shout: say a last word on all standby links
 */
size_t ft_links_write(FtLinks *ls, const void *data, size_t len, bool eager);
bool ft_links_pending(FtLinks *ls);
void ft_links_wait(FtLinks *ls, uint32_t ms);
void ft_links_beat(FtLinks *ls, uint64_t taken, uint32_t age_ms);
void ft_links_shout(FtLinks *ls, const void *data, size_t len);

/** ft_links_unsent: bytes that no socket has taken yet; any thread */
uint64_t ft_links_unsent(FtLinks *ls);

/*
 * Reading: one thread.
 */
typedef enum FtLinksEvent {
    FT_LINKS_GONE = -1,         /* no link is left */
    FT_LINKS_DRY,               /* nothing is there */
    FT_LINKS_BYTES,             /* of the stream */
    FT_LINKS_RESTART,           /* forget what is not a whole record yet */
    FT_LINKS_WORD,              /* a last word, said on a standby link */
} FtLinksEvent;

/**
 * ft_links_receive: read the stream; look after all links when it is dry
 *
 * @taken: bytes of the whole records taken from the stream so far
 * @n: with FT_LINKS_BYTES, how many were put into @buf
 * @word: with FT_LINKS_WORD, valid until the next call
 */
FtLinksEvent ft_links_receive(FtLinks *ls, uint64_t taken, void *buf,
                              size_t room, size_t *n, FtRecord *word,
                              Error **errp);

/**
 * ft_links_record: a link record that stood in the stream
 *
 * False with @errp set: it must not stand there.
 */
bool ft_links_record(FtLinks *ls, const FtRecord *rec, Error **errp);

/**
 * ft_links_ended: can nothing come any more?
 *
 * False when the peer has broken the protocol, and on the primary when a
 * connection is left that is only silent.
 */
bool ft_links_ended(FtLinks *ls);

/** ft_links_poll: wait until there is something to read; true: at @wake_fd */
bool ft_links_poll(FtLinks *ls, int wake_fd, uint32_t ms);

/** ft_links_set_handler: call @cb in the main loop when there is */
void ft_links_set_handler(FtLinks *ls, IOHandler *cb, void *opaque);

/** ft_links_peer_age_ms: the peer's main loop, as it said last */
uint32_t ft_links_peer_age_ms(FtLinks *ls);

/*
 * More links.
 *
 * ft_links_ready: the primary may attach more; the reader's thread
 * ft_links_wants: is link @number worth dialling now?  The reader's thread.
 * ft_links_put_off: it was, in vain; the same thread
 * ft_links_add: primary: a new connection, to be attached; the same thread
 * ft_links_offer: secondary: a caller that said ATTACH; any thread.  False
 *     with @errp set when it must be refused.
 */
bool ft_links_ready(FtLinks *ls);
bool ft_links_wants(FtLinks *ls, uint32_t number);
void ft_links_put_off(FtLinks *ls, uint32_t number);
void ft_links_add(FtLinks *ls, QIOChannelSocket *sioc, uint32_t number,
                  const char *text);
bool ft_links_offer(FtLinks *ls, QIOChannelSocket *sioc,
                    const uint8_t *session, uint32_t number,
                    const char *text, Error **errp);

/** ft_links_attach_record: what the primary says behind its HELLO */
void ft_links_attach_record(FtLinks *ls, GByteArray *out);

/* What users see of it */
typedef enum FtLinkHealth {
    FT_LINK_UNKNOWN,            /* was never a link of this session */
    FT_LINK_IS_ACTIVE,
    FT_LINK_IS_STANDBY,
    FT_LINK_IS_DOWN,
} FtLinkHealth;

typedef struct FtLinkView {
    FtLinkHealth health;
    char *text;                 /* to be freed */
} FtLinkView;

/** ft_links_view: of each number; any thread */
void ft_links_view(FtLinks *ls, FtLinkView view[FT_WIRE_MAX_LINKS]);

#endif
