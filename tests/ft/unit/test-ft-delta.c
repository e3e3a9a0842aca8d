/*
 * QEMU-FT: tests of the two delta formats
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "migration/ft/delta.h"

#define PAGE 4096
#define WORDS (PAGE / 8)
#define GUARD 64

static void random_bytes(GRand *r, uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        p[i] = g_rand_int(r);
    }
}

/* Page deltas: which words differ, and the bytes that must come out */

typedef struct PageCase {
    const char *name;
    int words[8];               /* ascending, ended by -1 */
    int runs[8];                /* first and count, ended by -1 */
} PageCase;

static const PageCase page_cases[] = {
    { "same", { -1 }, { -1 } },
    { "first", { 0, -1 }, { 0, 1, -1 } },
    { "last", { WORDS - 1, -1 }, { WORDS - 1, 1, -1 } },
    { "neighbours", { 7, 8, 9, -1 }, { 7, 3, -1 } },
    /* A header is shorter than the equal word between the two */
    { "gap-of-one", { 7, 9, -1 }, { 7, 1, 9, 1, -1 } },
    { "gap-of-two", { 7, 10, -1 }, { 7, 1, 10, 1, -1 } },
    { "gaps", { 1, 3, 4, 8, -1 }, { 1, 1, 3, 2, 8, 1, -1 } },
    { "to-the-end", { WORDS - 2, WORDS - 1, -1 }, { WORDS - 2, 2, -1 } },
    { "both-ends", { 0, WORDS - 1, -1 }, { 0, 1, WORDS - 1, 1, -1 } },
};

static uint32_t expected_delta(const PageCase *c, const uint64_t *new,
                               uint8_t *out)
{
    uint32_t used = 0;

    for (const int *run = c->runs; *run >= 0; run += 2) {
        stw_be_p(out + used, run[0]);
        stw_be_p(out + used + 2, run[1]);
        memcpy(out + used + 4, new + run[0], run[1] * 8);
        used += 4 + run[1] * 8;
    }
    return used;
}

static void test_page_encode(const void *opaque)
{
    const PageCase *c = opaque;
    uint64_t old[WORDS], new[WORDS];
    uint8_t out[PAGE + 64], expected[PAGE + 64];
    uint32_t len;

    for (int i = 0; i < WORDS; i++) {
        old[i] = new[i] = i * 0x0101010101010101ULL;
    }
    for (const int *w = c->words; *w >= 0; w++) {
        new[*w] ^= 1ULL << (*w % 64);
    }
    len = expected_delta(c, new, expected);
    g_assert_cmpint(ft_page_delta(old, new, PAGE, out, PAGE), ==, len);
    g_assert_cmpmem(out, len, expected, len);
    if (!len) {
        return;
    }
    /* Exactly as much room as it takes, and one byte less */
    g_assert_cmpint(ft_page_delta(old, new, PAGE, out, len), ==, len);
    g_assert_cmpint(ft_page_delta(old, new, PAGE, out, len - 1), ==, -1);
    g_assert(ft_page_delta_valid(out, len, PAGE));
    ft_page_delta_apply(old, out, len);
    g_assert_cmpmem(old, PAGE, new, PAGE);
}

/* What does not fit says so and stays inside @max */
static void test_page_room(void)
{
    uint64_t old[WORDS] = { 0 }, new[WORDS];
    uint8_t out[PAGE + GUARD];

    memset(new, 1, PAGE);
    for (uint32_t max = 0; max < PAGE; max += 5) {
        memset(out, 0xa7, sizeof(out));
        new[WORDS / 2] = 0;
        new[WORDS / 2 + 1] = 0;
        g_assert_cmpint(ft_page_delta(old, new, PAGE, out, max), ==,
                        max >= PAGE - 16 + 8 ? PAGE - 16 + 8 : -1);
        for (uint32_t i = max; i < sizeof(out); i++) {
            g_assert_cmpuint(out[i], ==, 0xa7);
        }
    }
}

