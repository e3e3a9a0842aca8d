/*
 * QEMU-FT: tests of receiving epochs: what is in the records
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Entries of pages, deltas of pages and pieces of device state: malformed
 * ones, those of a read-only block, and as many as there can be.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "intake-stream.h"

/* Entries as they stand on the wire; the last one is refused */
typedef struct Entry {
    uint8_t block, kind;
    uint64_t page;
    uint16_t length;            /* written into the entry */
    uint16_t bytes;             /* that follow */
    bool next_record;           /* in a record of its own */
} Entry;

typedef struct PageCase {
    const char *name, *why;
    Entry entries[4];
    int n;
    int tail;                   /* bytes behind the last one */
} PageCase;

#define MALFORMED "malformed entry"

static const PageCase page_cases[] = {
    { "no-such-block", NO_PAGE, { { 3, 0, 0 } }, 1 },
    { "block-255", NO_PAGE, { { 255, 0, 0 } }, 1 },
    { "no-such-page", NO_PAGE, { { 0, 0, 8 } }, 1 },
    { "behind-used", NO_PAGE, { { 1, 0, 4 } }, 1 },
    { "page-huge", NO_PAGE, { { 0, 0, (1ULL << 36) - 1 } }, 1 },
    { "page-wraps", NO_PAGE, { { 0, 1, 1ULL << 30, PAGE, PAGE } }, 1 },
    { "second-bad", NO_PAGE, { { 0, 1, 1, PAGE, PAGE }, { 0, 0, 8 } }, 2 },
    { "kind-3", MALFORMED, { { 0, 3, 0 } }, 1 },
    { "kind-3-data", MALFORMED, { { 0, 3, 0, PAGE, PAGE } }, 1 },
    { "kind-15", MALFORMED, { { 0, 15, 0 } }, 1 },
    { "zero-with-data", MALFORMED, { { 0, 0, 0, 1, 1 } }, 1 },
    { "zero-with-page", MALFORMED, { { 0, 0, 0, PAGE, PAGE } }, 1 },
    { "raw-without", MALFORMED, { { 0, 1, 0, 0, 0 } }, 1 },
    { "raw-short", MALFORMED, { { 0, 1, 0, PAGE - 1, PAGE - 1 } }, 1 },
    { "raw-long", MALFORMED, { { 0, 1, 0, PAGE + 1, PAGE + 1 } }, 1 },
    { "raw-twice-as-long", MALFORMED, { { 0, 1, 0, 2 * PAGE, 2 * PAGE } },
      1 },
    { "raw-cut", MALFORMED, { { 0, 1, 0, PAGE, PAGE - 1 } }, 1 },
    { "raw-no-data", MALFORMED, { { 0, 1, 0, PAGE, 0 } }, 1 },
    { "raw-max-length", MALFORMED, { { 0, 1, 0, 0xffff, PAGE } }, 1 },
    { "delta-empty", MALFORMED, { { 0, 2, 0, 0, 0 } }, 1 },
    { "delta-page-long", MALFORMED, { { 0, 2, 0, PAGE, PAGE } }, 1 },
    { "delta-cut", MALFORMED, { { 0, 2, 0, 12, 11 } }, 1 },
    { "delta-no-data", MALFORMED, { { 0, 2, 0, 12, 0 } }, 1 },
    { "delta-max-length", MALFORMED, { { 0, 2, 0, 0xffff, 12 } }, 1 },
    { "head-1", "cut short", { { 0, 0, 0 } }, 1, 1 },
    { "head-7", "cut short", { { 0, 1, 0, PAGE, PAGE } }, 1, 7 },
    { "only-head", "cut short", { { 0 } }, 0, 5 },
    { "same-page", ORDER, { { 0, 0, 3 }, { 0, 1, 3, PAGE, PAGE } }, 2 },
    { "same-page-0", ORDER, { { 0, 0, 0 }, { 0, 0, 0 } }, 2 },
    { "descends", ORDER, { { 0, 0, 3 }, { 0, 0, 2 } }, 2 },
    { "block-descends", ORDER, { { 1, 0, 0 }, { 0, 0, 7 } }, 2 },
    { "across-records", ORDER,
      { { 0, 0, 3 }, { .page = 3, .next_record = true } }, 2 },
    { "across-three", ORDER,
      { { 0, 0, 3 }, { .page = 4, .next_record = true },
        { .page = 2, .next_record = true } }, 3 },
};

