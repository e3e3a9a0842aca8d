/*
 * QEMU-FT: records that go compressed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each record is a zstd frame of its own: a link that is switched, or an
 * epoch that is dropped, leaves nothing behind that the next one needs.
 */
#include "qemu/osdep.h"
#include <zstd.h>
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "wire-zstd.h"

#define HDR sizeof(FtRecHeader)
#define LEVEL 1                 /* higher ones save little and take twice */

struct FtZstd {
    ZSTD_CCtx *packer;
    ZSTD_DCtx *opener;
    GByteArray *buf;
};

FtZstd *ft_zstd_new(void)
{
    FtZstd *z = g_new0(FtZstd, 1);

    z->packer = ZSTD_createCCtx();
    z->opener = ZSTD_createDCtx();
    z->buf = g_byte_array_new();
    return z;
}

void ft_zstd_free(FtZstd *z)
{
    if (z) {
        ZSTD_freeCCtx(z->packer);
        ZSTD_freeDCtx(z->opener);
        g_byte_array_free(z->buf, true);
        g_free(z);
    }
}

bool ft_zstd_close(FtZstd *z, GByteArray *wire, size_t start)
{
    size_t len = wire->len - start - HDR, n;
    FtCompressedWire w = {
        .type = cpu_to_be32(ft_wire_open_type(wire, start)),
        .length = cpu_to_be32(len),
    };

    if (len <= sizeof(w) + 1) {
        return false;
    }
    /* No room for more than is worth it, so that giving up is quick */
    g_byte_array_set_size(z->buf, len);
    memcpy(z->buf->data, &w, sizeof(w));
    n = ZSTD_compressCCtx(z->packer, z->buf->data + sizeof(w),
                          len - sizeof(w) - 1, wire->data + start + HDR, len,
                          LEVEL);
    if (ZSTD_isError(n)) {
        return false;
    }
    g_byte_array_set_size(wire, start);
    ft_wire_put(wire, FT_REC_COMPRESSED, z->buf->data, sizeof(w) + n);
    return true;
}

bool ft_zstd_open(FtZstd *z, const FtRecord *rec, FtRecord *inner,
                  Error **errp)
{
    const FtCompressedWire *w = (const void *)rec->payload;
    uint32_t type = be32_to_cpu(w->type), len = be32_to_cpu(w->length);
    size_t n;

    if (type != FT_REC_COPY && type != FT_REC_PAGES) {
        error_setg(errp, "the peer sent a compressed record of type 0x%x",
                   type);
        return false;
    }
    if (len > FT_WIRE_MAX_PAYLOAD) {
        error_setg(errp, "the peer compressed a %s record of %" PRIu32
                   " bytes", ft_rec_name(type), len);
        return false;
    }
    g_byte_array_set_size(z->buf, len);
    n = ZSTD_decompressDCtx(z->opener, z->buf->data, len,
                            rec->payload + sizeof(*w),
                            rec->length - sizeof(*w));
    if (ZSTD_isError(n) || n != len) {
        error_setg(errp, "a compressed %s record from the peer is not what "
                   "it says it is: %s", ft_rec_name(type),
                   ZSTD_isError(n) ? ZSTD_getErrorName(n) :
                   "it has another length");
        return false;
    }
    *inner = (FtRecord) {
        .type = type,
        .payload = z->buf->data,
        .length = len,
        .total = rec->total,
    };
    return true;
}
