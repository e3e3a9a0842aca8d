/*
 * QEMU-FT: guest RAM without a guest, for unit tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "fake-ram.h"

#define GUARD 256
#define GUARD_BYTE 0xa7

void fake_ram_init(FtRam *ram, uint32_t page_size, const FakeBlock *blocks,
                   uint32_t n)
{
    *ram = (FtRam) { .n = n, .page_size = page_size };
    for (uint32_t i = 0; i < n; i++) {
        uint64_t max = blocks[i].max_pages * page_size;
        uint8_t *raw = g_malloc(max + 2 * GUARD);

        memset(raw, GUARD_BYTE, max + 2 * GUARD);
        memset(raw + GUARD, 0, max);
        ram->blocks[i] = (FtBlock) {
            .name = g_strdup(blocks[i].name),
            .host = raw + GUARD,
            .used = blocks[i].used_pages * page_size,
            .max = max,
            .readonly = blocks[i].readonly,
        };
    }
}

void fake_ram_destroy(FtRam *ram)
{
    for (uint32_t i = 0; i < ram->n; i++) {
        g_free(ram->blocks[i].host - GUARD);
        g_free(ram->blocks[i].name);
    }
    ram->n = 0;
}

static bool guard_intact(const uint8_t *guard)
{
    uint8_t expected[GUARD];

    memset(expected, GUARD_BYTE, GUARD);
    return !memcmp(guard, expected, GUARD);
}

bool fake_ram_intact(const FtRam *ram)
{
    for (uint32_t i = 0; i < ram->n; i++) {
        const FtBlock *b = &ram->blocks[i];

        if (!guard_intact(b->host - GUARD) ||
            !guard_intact(b->host + b->max)) {
            return false;
        }
    }
    return true;
}

bool fake_ram_resize(FtBlock *b, uint64_t used, Error **errp)
{
    g_assert(used <= b->max);
    b->used = used;
    return true;
}