static void put_entry(GByteArray *out, const Entry *e)
{
    uint8_t head[8];

    stq_be_p(head, (uint64_t)e->block << 56 | (uint64_t)e->kind << 52 |
                   (uint64_t)e->length << 36 | e->page);
    g_byte_array_append(out, head, 8);
    if (e->bytes) {
        g_byte_array_append(out, pattern, e->bytes);
    }
}

static void test_page(const void *opaque)
{
    const PageCase *c = opaque;
    g_autoptr(GByteArray) bad = g_byte_array_new();
    size_t rec;

    begin(bad);
    rec = ft_wire_begin(bad, FT_REC_PAGES);
    for (int i = 0; i < c->n; i++) {
        if (c->entries[i].next_record) {
            ft_wire_end(bad, rec);
            rec = ft_wire_begin(bad, FT_REC_PAGES);
        }
        put_entry(bad, &c->entries[i]);
    }
    if (c->tail) {
        g_byte_array_append(bad, pattern, c->tail);
    }
    ft_wire_end(bad, rec);
    assert_refused(bad, c->why);
}

/* Runs of a page delta: first word and number of words, with all data */
typedef struct DeltaCase {
    const char *name;
    int n;
    uint16_t runs[3][2];
} DeltaCase;

static const DeltaCase delta_cases[] = {
    { "overlap", 2, { { 0, 2 }, { 1, 1 } } },
    { "same", 2, { { 4, 1 }, { 4, 1 } } },
    { "descends", 2, { { 4, 1 }, { 2, 1 } } },
    { "beyond", 1, { { 8, 1 } } },
    { "across", 1, { { 7, 2 } } },
    { "far", 1, { { 0xffff, 1 } } },
    { "no-words", 1, { { 0, 0 } } },
    /* As they stand they are fine, but a page is shorter */
    { "as-long-as-a-page", 2, { { 0, 3 }, { 4, 4 } } },
    { "longer-than-a-page", 2, { { 0, 4 }, { 4, 4 } } },
    { "no-words-last", 2, { { 0, 1 }, { 3, 0 } } },
};

static void test_delta(const void *opaque)
{
    const DeltaCase *c = opaque;
    g_autoptr(GByteArray) bad = g_byte_array_new();
    uint8_t delta[2 * PAGE];
    size_t rec, used = 0;

    for (int i = 0; i < c->n; i++) {
        stw_be_p(delta + used, c->runs[i][0]);
        stw_be_p(delta + used + 2, c->runs[i][1]);
        memcpy(delta + used + 4, pattern, c->runs[i][1] * 8);
        used += 4 + c->runs[i][1] * 8;
    }
    begin(bad);
    rec = ft_wire_begin(bad, FT_REC_PAGES);
    ft_wire_put_page(bad, 0, FT_PAGE_DELTA, 1, delta, used);
    ft_wire_end(bad, rec);
    assert_refused(bad, MALFORMED);
}

/* Pieces of device state; the last one is refused */
typedef struct Piece {
    uint64_t full, base;
    uint32_t kind;
    uint64_t offset;            /* FULL */
    int len;                    /* FULL; below 0: cut so much off the offset */
    uint32_t run[2][2];         /* DELTA: offset and length, with data */
    int cut;                    /* DELTA: bytes missing at the end */
} Piece;

typedef struct DeviceCase {
    const char *name, *why;
    int n;
    Piece pieces[3];
} DeviceCase;

#define MALFORMED_DEV "malformed piece"

