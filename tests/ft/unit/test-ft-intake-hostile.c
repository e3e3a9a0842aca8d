/*
 * QEMU-FT: tests of receiving epochs: hostile peers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The records of a good epoch are changed at random, from fixed seeds, and
 * sent with good checksums, so that nothing but the intake can refuse them.
 * An epoch that is not complete must change nothing.  Before the first one
 * RAM may change, but nothing around it.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "intake-stream.h"

#define MAX_RECS 16
#define MAX_REC 2048

/* A record that can be changed; the check is made when it is sent */
typedef struct Draft {
    uint32_t type, len;
    uint8_t data[MAX_REC];
} Draft;

typedef struct Attack {
    GRand *r;
    int n;
    Draft drafts[MAX_RECS];
    uint64_t complete, broken, open;    /* how the attempts have ended */
} Attack;

static int read_drafts(Draft *drafts, size_t from, size_t to)
{
    int n = 0;

    while (from < to) {
        FtRecord rec;

        g_assert(n < MAX_RECS);
        g_assert_cmpint(ft_wire_next(stream.bytes->data + from, to - from,
                                     &rec, &error_abort), ==, 1);
        g_assert_cmpuint(rec.length, <=, MAX_REC);
        drafts[n].type = rec.type;
        drafts[n].len = rec.length;
        memcpy(drafts[n].data, rec.payload, rec.length);
        from += rec.total;
        n++;
    }
    return n;
}

static uint64_t odd_number(GRand *r)
{
    static const uint64_t odd[] = {
        0, 1, 2, 3, 4, 7, 8, 9, 63, 64, 65, 299, 300, 301, 400, 512, 576,
        0x7fffffff, 0x80000000, UINT32_MAX, 1ULL << 32, 1ULL << 36,
        (1ULL << 36) - 1, 1ULL << 52, 2ULL << 52, 64 * MiB, 64 * MiB + 1,
        INT64_MAX, UINT64_MAX, -(uint64_t)PAGE,
    };

    return odd[g_rand_int_range(r, 0, ARRAY_SIZE(odd))];
}

/* Something small is wrong inside of one record */
static void change_bytes(GRand *r, Draft *d)
{
    uint32_t pos = d->len ? g_rand_int_range(r, 0, d->len) : 0;
    uint32_t n;

    switch (g_rand_int_range(r, 0, 6)) {
    case 0:
        if (d->len) {
            d->data[pos] ^= 1 << g_rand_int_range(r, 0, 8);
        }
        break;
    case 1:
        if (d->len) {
            d->data[pos] = odd_number(r);
        }
        break;
    case 2:
        if (d->len >= 8) {
            stq_be_p(d->data + (MIN(pos, d->len - 8) & ~7), odd_number(r));
        }
        break;
    case 3:
        if (d->len >= 4) {
            stl_be_p(d->data + (MIN(pos, d->len - 4) & ~3), odd_number(r));
        }
        break;
    case 4:
        d->len = pos;
        break;
    case 5:
        n = g_rand_int_range(r, 1, 80);
        for (uint32_t i = 0; i < n && d->len < MAX_REC; i++) {
            d->data[d->len++] = g_rand_int(r);
        }
        break;
    }
}

static void random_record(GRand *r, Draft *d)
{
    d->type = g_rand_int_range(r, FT_REC_COPY, FT_REC_COMMIT + 1);
    d->len = g_rand_int_range(r, 0, 100);
    random_bytes(r, d->data, d->len);
    if (d->len > 8 && g_rand_boolean(r)) {
        stq_be_p(d->data, odd_number(r));
    }
}

/* The order of the records is wrong */
static void change_order(Attack *a, int i)
{
    int j = g_rand_int_range(a->r, 0, a->n);
    Draft kept = a->drafts[i];

    switch (g_rand_int_range(a->r, 0, 5)) {
    case 0:                     /* swap */
        a->drafts[i] = a->drafts[j];
        a->drafts[j] = kept;
        break;
    case 1:                     /* leave out */
        if (a->n > 1) {
            a->n--;
            memmove(&a->drafts[i], &a->drafts[i + 1],
                    (a->n - i) * sizeof(kept));
        }
        break;
    case 2:                     /* send twice */
        if (a->n < MAX_RECS) {
            memmove(&a->drafts[j + 1], &a->drafts[j],
                    (a->n - j) * sizeof(kept));
            a->drafts[j] = kept;
            a->n++;
        }
        break;
    case 3:
        a->drafts[i].type = g_rand_int_range(a->r, 0, FT_REC__MAX + 1);
        break;
    case 4:
        random_record(a->r, &a->drafts[i]);
        break;
    }
}

static void mutate(Attack *a)
{
    int times = g_rand_int_range(a->r, 1, 4);

    while (times--) {
        int i = g_rand_int_range(a->r, 0, a->n);

        if (g_rand_int_range(a->r, 0, 4)) {
            change_bytes(a->r, &a->drafts[i]);
        } else {
            change_order(a, i);
        }
    }
}

