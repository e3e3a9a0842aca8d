/*
 * QEMU-FT: the connection between the two sides
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_CHANNEL_H
#define MIGRATION_FT_CHANNEL_H

#include "io/channel-socket.h"
#include "lease.h"
#include "links.h"
#include "wire.h"

typedef struct FtChannel FtChannel;

/* Work for the channel's thread; writes with ft_channel_write() */
typedef void FtChannelJob(FtChannel *ch, void *opaque);

/**
 * ft_channel_new: take over a connected channel
 *
 * @sioc: referenced; made non-blocking
 * @timeout_ms: a beat goes out at least FT_BEATS_PER_TIMEOUT times as often
 */
FtChannel *ft_channel_new(QIOChannelSocket *sioc, uint32_t timeout_ms);

/**
 * ft_channel_prefer_thread: let the calling thread run before others
 *
 * For threads that send beats: on a crowded host a normal thread may wait
 * for a tenth of a second.  Where the privilege is missing, nothing
 * happens.  @prefer false: not any more.
 */
void ft_channel_prefer_thread(bool prefer);

/**
 * ft_channel_start_thread: start the thread that runs jobs and sends beats
 *
 * Without it (the secondary's receiver) whoever owns the channel calls
 * ft_channel_beat() often enough itself.
 */
void ft_channel_start_thread(FtChannel *ch);

/**
 * ft_channel_farewell: say a last thing, if it can still be said
 *
 * Ends the job that runs, if any, at the end of a record, waits at most
 * @ms for the thread to get there, and writes @data when the socket takes
 * it.  Nothing else can be sent afterwards; ft_channel_close() is next.
 */
void ft_channel_farewell(FtChannel *ch, const void *data, size_t len,
                         uint32_t ms);

/**
 * ft_channel_retire: end the thread, but keep the connection to be read
 *
 * Nothing can be sent afterwards, but with several links what was said is
 * said again on the one the peer moves to.  False: the thread is writing, perhaps a
 * job, and nothing has changed; ft_channel_close() it.
 */
bool ft_channel_retire(FtChannel *ch);

/**
 * ft_channel_close: break the connection, join the thread, free
 *
 * The thread's job, if any, sees its writes fail and returns early.
 */
void ft_channel_close(FtChannel *ch);

/**
 * ft_channel_send: write @data without ever waiting for the socket
 *
 * Any thread but the channel's own.  What the socket does not take at once
 * is copied and written by the channel's thread, in order.  Errors show
 * when reading.
 */
void ft_channel_send(FtChannel *ch, const void *data, size_t len);

/** ft_channel_fd: the connection's socket; -1 with several links */
int ft_channel_fd(FtChannel *ch);

/**
 * ft_channel_between_records: all that was sent are whole records
 *
 * For the time when every thread of this process has ended, wherever it was;
 * takes no lock, and @ch is not used by anybody afterwards.
 */
bool ft_channel_between_records(FtChannel *ch);

/** ft_channel_post: run @job in the channel's thread, after earlier ones */
void ft_channel_post(FtChannel *ch, FtChannelJob *job, void *opaque);

/**
 * ft_channel_write: write all of @data, waiting as long as it takes
 *
 * Only in a job, or by the owner of a channel without a thread.  Sends a
 * beat in between when one is due, so @data has to be whole records.
 * False when the connection is gone, or
 * is about to be closed: a job then has to return.
 */
bool ft_channel_write(FtChannel *ch, const void *data, size_t len);

/** ft_channel_set_timeout: beats as the peer's timeout wants them */
void ft_channel_set_timeout(FtChannel *ch, uint32_t timeout_ms);

/**
 * ft_channel_take_beat: the reader has got a beat
 *
 * Its counter is echoed from now on, its echo renews the lease.
 */
void ft_channel_take_beat(FtChannel *ch, const FtBeat *beat);

/**
 * ft_channel_lease: what the peer has proved to have heard from us (lease.h)
 */
FtLease *ft_channel_lease(FtChannel *ch);

/** ft_channel_beat: send a beat if one is due; false: connection gone */
bool ft_channel_beat(FtChannel *ch);

/**
 * ft_channel_read: decode the next record that has arrived
 *
 * One reader at a time.  Returns 1 with @rec valid until the next call, 0
 * when nothing more is there (never waits), -1 with @errp set at the end of
 * the connection or when the peer breaks the protocol.
 */
int ft_channel_read(FtChannel *ch, FtRecord *rec, Error **errp);

/** ft_channel_ended: the last read failed because the connection has ended */
bool ft_channel_ended(FtChannel *ch);

/** ft_channel_poll: wait for input, at most @ms; for a thread of its own */
void ft_channel_poll(FtChannel *ch, uint32_t ms);

/** ft_channel_wake: end the wait of ft_channel_poll(); any thread */
void ft_channel_wake(FtChannel *ch);

/*
 * Several links (links.h).  Without one of these a channel is one connection
 * and nothing is kept.
 *
 * ft_channel_offer_links: primary, before anything is sent and before there
 *     is a thread: be link @number, which goes to @address; the ATTACH to be
 *     sent behind the HELLO is appended to @hello
 * ft_channel_accept_links: secondary, likewise: the peer may say ATTACH; the
 *     channel then has no thread
 * ft_channel_attach: secondary, main loop: @caller has said @attach: make its
 *     connection a link of @ch.  False with @errp set: it is to be refused;
 *     else @caller is gone.
 * ft_channel_links: NULL when there is and will be one connection; main loop
 * ft_channel_shout: ft_channel_send() of a last word, on all links
 * ft_channel_peer_age_ms: age of the peer's main loop as told on any link
 */
void ft_channel_offer_links(FtChannel *ch, uint32_t number,
                            const char *address, GByteArray *hello);
void ft_channel_accept_links(FtChannel *ch);
bool ft_channel_attach(FtChannel *ch, FtChannel *caller,
                       const FtRecord *attach, Error **errp);
FtLinks *ft_channel_links(FtChannel *ch);
void ft_channel_shout(FtChannel *ch, const void *data, size_t len);
uint32_t ft_channel_peer_age_ms(FtChannel *ch);

/** ft_channel_queued: bytes that ft_channel_send() has put off */
uint64_t ft_channel_queued(FtChannel *ch);

/** ft_channel_set_handler: call @cb in the main loop when input arrives */
void ft_channel_set_handler(FtChannel *ch, IOHandler *cb, void *opaque);

/* Nanoseconds of get_clock(): last byte read; last byte written */
int64_t ft_channel_last_rx(FtChannel *ch);
int64_t ft_channel_last_tx(FtChannel *ch);
/**
 * ft_channel_tx_gap: longest time without a byte written, since the reset
 *
 * What the peer has seen as silence, also when it is over by now.
 */
int64_t ft_channel_tx_gap(FtChannel *ch);
void ft_channel_reset_tx_gap(FtChannel *ch);

/** ft_channel_remote_host: numeric; to be freed; NULL: it has none */
char *ft_channel_remote_host(FtChannel *ch);

uint64_t ft_channel_bytes_sent(FtChannel *ch);
uint64_t ft_channel_bytes_received(FtChannel *ch);

#endif
