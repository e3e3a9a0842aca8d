/*
 * QEMU-FT: tests of records that go compressed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The codec, with honest and with hostile records; an intake that gets every
 * COPY and PAGES of a good stream compressed; and when compressing pays.
 */
#include "qemu/osdep.h"
#include <zstd.h>
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "migration/ft/compress.h"
#include "migration/ft/options.h"
#include "intake-stream.h"
#include "wire-raw.h"

#define HDR sizeof(FtRecHeader)

FtOptions ft_opts;

/* A COMPRESSED record of anything, whether it gets smaller or not */
static void put_compressed(GByteArray *out, uint32_t type, uint32_t length,
                           const void *data, size_t len)
{
    size_t room = ZSTD_compressBound(len), n;
    g_autofree uint8_t *payload = g_malloc(8 + room);

    n = ZSTD_compress(payload + 8, room, data, len, 1);
    g_assert(!ZSTD_isError(n));
    stl_be_p(payload, type);
    stl_be_p(payload + 4, length);
    wire_put_raw(out, FT_REC_COMPRESSED, 0, 8 + n, payload, 8 + n);
}

/* --- the codec --- */

/* An open PAGES record of @len bytes that can be halved, at least */
static size_t open_record(GByteArray *wire, size_t len)
{
    size_t start = ft_wire_begin(wire, FT_REC_PAGES);

    for (size_t i = 0; i < len; i++) {
        uint8_t byte = i % 64 < 48 ? 7 : g_test_rand_int();

        g_byte_array_append(wire, &byte, 1);
    }
    return start;
}

static void test_there_and_back(void)
{
    static const size_t lengths[] = { 1000, 4096, 256 * KiB, 1 * MiB };
    FtZstd *z = ft_zstd_new();

    for (int i = 0; i < ARRAY_SIZE(lengths); i++) {
        g_autoptr(GByteArray) wire = g_byte_array_new();
        g_autofree uint8_t *was = NULL;
        FtRecord rec, inner;
        size_t start;

        ft_wire_put_u64(wire, FT_REC_COPIED, 1);    /* something before it */
        start = open_record(wire, lengths[i]);
        was = g_memdup2(wire->data + start + HDR, lengths[i]);
        g_assert(ft_zstd_close(z, wire, start));
        g_assert_cmpuint(wire->len - start, <, lengths[i] / 2);
        g_assert_cmpint(ft_wire_next(wire->data + start, wire->len - start,
                                     &rec, &error_abort), ==, 1);
        g_assert_cmpuint(rec.type, ==, FT_REC_COMPRESSED);
        g_assert_cmpuint(rec.total, ==, wire->len - start);
        g_assert(ft_zstd_open(z, &rec, &inner, &error_abort));
        g_assert_cmpuint(inner.type, ==, FT_REC_PAGES);
        g_assert_cmpmem(inner.payload, inner.length, was, lengths[i]);
    }
    ft_zstd_free(z);
}

/* What does not get smaller is left as it is, open */
static void test_not_smaller(void)
{
    static const size_t lengths[] = { 0, 1, 8, 9, 16, 4096, 256 * KiB };
    FtZstd *z = ft_zstd_new();

    for (int i = 0; i < ARRAY_SIZE(lengths); i++) {
        g_autoptr(GByteArray) wire = g_byte_array_new();
        g_autofree uint8_t *was = NULL;
        size_t start = ft_wire_begin(wire, FT_REC_COPY);
        FtRecord rec;

        for (size_t k = 0; k < lengths[i]; k++) {
            uint8_t byte = g_test_rand_int();

            g_byte_array_append(wire, &byte, 1);
        }
        was = g_memdup2(wire->data, wire->len);
        g_assert(!ft_zstd_close(z, wire, start));
        g_assert_cmpmem(wire->data, wire->len, was, HDR + lengths[i]);
        ft_wire_end(wire, start);
        rec = wire_next_record(wire);
        g_assert_cmpuint(rec.type, ==, FT_REC_COPY);
        g_assert_cmpuint(rec.length, ==, lengths[i]);
    }
    ft_zstd_free(z);
}

/* --- hostile ones, which the intake gets after epoch AFTER --- */

typedef struct Hostile {
    const char *name, *why;
    uint32_t type;
    uint32_t says;              /* the length */
    uint32_t is;                /* zeros in the frame */
} Hostile;

#define NOT_WHAT "is not what it says it is"

