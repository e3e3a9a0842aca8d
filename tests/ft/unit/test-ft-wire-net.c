/*
 * QEMU-FT: unit tests of the records about packets, NICs and links
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "migration/ft/wire.h"
#include "wire-raw.h"

static void test_packet(void)
{
    static const struct {
        uint16_t name;          /* length that is claimed, of 8 bytes */
        bool good;
    } heads[] = {
        { 0, true }, { 4, true }, { 7, true },
        { 8, false }, { 9, false }, { UINT16_MAX, false },
    };
    FtPacket p = {
        .nic = (char *)"nic.0",
        .queue = 3,
        .header_length = 12,
        .data = (const uint8_t *)"hello",
        .length = 5,
    }, q;
    g_autoptr(GByteArray) buf = g_byte_array_new();
    FtRecord rec;

    ft_wire_put_packet(buf, &p);
    rec = wire_next_record(buf);
    g_assert(ft_wire_get_packet(&rec, &q, &error_abort));
    g_assert_cmpstr(q.nic, ==, p.nic);
    g_assert_cmpint(q.queue, ==, 3);
    g_assert_cmpint(q.header_length, ==, 12);
    g_assert_cmpmem(q.data, q.length, p.data, p.length);
    g_free(q.nic);

    for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
        uint8_t payload[16] = { 0 };
        Error *err = NULL;

        stw_be_p(payload + 4, heads[i].name);
        g_byte_array_set_size(buf, 0);
        wire_put_raw(buf, FT_REC_PACKET, 0, 16, payload, 16);
        rec = wire_next_record(buf);
        q.nic = NULL;
        g_assert_cmpint(ft_wire_get_packet(&rec, &q, &err), ==,
                        heads[i].good);
        g_assert_cmpint(err == NULL, ==, heads[i].good);
        error_free(err);
        g_free(q.nic);
    }
}

static void test_carried(void)
{
    FtPacket p[] = {
        { (char *)"nic.0", 3, 12, (const uint8_t *)"longer than it", 14 },
        { (char *)"", 0, 0, (const uint8_t *)"x", 1 },
        { (char *)"n", UINT16_MAX, 1, (const uint8_t *)"xy", 2 },
    }, q;
    static const FtRecType types[] = { FT_REC_OUTPUT, FT_REC_INPUT };

    for (int t = 0; t < ARRAY_SIZE(types); t++) {
        g_autoptr(GByteArray) buf = g_byte_array_new();
        size_t start = ft_wire_begin_carried(buf, types[t], 9, 7);
        const uint8_t *pos, *end;
        uint64_t epoch, released;
        FtRecord rec;

        for (int i = 0; i < ARRAY_SIZE(p); i++) {
            ft_wire_put_carried(buf, &p[i]);
        }
        ft_wire_end(buf, start);
        rec = wire_next_record(buf);
        g_assert_cmpuint((uint32_t)ldl_be_p(buf->data), ==, 0x8000001f + t);
        g_assert_cmpuint(rec.length, ==, 16 + 3 * 12 + 5 + 14 + 1 + 1 + 2);
        g_assert_cmpstr(ft_rec_name(rec.type), ==, t ? "INPUT" : "OUTPUT");
        g_assert(ft_wire_get_carried(&rec, &epoch, &released, &pos, &end,
                                     &error_abort));
        g_assert_cmpuint(epoch, ==, 9);
        g_assert_cmpuint(released, ==, 7);
        for (int i = 0; i < ARRAY_SIZE(p); i++) {
            g_assert(ft_wire_next_carried(&pos, end, &q));
            g_assert_cmpstr(q.nic, ==, p[i].nic);
            g_assert_cmpint(q.queue, ==, p[i].queue);
            g_assert_cmpint(q.header_length, ==, p[i].header_length);
            g_assert_cmpmem(q.data, q.length, p[i].data, p[i].length);
            g_free(q.nic);
        }
        g_assert(!ft_wire_next_carried(&pos, end, &q));
    }
}

/* One packet whose head lies, in a record that ends where it says */
static void test_carried_wrong(void)
{
    static const struct {
        uint32_t bytes, length;
        uint16_t header, name;
        bool good;
    } cases[] = {
        { 16, 0, 0, 0, true },                  /* none is fine */
        { 0, 0, 0, 0, false }, { 15, 0, 0, 0, false },
        { 17, 1, 0, 0, false }, { 27, 1, 0, 0, false },
        { 28, 0, 0, 0, false }, { 28, 1, 0, 0, false },
        { 29, 1, 0, 0, true }, { 30, 1, 0, 0, false },
        { 29, 0, 0, 1, false }, { 30, 1, 0, 1, true },
        { 30, 1, 1, 1, false }, { 30, 2, 1, 0, true },
        { 30, 2, 2, 0, false }, { 30, 1, 0, UINT16_MAX, false },
        { 30, UINT32_MAX, 0, 1, false }, { 30, UINT32_MAX - 1, 0, 3, false },
        { 29 + 1024, 1, 0, 1024, true }, { 30 + 1024, 1, 0, 1025, false },
        { 28 + FT_WIRE_MAX_PACKET, FT_WIRE_MAX_PACKET, 0, 0, true },
        { 29 + FT_WIRE_MAX_PACKET, FT_WIRE_MAX_PACKET + 1, 0, 0, false },
    };
    g_autofree uint8_t *payload = g_malloc0(64 + FT_WIRE_MAX_PACKET);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autoptr(GByteArray) buf = g_byte_array_new();
        g_autofree uint8_t *exact = NULL;
        const uint8_t *pos, *end;
        uint64_t epoch, released;
        Error *err = NULL;
        FtRecord rec;

        stl_be_p(payload + 16, cases[i].length);
        stw_be_p(payload + 22, cases[i].header);
        stw_be_p(payload + 24, cases[i].name);
        wire_put_raw(buf, FT_REC_INPUT, 0, cases[i].bytes, payload,
                cases[i].bytes);
        exact = g_memdup2(buf->data, buf->len);
        g_assert_cmpint(ft_wire_next(exact, buf->len, &rec, &error_abort),
                        ==, 1);
        g_test_message("case %zu", i);
        g_assert_cmpint(ft_wire_get_carried(&rec, &epoch, &released, &pos,
                                            &end, &err), ==, cases[i].good);
        g_assert_cmpint(err == NULL, ==, cases[i].good);
        error_free(err);
    }
}

