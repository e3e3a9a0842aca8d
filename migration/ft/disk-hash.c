/*
 * QEMU-FT: comparing a part of a disk with the other side's
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * In threads of the pool, but only few at once: a whole disk is hashed, and as
 * many threads as there are parts in flight would leave the vCPUs and the main
 * loop, which has the BQL, waiting for a processor.
 */
#include "qemu/osdep.h"
#include "qemu/coroutine.h"
#include "qapi/error.h"
#include "block/thread-pool.h"
#include "crypto/hash.h"
#include "disk-hash.h"

#define AT_ONCE 2

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

/* Coroutines of the main loop */
static CoQueue waiting = { QSIMPLEQ_HEAD_INITIALIZER(waiting.entries) };
static unsigned running;

void coroutine_fn ft_disk_hash(const uint8_t *data, size_t len,
                               uint8_t hash[FT_WIRE_DISK_HASH])
{
    Work w = { .data = data, .len = len, .hash = hash };

    while (running >= AT_ONCE) {
        qemu_co_queue_wait(&waiting, NULL);
    }
    running++;
    thread_pool_submit_co(hash_work, &w);
    running--;
    qemu_co_queue_next(&waiting);
}