static const Hostile hostile[] = {
    { "nested", "of type 0x21", FT_REC_COMPRESSED, 100, 100 },
    { "commit", "of type 0x8", FT_REC_COMMIT, 40, 40 },
    { "type-0", "of type 0x0", 0, 100, 100 },
    { "optional", "of type 0x8000001b", FT_REC_UPLINK, 100, 100 },
    { "huge", "of 1048577 bytes", FT_REC_PAGES, 1 * MiB + 1, 100 },
    { "huge-4g", "of 4294967295 bytes", FT_REC_COPY, UINT32_MAX, 100 },
    { "longer", NOT_WHAT, FT_REC_PAGES, 100, 101 },
    { "shorter", "another length", FT_REC_PAGES, 101, 100 },
    { "empty", "another length", FT_REC_PAGES, 1, 0 },
    { "bomb", NOT_WHAT, FT_REC_PAGES, 1 * MiB, 64 * MiB },
    { "says-nothing", NOT_WHAT, FT_REC_PAGES, 0, 64 * MiB },
};

static void test_hostile(const void *opaque)
{
    const Hostile *h = opaque;
    g_autofree uint8_t *zeros = g_malloc0(h->is + 1);
    g_autoptr(GByteArray) bad = g_byte_array_new();

    begin(bad);
    put_compressed(bad, h->type, h->says, zeros, h->is);
    assert_refused(bad, h->why);
}

/* What is wrong inside is refused as if it had come as it is */
static void test_inside(void)
{
    g_autoptr(GByteArray) bad = g_byte_array_new();
    uint8_t entry[8];

    stq_be_p(entry, 9ULL << 56);        /* a page of block 9 */
    put_compressed(bad, FT_REC_PAGES, 8, entry, 8);
    assert_refused(bad, ORDER);         /* before BEGIN */
    g_byte_array_set_size(bad, 0);
    begin(bad);
    put_compressed(bad, FT_REC_COPY, 8, entry, 8);
    assert_refused(bad, ORDER);
    g_byte_array_set_size(bad, 0);
    begin(bad);
    put_compressed(bad, FT_REC_PAGES, 8, entry, 8);
    assert_refused(bad, NO_PAGE);
}

/* Any byte of the frame is another, or the end is missing: no crash, and
   nothing that is longer than it says */
static void test_damaged(void)
{
    g_autoptr(GByteArray) wire = g_byte_array_new();
    g_autofree uint8_t *bytes = NULL;
    FtZstd *z = ft_zstd_new();
    FtRecord rec, inner;

    ft_zstd_close(z, wire, open_record(wire, 3000));
    rec = wire_next_record(wire);
    for (size_t i = 0; i < rec.length; i++) {
        for (int bit = 0; bit < 8; bit++) {
            FtRecord other = rec;

            bytes = g_memdup2(rec.payload, rec.length);
            bytes[i] ^= 1 << bit;
            other.payload = bytes;
            if (ft_zstd_open(z, &other, &inner, NULL)) {
                g_assert_cmpuint(inner.length, ==, 3000);
            }
            g_clear_pointer(&bytes, g_free);
        }
    }
    for (size_t len = sizeof(FtCompressedWire) + 1; len < rec.length; len++) {
        FtRecord other = rec;

        other.payload = bytes = g_memdup2(rec.payload, len);
        other.length = len;
        g_assert(!ft_zstd_open(z, &other, &inner, NULL));
        g_clear_pointer(&bytes, g_free);
    }
    ft_zstd_free(z);
}

/* --- an intake: a whole stream, compressed, leaves the same guest --- */

static void test_stream(void)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    World *w = world_new();
    size_t pos = 0;
    int n = 0;

    while (pos < stream.bytes->len) {
        FtRecord rec;

        g_assert_cmpint(ft_wire_next(stream.bytes->data + pos,
                                     stream.bytes->len - pos, &rec,
                                     &error_abort), ==, 1);
        if (rec.type == FT_REC_COPY || rec.type == FT_REC_PAGES) {
            put_compressed(out, rec.type, rec.length, rec.payload,
                           rec.length);
            n++;
        } else {
            g_byte_array_append(out, stream.bytes->data + pos, rec.total);
        }
        pos += rec.total;
    }
    g_assert_cmpint(n, >, EPOCHS);
    g_assert_cmpint(feed(w, out->data, out->len), ==, out->len);
    g_assert(state_equals(w, &stream.at[EPOCHS]));
    world_free(w);
}

/* --- when --- */

typedef struct When {
    const char *name;
    OnOffAuto option;
    bool able;
    int64_t ns_per_kib;         /* of the link */
    bool random;                /* nothing to be gained */
    bool wanted;
} When;