static const DeviceCase device_cases[] = {
    { "empty", "device state of 0", 1, { { 0, 0, 0, 0, 5 } } },
    { "too-long", "device state of 67108865", 1,
      { { 64 * MiB + 1, 0, 0, 0, 5 } } },
    { "enormous", "device state of", 1, { { UINT64_MAX, 0, 0, 0, 5 } } },
    { "kind-2", MALFORMED_DEV, 1, { { LEN, 0, 2, 0, 5 } } },
    { "full-no-offset", MALFORMED_DEV, 1, { { LEN, 0, 0, 0, -1 } } },
    { "full-nothing-at-all", MALFORMED_DEV, 1, { { LEN, 0, 0, 0, -8 } } },
    { "full-no-bytes", MALFORMED_DEV, 1, { { LEN, 0, 0, 0, 0 } } },
    { "full-with-base", MALFORMED_DEV, 1, { { LEN, 2, 0, 0, 5 } } },
    { "full-starts-late", MALFORMED_DEV, 1, { { LEN, 0, 0, 1, 5 } } },
    { "full-gap", MALFORMED_DEV, 2,
      { { LEN, 0, 0, 0, 5 }, { LEN, 0, 0, 6, 5 } } },
    { "full-overlap", MALFORMED_DEV, 2,
      { { LEN, 0, 0, 0, 5 }, { LEN, 0, 0, 4, 5 } } },
    { "full-again", MALFORMED_DEV, 2,
      { { LEN, 0, 0, 0, 5 }, { LEN, 0, 0, 0, 5 } } },
    { "full-too-much", MALFORMED_DEV, 1, { { 10, 0, 0, 0, 11 } } },
    { "full-too-much-later", MALFORMED_DEV, 2,
      { { 10, 0, 0, 0, 9 }, { 10, 0, 0, 9, 2 } } },
    { "full-offset-wraps", MALFORMED_DEV, 1,
      { { 10, 0, 0, UINT64_MAX, 1 } } },
    { "length-changes", ORDER, 2,
      { { 10, 0, 0, 0, 5 }, { 11, 0, 0, 5, 5 } } },
    { "after-the-end", ORDER, 2,
      { { 10, 0, 0, 0, 10 }, { 10, 0, 0, 10, 1 } } },
    { "delta-after-full", MALFORMED_DEV, 2,
      { { LEN, 0, 0, 0, 5 }, { LEN, 2, 1 } } },
    { "full-after-delta", ORDER, 2,
      { { LEN, 2, 1 }, { LEN, 0, 0, 0, 5 } } },
    { "delta-twice", ORDER, 2, { { LEN, 2, 1 }, { LEN, 2, 1 } } },
    { "delta-older-base", MALFORMED_DEV, 1, { { LEN, 1, 1 } } },
    { "delta-open-base", MALFORMED_DEV, 1, { { LEN, 3, 1 } } },
    { "delta-no-base", MALFORMED_DEV, 1, { { LEN, 0, 1 } } },
    { "delta-shorter", MALFORMED_DEV, 1, { { LEN - 1, 2, 1 } } },
    { "delta-longer", MALFORMED_DEV, 1, { { LEN + 1, 2, 1 } } },
    { "delta-overlap", MALFORMED_DEV, 1,
      { { LEN, 2, 1, .run = { { 0, 9 }, { 8, 1 } } } } },
    { "delta-descends", MALFORMED_DEV, 1,
      { { LEN, 2, 1, .run = { { 9, 1 }, { 8, 1 } } } } },
    { "delta-beyond", MALFORMED_DEV, 1,
      { { LEN, 2, 1, .run = { { LEN, 1 } } } } },
    { "delta-across", MALFORMED_DEV, 1,
      { { LEN, 2, 1, .run = { { LEN - 1, 2 } } } } },
    { "delta-wraps", MALFORMED_DEV, 1,
      { { LEN, 2, 1, .run = { { UINT32_MAX, 2 } } } } },
    { "delta-wraps-signed", MALFORMED_DEV, 1,
      { { LEN, 2, 1, .run = { { INT32_MIN, 2 } } } } },
    { "delta-data-cut", MALFORMED_DEV, 1,
      { { LEN, 2, 1, .run = { { 0, 5 } }, .cut = 1 } } },
    { "delta-head-cut", MALFORMED_DEV, 1,
      { { LEN, 2, 1, .run = { { 0, 5 } }, .cut = 6 } } },
};

