/*
 * QEMU-FT: which pages are hot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qapi/error.h"
#include "../../../migration/ft/hot.h"
#include "fake-ram.h"

#define PAGES 1024
#define OFTEN 8                 /* epochs after which a page must be hot */
#define MANY 256                /* pages that may be */

typedef struct Fixture {
    FtRam ram;
    FtHot hot;
} Fixture;

static void set_up(Fixture *f, const void *unused)
{
    static const FakeBlock blocks[] = {
        { "a", PAGES, PAGES, false }, { "b", PAGES, PAGES, false },
    };

    fake_ram_init(&f->ram, 4096, blocks, ARRAY_SIZE(blocks));
    g_assert_true(ft_hot_init(&f->hot, &f->ram, &error_abort));
}

static void tear_down(Fixture *f, const void *unused)
{
    ft_hot_destroy(&f->hot);
    fake_ram_destroy(&f->ram);
}

static bool is_hot(const Fixture *f, uint32_t block, uint64_t page)
{
    return test_bit(page, f->hot.pages[block]);
}

static void change(Fixture *f, uint32_t block, uint64_t page, uint64_t first,
                   uint64_t n)
{
    for (uint64_t i = first; i < first + n; i++) {
        ft_hot_note(&f->hot, ft_page_id(block, page), i, true);
    }
}

static void test_in_a_row(Fixture *f, const void *unused)
{
    change(f, 1, 7, 10, 1);
    g_assert_false(is_hot(f, 1, 7));
    change(f, 1, 7, 11, OFTEN);
    g_assert_true(is_hot(f, 1, 7));
    g_assert_false(is_hot(f, 0, 7));
    g_assert_false(is_hot(f, 1, 6));
    g_assert_cmpuint(f->hot.count, ==, 1);
    /* However long */
    change(f, 1, 7, 11 + OFTEN, 1000);
    g_assert_true(is_hot(f, 1, 7));
    g_assert_cmpuint(f->hot.count, ==, 1);
}

static void test_with_gaps(Fixture *f, const void *unused)
{
    for (uint64_t epoch = 1; epoch < 100; epoch += 2) {
        change(f, 0, 3, epoch, 1);
    }
    g_assert_false(is_hot(f, 0, 3));
    g_assert_cmpuint(f->hot.count, ==, 0);
}

static void test_unchanged(Fixture *f, const void *unused)
{
    change(f, 0, 3, 1, OFTEN);
    ft_hot_note(&f->hot, ft_page_id(0, 3), OFTEN + 1, false);
    g_assert_false(is_hot(f, 0, 3));
    g_assert_cmpuint(f->hot.count, ==, 0);
    /* Listed and unchanged is not the same as not listed */
    change(f, 0, 3, OFTEN + 2, 1);
    g_assert_false(is_hot(f, 0, 3));
    ft_hot_note(&f->hot, ft_page_id(0, 4), 1, false);
    g_assert_cmpuint(f->hot.count, ==, 0);
}

static void test_not_all(Fixture *f, const void *unused)
{
    for (uint64_t page = 0; page < PAGES; page++) {
        change(f, 0, page, 1, OFTEN);
    }
    g_assert_cmpuint(f->hot.count, ==, MANY);
    /* Room again */
    ft_hot_note(&f->hot, ft_page_id(0, 0), OFTEN + 1, false);
    g_assert_cmpuint(f->hot.count, ==, MANY - 1);
    change(f, 1, 0, 1, OFTEN);
    g_assert_true(is_hot(f, 1, 0));
}

/* The low bits of the epoch begin anew */
static void test_wraps(Fixture *f, const void *unused)
{
    change(f, 0, 1, (1ULL << 28) - 2, OFTEN);
    g_assert_true(is_hot(f, 0, 1));
    change(f, 0, 2, (1ULL << 32) - 2, OFTEN);
    g_assert_true(is_hot(f, 0, 2));
}

static void test_none(void)
{
    FtHot hot = { 0 };

    for (uint64_t epoch = 1; epoch < 100; epoch++) {
        ft_hot_note(&hot, ft_page_id(0, 1), epoch, true);
    }
    g_assert_cmpuint(hot.count, ==, 0);
    ft_hot_destroy(&hot);
}

#define ADD(name, function) \
    g_test_add("/ft/hot/" name, Fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("in-a-row", test_in_a_row);
    ADD("with-gaps", test_with_gaps);
    ADD("unchanged", test_unchanged);
    ADD("not-all", test_not_all);
    ADD("wraps", test_wraps);
    g_test_add_func("/ft/hot/none", test_none);
    return g_test_run();
}
