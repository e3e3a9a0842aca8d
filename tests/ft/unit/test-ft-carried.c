/*
 * QEMU-FT: which packets of an epoch a survivor sends, and which never
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "../../../migration/ft/carried.h"

static GString *given;          /* the packets' bytes, one letter each */

static void give(const FtPacket *p)
{
    g_assert_cmpstr(p->nic, ==, "nic0");
    g_assert_cmpint(p->queue, ==, 3);
    g_assert_cmpint(p->header_length, ==, 0);
    g_string_append_len(given, (const char *)p->data, 1);
}

/*
 * One record into @c; each letter of @letters is a packet.  NULL when it was
 * taken, else why not.
 */
static char *put(FtCarried *c, FtRecType type, uint64_t epoch,
                 uint64_t released, uint64_t open, const char *letters,
                 uint32_t length)
{
    g_autoptr(GByteArray) buf = g_byte_array_new();
    g_autofree uint8_t *data = g_malloc(length);
    size_t start = ft_wire_begin_carried(buf, type, epoch, released);
    Error *err = NULL;
    char *why = NULL;
    FtRecord rec;

    for (; *letters; letters++) {
        memset(data, *letters, length);
        ft_wire_put_carried(buf, &(FtPacket) {
            .nic = (char *)"nic0", .queue = 3, .data = data,
            .length = length,
        });
    }
    ft_wire_end(buf, start);
    g_assert_cmpint(ft_wire_next(buf->data, buf->len, &rec, &error_abort),
                    ==, 1);
    if (!ft_carried_record(c, &rec, open, &err)) {
        why = g_strdup(error_get_pretty(err));
        error_free(err);
    }
    return why;
}

static void output(FtCarried *c, uint64_t epoch, uint64_t released,
                   const char *letters)
{
    g_assert_null(put(c, FT_REC_OUTPUT, epoch, released, epoch, letters, 60));
}

static void input(FtCarried *c, uint64_t epoch, uint64_t released,
                  const char *letters)
{
    g_assert_null(put(c, FT_REC_INPUT, epoch, released, 0, letters, 60));
}

/* The primary dies now */
static void dies(FtCarried *c, const char *sent, const char *delivered)
{
    given = g_string_new("");
    g_assert_cmpuint(ft_carried_give_output(c, give), ==, strlen(sent));
    g_assert_cmpstr(given->str, ==, sent);
    g_string_truncate(given, 0);
    g_assert_cmpuint(ft_carried_give_input(c, give), ==, strlen(delivered));
    g_assert_cmpstr(given->str, ==, delivered);
    g_string_free(given, true);
    /* Once, and nothing is left */
    g_assert_cmpuint(ft_carried_give_output(c, give), ==, 0);
    g_assert_cmpuint(ft_carried_give_input(c, give), ==, 0);
    g_assert_cmpuint(c->output.bytes, ==, 0);
    g_assert_cmpuint(c->input.bytes, ==, 0);
}

static void start(FtCarried *c, uint64_t committed)
{
    ft_carried_init(c);
    ft_carried_commit(c, committed);
}

/* Output commit: what no COMMIT has followed never leaves */
static void test_open(void)
{
    FtCarried c;

    start(&c, 7);
    output(&c, 8, 0, "abc");
    dies(&c, "", "");
    output(&c, 8, 0, "abc");
    ft_carried_commit(&c, 8);
    output(&c, 9, 0, "def");
    dies(&c, "abc", "");
}

static void test_released(void)
{
    FtCarried c;

    start(&c, 7);
    output(&c, 8, 7, "a");
    ft_carried_commit(&c, 8);
    output(&c, 9, 7, "b");
    ft_carried_commit(&c, 9);
    output(&c, 10, 8, "c");
    ft_carried_commit(&c, 10);
    dies(&c, "bc", "");

    /* Told with the epoch that is open, with none, and with input */
    start(&c, 7);
    output(&c, 8, 7, "a");
    ft_carried_commit(&c, 8);
    output(&c, 9, 8, "");
    dies(&c, "", "");
    output(&c, 9, 8, "a");
    ft_carried_commit(&c, 9);
    input(&c, 10, 9, "x");
    dies(&c, "", "x");
}

static void test_input(void)
{
    FtCarried c;

    start(&c, 7);
    input(&c, 8, 0, "ab");
    input(&c, 9, 0, "c");
    input(&c, 9, 0, "de");
    ft_carried_commit(&c, 8);
    /* Late: what is in the state already */
    input(&c, 8, 0, "x");
    input(&c, 7, 0, "y");
    input(&c, 0, 0, "z");
    input(&c, 10, 0, "f");
    dies(&c, "", "cdef");
    input(&c, 9, 0, "a");
    ft_carried_commit(&c, 9);
    dies(&c, "", "");
}

