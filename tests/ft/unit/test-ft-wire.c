/*
 * QEMU-FT: tests of the wire format
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "migration/ft/delta.h"
#include "migration/ft/hash.h"
#include "migration/ft/wire.h"
#include "wire-raw.h"

#define PAGE 64
#define BLOCKS 3

static const uint64_t npages[BLOCKS] = { 8, 4, 2 };

static void next_fails(const GByteArray *buf, const char *why)
{
    Error *err = NULL;
    FtRecord rec;

    g_assert_cmpint(ft_wire_next(buf->data, buf->len, &rec, &err), ==, -1);
    g_assert_nonnull(strstr(error_get_pretty(err), why));
    error_free(err);
}

/* The layout of docs/protocol.rst, byte by byte */
static void test_layout(void)
{
    static const uint8_t head[] = {
        0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0, 8,
    }, value[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    g_autoptr(GByteArray) out = g_byte_array_new();
    g_autoptr(GByteArray) raw = g_byte_array_new();

    ft_wire_put_u64(out, FT_REC_TAKEOVER, 0x0102030405060708ULL);
    g_assert_cmpuint(out->len, ==, 24);
    g_assert_cmpmem(out->data, 12, head, 12);
    g_assert_cmpmem(out->data + 16, 8, value, 8);
    wire_put_raw(raw, 13, 0, 8, value, 8);
    g_assert_cmpmem(out->data, out->len, raw->data, raw->len);

    g_assert_cmpuint(sizeof(FtHelloWire), ==, 16);
    g_assert_cmpuint(sizeof(FtWelcomeWire), ==, 8);
    g_assert_cmpuint(sizeof(FtBeginWire), ==, 16);
    g_assert_cmpuint(sizeof(FtDeviceWire), ==, 24);
    g_assert_cmpuint(sizeof(FtCommitWire), ==, 40);
    g_assert_cmpuint(sizeof(FtBeatWire), ==, 24);
    g_assert_cmpuint(sizeof(FtEndWire), ==, 8);
    g_assert_cmpuint(sizeof(FtAttachWire), ==, 24);
    g_assert_cmpuint(sizeof(FtReceivedWire), ==, 16);
    g_assert_cmpuint(sizeof(FtCompressedWire), ==, 8);
}

static void test_layout_page(void)
{
    static const uint8_t head[] = { 5, 0x20, 0x0c, 0x01, 0, 0, 0, 9 };
    g_autoptr(GByteArray) out = g_byte_array_new();

    ft_wire_put_page(out, 5, FT_PAGE_DELTA, (1ULL << 32) + 9,
                     "abcdefghijkl", 12);
    g_assert_cmpuint(out->len, ==, 20);
    g_assert(out->data[0] == head[0]);
    /* kind 2, length 0x000c, page 0x1_0000_0009: 4, 16 and 36 bits */
    g_assert_cmpuint(ldq_be_p(out->data), ==,
                     5ULL << 56 | 2ULL << 52 | 12ULL << 36 |
                     0x100000009ULL);
    g_assert_cmpmem(out->data + 8, 12, "abcdefghijkl", 12);
}

/* Least and largest payload of each type */
static const struct {
    const char *name;
    uint32_t type, min, max;
} limits[] = {
    { "hello", FT_REC_HELLO, 18, 1 * MiB },
    { "welcome", FT_REC_WELCOME, 8, 8 },
    { "refuse", FT_REC_REFUSE, 0, 1024 },
    { "copy", FT_REC_COPY, 0, 1 * MiB },
    { "begin", FT_REC_BEGIN, 16, 16 + 8 * 256 },
    { "pages", FT_REC_PAGES, 0, 1 * MiB },
    { "device", FT_REC_DEVICE, 24, 1 * MiB },
    { "commit", FT_REC_COMMIT, 40, 40 },
    { "ack", FT_REC_ACK, 16, 16 },
    { "beat", FT_REC_BEAT, 24, 24 },
    { "end", FT_REC_END, 8, 8 + 1024 },
    { "ended", FT_REC_ENDED, 0, 0 },
    { "takeover", FT_REC_TAKEOVER, 8, 8 },
    { "failed", FT_REC_FAILED, 0, 1024 },
    { "disk", FT_REC_DISK, 32, 32 + 512 * KiB },
    { "diskhash", FT_REC_DISKHASH, 48, 48 },
    { "disksame", FT_REC_DISKSAME, 16, 16 },
    { "diskbad", FT_REC_DISKBAD, 0, 1024 },
    { "handover", FT_REC_HANDOVER, 0, 1024 },
    { "stable", FT_REC_STABLE, 8, 8 },
    { "applied", FT_REC_APPLIED, 8, 8 },
    { "copied", FT_REC_COPIED, 8, 8 },
    { "attach", FT_REC_ATTACH, 24, 24 },
    { "attached", FT_REC_ATTACHED, 0, 0 },
    { "switch", FT_REC_SWITCH, 8, 8 },
    { "switched", FT_REC_SWITCHED, 8, 8 },
    { "received", FT_REC_RECEIVED, 16, 16 },
    { "switchover", FT_REC_SWITCHOVER, 0, 1024 },
    { "packet", FT_REC_PACKET, 8, 8 + 1024 + FT_WIRE_MAX_PACKET },
    { "compressed", FT_REC_COMPRESSED, 9, 1 * MiB },
    { "optional", FT_WIRE_OPTIONAL | 1, 0, 1 * MiB },
    { "optional-far", UINT32_MAX, 0, 1 * MiB },
};

/* The header alone decides about a length: 1 it may be, -1 it may not */
static int try_length(uint32_t type, uint32_t length)
{
    g_autoptr(GByteArray) buf = g_byte_array_new();
    Error *err = NULL;
    FtRecord rec;
    int ret;

    wire_put_raw(buf, type, 0, length, "", 0);
    ret = ft_wire_next(buf->data, buf->len, &rec, &err);
    g_assert_cmpint(ret < 0, ==, err != NULL);
    error_free(err);
    return ret < 0 ? -1 : 1;
}

/* Numbers may be left out; the last two are not types */
#define KNOWN_TYPES (ARRAY_SIZE(limits) - 2)

static void test_limits(void)
{
    int known = 0;

    for (uint32_t type = 0; type < FT_REC__MAX; type++) {
        known += !g_str_equal(ft_rec_name(type), "unknown");
    }
    g_assert_cmpint(KNOWN_TYPES, ==, known);
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        uint32_t type = limits[i].type;

        g_test_message("%s", limits[i].name);
        g_assert_cmpint(try_length(type, limits[i].min), ==, 1);
        g_assert_cmpint(try_length(type, limits[i].max), ==, 1);
        g_assert_cmpint(try_length(type, limits[i].max + 1), ==, -1);
        g_assert_cmpint(try_length(type, UINT32_MAX), ==, -1);
        g_assert_cmpint(try_length(type, UINT32_MAX - 15), ==, -1);
        if (limits[i].min) {
            g_assert_cmpint(try_length(type, limits[i].min - 1), ==, -1);
            g_assert_cmpint(try_length(type, 0), ==, -1);
        }
    }
}