/* Runs word by word, as protocol.rst has it: what must come out */
static uint32_t plain_delta(const uint64_t *old, const uint64_t *new,
                            uint32_t words, uint8_t *out)
{
    uint32_t used = 0, head = 0;
    bool open = false;

    for (uint32_t i = 0; i < words; i++) {
        if (old[i] == new[i]) {
            open = false;
            continue;
        }
        if (!open) {
            head = used;
            stw_be_p(out + used, i);
            stw_be_p(out + used + 2, 0);
            used += 4;
            open = true;
        }
        stw_be_p(out + head + 2, lduw_be_p(out + head + 2) + 1);
        memcpy(out + used, new + i, 8);
        used += 8;
    }
    return used;
}

static void compare_plain(const uint64_t *old, const uint64_t *new,
                          uint32_t words)
{
    uint8_t out[PAGE * 3 / 2], expected[PAGE * 3 / 2];
    uint32_t len = plain_delta(old, new, words, expected);

    g_assert_cmpint(ft_page_delta(old, new, words * 8, out, sizeof(out)), ==,
                    len);
    g_assert_cmpmem(out, len, expected, len);
}

/*
 * Equal lines of 64 bytes are skipped: runs that begin and end on each side
 * of each border, a single bit in each byte of a line, pages that end within
 * one, and pages that are aligned to a word only
 */
static void test_page_lines(const void *narrow)
{
    uint64_t old[WORDS + 1], new[WORDS + 1];

    ft_delta_narrow = narrow;
    for (int i = 0; i <= WORDS; i++) {
        old[i] = new[i] = i * 0x0102030405060708ULL;
    }
    for (int border = 0; border <= WORDS; border += 8) {
        for (int first = MAX(border - 2, 0); first <= border; first++) {
            for (int n = 1; n <= 11 && first + n <= WORDS; n++) {
                memcpy(new, old, sizeof(new));
                for (int i = 0; i < n; i++) {
                    new[first + i] ^= 1ULL << i;
                }
                compare_plain(old, new, WORDS);
                compare_plain(old + 1, new + 1, WORDS);
            }
        }
    }
    for (int bit = 0; bit < 64 * 8; bit++) {
        memcpy(new, old, sizeof(new));
        new[64 + bit / 64] ^= 1ULL << (bit % 64);
        compare_plain(old, new, WORDS);
        compare_plain(old + 1, new + 1, WORDS);
        for (int words = 56; words < 80; words++) {
            compare_plain(old, new, words);
        }
    }
    ft_delta_narrow = false;
}

static void test_page_round_trip(void)
{
    GRand *r = g_rand_new_with_seed(1);
    uint8_t old[PAGE], new[PAGE], out[PAGE];

    for (int round = 0; round < 20000; round++) {
        int changes = g_rand_int_range(r, 0, 40), ret;

        random_bytes(r, old, 64);
        memcpy(new, old, PAGE);
        for (int i = 0; i < changes; i++) {
            new[g_rand_int_range(r, 0, PAGE)] ^= g_rand_int_range(r, 1, 256);
        }
        ret = ft_page_delta(old, new, PAGE, out, PAGE - 1);
        g_assert_cmpint(ret, >=, 0);
        g_assert_cmpint(ret == 0, ==, !memcmp(old, new, PAGE));
        g_assert_cmpint(ft_page_delta_valid(out, ret, PAGE), ==, ret > 0);
        ft_page_delta_apply(old, out, ret);
        g_assert_cmpmem(old, PAGE, new, PAGE);
    }
    g_rand_free(r);
}

/* Deltas written by hand: first, count, and the bytes of data present */

typedef struct Run {
    uint32_t first, n, bytes;
} Run;

typedef struct ValidCase {
    const char *name;
    bool valid;
    Run runs[4];                /* up to the first with neither */
    uint32_t tail;              /* bytes behind the last run */
} ValidCase;

