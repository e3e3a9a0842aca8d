/*
 * QEMU-FT: pages that are written in every epoch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MIGRATION_FT_HOT_H
#define MIGRATION_FT_HOT_H

#include "ram.h"

/* Zeroed: no page is hot, ever.  Belongs to whoever has the cut. */
typedef struct FtHot {
    uint32_t n;                 /* blocks */
    uint32_t count;             /* hot pages */
    size_t size[FT_WIRE_MAX_BLOCKS];
    uint32_t *streak[FT_WIRE_MAX_BLOCKS];       /* by page; see hot.c */
    unsigned long *pages[FT_WIRE_MAX_BLOCKS];   /* a bit each */
} FtHot;

bool ft_hot_init(FtHot *h, const FtRam *ram, Error **errp);
void ft_hot_destroy(FtHot *h);

/**
 * ft_hot_note: what became of a page that was harvested for @epoch
 *
 * @changed: its content was not what the peer holds
 *
 * Once for each page of an epoch, before the next harvest.
 */
void ft_hot_note(FtHot *h, FtPageId id, uint64_t epoch, bool changed);

#endif