static void test_uplinks(void)
{
    g_autofree FtUplinks *u = g_new0(FtUplinks, 1), *got = g_new0(FtUplinks, 1);
    g_autoptr(GByteArray) buf = g_byte_array_new();
    FtRecord rec;

    for (int n = 0; n <= FT_WIRE_MAX_NICS; n += FT_WIRE_MAX_NICS / 2) {
        u->n = n;
        for (int i = 0; i < n; i++) {
            u->at[i].nic = (uint64_t)i << 56 | 7;
            u->at[i].state = i % FT_UPLINK_STATE__MAX;
        }
        g_byte_array_set_size(buf, 0);
        ft_wire_put_uplinks(buf, u);
        rec = wire_next_record(buf);
        g_assert_cmpuint((uint32_t)ldl_be_p(buf->data), ==, 0x8000001b);
        g_assert_cmpuint(rec.length, ==, 8 + 16 * n);
        g_assert_cmpstr(ft_rec_name(rec.type), ==, "UPLINK");
        g_assert(ft_wire_get_uplinks(&rec, got, &error_abort));
        g_assert_cmpmem(got, sizeof(*got), u, sizeof(*u));
    }
}

/* Each way to be wrong is refused, and nothing behind the record is read */
static void test_uplinks_wrong(void)
{
    static const struct {
        uint32_t n, bytes, state;
        const char *why;
    } cases[] = {
        { 0, 0, 0, "wrong number" }, { 0, 4, 0, "wrong number" },
        { 0, 7, 0, "wrong number" }, { 0, 24, 0, "wrong number" },
        { 1, 8, 0, "wrong number" }, { 1, 23, 0, "wrong number" },
        { 1, 25, 0, "wrong number" }, { 2, 24, 0, "wrong number" },
        { UINT32_MAX, 8, 0, "wrong number" },
        { 0x10000001, 24, 0, "wrong number" },
        { 257, 8 + 16 * 257, 0, "wrong number" },
        { 1, 24, 3, "unknown state 3" },
        { 1, 24, UINT32_MAX, "unknown state" },
    };
    g_autofree FtUplinks *u = g_new0(FtUplinks, 1);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autoptr(GByteArray) buf = g_byte_array_new();
        g_autofree uint8_t *payload = g_malloc0(8 + 16 * 257), *exact = NULL;
        Error *err = NULL;
        FtRecord rec;

        stl_be_p(payload, cases[i].n);
        stl_be_p(payload + 16, cases[i].state);
        wire_put_raw(buf, 0x8000001b, 0, cases[i].bytes, payload, cases[i].bytes);
        exact = g_memdup2(buf->data, buf->len);
        g_assert_cmpint(ft_wire_next(exact, buf->len, &rec, &error_abort),
                        ==, 1);
        g_assert(!ft_wire_get_uplinks(&rec, u, &err));
        g_assert_nonnull(strstr(error_get_pretty(err), cases[i].why));
        error_free(err);
    }
}

static void test_attach(void)
{
    static const uint32_t wrong[] = { 16, 17, 1u << 31, UINT32_MAX };
    g_autoptr(GByteArray) buf = g_byte_array_new();
    const uint8_t *session;
    uint32_t link;
    FtRecord rec;

    ft_wire_put_attach(buf, (const uint8_t *)"0123456789abcdef", 15);
    rec = wire_next_record(buf);
    g_assert(ft_wire_get_attach(&rec, &session, &link, &error_abort));
    g_assert_cmpmem(session, 16, "0123456789abcdef", 16);
    g_assert_cmpuint(link, ==, 15);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        Error *err = NULL;

        g_byte_array_set_size(buf, 0);
        ft_wire_put_attach(buf, (const uint8_t *)"0123456789abcdef",
                           wrong[i]);
        rec = wire_next_record(buf);
        g_assert(!ft_wire_get_attach(&rec, &session, &link, &err));
        g_assert_nonnull(strstr(error_get_pretty(err), "attach link"));
        error_free(err);
    }
}

static void test_received(void)
{
    g_autoptr(GByteArray) buf = g_byte_array_new();
    uint64_t received;
    uint32_t age;
    FtRecord rec;

    ft_wire_put_received(buf, 0xfedcba9876543210ULL, 0x89abcdef);
    rec = wire_next_record(buf);
    ft_wire_get_received(&rec, &received, &age);
    g_assert_cmphex(received, ==, 0xfedcba9876543210ULL);
    g_assert_cmphex(age, ==, 0x89abcdef);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ft/wire-net/packet", test_packet);
    g_test_add_func("/ft/wire-net/carried", test_carried);
    g_test_add_func("/ft/wire-net/carried-wrong", test_carried_wrong);
    g_test_add_func("/ft/wire-net/uplinks", test_uplinks);
    g_test_add_func("/ft/wire-net/uplinks-wrong", test_uplinks_wrong);
    g_test_add_func("/ft/wire-net/attach", test_attach);
    g_test_add_func("/ft/wire-net/received", test_received);
    return g_test_run();
}
