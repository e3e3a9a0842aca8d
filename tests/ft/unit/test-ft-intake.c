/*
 * QEMU-FT: tests of receiving epochs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The stream of intake-stream.h whole, cut and damaged; records out of
 * order, epochs that must not begin or must not be committed, what is sent
 * before the first epoch, and lengths of RAM blocks.  What is in the records
 * is tested by test-ft-intake-payload.c, and a peer that tries everything by
 * test-ft-intake-hostile.c.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qapi/error.h"
#include "intake-stream.h"

/* --- the good stream --- */

static void test_whole(void)
{
    World *w = world_at(0);

    g_assert(ram_equals(w, &stream.at[0]));
    g_assert_cmpuint(w->in.committed, ==, 0);
    g_assert_cmpuint(w->in.copied, ==, 14 * PAGE);
    world_free(w);
    for (int n = 1; n <= EPOCHS; n++) {
        world_free(world_at(n));
    }
}

/* Which epoch is whole when @cut bytes have come */
static int epoch_at(size_t cut)
{
    int n = 0;

    while (n < EPOCHS && stream.end[n + 1] <= cut) {
        n++;
    }
    return n;
}

/* The connection ends at any byte; then goes on after all */
static void test_cut(void)
{
    size_t total = stream.bytes->len;

    for (size_t cut = 0; cut <= total; cut++) {
        World *w = world_new();
        int n = epoch_at(cut);
        ssize_t pos = feed(w, stream.bytes->data, cut);

        g_assert_cmpint(pos, >=, 0);
        g_assert_cmpint(pos, <=, cut);
        g_assert_cmpuint(w->in.committed, ==, n);
        g_assert(n == 0 || state_equals(w, &stream.at[n]));
        g_assert_cmpint(feed(w, stream.bytes->data + pos, total - pos), ==,
                        total - pos);
        g_assert(state_equals(w, &stream.at[EPOCHS]));
        world_free(w);
    }
}

/* Until it is applied, a staged epoch changes nothing but lengths of RAM */
static void test_staged(void)
{
    for (int n = 1; n <= EPOCHS; n++) {
        World *w = world_at(n - 1);
        State expected = stream.at[n - 1];
        size_t pos = stream.end[n - 1], used;
        FtIntakeResult result = FT_INTAKE_MORE;

        while (result == FT_INTAKE_MORE) {
            g_assert(state_equals(w, &expected));
            g_assert_cmpint(feed_one(w, stream.bytes->data + pos,
                                     stream.end[n] - pos, &used, &result),
                            ==, 1);
            pos += used;
        }
        g_assert_cmpuint(pos, ==, stream.end[n]);
        memcpy(expected.used, stream.at[n].used, sizeof(expected.used));
        g_assert(state_equals(w, &expected));
        apply(w);
        g_assert(state_equals(w, &stream.at[n]));
        world_free(w);
    }
}

/* One damaged byte anywhere: never another state than a committed one */
static void test_damage(void)
{
    g_autofree uint8_t *buf = g_memdup2(stream.bytes->data,
                                        stream.bytes->len);

    for (size_t i = stream.end[0]; i < stream.bytes->len; i++) {
        World *w = world_new();
        int n = epoch_at(i);
        ssize_t ret;

        buf[i] ^= 1 << (i % 8);
        ret = feed(w, buf, stream.bytes->len);
        /* A longer record that never ends is not an error yet */
        g_assert_cmpint(ret, <, (ssize_t)stream.bytes->len);
        g_assert_cmpuint(w->in.committed, ==, n);
        g_assert(n == 0 || state_equals(w, &stream.at[n]));
        buf[i] = stream.bytes->data[i];
        world_free(w);
    }
}

/* --- records, after epoch 2 --- */

/*
 * Order of records: (B)EGIN, (P)AGES, (D)EVICE, (C)OMMIT, cop(Y), b(E)at,
 * (A)ck, (H)ELLO, (O)ptional.  The last one is refused.
 */
static const char *const order_cases[] = {
    "P", "D", "C", "Y", "E", "A", "H", "O",
    "BB", "BY", "BE", "BA", "BH", "BO",
    "BPB", "BPY", "BDD", "BPDB", "BPDPB", "BPDD",
    "BDCB", "BDCP", "BDCD", "BDCC", "BDCY", "BDCE",
};

static void put_letter(GByteArray *out, char letter)
{
    FtCommit c = { .epoch = AFTER + 1 };

    switch (letter) {
    case 'B':
        begin(out);
        break;
    case 'P':
        ft_wire_put(out, FT_REC_PAGES, NULL, 0);
        break;
    case 'D':
        good_device(out);
        break;
    case 'C':
        ft_wire_put_commit(out, &c);
        break;
    case 'Y':
        ft_wire_put(out, FT_REC_COPY, NULL, 0);
        break;
    case 'E':
        ft_wire_put_beat(out, &(FtBeat) { 1, 0, 2 });
        break;
    case 'A':
        ft_wire_put_ack(out, AFTER + 1, AFTER + 1);
        break;
    case 'H':
        ft_wire_put_hello(out, "{}");
        break;
    case 'O':
        ft_wire_put(out, FT_WIRE_OPTIONAL | 77, "x", 1);
        break;
    }
}