/* To where the connection was before the attack */
static void restore(World *w, const State *s, FtIntakePhase phase)
{
    for (int i = 0; i < BLOCKS; i++) {
        FtBlock *b = &w->ram.blocks[i];

        b->used = s->used[i];
        memcpy(b->host, s->ram[i], b->max);
        w->in.npages[i] = b->used / PAGE;
    }
    g_byte_array_set_size(w->in.device, 0);
    g_byte_array_append(w->in.device, s->device, s->device_len);
    w->in.committed = s->epoch;
    w->in.phase = phase;
    error_free(w->err);
    w->err = NULL;
}

/* Device state and RAM, except for lengths: those are made at COMMIT */
static void assert_untouched(const World *w, const State *s)
{
    g_assert_cmpuint(w->in.committed, ==, s->epoch);
    g_assert_cmpmem(w->in.device->data, w->in.device->len,
                    s->device, s->device_len);
    for (int i = 0; i < BLOCKS; i++) {
        g_assert(!memcmp(w->ram.blocks[i].host, s->ram[i],
                         w->ram.blocks[i].max));
    }
    g_assert(fake_ram_intact(&w->ram));
}

static void send_drafts(Attack *a, World *w, GByteArray *buf,
                        const State *before)
{
    size_t used;
    FtIntakeResult result;

    for (int i = 0; i < a->n; i++) {
        const Draft *d = &a->drafts[i];
        int ret;

        g_byte_array_set_size(buf, 0);
        ft_wire_put(buf, d->type, d->data, d->len);
        ret = feed_one(w, buf->data, buf->len, &used, &result);
        g_assert_cmpint(ret, !=, 0);
        if (ret < 0) {
            a->broken++;
            return;
        }
        if (result == FT_INTAKE_COMPLETE) {
            if (before) {
                assert_untouched(w, before);
            }
            a->complete++;
            ft_intake_apply(&w->in, NULL, NULL);
            g_assert_cmpuint(w->in.committed, ==, w->in.epoch);
            g_assert_cmpuint(w->in.device->len, ==, w->in.device_full);
            g_assert(fake_ram_intact(&w->ram));
            return;
        }
    }
    a->open++;
}

/* Epoch @n is attacked after those before it were committed */
static void attack_epoch(int n, int rounds)
{
    Attack *a = g_new0(Attack, 1), *good = g_new0(Attack, 1);
    World *w = world_at(n - 1);
    g_autoptr(GByteArray) buf = g_byte_array_new();
    const State *before = &stream.at[n - 1];

    a->r = g_rand_new_with_seed(n);
    good->n = read_drafts(good->drafts, stream.end[n - 1], stream.end[n]);
    for (int i = 0; i < rounds; i++) {
        uint64_t complete = a->complete;

        a->n = good->n;
        for (int j = 0; j < good->n; j++) {
            a->drafts[j].type = good->drafts[j].type;
            a->drafts[j].len = good->drafts[j].len;
            memcpy(a->drafts[j].data, good->drafts[j].data,
                   good->drafts[j].len);
        }
        mutate(a);
        send_drafts(a, w, buf, before);
        if (a->complete == complete) {
            assert_untouched(w, before);
            g_assert(state_equals(w, before));
        }
        restore(w, before, n == 1 ? FT_INTAKE_COPY : FT_INTAKE_BETWEEN);
    }
    g_test_message("%" PRIu64 " complete, %" PRIu64 " broken, %" PRIu64
                   " open", a->complete, a->broken, a->open);
    /* Or the mutations are too tame, or too wild, to find anything */
    g_assert_cmpuint(a->complete, >, rounds / 50);
    g_assert_cmpuint(a->broken, >, rounds / 4);
    world_free(w);
    g_rand_free(a->r);
    g_free(good);
    g_free(a);
}

static void test_attack_delta(void)
{
    attack_epoch(2, 80000);
}

static void test_attack_resize(void)
{
    attack_epoch(3, 60000);
}

static void test_attack_shrink(void)
{
    attack_epoch(4, 60000);
}

/* Before the first epoch RAM may change, but nothing around it */
static void test_attack_copy(void)
{
    Attack *a = g_new0(Attack, 1);
    World *w = world_at(0);
    g_autoptr(GByteArray) buf = g_byte_array_new();

    a->r = g_rand_new_with_seed(99);
    for (int i = 0; i < 30000; i++) {
        a->n = read_drafts(a->drafts, 0, stream.end[1]);
        mutate(a);
        send_drafts(a, w, buf, NULL);
        g_assert(fake_ram_intact(&w->ram));
        for (int b = 0; b < BLOCKS && w->in.phase == FT_INTAKE_COPY; b++) {
            FtBlock *block = &w->ram.blocks[b];

            /* Behind the used length there is nothing yet */
            g_assert(!memcmp(block->host + block->used,
                             stream.at[0].ram[b] + block->used,
                             block->max - block->used));
        }
        restore(w, &stream.at[0], FT_INTAKE_COPY);
    }
    g_assert_cmpuint(a->complete, >, 600);
    g_assert_cmpuint(a->broken, >, 7000);
    world_free(w);
    g_rand_free(a->r);
    g_free(a);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    make_stream(&stream);
    g_test_add_func("/ft/intake/attack/copy", test_attack_copy);
    g_test_add_func("/ft/intake/attack/delta", test_attack_delta);
    g_test_add_func("/ft/intake/attack/resize", test_attack_resize);
    g_test_add_func("/ft/intake/attack/shrink", test_attack_shrink);
    return g_test_run();
}
