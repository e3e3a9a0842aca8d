/*
 * QEMU-FT: tests of the arena
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qemu/units.h"
#include "qapi/error.h"
#include "migration/ft/arena.h"

static size_t host_page(void)
{
    return qemu_real_host_page_size();
}

/* Populated pages from @first on */
static size_t resident(const FtArena *a, size_t first)
{
    size_t n = (a->limit - first) / host_page(), sum = 0;
    g_autofree unsigned char *vec = g_malloc0(n + 1);

    if (!n) {
        return 0;
    }
    g_assert_cmpint(mincore(a->base + first, a->limit - first, vec), ==, 0);
    for (size_t i = 0; i < n; i++) {
        sum += vec[i] & 1;
    }
    return sum;
}

static void test_sizes(void)
{
    size_t page = host_page();
    static const struct {
        size_t limit, keep;     /* in pages, and one byte more if odd */
        int more;
        size_t expect_limit, expect_keep;
    } cases[] = {
        { 0, 0, 0, 1, 0 },
        { 0, 0, 1, 1, 1 },
        { 4, 2, 0, 4, 2 },
        { 4, 2, 1, 5, 3 },
        { 2, 9, 0, 2, 2 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        FtArena a;

        g_assert(ft_arena_init(&a, cases[i].limit * page + cases[i].more,
                               cases[i].keep * page + cases[i].more,
                               &error_abort));
        ft_arena_populate(&a);
        g_assert_cmpuint(a.limit, ==, cases[i].expect_limit * page);
        g_assert_cmpuint(a.keep, ==, cases[i].expect_keep * page);
        g_assert_cmpuint(resident(&a, 0), >=, cases[i].expect_keep);
        ft_arena_destroy(&a);
        g_assert_null(a.base);
    }
}

static void test_take(void)
{
    size_t page = host_page();
    uint8_t *first, *second;
    FtArena a;

    g_assert(ft_arena_init(&a, 2 * page, 0, &error_abort));
    first = ft_arena_take(&a, 10);
    second = ft_arena_take(&a, 0);
    g_assert(first == a.base);
    g_assert(second == a.base + 10);
    g_assert(ft_arena_take(&a, 2 * page - 9) == NULL);
    g_assert(ft_arena_take(&a, SIZE_MAX) == NULL);
    g_assert_cmpuint(a.used, ==, 10);
    second = ft_arena_take(&a, 2 * page - 10);
    g_assert(second == a.base + 10);
    second[2 * page - 11] = 1;
    g_assert(ft_arena_take(&a, 1) == NULL);
    g_assert(ft_arena_take(&a, 0) == a.base + 2 * page);
    ft_arena_destroy(&a);
}

/* Taking never moves what has been taken */
static void test_stays(void)
{
    uint8_t *p[64];
    FtArena a;

    g_assert(ft_arena_init(&a, 1 * MiB, 0, &error_abort));
    for (int i = 0; i < ARRAY_SIZE(p); i++) {
        p[i] = ft_arena_take(&a, 16 * KiB);
        memset(p[i], i, 16 * KiB);
    }
    for (int i = 0; i < ARRAY_SIZE(p); i++) {
        g_assert_cmpuint(p[i][0], ==, i);
        g_assert_cmpuint(p[i][16 * KiB - 1], ==, i);
    }
    ft_arena_destroy(&a);
}

static void fill(FtArena *a, size_t n)
{
    memset(ft_arena_take(a, n), 1, n);
}

static void test_reset(void)
{
    size_t page = host_page();
    FtArena a;

    g_assert(ft_arena_init(&a, 64 * page, 8 * page, &error_abort));
    for (int round = 0; round < 3; round++) {
        fill(&a, 48 * page);
        g_assert_cmpuint(resident(&a, 8 * page), ==, 40);
        ft_arena_reset(&a);
        g_assert_cmpuint(a.used, ==, 0);
        g_assert_cmpuint(resident(&a, 8 * page), ==, 0);
        g_assert_cmpuint(resident(&a, 0), ==, 8);

        fill(&a, 4 * page);
        ft_arena_reset(&a);
        g_assert_cmpuint(resident(&a, 0), ==, 8);
    }
    ft_arena_destroy(&a);
}

static void test_too_large(void)
{
    Error *err = NULL;
    FtArena a;

    g_assert(!ft_arena_init(&a, (size_t)1 << 62, 0, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "address space"));
    error_free(err);
    /* As far as to be destroyed, what failed is fine */
    ft_arena_destroy(&a);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ft/arena/sizes", test_sizes);
    g_test_add_func("/ft/arena/take", test_take);
    g_test_add_func("/ft/arena/stays", test_stays);
    g_test_add_func("/ft/arena/reset", test_reset);
    g_test_add_func("/ft/arena/too-large", test_too_large);
    return g_test_run();
}