static void test_order(const void *opaque)
{
    g_autoptr(GByteArray) bad = g_byte_array_new();

    for (const char *c = opaque; *c; c++) {
        put_letter(bad, *c);
    }
    assert_refused(bad, "out of order");
}

/* Records that may come in this order, so that the above means something */
static void test_order_good(void)
{
    static const char *const good[] = {
        "BDC", "BPDC", "BDPC", "BPPDPC",
    };

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        g_autoptr(GByteArray) out = g_byte_array_new();
        World *w = world_at(AFTER);
        State expected = stream.at[AFTER];

        for (const char *c = good[i]; *c; c++) {
            put_letter(out, *c);
        }
        g_assert_cmpint(feed(w, out->data, out->len), ==, out->len);
        expected.epoch++;
        g_assert(state_equals(w, &expected));
        world_free(w);
    }
}

typedef struct BeginCase {
    const char *name, *why;
    uint64_t epoch;
    uint32_t nblocks, lengths;  /* announced, and there */
    uint64_t used[4];
} BeginCase;

static const BeginCase begin_cases[] = {
    { "again", "began epoch 2 after epoch 2", 2, 3, 3, { 512, 256, 128 } },
    { "skips", "began epoch 4 after epoch 2", 4, 3, 3, { 512, 256, 128 } },
    { "zero", "began epoch 0", 0, 3, 3, { 512, 256, 128 } },
    { "huge", "began epoch 18446744073709551615", UINT64_MAX, 3, 3,
      { 512, 256, 128 } },
    { "fewer-blocks", "BEGIN for 2", 3, 2, 2, { 512, 256 } },
    { "more-blocks", "BEGIN for 4", 3, 4, 4, { 512, 256, 128, 0 } },
    { "no-blocks", "BEGIN for 0", 3, 0, 0 },
    { "many-blocks", "BEGIN for", 3, UINT32_MAX, 3, { 512, 256, 128 } },
    { "fewer-lengths", "BEGIN for", 3, 3, 2, { 512, 256 } },
    { "more-lengths", "BEGIN for", 3, 3, 4, { 512, 256, 128, 0 } },
    { "too-long", "block pc.ram 576", 3, 3, 3, { 576, 256, 128 } },
    { "too-long-last", "block rom 192", 3, 3, 3, { 512, 256, 192 } },
    { "odd-length", "block acpi 257", 3, 3, 3, { 512, 257, 128 } },
    { "enormous", "block acpi", 3, 3, 3, { 512, -(uint64_t)PAGE, 128 } },
};

static void test_begin(const void *opaque)
{
    const BeginCase *c = opaque;
    g_autoptr(GByteArray) bad = g_byte_array_new();
    size_t rec = ft_wire_begin(bad, FT_REC_BEGIN);
    uint8_t p[8] = { 0 };

    stq_be_p(p, c->epoch);
    g_byte_array_append(bad, p, 8);
    stq_be_p(p, (uint64_t)c->nblocks << 32);
    g_byte_array_append(bad, p, 8);
    for (int i = 0; i < c->lengths; i++) {
        stq_be_p(p, c->used[i]);
        g_byte_array_append(bad, p, 8);
    }
    ft_wire_end(bad, rec);
    assert_refused(bad, c->why);
}

/* One page entry and LEN bytes of device state were sent */
typedef struct CommitCase {
    const char *name;
    uint64_t epoch, npages;
    int device;                 /* bytes, all of them when below 0 */
} CommitCase;

static const CommitCase commit_cases[] = {
    { "older-epoch", AFTER, 1, -1 },
    { "later-epoch", AFTER + 2, 1, -1 },
    { "epoch-0", 0, 1, -1 },
    { "no-pages", AFTER + 1, 0, -1 },
    { "more-pages", AFTER + 1, 2, -1 },
    { "pages-wrap", AFTER + 1, (1ULL << 32) + 1, -1 },
    { "no-device", AFTER + 1, 1, 0 },
    { "device-cut", AFTER + 1, 1, 100 },
};

