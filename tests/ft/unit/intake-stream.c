/*
 * QEMU-FT: a stream of epochs, and a secondary that receives it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qapi/error.h"
#include "migration/ft/delta.h"
#include "migration/ft/hash.h"
#include "intake-stream.h"

Stream stream;

const uint8_t pattern[2 * PAGE] = { 1, 2, 3 };

static const FakeBlock machine[BLOCKS] = {
    { "pc.ram", 8, 8 },
    { "acpi", 4, 6 },
    { "rom", 2, 2, true },
};

/* --- making the stream --- */

static uint64_t state_hash(const State *s)
{
    uint64_t hash = 0;

    for (int i = 0; i < BLOCKS; i++) {
        hash = ft_hash(s->ram[i], s->used[i], hash);
    }
    return hash;
}

void random_bytes(GRand *r, uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        p[i] = g_rand_int(r);
    }
}

static void put_copy(Stream *s, GRand *r)
{
    State *st = &s->at[0];

    for (int b = 0; b < BLOCKS; b++) {
        size_t rec = ft_wire_begin(s->bytes, FT_REC_COPY);

        st->used[b] = machine[b].used_pages * PAGE;
        for (int p = 0; p < machine[b].used_pages; p++) {
            uint8_t *page = st->ram[b] + p * PAGE;

            if (b == ROM || p % 3 == 0) {
                ft_wire_put_page(s->bytes, b, FT_PAGE_ZERO, p, NULL, 0);
            } else {
                random_bytes(r, page, PAGE);
                ft_wire_put_page(s->bytes, b, FT_PAGE_RAW, p, page, PAGE);
            }
        }
        ft_wire_end(s->bytes, rec);
    }
    s->end[0] = s->bytes->len;
}

/* Change a page in one of three ways; false: not at all */
static bool put_page(Stream *s, GRand *r, const State *old, State *new,
                     int b, int p)
{
    const uint8_t *before = old->ram[b] + p * PAGE;
    uint8_t *page = new->ram[b] + p * PAGE, delta[PAGE];
    int len;

    switch (g_rand_int_range(r, 0, 4)) {
    case 0:
        return false;
    case 1:
        memset(page, 0, PAGE);
        ft_wire_put_page(s->bytes, b, FT_PAGE_ZERO, p, NULL, 0);
        return true;
    case 2:
        random_bytes(r, page, PAGE);
        ft_wire_put_page(s->bytes, b, FT_PAGE_RAW, p, page, PAGE);
        return true;
    default:
        page[g_rand_int_range(r, 0, PAGE)] ^= 0x55;
        page[g_rand_int_range(r, 0, PAGE)] ^= 0xaa;
        len = ft_page_delta(before, page, PAGE, delta, PAGE - 1);
        g_assert_cmpint(len, >, 0);
        ft_wire_put_page(s->bytes, b, FT_PAGE_DELTA, p, delta, len);
        return true;
    }
}

static uint64_t put_pages(Stream *s, GRand *r, const State *old, State *new)
{
    uint64_t entries = 0;

    for (int b = 0; b < ROM; b++) {
        size_t rec = ft_wire_begin(s->bytes, FT_REC_PAGES);

        for (int p = 0; p < new->used[b] / PAGE; p++) {
            entries += put_page(s, r, old, new, b, p);
        }
        ft_wire_end(s->bytes, rec);
    }
    return entries;
}

void put_device(GByteArray *out, uint64_t full, uint64_t base,
                FtDeviceKind kind, const void *data, size_t len)
{
    FtDeviceWire w = {
        .full_length = cpu_to_be64(full),
        .base_epoch = cpu_to_be64(base),
        .kind = cpu_to_be32(kind),
    };
    size_t rec = ft_wire_begin(out, FT_REC_DEVICE);

    g_byte_array_append(out, (const guint8 *)&w, sizeof(w));
    if (len) {
        g_byte_array_append(out, data, len);
    }
    ft_wire_end(out, rec);
}

void put_device_piece(GByteArray *out, uint64_t full, uint64_t offset,
                      const uint8_t *data, size_t len)
{
    g_autofree uint8_t *piece = g_malloc0(8 + len);

    stq_be_p(piece, offset);
    if (len) {
        memcpy(piece + 8, data, len);
    }
    put_device(out, full, 0, FT_DEVICE_FULL, piece, 8 + len);
}

static void put_device_full(Stream *s, const State *st)
{
    size_t step = st->device_len / 3;

    for (size_t pos = 0; pos < st->device_len; pos += step) {
        put_device_piece(s->bytes, st->device_len, pos, st->device + pos,
                         MIN(step, st->device_len - pos));
    }
}

static void put_device_delta(Stream *s, GRand *r, const State *old,
                             State *new)
{
    g_autoptr(GByteArray) delta = g_byte_array_new();

    for (int i = 0; i < 5; i++) {
        new->device[g_rand_int_range(r, 0, new->device_len)] ^= 0xff;
    }
    ft_device_delta(old->device, new->device, new->device_len, delta);
    put_device(s->bytes, new->device_len, old->epoch, FT_DEVICE_DELTA,
               delta->data, delta->len);
}

void put_commit(GByteArray *out, const State *st, uint64_t epoch,
                uint64_t entries)
{
    FtCommit c = { .epoch = epoch, .npages = entries };

    if (st) {
        c.hashed = true;
        c.ram_hash = state_hash(st);
        c.device_hash = ft_hash(st->device, st->device_len, 0);
    }
    ft_wire_put_commit(out, &c);
}