static void test_unknown(void)
{
    static const uint32_t types[] = {
        0, FT_REC__MAX, FT_REC__MAX + 1, 1000, INT32_MAX,
    };

    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        g_autoptr(GByteArray) buf = g_byte_array_new();

        wire_put_raw(buf, types[i], 0, 1, "x", 1);
        next_fails(buf, "unknown type");
        g_assert_cmpstr(ft_rec_name(types[i]), ==, "unknown");
    }
}

static void test_optional(void)
{
    g_autoptr(GByteArray) buf = g_byte_array_new();
    FtRecord rec;

    wire_put_raw(buf, FT_WIRE_OPTIONAL | 9, 0, 3, "abc", 3);
    rec = wire_next_record(buf);
    g_assert(rec.type & FT_WIRE_OPTIONAL);
    g_assert_cmpuint(rec.length, ==, 3);
    buf->data[17] ^= 1;
    next_fails(buf, "damaged");
}

static void test_flags_ignored(void)
{
    g_autoptr(GByteArray) buf = g_byte_array_new();
    FtRecord rec;

    wire_put_raw(buf, FT_REC_ENDED, 0xdeadbeef, 0, "", 0);
    rec = wire_next_record(buf);
    g_assert_cmpint(rec.type, ==, FT_REC_ENDED);
}