static void test_forgotten(void)
{
    FtCarried c;

    start(&c, 7);
    output(&c, 8, 0, "ab");
    ft_carried_commit(&c, 8);
    input(&c, 9, 0, "c");
    ft_carried_clear(&c);
    dies(&c, "", "");
}

/* A peer that says too much costs no memory, and what was first stays */
static void test_full(void)
{
    g_autofree char *many = g_strnfill(300, 'm');
    FtCarried c;

    start(&c, 7);
    for (int i = 0; i < 100; i++) {
        g_assert_null(put(&c, FT_REC_OUTPUT, 8, 0, 8, many, 2000));
        g_assert_null(put(&c, FT_REC_INPUT, 9, 0, 0, many, 2000));
        g_assert_null(put(&c, FT_REC_INPUT, 9, 0, 0, many, 1));
        g_assert_cmpuint(c.output.bytes, <=, FT_WIRE_MAX_CARRIED);
        g_assert_cmpuint(c.input.bytes, <=, FT_WIRE_MAX_CARRIED);
    }
    g_assert_cmpuint(c.output.bytes, >, FT_WIRE_MAX_CARRIED - 4096);
    ft_carried_clear(&c);
    g_assert_cmpuint(c.output.bytes, ==, 0);
}

static void test_wrong(void)
{
    static const struct {
        FtRecType type;
        uint64_t epoch, released, open;
        const char *why;
    } cases[] = {
        { FT_REC_OUTPUT, 8, 8, 8, "has let go" },
        { FT_REC_OUTPUT, 8, UINT64_MAX, 8, "has let go" },
        { FT_REC_INPUT, 8, 8, 0, "has let go" },
        { FT_REC_OUTPUT, 8, 0, 0, "OUTPUT of epoch 8 after" },
        { FT_REC_OUTPUT, 0, 0, 0, "OUTPUT of epoch 0 after" },
        { FT_REC_OUTPUT, 7, 0, 8, "OUTPUT of epoch 7 after" },
        { FT_REC_OUTPUT, 9, 0, 8, "OUTPUT of epoch 9 after" },
        { FT_REC_INPUT, 10, 0, 0, "INPUT of epoch 10 after" },
        { FT_REC_INPUT, UINT64_MAX, 0, 8, "INPUT of epoch" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autofree char *why = NULL;
        FtCarried c;

        start(&c, 7);
        why = put(&c, cases[i].type, cases[i].epoch, cases[i].released,
                  cases[i].open, "x", 60);
        g_assert_nonnull(why);
        g_test_message("%s", why);
        g_assert_nonnull(strstr(why, cases[i].why));
        dies(&c, "", "");
    }
}

/* Epochs in no order: whatever is dropped or not, none that is open is sent */
static void test_any_order(void)
{
    GRand *r = g_rand_new_with_seed(31);

    for (int round = 0; round < 2000; round++) {
        uint64_t committed = 7;
        FtCarried c;

        start(&c, committed);
        for (int i = 0; i < 20; i++) {
            uint64_t released = g_rand_int_range(r, 0, committed + 2);
            bool is_open = g_rand_boolean(r);

            if (is_open) {
                /* 'o' while it is open; committed output is not looked at */
                g_free(put(&c, FT_REC_OUTPUT, committed + 1, released,
                           committed + 1, "o", 60));
            }
            g_free(put(&c, FT_REC_INPUT, g_rand_int_range(r, 0, 30), released,
                       0, "i", 60));
            if (is_open && g_rand_boolean(r)) {
                ft_carried_commit(&c, ++committed);
                given = g_string_new("");
                ft_carried_give_output(&c, give);
                g_string_free(given, true);
            }
        }
        given = g_string_new("");
        ft_carried_give_output(&c, give);
        g_assert_cmpstr(given->str, ==, "");
        g_string_free(given, true);
        ft_carried_clear(&c);
    }
    g_rand_free(r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ft/carried/open", test_open);
    g_test_add_func("/ft/carried/released", test_released);
    g_test_add_func("/ft/carried/input", test_input);
    g_test_add_func("/ft/carried/forgotten", test_forgotten);
    g_test_add_func("/ft/carried/full", test_full);
    g_test_add_func("/ft/carried/wrong", test_wrong);
    g_test_add_func("/ft/carried/any-order", test_any_order);
    return g_test_run();
}
