/*
 * QEMU-FT: when to compress
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_COMPRESS_H
#define MIGRATION_FT_COMPRESS_H

#include "qemu/stats64.h"
#include "wire-zstd.h"

/* Of one connection.  The channel's thread has it but for what is atomic. */
typedef struct FtCompress {
    FtZstd *zstd;               /* NULL: never */
    bool always;
    uint32_t link;              /* ns a KiB takes on the link; atomic */
    uint32_t cost;              /* ns for compressing a KiB */
    uint32_t left;              /* of a KiB, bytes */
    uint32_t passed;            /* records since the last try */
    Stat64 before, after;       /* bytes of what went compressed */
} FtCompress;

/**
 * ft_compress_start: of a new connection
 *
 * @able: the peer can read it
 */
void ft_compress_start(FtCompress *c, bool able);

/** ft_compress_stop: after the channel was closed */
void ft_compress_stop(FtCompress *c);

/**
 * ft_compress_wanted: the link is slow enough, going by what was learnt
 *
 * Any thread.
 */
bool ft_compress_wanted(const FtCompress *c);

/**
 * ft_compress_close: end the open COPY or PAGES record at @start of @wire,
 * the last one, as whatever is sent sooner
 *
 * The channel's thread: it may take a millisecond.
 */
void ft_compress_close(FtCompress *c, GByteArray *wire, size_t start);

/** ft_compress_link: @bytes have taken @ns on the link; any thread */
void ft_compress_link(FtCompress *c, uint64_t bytes, int64_t ns);

#endif