static void test_commit(const void *opaque)
{
    const CommitCase *c = opaque;
    g_autoptr(GByteArray) bad = g_byte_array_new();
    size_t rec;

    begin(bad);
    rec = ft_wire_begin(bad, FT_REC_PAGES);
    ft_wire_put_page(bad, 0, FT_PAGE_RAW, 1, pattern, PAGE);
    ft_wire_end(bad, rec);
    if (c->device < 0) {
        good_device(bad);
    } else if (c->device) {
        put_device_piece(bad, LEN, 0, pattern, c->device);
    }
    put_commit(bad, NULL, c->epoch, c->npages);
    assert_refused(bad, "not complete");
}

/* --- before the first epoch --- */

static void refuse_first(World *w, const GByteArray *bad, const char *why)
{
    g_assert_cmpint(feed(w, bad->data, bad->len), ==, -1);
    g_assert_nonnull(strstr(error_get_pretty(w->err), why));
    g_assert_cmpuint(w->in.committed, ==, 0);
    g_assert_cmpuint(w->in.device->len, ==, 0);
    g_assert(ram_equals(w, &stream.at[0]));
    world_free(w);
}

static void test_copy_delta(void)
{
    g_autoptr(GByteArray) bad = g_byte_array_new();
    size_t rec = ft_wire_begin(bad, FT_REC_COPY);
    uint8_t run[12] = { 0, 0, 0, 1, 0xff };

    ft_wire_put_page(bad, 0, FT_PAGE_DELTA, 1, run, sizeof(run));
    ft_wire_end(bad, rec);
    refuse_first(world_at(0), bad, "delta in the first copy");
}

static void test_copy_outside(void)
{
    static const struct {
        uint8_t block;
        uint64_t page;
    } cases[] = {
        { 0, 8 }, { 1, 4 }, { 1, 6 }, { 2, 2 }, { 3, 0 }, { 255, 0 },
        { 0, (1ULL << 36) - 1 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autoptr(GByteArray) bad = g_byte_array_new();
        size_t rec = ft_wire_begin(bad, FT_REC_COPY);

        ft_wire_put_page(bad, cases[i].block, FT_PAGE_RAW, cases[i].page,
                         pattern, PAGE);
        ft_wire_end(bad, rec);
        refuse_first(world_at(0), bad, NO_PAGE);
    }
}

static void test_first_number(void)
{
    static const uint64_t wrong[] = { 0, 2, UINT64_MAX };

    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        g_autoptr(GByteArray) bad = g_byte_array_new();

        ft_wire_put_begin_epoch(bad, wrong[i], 0, BLOCKS, stream.at[0].used);
        refuse_first(world_at(0), bad, "began epoch");
    }
}

/* There is nothing yet that a delta could be laid over */
static void test_first_device_delta(void)
{
    static const uint64_t full[] = { 0, 1, LEN };

    for (size_t i = 0; i < ARRAY_SIZE(full); i++) {
        g_autoptr(GByteArray) bad = g_byte_array_new();

        ft_wire_put_begin_epoch(bad, 1, 0, BLOCKS, stream.at[0].used);
        put_device(bad, full[i], 0, FT_DEVICE_DELTA, NULL, 0);
        refuse_first(world_at(0), bad, "device state");
    }
}

static void test_copy_after_begin(void)
{
    g_autoptr(GByteArray) bad = g_byte_array_new();

    ft_wire_put_begin_epoch(bad, 1, 0, BLOCKS, stream.at[0].used);
    ft_wire_put(bad, FT_REC_COPY, NULL, 0);
    refuse_first(world_at(0), bad, ORDER);
}

/* --- lengths of RAM blocks --- */

static const char *failing_block;
static GString *resized;

static bool resize_may_fail(FtBlock *b, uint64_t used, Error **errp)
{
    g_string_append_printf(resized, "%s=%" PRIu64 " ", b->name, used / PAGE);
    if (!g_strcmp0(b->name, failing_block)) {
        error_setg(errp, "no room for %s", b->name);
        return false;
    }
    b->used = used;
    return true;
}

/* An epoch that only gives the blocks these lengths, in pages */
static void put_lengths(GByteArray *out, uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t used[BLOCKS] = { a * PAGE, b * PAGE, c * PAGE };

    ft_wire_put_begin_epoch(out, AFTER + 1, 0, BLOCKS, used);
    good_device(out);
    put_commit(out, NULL, AFTER + 1, 0);
}

static void check_resize(uint64_t a, uint64_t b, const char *fails,
                         const char *expected)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    World *w = world_at(AFTER);
    ssize_t ret;

    resized = g_string_new(NULL);
    failing_block = fails;
    w->in.resize = resize_may_fail;
    put_lengths(out, a, b, 2);
    ret = feed(w, out->data, out->len);
    if (expected) {
        g_assert_cmpstr(resized->str, ==, expected);
    }
    if (fails) {
        g_assert_cmpint(ret, ==, -1);
        g_assert_nonnull(strstr(error_get_pretty(w->err), "no room"));
        if (!state_equals(w, &stream.at[AFTER])) {
            g_test_message("an epoch that was refused has changed the copy");
            g_test_fail();      /* and let the other tests run */
        }
    } else {
        g_assert_cmpint(ret, ==, out->len);
        g_assert_cmpuint(w->in.committed, ==, AFTER + 1);
        g_assert_cmpuint(w->ram.blocks[0].used, ==, a * PAGE);
        g_assert_cmpuint(w->ram.blocks[1].used, ==, b * PAGE);
    }
    g_string_free(resized, true);
    world_free(w);
}