static void put_piece(GByteArray *out, const Piece *p)
{
    g_autoptr(GByteArray) data = g_byte_array_new();
    uint8_t head[8] = { 0 };

    if (p->kind != FT_DEVICE_DELTA) {
        stq_be_p(head, p->offset);
        g_byte_array_append(data, head, p->len < 0 ? 8 + p->len : 8);
        if (p->len > 0) {
            g_byte_array_append(data, pattern, p->len);
        }
    }
    for (int i = 0; i < 2 && p->run[i][1]; i++) {
        stl_be_p(head, p->run[i][0]);
        stl_be_p(head + 4, p->run[i][1]);
        g_byte_array_append(data, head, 8);
        g_byte_array_append(data, pattern, p->run[i][1]);
    }
    put_device(out, p->full, p->base, p->kind, data->data,
               data->len - p->cut);
}

static void test_device(const void *opaque)
{
    const DeviceCase *c = opaque;
    g_autoptr(GByteArray) bad = g_byte_array_new();

    begin(bad);
    for (int i = 0; i < c->n; i++) {
        put_piece(bad, &c->pieces[i]);
    }
    assert_refused(bad, c->why);
}

/* --- the rest --- */

static void test_readonly(void)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    World *w = world_at(AFTER);
    State expected = stream.at[AFTER];
    size_t rec;

    begin(out);
    rec = ft_wire_begin(out, FT_REC_PAGES);
    ft_wire_put_page(out, ROM, FT_PAGE_RAW, 1, pattern, PAGE);
    ft_wire_end(out, rec);
    good_device(out);
    put_commit(out, NULL, AFTER + 1, 1);
    g_assert_cmpint(feed(w, out->data, out->len), ==, out->len);
    expected.epoch++;
    g_assert(state_equals(w, &expected));
    world_free(w);
}

static void count_call(void *opaque)
{
    ++*(int *)opaque;
}

/* Every page of a larger machine, as large entries as there can be */
static void test_all_pages(void)
{
    const uint32_t page_size = 4096, n = 5000;
    const FakeBlock large = { "large", n, n };
    uint64_t used = (uint64_t)n * page_size;
    g_autoptr(GByteArray) out = g_byte_array_new();
    g_autofree uint8_t *page = g_malloc(page_size);
    World *w = g_new0(World, 1);
    FtIntakeResult result;
    size_t pos = 0, len;
    int calls = 0;

    fake_ram_init(&w->ram, page_size, &large, 1);
    g_assert(ft_intake_init(&w->in, &w->ram, NULL, &error_abort));
    ft_wire_put_begin_epoch(out, 1, 0, 1, &used);
    for (uint32_t i = 0; i < n; ) {
        size_t rec = ft_wire_begin(out, FT_REC_PAGES);

        for (int j = 0; i < n && j < 200; i++, j++) {
            memset(page, i + 1, page_size);
            ft_wire_put_page(out, 0, FT_PAGE_RAW, i, page, page_size);
        }
        ft_wire_end(out, rec);
    }
    put_device_piece(out, 1, 0, pattern, 1);
    put_commit(out, NULL, 1, n);
    while (feed_one(w, out->data + pos, out->len - pos, &len, &result) > 0) {
        pos += len;
    }
    g_assert_cmpuint(pos, ==, out->len);
    g_assert_cmpint(result, ==, FT_INTAKE_COMPLETE);
    ft_intake_apply(&w->in, count_call, &calls);
    g_assert_cmpint(calls, ==, 1);
    for (uint32_t i = 0; i < n; i++) {
        memset(page, i + 1, page_size);
        g_assert(!memcmp(w->ram.blocks[0].host + (size_t)i * page_size, page,
                         page_size));
    }
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    make_stream(&stream);
    ADD_CASES("/ft/intake/page/", page_cases, test_page);
    ADD_CASES("/ft/intake/delta/", delta_cases, test_delta);
    ADD_CASES("/ft/intake/device/", device_cases, test_device);
    g_test_add_func("/ft/intake/readonly", test_readonly);
    g_test_add_func("/ft/intake/all-pages", test_all_pages);
    return g_test_run();
}
