/*
 * QEMU-FT: arrays of plain elements in device state
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The longest arrays of a machine are the 1024 queue slots of a virtio
 * device, three times, and nearly all of them never change.  What is written
 * for plain elements depends on their bytes alone.  So the long ones are kept
 * as they were, beside what was written for them: compared block by block,
 * and only what differs is written anew.
 *
 * Elements that are large and of which little is written are encoded each
 * time instead: that reads less memory than comparing does.
 *
 * An array is known by its field, its address and its length.  That another
 * one may be there later does no harm, since all its bytes are compared; but
 * its memory is not kept for longer than the array takes part in saves.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "vmstate-array.h"

#define KEEP_ELEMS 64           /* fewer are not kept */
#define KEEP_STRIDE 64          /* nor are larger ones */
#define BLOCK 32                /* elements compared at once */

/* An array as it was when it was last saved */
typedef struct Kept {
    const VMStateField *field;
    const void *elems;
    uint32_t n;

    uint64_t save;              /* number of the last save with it */
    uint8_t *raw;               /* its bytes in memory */
    uint8_t *wire;              /* in the stream */
} Kept;

static GHashTable *kept;        /* a set of Kept */
static uint32_t kept_now;       /* those that took part in this save */
static uint64_t saves;

static guint kept_hash(gconstpointer key)
{
    const Kept *k = key;

    return g_direct_hash(k->elems) * 31 + g_direct_hash(k->field);
}

static gboolean kept_equal(gconstpointer a, gconstpointer b)
{
    const Kept *x = a, *y = b;

    return x->elems == y->elems && x->field == y->field && x->n == y->n;
}

static void kept_free(gpointer key)
{
    Kept *k = key;

    g_free(k->raw);
    g_free(k->wire);
    g_free(k);
}

static gboolean kept_is_old(gpointer key, gpointer value, gpointer opaque)
{
    return ((Kept *)key)->save != saves;
}

void ft_array_begin(void)
{
    if (!kept) {
        kept = g_hash_table_new_full(kept_hash, kept_equal, kept_free, NULL);
    }
    saves++;
    kept_now = 0;
}

void ft_array_end(void)
{
    if (kept && g_hash_table_size(kept) != kept_now) {
        /* A device has gone */
        g_hash_table_foreach_remove(kept, kept_is_old, NULL);
    }
}

/* The bytes that operation @op contributes to each of @n elements */
static void encode_op(uint8_t *out, size_t step, const uint8_t *p,
                      size_t stride, int n, const FtOp *op)
{
    uint32_t width = ft_op_width(op->kind);

    p += op->offset;
    if (op->kind == FT_OP_BYTES || op->kind == FT_OP_ZERO) {
        for (int i = 0; i < n; i++, out += step, p += stride) {
            if (op->kind == FT_OP_BYTES) {
                memcpy(out, p, op->n);
            } else {
                memset(out, 0, op->n);
            }
        }
        return;
    }
    for (uint32_t j = 0; j < op->n; j++, out += width, p += width) {
        ft_put_ints(out, step, p, stride, n, op->kind);
    }
}

void ft_array_encode(uint8_t *out, const uint8_t *elems, size_t stride,
                     int n, const FtPlan *plan)
{
    /* Few elements at a time, so that they stay in the first level cache */
    for (int done = 0; done < n; done += BLOCK) {
        int count = MIN(BLOCK, n - done);
        uint8_t *to = out;

        for (uint32_t i = 0; i < plan->n_ops; i++) {
            encode_op(to, plan->bytes, elems, stride, count, &plan->ops[i]);
            to += plan->ops[i].n * ft_op_width(plan->ops[i].kind);
        }
        out += count * plan->bytes;
        elems += count * stride;
    }
}

/* What is kept of this array; @fresh: nothing yet */
static Kept *find_kept(const VMStateField *field, const uint8_t *elems,
                       size_t stride, int n, const FtPlan *plan, bool *fresh)
{
    Kept key = { .field = field, .elems = elems, .n = n };
    Kept *k = g_hash_table_lookup(kept, &key);

    *fresh = !k;
    if (!k) {
        k = g_memdup2(&key, sizeof(key));
        k->raw = stride <= KEEP_STRIDE ? g_malloc(n * stride) : NULL;
        k->wire = g_malloc(n * plan->bytes);
        g_hash_table_add(kept, k);
    }
    return k;
}

const uint8_t *ft_array_kept(const VMStateField *field, const uint8_t *elems,
                             size_t stride, int n, const FtPlan *plan)
{
    bool fresh;
    Kept *k;

    if (n < KEEP_ELEMS || plan->n_ops == 0) {
        return NULL;
    }
    k = find_kept(field, elems, stride, n, plan, &fresh);
    if (k->save == saves) {
        /* Written before: what was is not to be changed any more */
        return NULL;
    }
    k->save = saves;
    kept_now++;
    if (!k->raw) {
        ft_array_encode(k->wire, elems, stride, n, plan);
        return k->wire;
    }
    for (int i = 0; i < n; i += BLOCK) {
        const uint8_t *now = elems + i * stride;
        uint8_t *raw = k->raw + i * stride;
        int count = MIN(BLOCK, n - i);

        if (fresh || memcmp(raw, now, count * stride)) {
            memcpy(raw, now, count * stride);
            ft_array_encode(k->wire + i * plan->bytes, raw, stride, count,
                            plan);
        }
    }
    return k->wire;
}