static const ValidCase page_valid[] = {
    { "empty", false },
    { "one", true, { { 0, 1, 8 } } },
    { "last-word", true, { { WORDS - 1, 1, 8 } } },
    { "touching", true, { { 0, 2, 16 }, { 2, 1, 8 } } },
    { "whole", true, { { 0, WORDS, PAGE } } },
    { "no-words", false, { { 3, 0, 0 } } },
    { "no-words-behind", false, { { 0, 1, 8 }, { 3, 0, 0 } } },
    { "beyond", false, { { WORDS, 1, 8 } } },
    { "across-the-end", false, { { WORDS - 1, 2, 16 } } },
    { "far-beyond", false, { { 0xffff, 1, 8 } } },
    { "wraps", false, { { 0xffff, 0xffff, 32 } } },
    { "too-many", false, { { 0, WORDS + 1, PAGE + 8 } } },
    { "overlap", false, { { 0, 2, 16 }, { 1, 1, 8 } } },
    { "same-twice", false, { { 5, 1, 8 }, { 5, 1, 8 } } },
    { "descending", false, { { 5, 1, 8 }, { 2, 1, 8 } } },
    { "data-short", false, { { 0, 2, 15 } } },
    { "data-missing", false, { { 0, 1, 0 } } },
    { "head-short", false, { { 0, 1, 8 } }, 3 },
    { "head-of-one-byte", false, { { 0, 1, 8 } }, 1 },
    { "only-tail", false, { { 0 } }, 2 },
};

static bool run_ends(const Run *run)
{
    return !run->first && !run->n && !run->bytes;
}

/* Exactly as large as its content, so that a sanitizer sees reads past it */
static uint8_t *make_delta(const ValidCase *c, bool wide, size_t *len)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    uint8_t head[8];

    for (const Run *run = c->runs; !run_ends(run); run++) {
        size_t old = out->len;

        if (wide) {
            stl_be_p(head, run->first);
            stl_be_p(head + 4, run->n);
        } else {
            stw_be_p(head, run->first);
            stw_be_p(head + 2, run->n);
        }
        g_byte_array_append(out, head, wide ? 8 : 4);
        g_byte_array_set_size(out, out->len + run->bytes);
        memset(out->data + old + (wide ? 8 : 4), 0x5a, run->bytes);
    }
    g_byte_array_set_size(out, out->len + c->tail);
    if (c->tail) {
        memset(out->data + out->len - c->tail, 0, c->tail);
    }
    *len = out->len;
    return g_memdup2(out->data, out->len);
}

static void test_page_valid(const void *opaque)
{
    const ValidCase *c = opaque;
    size_t len;
    g_autofree uint8_t *delta = make_delta(c, false, &len);

    g_assert_cmpint(ft_page_delta_valid(delta, len, PAGE), ==, c->valid);
}

#define FULL 1000

static const ValidCase device_valid[] = {
    { "empty", true },
    { "one", true, { { 0, 1, 1 } } },
    { "last-byte", true, { { FULL - 1, 1, 1 } } },
    { "touching", true, { { 0, 2, 2 }, { 2, 1, 1 } } },
    { "whole", true, { { 0, FULL, FULL } } },
    { "no-bytes", false, { { 3, 0, 0 } } },
    { "beyond", false, { { FULL, 1, 1 } } },
    { "across-the-end", false, { { FULL - 1, 2, 2 } } },
    { "wraps", false, { { UINT32_MAX, UINT32_MAX, 9 } } },
    { "wraps-to-inside", false, { { UINT32_MAX, 2, 2 } } },
    { "too-many", false, { { 0, FULL + 1, FULL + 1 } } },
    { "overlap", false, { { 0, 20, 20 }, { 19, 1, 1 } } },
    { "same-twice", false, { { 5, 1, 1 }, { 5, 1, 1 } } },
    { "descending", false, { { 5, 1, 1 }, { 2, 1, 1 } } },
    { "data-short", false, { { 0, 20, 19 } } },
    { "data-missing", false, { { 0, 1, 0 } } },
    { "head-short", false, { { 0, 1, 1 } }, 7 },
    { "only-tail", false, { { 0 } }, 1 },
};