/* Epoch 3 has another length of device state, 3 and 4 another RAM size */
static void put_epoch(Stream *s, GRand *r, int n)
{
    const State *old = &s->at[n - 1];
    State *new = &s->at[n];
    uint64_t entries;

    *new = *old;
    new->epoch = n;
    new->used[1] = n < 3 ? 4 * PAGE : n == 3 ? 6 * PAGE : 3 * PAGE;
    ft_wire_put_begin_epoch(s->bytes, n, 0, BLOCKS, new->used);
    entries = put_pages(s, r, old, new);
    if (n == 1 || n == 3) {
        new->device_len = n == 1 ? 300 : DEVICE_MAX;
        random_bytes(r, new->device, new->device_len);
        put_device_full(s, new);
    } else {
        put_device_delta(s, r, old, new);
    }
    put_commit(s->bytes, n == 2 ? NULL : new, n, entries);
    s->end[n] = s->bytes->len;
}

void make_stream(Stream *s)
{
    GRand *r = g_rand_new_with_seed(4711);

    s->bytes = g_byte_array_new();
    put_copy(s, r);
    for (int n = 1; n <= EPOCHS; n++) {
        put_epoch(s, r, n);
    }
    g_rand_free(r);
}

/* --- a secondary --- */

World *world_new(void)
{
    World *w = g_new0(World, 1);

    fake_ram_init(&w->ram, PAGE, machine, BLOCKS);
    g_assert(ft_intake_init(&w->in, &w->ram, fake_ram_resize, &error_abort));
    return w;
}

void world_free(World *w)
{
    g_assert(fake_ram_intact(&w->ram));
    ft_intake_destroy(&w->in);
    fake_ram_destroy(&w->ram);
    error_free(w->err);
    g_free(w);
}

int feed_one(World *w, const uint8_t *buf, size_t len, size_t *used,
             FtIntakeResult *result)
{
    FtRecord rec;
    g_autofree uint8_t *exact = NULL;
    int ret = ft_wire_next(buf, len, &rec, &w->err);

    if (ret <= 0) {
        return ret;
    }
    exact = g_malloc(MAX(rec.length, 1));
    memcpy(exact, rec.payload, rec.length);
    rec.payload = exact;
    *used = rec.total;
    *result = ft_intake_record(&w->in, &rec, &w->err);
    g_assert_cmpint(*result == FT_INTAKE_BROKEN, ==, w->err != NULL);
    return *result == FT_INTAKE_BROKEN ? -1 : 1;
}

void apply(World *w)
{
    ft_intake_apply(&w->in, NULL, NULL);
    if (w->in.commit.hashed) {
        g_assert(ft_intake_verify(&w->in, NULL, NULL));
    }
}

ssize_t feed(World *w, const uint8_t *buf, size_t len)
{
    size_t pos = 0;

    for (;;) {
        FtIntakeResult result;
        size_t used;
        int ret = feed_one(w, buf + pos, len - pos, &used, &result);

        if (ret <= 0) {
            return ret < 0 ? -1 : pos;
        }
        pos += used;
        if (result == FT_INTAKE_COMPLETE) {
            apply(w);
        }
    }
}

bool ram_equals(const World *w, const State *s)
{
    for (int i = 0; i < BLOCKS; i++) {
        const FtBlock *b = &w->ram.blocks[i];

        if (b->used != s->used[i] || memcmp(b->host, s->ram[i], b->max)) {
            return false;
        }
    }
    return fake_ram_intact(&w->ram);
}

bool state_equals(const World *w, const State *s)
{
    return w->in.committed == s->epoch &&
           w->in.device->len == s->device_len &&
           (!s->device_len ||
            !memcmp(w->in.device->data, s->device, s->device_len)) &&
           ram_equals(w, s);
}

World *world_at(int n)
{
    World *w = world_new();

    g_assert_cmpint(feed(w, stream.bytes->data, stream.end[n]), ==,
                    stream.end[n]);
    g_assert(n == 0 || state_equals(w, &stream.at[n]));
    return w;
}

/* --- something wrong, after epoch 2 --- */

void begin(GByteArray *out)
{
    ft_wire_put_begin_epoch(out, AFTER + 1, 0, BLOCKS, stream.at[AFTER].used);
}

void good_device(GByteArray *out)
{
    put_device(out, stream.at[AFTER].device_len, AFTER, FT_DEVICE_DELTA,
               NULL, 0);
}

void assert_refused(const GByteArray *bad, const char *why)
{
    World *w = world_at(AFTER);
    size_t pos = 0, used = 0;
    FtIntakeResult result;
    int ret;

    while ((ret = feed_one(w, bad->data + pos, bad->len - pos, &used,
                           &result)) > 0) {
        pos += used;
        if (result == FT_INTAKE_COMPLETE) {
            g_assert_cmpuint(pos, <, bad->len);
            break;
        }
    }
    if (ret > 0) {              /* staged: nothing fits there */
        ret = feed_one(w, bad->data + pos, bad->len - pos, &used, &result);
    }
    g_assert_cmpint(ret, ==, -1);
    g_assert_cmpuint(pos + used, ==, bad->len);
    g_assert_nonnull(strstr(error_get_pretty(w->err), why));
    g_assert(state_equals(w, &stream.at[AFTER]));
    world_free(w);
}