static void put_each(GByteArray *out)
{
    static const uint64_t used[BLOCKS] = { 512, 256, 128 };
    FtCommit c = { .epoch = 1, .npages = 2, .hashed = true };
    size_t rec;

    ft_wire_put_hello(out, "{\"a\": 1}");
    ft_wire_put_welcome(out);
    ft_wire_put_text(out, FT_REC_REFUSE, "no");
    ft_wire_put_begin_epoch(out, 7, 0, BLOCKS, used);
    rec = ft_wire_begin(out, FT_REC_PAGES);
    ft_wire_put_page(out, 0, FT_PAGE_ZERO, 1, NULL, 0);
    ft_wire_put_page(out, 1, FT_PAGE_RAW, 3, (uint8_t[PAGE]) { 1 }, PAGE);
    ft_wire_end(out, rec);
    ft_wire_put_commit(out, &c);
    ft_wire_put_ack(out, 1, 1);
    ft_wire_put_beat(out, &(FtBeat) { 3, 2, 4 });
    ft_wire_put_end(out, FT_END_STOPPED, "enough");
    ft_wire_put(out, FT_REC_ENDED, NULL, 0);
    ft_wire_put_attach(out, (const uint8_t *)"0123456789abcdef", 1);
    ft_wire_put_received(out, 5, 6);
}

/* More bytes are asked for until a record is there, and not one longer */
static void test_cut(void)
{
    g_autoptr(GByteArray) all = g_byte_array_new();
    size_t pos = 0;
    int n = 0;

    put_each(all);
    while (pos < all->len) {
        FtRecord rec;
        size_t len = 0;
        int ret;

        do {
            g_autofree uint8_t *exact = g_malloc(len + 1);

            memcpy(exact, all->data + pos, len);
            ret = ft_wire_next(exact, len, &rec, &error_abort);
            g_assert_cmpint(ret, ==, ret ? 1 : 0);
        } while (!ret && ++len <= all->len - pos);
        g_assert_cmpint(ret, ==, 1);
        g_assert_cmpuint(rec.total, ==, len);
        pos += len;
        n++;
    }
    g_assert_cmpint(n, ==, 12);
}

/* Any flipped bit is found; one in the length may also ask for more */
static void test_damage(void)
{
    g_autoptr(GByteArray) all = g_byte_array_new();
    size_t pos = 0;

    put_each(all);
    while (pos < all->len) {
        FtRecord rec, bad;
        uint8_t *buf = all->data + pos;

        g_assert_cmpint(ft_wire_next(buf, all->len - pos, &rec,
                                     &error_abort), ==, 1);
        for (size_t bit = 0; bit < rec.total * 8; bit++) {
            Error *err = NULL;
            bool in_length = bit / 8 >= 8 && bit / 8 < 12;
            int ret;

            buf[bit / 8] ^= 1 << bit % 8;
            ret = ft_wire_next(buf, rec.total, &bad, &err);
            buf[bit / 8] ^= 1 << bit % 8;
            g_assert(ret < 0 || (ret == 0 && in_length));
            error_free(err);
        }
        pos += rec.total;
    }
}

static void test_hello(void)
{
    g_autoptr(GByteArray) buf = g_byte_array_new();
    g_autofree char *json = NULL;
    FtRecord rec;

    ft_wire_put_hello(buf, "{\"a\": 1}");
    rec = wire_next_record(buf);
    g_assert(ft_wire_get_hello(&rec, &json, &error_abort));
    g_assert_cmpstr(json, ==, "{\"a\": 1}");
}

static void test_hello_wrong(void)
{
    static const struct {
        int byte;
        const char *why;
    } cases[] = {
        { 0, "does not speak" }, { 7, "does not speak" },
        { 8, "speaks version 260" }, { 9, "speaks version 5" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autoptr(GByteArray) buf = g_byte_array_new();
        char *json = NULL;
        Error *err = NULL;
        FtRecord rec;

        ft_wire_put_hello(buf, "{}");
        rec = wire_next_record(buf);
        buf->data[16 + cases[i].byte] ^= 1;
        g_assert(!ft_wire_get_hello(&rec, &json, &err));
        g_assert_null(json);
        g_assert_nonnull(strstr(error_get_pretty(err), cases[i].why));
        error_free(err);
    }
}

/* A higher minor is fine, another major is not */
static void test_welcome(void)
{
    g_autoptr(GByteArray) buf = g_byte_array_new();
    Error *err = NULL;
    uint16_t minor;
    FtRecord rec;

    ft_wire_put_welcome(buf);
    rec = wire_next_record(buf);
    g_assert(ft_wire_get_welcome(&rec, &minor, &error_abort));
    g_assert_cmpuint(minor, ==, FT_WIRE_MINOR);
    buf->data[16 + 3] = 9;
    g_assert(ft_wire_get_welcome(&rec, &minor, &error_abort));
    g_assert_cmpuint(minor, ==, FT_WIRE_MINOR);
    buf->data[16 + 3] = 0;
    g_assert(ft_wire_get_welcome(&rec, &minor, &error_abort));
    g_assert_cmpuint(minor, ==, 0);
    buf->data[16 + 1] = FT_WIRE_MAJOR + 1;
    g_assert(!ft_wire_get_welcome(&rec, &minor, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "version 4"));
    error_free(err);
}

static const struct {
    const char *sent, *shown;
} texts[] = {
    { "", "" },
    { "plain", "plain" },
    { "\xc3\xa4", "\xc3\xa4" },
    { "a\nb\tc\x7f" "d", "a?b?c?d" },
    { "\x1b[2J", "?[2J" },
    { "bad \xff!", "bad \xef\xbf\xbd!" },
    { "cut \xc3", "cut \xef\xbf\xbd" },
};

static void test_text(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        g_autoptr(GByteArray) buf = g_byte_array_new();
        g_autofree char *text = NULL, *end = NULL;
        FtEndReason reason;
        FtRecord rec;

        ft_wire_put_text(buf, FT_REC_FAILED, texts[i].sent);
        rec = wire_next_record(buf);
        text = ft_wire_get_text(&rec);
        g_assert_cmpstr(text, ==, texts[i].shown);

        g_byte_array_set_size(buf, 0);
        ft_wire_put_end(buf, FT_END_GIVEN_UP, texts[i].sent);
        rec = wire_next_record(buf);
        g_assert(ft_wire_get_end(&rec, &reason, &end, &error_abort));
        g_assert_cmpint(reason, ==, FT_END_GIVEN_UP);
        g_assert_cmpstr(end, ==, texts[i].shown);
    }
}

