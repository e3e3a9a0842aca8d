/*
 * QEMU-FT: records that go compressed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The codec of COMPRESSED (docs/protocol.rst); when it pays is for
 * compress.c to say.  No lock; one thread at a time.
 */
#ifndef MIGRATION_FT_WIRE_ZSTD_H
#define MIGRATION_FT_WIRE_ZSTD_H

#include "wire.h"

typedef struct FtZstd FtZstd;

FtZstd *ft_zstd_new(void);
/** ft_zstd_free: @z may be NULL */
void ft_zstd_free(FtZstd *z);

/**
 * ft_zstd_close: end the last record of @wire as a COMPRESSED one
 *
 * @start: what ft_wire_begin() returned for it; a COPY or PAGES with a
 *     payload
 *
 * False when it would not have become smaller; it is then as it was, still
 * open.
 */
bool ft_zstd_close(FtZstd *z, GByteArray *wire, size_t start);

/**
 * ft_zstd_open: the record that is in a COMPRESSED one
 *
 * @inner: set; its payload is valid until the next call
 *
 * False with @errp set when it is not whole, not what it says it is, or of a
 * type that is never compressed.  Allocates 1 MiB at most, whatever @rec says.
 */
bool ft_zstd_open(FtZstd *z, const FtRecord *rec, FtRecord *inner,
                  Error **errp);

#endif
