/*
 * QEMU-FT: comparing a part of a disk with the other side's
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "block/thread-pool.h"
#include "crypto/hash.h"
#include "disk-hash.h"

typedef struct Work {
    const uint8_t *data;
    size_t len;
    uint8_t *hash;
} Work;

static int hash_work(void *opaque)
{
    Work *w = opaque;
    size_t len = FT_WIRE_DISK_HASH;

    return qcrypto_hash_bytes(QCRYPTO_HASH_ALGO_SHA256, (const char *)w->data,
                              w->len, &w->hash, &len, &error_abort);
}

void coroutine_fn ft_disk_hash(const uint8_t *data, size_t len,
                               uint8_t hash[FT_WIRE_DISK_HASH])
{
    Work w = { .data = data, .len = len, .hash = hash };

    thread_pool_submit_co(hash_work, &w);
}
