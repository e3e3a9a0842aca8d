/*
 * QEMU-FT: guest RAM without a guest, for unit tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each block has its longest length allocated, with guard bytes before and
 * behind it.
 */
#ifndef TESTS_FT_FAKE_RAM_H
#define TESTS_FT_FAKE_RAM_H

#include "migration/ft/ram.h"

typedef struct FakeBlock {
    const char *name;
    uint64_t used_pages, max_pages;
    bool readonly;
} FakeBlock;

void fake_ram_init(FtRam *ram, uint32_t page_size, const FakeBlock *blocks,
                   uint32_t n);
void fake_ram_destroy(FtRam *ram);

/** fake_ram_intact: nothing was written outside of the blocks */
bool fake_ram_intact(const FtRam *ram);

/** fake_ram_resize: what a real machine does, as far as a test can see */
bool fake_ram_resize(FtBlock *b, uint64_t used, Error **errp);

#endif