static void test_device_valid(const void *opaque)
{
    const ValidCase *c = opaque;
    size_t len;
    g_autofree uint8_t *delta = make_delta(c, true, &len);

    g_assert_cmpint(ft_device_delta_valid(delta, len, FULL), ==, c->valid);
}

/* Device deltas */

typedef struct JoinCase {
    const char *name;
    int bytes[6];               /* that change, ended by -1 */
    int runs[6];                /* first and count, ended by -1 */
} JoinCase;

/* A run goes on across up to 7 equal bytes: a header has 8 */
static const JoinCase join_cases[] = {
    { "same", { -1 }, { -1 } },
    { "first", { 0, -1 }, { 0, 1, -1 } },
    { "last", { FULL - 1, -1 }, { FULL - 1, 1, -1 } },
    { "joined", { 10, 18, -1 }, { 10, 9, -1 } },
    { "apart", { 10, 19, -1 }, { 10, 1, 19, 1, -1 } },
    { "joined-across-blocks", { 252, 260, -1 }, { 252, 9, -1 } },
    { "apart-across-blocks", { 250, 260, -1 }, { 250, 1, 260, 1, -1 } },
    { "block-border", { 255, 256, -1 }, { 255, 2, -1 } },
    { "skipped-block", { 200, 800, -1 }, { 200, 1, 800, 1, -1 } },
};

static void test_device_encode(const void *opaque)
{
    const JoinCase *c = opaque;
    uint8_t old[FULL], new[FULL];
    g_autoptr(GByteArray) out = g_byte_array_new();
    const uint8_t *p;

    for (int i = 0; i < FULL; i++) {
        old[i] = new[i] = i * 7;
    }
    for (const int *b = c->bytes; *b >= 0; b++) {
        new[*b] ^= 0x10;
    }
    g_byte_array_append(out, (const guint8 *)"x", 1);
    ft_device_delta(old, new, FULL, out);
    g_assert_cmpuint(out->data[0], ==, 'x');
    p = out->data + 1;
    for (const int *run = c->runs; *run >= 0; run += 2) {
        g_assert_cmpuint(out->data + out->len - p, >=, 8 + run[1]);
        g_assert_cmpuint(ldl_be_p(p), ==, run[0]);
        g_assert_cmpuint(ldl_be_p(p + 4), ==, run[1]);
        g_assert_cmpmem(p + 8, run[1], new + run[0], run[1]);
        p += 8 + run[1];
    }
    g_assert(p == out->data + out->len);
    g_assert(ft_device_delta_valid(out->data + 1, out->len - 1, FULL));
    ft_device_delta_apply(old, out->data + 1, out->len - 1);
    g_assert_cmpmem(old, FULL, new, FULL);
}

static void test_device_round_trip(void)
{
    GRand *r = g_rand_new_with_seed(2);
    g_autoptr(GByteArray) out = g_byte_array_new();

    for (int round = 0; round < 5000; round++) {
        size_t len = g_rand_int_range(r, 1, 2000);
        int changes = g_rand_int_range(r, 0, 30);
        g_autofree uint8_t *old = g_malloc(len), *new = g_malloc(len);

        random_bytes(r, old, len);
        memcpy(new, old, len);
        for (int i = 0; i < changes; i++) {
            new[g_rand_int_range(r, 0, len)] ^= g_rand_int_range(r, 1, 256);
        }
        g_byte_array_set_size(out, 0);
        ft_device_delta(old, new, len, out);
        g_assert_cmpuint(out->len, <=, len + 8 * (len / 9 + 1));
        g_assert(ft_device_delta_valid(out->data, out->len, len));
        ft_device_delta_apply(old, out->data, out->len);
        g_assert_cmpmem(old, len, new, len);
    }
    g_rand_free(r);
}