static void test_text_long(void)
{
    g_autofree char *longer = g_strnfill(FT_WIRE_MAX_TEXT + 50, 'x');
    g_autoptr(GByteArray) buf = g_byte_array_new();
    g_autofree char *text = NULL, *end = NULL;
    FtEndReason reason;
    FtRecord rec;

    ft_wire_put_text(buf, FT_REC_REFUSE, longer);
    rec = wire_next_record(buf);
    text = ft_wire_get_text(&rec);
    g_assert_cmpuint(strlen(text), ==, FT_WIRE_MAX_TEXT);
    g_byte_array_set_size(buf, 0);
    ft_wire_put_end(buf, FT_END_STOPPED, longer);
    rec = wire_next_record(buf);
    g_assert(ft_wire_get_end(&rec, &reason, &end, &error_abort));
    g_assert_cmpuint(strlen(end), ==, FT_WIRE_MAX_TEXT);
}

static void test_end_reason(void)
{
    static const uint32_t wrong[] = { 0, 5, UINT32_MAX };

    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        g_autoptr(GByteArray) buf = g_byte_array_new();
        char *text = NULL;
        Error *err = NULL;
        FtEndReason reason;
        FtRecord rec;

        ft_wire_put_end(buf, wrong[i], "x");
        rec = wire_next_record(buf);
        g_assert(!ft_wire_get_end(&rec, &reason, &text, &err));
        g_assert_null(text);
        g_assert_nonnull(strstr(error_get_pretty(err), "unknown reason"));
        error_free(err);
    }
}

static void test_numbers(void)
{
    static const uint64_t used[BLOCKS] = { 1, UINT64_MAX, 1ULL << 40 };
    FtCommit c, in = {
        .epoch = 5, .npages = 6, .ram_hash = 7ULL << 60,
        .device_hash = 8ULL << 56,
    };
    g_autoptr(GByteArray) buf = g_byte_array_new();
    uint64_t epoch, got[BLOCKS];
    FtBeat beat = { 1ULL << 60, UINT64_MAX - 3, 0x92345678 };
    FtRecord rec;

    ft_wire_put_beat(buf, &beat);
    rec = wire_next_record(buf);
    ft_wire_get_beat(&rec, &beat);
    g_assert_cmpuint(beat.counter, ==, 1ULL << 60);
    g_assert_cmpuint(beat.echo, ==, UINT64_MAX - 3);
    g_assert_cmpuint(beat.age_ms, ==, 0x92345678);

    g_byte_array_set_size(buf, 0);
    ft_wire_put_u64(buf, FT_REC_TAKEOVER, UINT64_MAX - 1);
    rec = wire_next_record(buf);
    g_assert_cmpuint(ft_wire_get_u64(&rec), ==, UINT64_MAX - 1);

    g_byte_array_set_size(buf, 0);
    ft_wire_put_begin_epoch(buf, 1ULL << 63, 0, BLOCKS, used);
    rec = wire_next_record(buf);
    g_assert(ft_wire_get_begin_epoch(&rec, &epoch, BLOCKS, got,
                                     &error_abort));
    g_assert_cmpuint(epoch, ==, 1ULL << 63);
    g_assert_cmpmem(got, sizeof(got), used, sizeof(used));

    for (int flags = 0; flags < 4; flags++) {
        g_byte_array_set_size(buf, 0);
        in.hashed = flags & 1;
        in.durable = flags & 2;
        ft_wire_put_commit(buf, &in);
        rec = wire_next_record(buf);
        ft_wire_get_commit(&rec, &c);
        g_assert_cmpuint(c.epoch, ==, 5);
        g_assert_cmpuint(c.npages, ==, 6);
        g_assert_cmpint(c.hashed, ==, in.hashed);
        g_assert_cmpint(c.durable, ==, in.durable);
        g_assert_cmpuint(c.ram_hash, ==, 7ULL << 60);
        g_assert_cmpuint(c.device_hash, ==, 8ULL << 56);
    }
}

