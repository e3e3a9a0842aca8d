/*
 * QEMU-FT: packets that came for the guest and are in no committed epoch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * They are kept as they will stand in a record, by epoch:
 *
 *     part[epoch % 2]    ####################............
 *                        |  told   |  used  |            | FT_PENDING_MAX
 *                                   '-> the next INPUT record
 *
 * Two parts are enough.  While epoch n is the current one, n - 1 may be in
 * flight, and n - 2 is committed: nobody wants its packets any more.
 *
 * The process may die between any two instructions, and then its keeper reads
 * this (salvage.c).  So a packet is complete before @used says so, a part is
 * empty before it belongs to another epoch, and nothing here is allocated.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/units.h"
#include "pending.h"

typedef struct Part {
    uint64_t epoch;
    uint32_t told, used;
    uint8_t packets[FT_PENDING_MAX];
} Part;

static Part parts[2];
static Part *last;              /* that ft_pending_next() took from */
static uint8_t record[sizeof(FtRecHeader) + sizeof(FtCarriedWire) +
                      FT_PENDING_MAX];

static void begin_part(Part *part, uint64_t epoch)
{
    qatomic_set(&part->used, 0);
    qatomic_set(&part->told, 0);
    /* The old packets are not the new epoch's, */
    smp_wmb();
    qatomic_set_u64(&part->epoch, epoch);
    /* nor the new ones the old epoch's */
    smp_wmb();
}

void ft_pending_clear(void)
{
    for (int i = 0; i < ARRAY_SIZE(parts); i++) {
        begin_part(&parts[i], 0);
    }
}

bool ft_pending_add(const FtPacket *p, uint64_t epoch)
{
    Part *part = &parts[epoch % ARRAY_SIZE(parts)];
    uint8_t *end;

    if (part->epoch != epoch) {
        begin_part(part, epoch);
    }
    if (ft_wire_carried_size(p) > FT_PENDING_MAX - part->used) {
        return false;
    }
    end = ft_wire_write_carried(part->packets + part->used, p);
    qatomic_store_release(&part->used, end - part->packets);
    return true;
}

/* The older one first */
static Part *next_part(uint64_t released)
{
    Part *found = NULL;

    for (int i = 0; i < ARRAY_SIZE(parts); i++) {
        Part *part = &parts[i];

        if (part->epoch > released && part->told < part->used &&
            (!found || part->epoch < found->epoch)) {
            found = part;
        }
    }
    return found;
}

size_t ft_pending_next(uint64_t released, const uint8_t **rec)
{
    uint8_t *end;

    last = next_part(released);
    if (!last) {
        return 0;
    }
    end = ft_wire_write_carried_head(record + sizeof(FtRecHeader),
                                     last->epoch, released);
    memcpy(end, last->packets + last->told, last->used - last->told);
    end += last->used - last->told;
    ft_wire_seal(record, FT_REC_INPUT,
                 end - record - sizeof(FtRecHeader));
    *rec = record;
    return end - record;
}

void ft_pending_told(void)
{
    qatomic_set(&last->told, last->used);
}