/*
 * Hostile deltas.  Runs are made likely to be nearly right, so that many
 * are accepted; those must not leave their page or state.
 */

static size_t hostile_delta(GRand *r, uint8_t *out, size_t max, bool wide,
                            uint32_t full)
{
    size_t used = 0, unit = wide ? 1 : 8, head = wide ? 8 : 4;
    uint32_t next = 0;

    while (used + head <= max && g_rand_int_range(r, 0, 4)) {
        uint32_t first = next + g_rand_int_range(r, -1, 6);
        uint32_t n = g_rand_int_range(r, 0, 5);

        if (!g_rand_int_range(r, 0, 10)) {
            first = full - n + g_rand_int_range(r, -1, 2);
        }
        if (!g_rand_int_range(r, 0, 50)) {
            n = g_rand_int(r);
        }
        if (wide) {
            stl_be_p(out + used, first);
            stl_be_p(out + used + 4, n);
        } else {
            stw_be_p(out + used, first);
            stw_be_p(out + used + 2, n);
        }
        next = first + n;
        used = MIN(max, used + head + (uint64_t)n * unit);
    }
    if (!g_rand_int_range(r, 0, 4)) {
        used = g_rand_int_range(r, 0, used + 1);
    }
    return used;
}

static void test_hostile(const void *opaque)
{
    bool wide = opaque != NULL;
    uint32_t full = wide ? 200 : 8;     /* bytes, or words */
    size_t size = wide ? 200 : 64;
    GRand *r = g_rand_new_with_seed(3);
    uint8_t target[GUARD + 200 + GUARD], guard[GUARD], buf[512] = { 0 };
    int accepted = 0;

    memset(guard, 0xa7, GUARD);
    memset(target, 0xa7, sizeof(target));
    for (int round = 0; round < 200000; round++) {
        size_t len = hostile_delta(r, buf, sizeof(buf), wide, full);
        g_autofree uint8_t *delta = g_memdup2(buf, len);

        if (wide) {
            if (!ft_device_delta_valid(delta, len, size)) {
                continue;
            }
            ft_device_delta_apply(target + GUARD, delta, len);
        } else {
            if (!ft_page_delta_valid(delta, len, size)) {
                continue;
            }
            ft_page_delta_apply(target + GUARD, delta, len);
        }
        accepted++;
        g_assert(!memcmp(target, guard, GUARD));
        g_assert(!memcmp(target + GUARD + size, guard, GUARD));
    }
    /* Or the test says nothing */
    g_assert_cmpint(accepted, >, 10000);
    g_assert_cmpint(accepted, <, 190000);
    g_rand_free(r);
}

#define ADD_CASES(prefix, cases, func)                                  \
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {                    \
        g_autofree char *path = g_strdup_printf(prefix "%s",            \
                                                (cases)[i].name);       \
        g_test_add_data_func(path, &(cases)[i], func);                  \
    }

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD_CASES("/ft/delta/page/encode/", page_cases, test_page_encode);
    ADD_CASES("/ft/delta/page/valid/", page_valid, test_page_valid);
    g_test_add_func("/ft/delta/page/room", test_page_room);
    g_test_add_data_func("/ft/delta/page/lines", NULL, test_page_lines);
    g_test_add_data_func("/ft/delta/page/lines-narrow", "narrow",
                         test_page_lines);
    g_test_add_func("/ft/delta/page/round-trip", test_page_round_trip);
    ADD_CASES("/ft/delta/device/encode/", join_cases, test_device_encode);
    ADD_CASES("/ft/delta/device/valid/", device_valid, test_device_valid);
    g_test_add_func("/ft/delta/device/round-trip", test_device_round_trip);
    g_test_add_data_func("/ft/delta/hostile/page", NULL, test_hostile);
    g_test_add_data_func("/ft/delta/hostile/device", "wide", test_hostile);
    return g_test_run();
}