/* Flag bits that are not known yet do not stand for hashes */
static void test_commit_flags(void)
{
    g_autoptr(GByteArray) buf = g_byte_array_new();
    FtCommit c = { .epoch = 1 };
    FtRecord rec;

    ft_wire_put_commit(buf, &c);
    rec = wire_next_record(buf);
    stl_be_p(buf->data + 16 + 16, ~3u);
    ft_wire_get_commit(&rec, &c);
    g_assert(!c.hashed && !c.durable);
}

/* Which ACK a BEGIN answers, whatever a hostile one says */
static void test_begin_proves(void)
{
    static const struct {
        uint64_t epoch, proves;
        uint32_t unacked;
    } rows[] = {
        { 1, 0, 0 }, { 2, 1, 0 }, { 9, 8, 0 }, { 9, 5, 3 }, { 9, 1, 7 },
        { 9, 0, 8 }, { 9, 0, 9 }, { 9, 0, UINT32_MAX }, { 0, 0, 0 },
        { UINT64_MAX, UINT64_MAX - 1, 0 },
    };
    uint64_t used[BLOCKS] = { 0 };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        g_autoptr(GByteArray) buf = g_byte_array_new();
        FtRecord rec;

        ft_wire_put_begin_epoch(buf, rows[i].epoch, rows[i].unacked, BLOCKS,
                                used);
        g_assert_cmpint(ft_wire_next(buf->data, buf->len, &rec, &error_abort),
                        ==, 1);
        g_assert_cmpuint(ft_wire_begin_proves(&rec), ==, rows[i].proves);
    }
}

static void test_begin_256(void)
{
    uint64_t used[FT_WIRE_MAX_BLOCKS], got[FT_WIRE_MAX_BLOCKS], epoch;
    g_autoptr(GByteArray) buf = g_byte_array_new();
    FtRecord rec;

    for (int i = 0; i < FT_WIRE_MAX_BLOCKS; i++) {
        used[i] = i * 4096ULL;
    }
    ft_wire_put_begin_epoch(buf, 1, 0, FT_WIRE_MAX_BLOCKS, used);
    rec = wire_next_record(buf);
    g_assert(ft_wire_get_begin_epoch(&rec, &epoch, FT_WIRE_MAX_BLOCKS, got,
                                     &error_abort));
    g_assert_cmpmem(got, sizeof(got), used, sizeof(used));
}

static void test_pages(void)
{
    uint8_t page[PAGE] = { 1, 2, 3 }, delta[12] = { 0, 7, 0, 1, 9 };
    g_autoptr(GByteArray) buf = g_byte_array_new();
    const uint8_t *pos, *end;
    FtPageEntry e;

    ft_wire_put_page(buf, 0, FT_PAGE_ZERO, 7, NULL, 0);
    ft_wire_put_page(buf, 1, FT_PAGE_RAW, 3, page, PAGE);
    ft_wire_put_page(buf, 2, FT_PAGE_DELTA, 1, delta, sizeof(delta));
    pos = buf->data;
    end = buf->data + buf->len;
    g_assert_cmpint(ft_wire_next_page(&pos, end, PAGE, BLOCKS, npages, &e,
                                      &error_abort), ==, 1);
    g_assert(e.block == 0 && e.kind == FT_PAGE_ZERO && e.page == 7 &&
             e.length == 0);
    g_assert_cmpint(ft_wire_next_page(&pos, end, PAGE, BLOCKS, npages, &e,
                                      &error_abort), ==, 1);
    g_assert(e.block == 1 && e.kind == FT_PAGE_RAW && e.page == 3);
    g_assert_cmpmem(e.data, e.length, page, PAGE);
    g_assert_cmpint(ft_wire_next_page(&pos, end, PAGE, BLOCKS, npages, &e,
                                      &error_abort), ==, 1);
    g_assert(e.block == 2 && e.kind == FT_PAGE_DELTA && e.page == 1);
    g_assert_cmpmem(e.data, e.length, delta, sizeof(delta));
    g_assert_cmpint(ft_wire_next_page(&pos, end, PAGE, BLOCKS, npages, &e,
                                      &error_abort), ==, 0);
}

