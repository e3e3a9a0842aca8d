/*
 * QEMU-FT: bytes that were said and are not confirmed yet
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_STREAM_H
#define MIGRATION_FT_STREAM_H

/* One direction of a session; positions count from its first byte */
typedef struct FtStream {
    uint64_t base;              /* everything before it is confirmed */
    uint64_t sent;              /* everything before it was given out */
    uint64_t end;               /* and this is where appending goes on */
    uint64_t limit;             /* of end - base */
    uint64_t first;             /* position of the first byte in @chunks */
    GQueue chunks;
    void *spare;                /* a chunk to be used again, or NULL */
} FtStream;

/** ft_stream_init: @start bytes were said, and are not kept */
void ft_stream_init(FtStream *s, uint64_t start, uint64_t limit);
void ft_stream_destroy(FtStream *s);

/** ft_stream_append: keep @data; returns how much of it there is room for */
size_t ft_stream_append(FtStream *s, const void *data, size_t len);

/**
 * ft_stream_peek: the next bytes to be given out, in one piece
 *
 * Returns their number, 0 when everything was.  Valid until the stream is
 * changed.
 */
size_t ft_stream_peek(const FtStream *s, const uint8_t **data);

/** ft_stream_advance: so many of those were given out */
void ft_stream_advance(FtStream *s, size_t len);

/**
 * ft_stream_confirm: the peer has everything before @upto
 *
 * An old confirmation does nothing.  False: it confirms what was never
 * given out, and nothing has changed.
 */
bool ft_stream_confirm(FtStream *s, uint64_t upto);

/**
 * ft_stream_rewind: the peer has everything before @upto, and nothing else
 *
 * What follows is given out again.  False: that is no longer kept, or was
 * never given out; nothing has changed.
 */
bool ft_stream_rewind(FtStream *s, uint64_t upto);

#endif
