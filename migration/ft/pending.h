/*
 * QEMU-FT: packets that came for the guest and are in no committed epoch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * With the BQL, unless said otherwise.
 */
#ifndef MIGRATION_FT_PENDING_H
#define MIGRATION_FT_PENDING_H

#include "qemu/units.h"
#include "wire.h"

#define FT_PENDING_MAX (64 * KiB)       /* of an epoch, heads included */

/** ft_pending_clear: forget all */
void ft_pending_clear(void);

/**
 * ft_pending_add: keep @p, which came in @epoch
 *
 * What came two epochs before is forgotten: it is committed, since one epoch
 * is in flight at a time.  False: it is too long, or too much.
 */
bool ft_pending_add(const FtPacket *p, uint64_t epoch);

/**
 * ft_pending_next: make an INPUT record of what the peer has not been told
 *
 * Of the oldest epoch after @released that there is any of; @released also
 * stands in the record.  Returns its length, and where it is until the next
 * call; 0: there is none.
 *
 * Also in the keeper, once this process is dead.
 */
size_t ft_pending_next(uint64_t released, const uint8_t **record);

/** ft_pending_told: the record of ft_pending_next() is on its way */
void ft_pending_told(void);

#endif