/*
 * Random bytes that look a little like records.  Each goes to the decoder
 * of its type in a buffer of its exact size.
 */

typedef struct Hostile {
    GRand *r;
    int records, entries, deltas, states, uplinks, carried, sum;
    uint8_t target[64 + 512 + 64];
} Hostile;

static void check_target(const Hostile *h, size_t size)
{
    for (int i = 0; i < 64; i++) {
        g_assert_cmpuint(h->target[i], ==, 0xa7);
        g_assert_cmpuint(h->target[64 + size + i], ==, 0xa7);
    }
}

static void reset_target(Hostile *h)
{
    memset(h->target, 0xa7, sizeof(h->target));
}

static void decode_pages(Hostile *h, const FtRecord *rec)
{
    const uint8_t *pos = rec->payload, *end = pos + rec->length;
    Error *err = NULL;
    FtPageEntry e;
    int ret;

    for (;;) {
        const uint8_t *start = pos;

        ret = ft_wire_next_page(&pos, end, PAGE, BLOCKS, npages, &e, &err);
        if (ret <= 0) {
            g_assert(pos == start);
            break;
        }
        g_assert(pos > start && pos <= end);
        g_assert(e.data == start + 8 && e.data + e.length == pos);
        g_assert_cmpuint(e.block, <, BLOCKS);
        g_assert_cmpuint(e.page, <, npages[e.block]);
        h->entries++;
        if (e.kind == FT_PAGE_DELTA) {
            h->deltas++;
            g_assert_cmpuint(e.length, <, PAGE);
            reset_target(h);
            ft_page_delta_apply(h->target + 64, e.data, e.length);
            check_target(h, PAGE);
        } else {
            g_assert_cmpuint(e.length, ==,
                             e.kind == FT_PAGE_RAW ? PAGE : 0);
        }
    }
    g_assert_cmpint(ret < 0, ==, err != NULL);
    error_free(err);
}

static void decode_device(Hostile *h, const FtRecord *rec)
{
    const uint8_t *data = rec->payload + sizeof(FtDeviceWire);
    uint64_t full = ldq_be_p(rec->payload);
    size_t len = rec->length - sizeof(FtDeviceWire);
    uint64_t have = g_rand_int_range(h->r, 0, 3);
    Error *err = NULL;

    if (!ft_wire_device_valid(rec, have, 512, 4, &err)) {
        g_assert_nonnull(err);
        error_free(err);
        return;
    }
    g_assert_null(err);
    h->states++;
    if (ldl_be_p(rec->payload + 16) == FT_DEVICE_FULL) {
        g_assert_cmpuint(len, >, 8);
        g_assert_cmpuint(have + len - 8, <=, full);
    } else {
        g_assert_cmpuint(full, ==, 512);
        g_assert_cmpuint(have, ==, 0);
        reset_target(h);
        ft_device_delta_apply(h->target + 64, data, len);
        check_target(h, 512);
    }
}

