/*
 * QEMU-FT: tests of the bytes that are kept until they are confirmed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/units.h"
#include "migration/ft/stream.h"

/* What stands at a position of the stream */
static uint8_t byte_at(uint64_t pos)
{
    return (pos * 0x9e3779b97f4a7c15ULL) >> 56;
}

static size_t append(FtStream *s, size_t len)
{
    g_autofree uint8_t *data = g_malloc(len);

    for (size_t i = 0; i < len; i++) {
        data[i] = byte_at(s->end + i);
    }
    return ft_stream_append(s, data, len);
}

/* Give out at most @max, and look at every byte */
static void give_out(FtStream *s, uint64_t max)
{
    const uint8_t *data;
    size_t len;

    while (max && (len = ft_stream_peek(s, &data))) {
        len = MIN(len, max);
        for (size_t i = 0; i < len; i++) {
            g_assert_cmpuint(data[i], ==, byte_at(s->sent + i));
        }
        ft_stream_advance(s, len);
        max -= len;
    }
}

static void test_empty(void)
{
    const uint8_t *data;
    FtStream s;

    ft_stream_init(&s, 1000, 1 * MiB);
    g_assert_cmpuint(ft_stream_peek(&s, &data), ==, 0);
    g_assert_true(ft_stream_confirm(&s, 1000));
    g_assert_true(ft_stream_confirm(&s, 0));
    g_assert_true(ft_stream_rewind(&s, 1000));
    g_assert_false(ft_stream_rewind(&s, 999));
    g_assert_false(ft_stream_rewind(&s, 1001));
    g_assert_false(ft_stream_confirm(&s, 1001));
    g_assert_cmpuint(s.base, ==, 1000);
    ft_stream_destroy(&s);
}

static void test_limit(void)
{
    FtStream s;

    ft_stream_init(&s, 0, 1 * MiB);
    g_assert_cmpuint(append(&s, 700 * KiB), ==, 700 * KiB);
    g_assert_cmpuint(append(&s, 700 * KiB), ==, 324 * KiB);
    g_assert_cmpuint(append(&s, 1), ==, 0);
    give_out(&s, 600 * KiB);
    /* Given out is not confirmed */
    g_assert_cmpuint(append(&s, 1), ==, 0);
    g_assert_true(ft_stream_confirm(&s, 10));
    g_assert_cmpuint(append(&s, 100), ==, 10);
    give_out(&s, UINT64_MAX);
    g_assert_cmpuint(s.sent, ==, 1 * MiB + 10);
    g_assert_true(ft_stream_confirm(&s, s.end));
    g_assert_cmpuint(append(&s, 2 * MiB), ==, 1 * MiB);
    give_out(&s, UINT64_MAX);
    ft_stream_destroy(&s);
}

/* From each position that is kept, and from no other */
static void test_rewind(void)
{
    FtStream s;

    ft_stream_init(&s, 5, 4 * MiB);
    append(&s, 1 * MiB);
    give_out(&s, 800 * KiB);
    g_assert_true(ft_stream_confirm(&s, 5 + 100 * KiB));
    for (uint64_t at = s.base; at <= 5 + 800 * KiB; at += 50 * KiB + 7) {
        g_assert_false(ft_stream_rewind(&s, at - 1 - (at - s.base)));
        g_assert_true(ft_stream_rewind(&s, at));
        g_assert_cmpuint(s.base, ==, at);
        g_assert_cmpuint(s.sent, ==, at);
        give_out(&s, 5 + 800 * KiB - at);
    }
    g_assert_false(ft_stream_rewind(&s, s.sent + 1));
    give_out(&s, UINT64_MAX);
    g_assert_cmpuint(s.sent, ==, s.end);
    ft_stream_destroy(&s);
}

/* What a peer could say to have memory read or freed that is not its own */
static void test_hostile(void)
{
    static const uint64_t wrong[] = {
        UINT64_MAX, UINT64_MAX - 1, 1ULL << 63, 1 * MiB + 1, 1 * MiB,
    };
    FtStream s;

    ft_stream_init(&s, 0, 4 * MiB);
    append(&s, 1 * MiB);
    give_out(&s, 512 * KiB);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        FtStream before = s;

        g_assert_false(ft_stream_confirm(&s, wrong[i]));
        g_assert_false(ft_stream_rewind(&s, wrong[i]));
        g_assert_cmpmem(&s, sizeof(s), &before, sizeof(before));
    }
    g_assert_true(ft_stream_confirm(&s, 300 * KiB));
    g_assert_false(ft_stream_rewind(&s, 300 * KiB - 1));
    g_assert_false(ft_stream_rewind(&s, 0));
    give_out(&s, UINT64_MAX);
    ft_stream_destroy(&s);
}

/* A long life against a model of four numbers */
static void test_random(void)
{
    GRand *r = g_rand_new_with_seed(7);
    uint64_t appended = 0, rewinds = 0;
    FtStream s;

    ft_stream_init(&s, 12345, 2 * MiB);
    for (int i = 0; i < 20000; i++) {
        uint64_t kept = s.end - s.base, out = s.sent - s.base;
        size_t len = g_rand_int_range(r, 0, i % 50 ? 600 : 700 * KiB);

        switch (g_rand_int_range(r, 0, 4)) {
        case 0:
            g_assert_cmpuint(append(&s, len), ==, MIN(len, 2 * MiB - kept));
            appended += MIN(len, 2 * MiB - kept);
            break;
        case 1:
            give_out(&s, len);
            break;
        case 2:
            g_assert_true(ft_stream_confirm(&s, s.base + MIN(len, out)));
            break;
        case 3:
            if (g_rand_int_range(r, 0, 20) == 0) {
                g_assert_true(ft_stream_rewind(&s, s.base + MIN(len, out)));
                rewinds++;
            }
        }
        g_assert_cmpuint(s.end, ==, 12345 + appended);
        /* A chunk too much at either end is all that may be held */
        g_assert_cmpuint(g_queue_get_length(&s.chunks), <=,
                         (s.end - s.base) / (256 * KiB) + 2);
    }
    g_assert_cmpuint(appended, >, 4 * MiB);
    g_assert_cmpuint(rewinds, >, 100);
    ft_stream_destroy(&s);
    g_rand_free(r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ft/stream/empty", test_empty);
    g_test_add_func("/ft/stream/limit", test_limit);
    g_test_add_func("/ft/stream/rewind", test_rewind);
    g_test_add_func("/ft/stream/hostile", test_hostile);
    g_test_add_func("/ft/stream/random", test_random);
    return g_test_run();
}