static void test_resize(void)
{
    check_resize(8, 4, NULL, "");
    check_resize(8, 6, NULL, "acpi=6 ");
    check_resize(7, 0, NULL, "pc.ram=7 acpi=0 ");
}

static void test_resize_fails(void)
{
    check_resize(8, 6, "acpi", "acpi=6 ");
    check_resize(7, 6, "pc.ram", "pc.ram=7 ");
}

/* The first block could be resized, the second not: neither has changed */
static void test_resize_fails_later(void)
{
    check_resize(7, 6, "acpi", NULL);
}

/* Nothing has changed its length before the epoch is complete */
static void test_resize_late(void)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    World *w = world_at(AFTER);

    put_lengths(out, 7, 6, 2);
    g_assert_cmpint(feed(w, out->data, out->len - 1), >, 0);
    g_assert(state_equals(w, &stream.at[AFTER]));
    world_free(w);
}

/* A page may be sent as soon as BEGIN has made its block long enough */
static void test_grown_page(void)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    uint64_t used[BLOCKS] = { 8 * PAGE, 6 * PAGE, 2 * PAGE };
    World *w = world_at(AFTER);
    State expected = stream.at[AFTER];
    size_t rec;

    ft_wire_put_begin_epoch(out, AFTER + 1, 0, BLOCKS, used);
    rec = ft_wire_begin(out, FT_REC_PAGES);
    ft_wire_put_page(out, 1, FT_PAGE_RAW, 5, pattern, PAGE);
    ft_wire_end(out, rec);
    good_device(out);
    put_commit(out, NULL, AFTER + 1, 1);
    g_assert_cmpint(feed(w, out->data, out->len), ==, out->len);
    expected.epoch++;
    expected.used[1] = 6 * PAGE;
    memcpy(expected.ram[1] + 5 * PAGE, pattern, PAGE);
    g_assert(state_equals(w, &expected));
    world_free(w);
}

/* --- the rest --- */

static void test_verify(void)
{
    World *w = world_at(3);

    g_assert(ft_intake_verify(&w->in, NULL, NULL));
    w->ram.blocks[1].host[6 * PAGE - 1] ^= 1;
    g_assert(!ft_intake_verify(&w->in, NULL, NULL));
    w->ram.blocks[1].host[6 * PAGE - 1] ^= 1;
    w->in.device->data[DEVICE_MAX - 1] ^= 1;
    g_assert(!ft_intake_verify(&w->in, NULL, NULL));
    w->in.device->data[DEVICE_MAX - 1] ^= 1;
    g_assert(ft_intake_verify(&w->in, NULL, NULL));
    world_free(w);
}

static void add_cases(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(order_cases); i++) {
        g_autofree char *path = g_strdup_printf("/ft/intake/order/%s",
                                                order_cases[i]);

        g_test_add_data_func(path, order_cases[i], test_order);
    }
    ADD_CASES("/ft/intake/begin/", begin_cases, test_begin);
    ADD_CASES("/ft/intake/commit/", commit_cases, test_commit);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    make_stream(&stream);
    g_test_add_func("/ft/intake/whole", test_whole);
    g_test_add_func("/ft/intake/cut", test_cut);
    g_test_add_func("/ft/intake/staged", test_staged);
    g_test_add_func("/ft/intake/damage", test_damage);
    g_test_add_func("/ft/intake/order-good", test_order_good);
    add_cases();
    g_test_add_func("/ft/intake/copy/delta", test_copy_delta);
    g_test_add_func("/ft/intake/copy/outside", test_copy_outside);
    g_test_add_func("/ft/intake/copy/after-begin", test_copy_after_begin);
    g_test_add_func("/ft/intake/first/number", test_first_number);
    g_test_add_func("/ft/intake/first/device-delta",
                    test_first_device_delta);
    g_test_add_func("/ft/intake/resize/good", test_resize);
    g_test_add_func("/ft/intake/resize/fails", test_resize_fails);
    g_test_add_func("/ft/intake/resize/fails-later",
                    test_resize_fails_later);
    g_test_add_func("/ft/intake/resize/late", test_resize_late);
    g_test_add_func("/ft/intake/resize/grown-page", test_grown_page);
    g_test_add_func("/ft/intake/verify", test_verify);
    return g_test_run();
}