static const When whens[] = {
    { "fast", ON_OFF_AUTO_AUTO, true, 50, false, false },
    { "slow", ON_OFF_AUTO_AUTO, true, 10000000, false, true },
    { "slow-but-random", ON_OFF_AUTO_AUTO, true, 10000000, true, false },
    { "slow-but-off", ON_OFF_AUTO_OFF, true, 10000000, false, false },
    { "slow-but-old-peer", ON_OFF_AUTO_AUTO, false, 10000000, false, false },
    { "on", ON_OFF_AUTO_ON, true, 50, false, true },
    { "on-but-old-peer", ON_OFF_AUTO_ON, false, 50, false, false },
};

static void test_when(const void *opaque)
{
    const When *c = opaque;
    int compressed = 0;
    FtCompress f;

    ft_opts.compress = c->option;
    ft_compress_start(&f, c->able);
    for (int i = 0; i < 400; i++) {
        g_autoptr(GByteArray) wire = g_byte_array_new();
        size_t start = ft_wire_begin(wire, FT_REC_PAGES);

        ft_compress_link(&f, 1 * MiB, c->ns_per_kib * 1024);
        if (c->random) {
            for (int k = 0; k < 16 * KiB; k++) {
                g_byte_array_append(wire, (uint8_t []) { g_test_rand_int() },
                                    1);
            }
        } else {
            g_byte_array_set_size(wire, wire->len + 64 * KiB);
            memset(wire->data + HDR, 1, 64 * KiB);
        }
        ft_compress_close(&f, wire, start);
        compressed += wire_next_record(wire).type == FT_REC_COMPRESSED;
    }
    g_assert(ft_compress_wanted(&f) == c->wanted);
    if (c->wanted) {
        g_assert_cmpint(compressed, >, 390);
        g_assert_cmpuint(stat64_get(&f.before), ==,
                         compressed * (64 * KiB + HDR));
        g_assert_cmpuint(stat64_get(&f.after), <, stat64_get(&f.before) / 50);
    } else {
        g_assert_cmpint(compressed, ==, 0);
        g_assert_cmpuint(stat64_get(&f.after), ==, 0);
    }
    ft_compress_stop(&f);
}

/* A link that gets slow, and fast again; data that gets worth it */
static void test_changes(void)
{
    FtCompress f;

    ft_opts.compress = ON_OFF_AUTO_AUTO;
    ft_compress_start(&f, true);
    for (int i = 0; i < 20; i++) {
        ft_compress_link(&f, 1 * MiB, 50 * 1024);
    }
    g_assert(!ft_compress_wanted(&f));
    for (int i = 0; i < 20; i++) {
        ft_compress_link(&f, 1 * MiB, 80000LL * 1024);
    }
    g_assert(ft_compress_wanted(&f));
    f.left = KiB;                       /* so it was, until now */
    g_assert(!ft_compress_wanted(&f));
    for (int i = 0; i < 1000; i++) {
        g_autoptr(GByteArray) wire = g_byte_array_new();
        size_t start = ft_wire_begin(wire, FT_REC_PAGES);

        g_byte_array_set_size(wire, wire->len + 64 * KiB);
        memset(wire->data + HDR, 1, 64 * KiB);
        ft_compress_close(&f, wire, start);
    }
    g_assert(ft_compress_wanted(&f));
    for (int i = 0; i < 60; i++) {
        ft_compress_link(&f, 1 * MiB, 50 * 1024);
    }
    g_assert(!ft_compress_wanted(&f));
    /* Too little to tell */
    ft_compress_link(&f, 1 * KiB, 1000000000);
    g_assert(!ft_compress_wanted(&f));
    ft_compress_stop(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    make_stream(&stream);
    g_test_add_func("/ft/zstd/there-and-back", test_there_and_back);
    g_test_add_func("/ft/zstd/not-smaller", test_not_smaller);
    g_test_add_func("/ft/zstd/damaged", test_damaged);
    g_test_add_func("/ft/zstd/inside", test_inside);
    g_test_add_func("/ft/zstd/stream", test_stream);
    g_test_add_func("/ft/zstd/changes", test_changes);
    for (int i = 0; i < ARRAY_SIZE(hostile); i++) {
        g_autofree char *path = g_strconcat("/ft/zstd/hostile/",
                                            hostile[i].name, NULL);

        g_test_add_data_func(path, &hostile[i], test_hostile);
    }
    for (int i = 0; i < ARRAY_SIZE(whens); i++) {
        g_autofree char *path = g_strconcat("/ft/zstd/when/", whens[i].name,
                                            NULL);

        g_test_add_data_func(path, &whens[i], test_when);
    }
    return g_test_run();
}