static void decode(Hostile *h, const FtRecord *rec)
{
    g_autofree char *text = NULL;
    uint64_t epoch, used[BLOCKS];
    uint16_t minor;
    const uint8_t *pos, *end;
    FtBeat beat;
    FtPacket packet;
    FtEndReason reason;
    FtUplinks u;
    FtCommit c;

    switch (rec->type) {
    case FT_REC_UPLINK:
        if (ft_wire_get_uplinks(rec, &u, NULL)) {
            h->uplinks++;
            g_assert_cmpuint(rec->length, ==, 8 + 16 * u.n);
        }
        break;
    case FT_REC_OUTPUT:
    case FT_REC_INPUT:
        if (ft_wire_get_carried(rec, &epoch, used, &pos, &end, NULL)) {
            while (ft_wire_next_carried(&pos, end, &packet)) {
                h->carried++;
                h->sum += packet.data[0] + packet.data[packet.length - 1];
                g_free(packet.nic);
            }
            g_assert(pos == rec->payload + rec->length);
        }
        break;
    case FT_REC_HELLO:
        ft_wire_get_hello(rec, &text, NULL);
        break;
    case FT_REC_WELCOME:
        ft_wire_get_welcome(rec, &minor, NULL);
        break;
    case FT_REC_REFUSE:
    case FT_REC_FAILED:
        text = ft_wire_get_text(rec);
        g_assert(g_utf8_validate(text, -1, NULL));
        break;
    case FT_REC_COPY:
    case FT_REC_PAGES:
        decode_pages(h, rec);
        break;
    case FT_REC_BEGIN:
        ft_wire_get_begin_epoch(rec, &epoch, BLOCKS, used, NULL);
        break;
    case FT_REC_DEVICE:
        decode_device(h, rec);
        break;
    case FT_REC_COMMIT:
        ft_wire_get_commit(rec, &c);
        break;
    case FT_REC_ACK:
        ft_wire_get_ack(rec, &epoch, used);
        break;
    case FT_REC_TAKEOVER:
    case FT_REC_STABLE:
    case FT_REC_APPLIED:
    case FT_REC_COPIED:
        ft_wire_get_u64(rec);
        break;
    case FT_REC_BEAT:
        ft_wire_get_beat(rec, &beat);
        break;
    case FT_REC_PACKET:
        if (ft_wire_get_packet(rec, &packet, NULL)) {
            g_assert_cmpuint(packet.length, >, 0);
            text = packet.nic;
        }
        break;
    case FT_REC_END:
        ft_wire_get_end(rec, &reason, &text, NULL);
        break;
    default:
        break;
    }
}

static uint32_t draft_pages(GRand *r, uint8_t *p)
{
    uint32_t len = 0;

    for (int n = g_rand_int_range(r, 1, 4); n; n--) {
        uint32_t kind = g_rand_int_range(r, 0, 3);
        uint32_t data = kind == 0 ? 0 : kind == 1 ? PAGE : 24;

        stq_be_p(p + len, (uint64_t)g_rand_int_range(r, 0, 3) << 56 |
                          (uint64_t)kind << 52 | (uint64_t)data << 36 |
                          g_rand_int_range(r, 0, 3));
        memset(p + len + 8, g_rand_int(r), data);
        if (kind == 2) {
            stl_be_p(p + len + 8, g_rand_int_range(r, 0, 4) << 16 | 1);
            stl_be_p(p + len + 20, g_rand_int_range(r, 3, 8) << 16 | 1);
        }
        len += 8 + data;
    }
    return len;
}

static uint32_t draft_device(GRand *r, uint8_t *p)
{
    bool full = g_rand_boolean(r);

    stq_be_p(p, 512);
    stq_be_p(p + 8, full ? 0 : 4);
    stl_be_p(p + 16, full ? 0 : 1);
    stl_be_p(p + 20, 0);
    if (full) {
        stq_be_p(p + 24, g_rand_int_range(r, 0, 3));
        return 24 + 8 + g_rand_int_range(r, 1, 40);
    }
    stl_be_p(p + 24, g_rand_int_range(r, 0, 500));
    stl_be_p(p + 28, 4);
    stl_be_p(p + 36, g_rand_int_range(r, 0, 508));
    stl_be_p(p + 40, 4);
    return 24 + 12 + 12;
}

static uint32_t draft_carried(GRand *r, uint8_t *p)
{
    uint32_t len = 16;

    for (int n = g_rand_int_range(r, 0, 4); n; n--) {
        uint32_t data = g_rand_int_range(r, 1, 30);
        uint16_t name = g_rand_int_range(r, 0, 8);

        stl_be_p(p + len, data);
        stw_be_p(p + len + 6, g_rand_int_range(r, 0, data));
        stw_be_p(p + len + 8, name);
        memset(p + len + 12, 'n', name + data);
        len += 12 + name + data;
    }
    return len;
}

static uint32_t draft(GRand *r, uint32_t type, uint8_t *p)
{
    uint32_t len, min = 0, max = FT_WIRE_MAX_TEXT;

    switch (type) {
    case FT_REC_COPY:
    case FT_REC_PAGES:
        return draft_pages(r, p);
    case FT_REC_DEVICE:
        return draft_device(r, p);
    case FT_REC_UPLINK:
        stl_be_p(p, g_rand_int_range(r, 0, 4));
        stl_be_p(p + 16, g_rand_int_range(r, 0, 4));
        return 8 + 16 * g_rand_int_range(r, 0, 4);
    case FT_REC_OUTPUT:
    case FT_REC_INPUT:
        return draft_carried(r, p);
    default:
        for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
            if (limits[i].type == type) {
                min = limits[i].min;
                max = limits[i].max;
            }
        }
        len = min + g_rand_int_range(r, 0, 30);
        for (uint32_t i = 0; i < len; i++) {
            p[i] = g_rand_int(r);
        }
        return MIN(len, max);
    }
}

