/*
 * QEMU-FT: which packets are told to the peer, and which are forgotten
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "../../../migration/ft/pending.h"

#define LENGTH 60

static bool add(uint64_t epoch, char letter, uint32_t length)
{
    g_autofree uint8_t *data = g_malloc(length);

    memset(data, letter, length);
    return ft_pending_add(&(FtPacket) {
        .nic = (char *)"nic0", .queue = 3, .header_length = 12, .data = data,
        .length = length,
    }, epoch);
}

static void add_all(uint64_t epoch, const char *letters)
{
    for (; *letters; letters++) {
        g_assert_true(add(epoch, *letters, LENGTH));
    }
}

/* The next record is of @epoch and holds @letters; "": there is none */
static void expect(uint64_t released, uint64_t epoch, const char *letters)
{
    g_autoptr(GString) found = g_string_new("");
    const uint8_t *record, *pos, *end;
    uint64_t number, let_go;
    FtRecord rec;
    FtPacket p;
    size_t len = ft_pending_next(released, &record);

    g_assert_cmpint(len > 0, ==, *letters != 0);
    if (!len) {
        return;
    }
    g_assert_cmpint(ft_wire_next(record, len, &rec, &error_abort), ==, 1);
    g_assert_cmpint(rec.type, ==, FT_REC_INPUT);
    g_assert_cmpuint(rec.total, ==, len);
    g_assert_true(ft_wire_get_carried(&rec, &number, &let_go, &pos, &end,
                                      &error_abort));
    g_assert_cmpuint(number, ==, epoch);
    g_assert_cmpuint(let_go, ==, released);
    while (ft_wire_next_carried(&pos, end, &p)) {
        g_assert_cmpstr(p.nic, ==, "nic0");
        g_assert_cmpint(p.queue, ==, 3);
        g_assert_cmpint(p.header_length, ==, 12);
        g_string_append_c(found, p.data[p.length - 1]);
        g_free(p.nic);
    }
    g_assert_cmpstr(found->str, ==, letters);
}

static void test_once(void)
{
    ft_pending_clear();
    expect(0, 0, "");
    add_all(1, "ab");
    expect(0, 1, "ab");
    /* Not on its way: it died with us, or so we think */
    expect(0, 1, "ab");
    ft_pending_told();
    expect(0, 0, "");
    add_all(1, "c");
    expect(0, 1, "c");
}

/* The older one first, each in a record of its own */
static void test_two_epochs(void)
{
    ft_pending_clear();
    add_all(4, "ab");
    add_all(5, "cd");
    expect(3, 4, "ab");
    ft_pending_told();
    expect(3, 5, "cd");
    add_all(5, "e");
    expect(3, 5, "cde");
    ft_pending_told();
    expect(3, 0, "");
}

static void test_committed(void)
{
    ft_pending_clear();
    add_all(4, "ab");
    add_all(5, "cd");
    expect(4, 5, "cd");
    expect(5, 0, "");
    /* 6 takes the place of 4 */
    add_all(6, "e");
    expect(3, 5, "cd");
    ft_pending_told();
    expect(3, 6, "e");
    /* and one that was passed over is not found in its place */
    add_all(8, "f");
    expect(3, 8, "f");
}

static void test_too_much(void)
{
    const size_t most = FT_PENDING_MAX - sizeof(FtCarriedPacketWire) -
                        strlen("nic0");

    ft_pending_clear();
    g_assert_false(add(1, 'x', most + 1));
    expect(0, 0, "");
    g_assert_true(add(1, 'a', most));
    g_assert_false(add(1, 'x', 1));
    expect(0, 1, "a");
    g_assert_true(add(2, 'b', LENGTH));
    g_assert_true(add(3, 'c', LENGTH));
    expect(1, 2, "b");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ft/pending/once", test_once);
    g_test_add_func("/ft/pending/two-epochs", test_two_epochs);
    g_test_add_func("/ft/pending/committed", test_committed);
    g_test_add_func("/ft/pending/too-much", test_too_much);
    return g_test_run();
}
