/*
 * QEMU-FT: records as the peer may send them, for unit tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qapi/error.h"
#include "migration/ft/hash.h"
#include "wire-raw.h"

void wire_put_raw(GByteArray *out, uint32_t type, uint32_t flags,
                  uint32_t length, const void *payload, uint32_t bytes)
{
    uint8_t head[16];
    uint64_t hash;

    stl_be_p(head, type);
    stl_be_p(head + 4, flags);
    stl_be_p(head + 8, length);
    hash = ft_hash(payload, bytes, ft_hash(head, 12, 0));
    stl_be_p(head + 12, (uint32_t)hash);
    g_byte_array_append(out, head, sizeof(head));
    if (bytes) {
        g_byte_array_append(out, payload, bytes);
    }
}

FtRecord wire_next_record(const GByteArray *buf)
{
    FtRecord rec;

    g_assert_cmpint(ft_wire_next(buf->data, buf->len, &rec, &error_abort),
                    ==, 1);
    g_assert_cmpuint(rec.total, ==, buf->len);
    g_assert(rec.payload == buf->data + 16);
    return rec;
}