static void hostile_record(Hostile *h, GByteArray *buf)
{
    uint32_t type = g_rand_int_range(h->r, 1, FT_REC__MAX), len;
    uint8_t payload[512] = { 0 };
    g_autofree uint8_t *exact = NULL;
    FtRecord rec;

    if (g_rand_boolean(h->r)) {
        type = g_rand_boolean(h->r) ? FT_REC_PAGES : FT_REC_DEVICE;
    } else if (!g_rand_int_range(h->r, 0, 20)) {
        type = FT_REC_UPLINK;
    } else if (!g_rand_int_range(h->r, 0, 10)) {
        type = g_rand_boolean(h->r) ? FT_REC_OUTPUT : FT_REC_INPUT;
    }
    len = draft(h->r, type, payload);
    for (int n = g_rand_int_range(h->r, 0, 4); n && len; n--) {
        payload[g_rand_int_range(h->r, 0, len)] ^=
            1 << g_rand_int_range(h->r, 0, 8);
    }
    if (!g_rand_int_range(h->r, 0, 5)) {
        len = g_rand_int_range(h->r, 0, len + 20);
    }
    g_byte_array_set_size(buf, 0);
    wire_put_raw(buf, type, 0, len, payload, len);
    exact = g_memdup2(buf->data, buf->len);
    if (ft_wire_next(exact, buf->len, &rec, NULL) > 0) {
        h->records++;
        decode(h, &rec);
    }
}

static void test_hostile(void)
{
    g_autoptr(GByteArray) buf = g_byte_array_new();
    Hostile h = { .r = g_rand_new_with_seed(5) };

    for (int i = 0; i < 300000; i++) {
        hostile_record(&h, buf);
    }
    g_test_message("%d records, %d entries, %d deltas, %d device states",
                   h.records, h.entries, h.deltas, h.states);
    /* Or the test says nothing */
    g_assert_cmpint(h.records, >, 200000);
    g_assert_cmpint(h.entries, >, 50000);
    g_assert_cmpint(h.deltas, >, 5000);
    g_assert_cmpint(h.states, >, 5000);
    g_assert_cmpint(h.uplinks, >, 500);
    g_assert_cmpint(h.carried, >, 5000);
    g_rand_free(h.r);
}

/* Not even the check is right */
static void test_noise(void)
{
    GRand *r = g_rand_new_with_seed(6);

    for (int i = 0; i < 200000; i++) {
        size_t len = g_rand_int_range(r, 0, 64);
        g_autofree uint8_t *buf = g_malloc(len + 1);
        FtRecord rec;

        for (size_t j = 0; j < len; j++) {
            buf[j] = g_rand_int(r);
        }
        if (len >= 12 && g_rand_boolean(r)) {
            stl_be_p(buf, g_rand_int_range(r, 0, FT_REC__MAX + 1));
            stl_be_p(buf + 8, g_rand_int_range(r, 0, 64));
        }
        g_assert_cmpint(ft_wire_next(buf, len, &rec, NULL), <=, 0);
    }
    g_rand_free(r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ft/wire/layout", test_layout);
    g_test_add_func("/ft/wire/layout-page", test_layout_page);
    g_test_add_func("/ft/wire/limits", test_limits);
    g_test_add_func("/ft/wire/unknown", test_unknown);
    g_test_add_func("/ft/wire/optional", test_optional);
    g_test_add_func("/ft/wire/flags-ignored", test_flags_ignored);
    g_test_add_func("/ft/wire/cut", test_cut);
    g_test_add_func("/ft/wire/damage", test_damage);
    g_test_add_func("/ft/wire/hello", test_hello);
    g_test_add_func("/ft/wire/hello-wrong", test_hello_wrong);
    g_test_add_func("/ft/wire/welcome", test_welcome);
    g_test_add_func("/ft/wire/text", test_text);
    g_test_add_func("/ft/wire/text-long", test_text_long);
    g_test_add_func("/ft/wire/end-reason", test_end_reason);
    g_test_add_func("/ft/wire/numbers", test_numbers);
    g_test_add_func("/ft/wire/commit-flags", test_commit_flags);
    g_test_add_func("/ft/wire/begin-256", test_begin_256);
    g_test_add_func("/ft/wire/begin-proves", test_begin_proves);
    g_test_add_func("/ft/wire/pages", test_pages);
    g_test_add_func("/ft/wire/hostile", test_hostile);
    g_test_add_func("/ft/wire/noise", test_noise);
    return g_test_run();
}
