/*
 * QEMU-FT: receiving epochs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All or nothing: page entries of an open epoch are only collected, and so
 * is what changes in the device state.  The copy of the guest in RAM,
 * together with the device state beside it, is at any time exactly the last
 * committed epoch, except inside ft_intake_apply(), which no other thread may
 * interrupt and which cannot fail.
 *
 * COPY writes to RAM at once: before the first commit there is nothing to
 * spoil.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "delta.h"
#include "fault.h"
#include "hash.h"
#include "intake.h"

#define PROGRESS_ENTRIES 4096

bool ft_intake_init(FtIntake *in, FtRam *ram,
                    bool (*resize)(FtBlock *b, uint64_t used, Error **errp),
                    Error **errp)
{
    uint64_t max = ft_ram_max_bytes(ram);

    *in = (FtIntake) { .ram = ram, .resize = resize };
    for (uint32_t i = 0; i < ram->n; i++) {
        in->npages[i] = ram->blocks[i].used / ram->page_size;
    }
    if (!ft_arena_init(&in->stage, max + max / ram->page_size * 8, 4 * MiB,
                       errp)) {
        return false;
    }
    ft_arena_populate(&in->stage);
    in->device = g_byte_array_new();
    in->next_device = g_byte_array_new();
    return true;
}

void ft_intake_destroy(FtIntake *in)
{
    ft_arena_destroy(&in->stage);
    ft_zstd_free(in->zstd);
    if (in->device) {
        g_byte_array_free(in->device, true);
        g_byte_array_free(in->next_device, true);
    }
    *in = (FtIntake) { 0 };
}

static FtIntakeResult out_of_order(const FtRecord *rec, Error **errp)
{
    error_setg(errp, "the peer sent %s out of order", ft_rec_name(rec->type));
    return FT_INTAKE_BROKEN;
}

static void apply_entry(FtRam *ram, const FtPageEntry *e)
{
    FtBlock *b = &ram->blocks[e->block];
    uint8_t *page = b->host + e->page * ram->page_size;

    if (b->readonly) {
        return;
    }
    switch (e->kind) {
    case FT_PAGE_ZERO:
        /* Reading keeps a page that was never touched unallocated */
        if (!buffer_is_zero(page, ram->page_size)) {
            memset(page, 0, ram->page_size);
        }
        break;
    case FT_PAGE_RAW:
        memcpy(page, e->data, ram->page_size);
        break;
    case FT_PAGE_DELTA:
        ft_page_delta_apply(page, e->data, e->length);
        break;
    }
}

static int next_entry(FtIntake *in, const uint8_t **pos, const uint8_t *end,
                      FtPageEntry *e, Error **errp)
{
    return ft_wire_next_page(pos, end, in->ram->page_size, in->ram->n,
                             in->npages, e, errp);
}

static FtIntakeResult take_copy(FtIntake *in, const FtRecord *rec,
                                Error **errp)
{
    const uint8_t *pos = rec->payload, *end = pos + rec->length;
    FtPageEntry e;
    int ret;

    if (in->phase != FT_INTAKE_COPY) {
        return out_of_order(rec, errp);
    }
    while ((ret = next_entry(in, &pos, end, &e, errp)) > 0) {
        if (e.kind == FT_PAGE_DELTA) {
            error_setg(errp, "the peer sent a delta in the first copy");
            return FT_INTAKE_BROKEN;
        }
        apply_entry(in->ram, &e);
        in->copied += in->ram->page_size;
    }
    return ret < 0 ? FT_INTAKE_BROKEN : FT_INTAKE_MORE;
}

static FtIntakeResult take_begin(FtIntake *in, const FtRecord *rec,
                                 Error **errp)
{
    const FtRam *ram = in->ram;
    uint64_t epoch;

    if (in->phase != FT_INTAKE_COPY && in->phase != FT_INTAKE_BETWEEN) {
        return out_of_order(rec, errp);
    }
    if (!ft_wire_get_begin_epoch(rec, &epoch, ram->n, in->used, errp)) {
        return FT_INTAKE_BROKEN;
    }
    if (epoch != in->committed + 1) {
        error_setg(errp, "the peer began epoch %" PRIu64 " after epoch %"
                   PRIu64, epoch, in->committed);
        return FT_INTAKE_BROKEN;
    }
    for (uint32_t i = 0; i < ram->n; i++) {
        const FtBlock *b = &ram->blocks[i];

        if (in->used[i] > b->max || in->used[i] % ram->page_size) {
            error_setg(errp, "the peer made RAM block %s %" PRIu64
                       " bytes long", b->name, in->used[i]);
            return FT_INTAKE_BROKEN;
        }
        in->npages[i] = in->used[i] / ram->page_size;
    }
    in->phase = FT_INTAKE_OPEN;
    in->epoch = epoch;
    in->entries = 0;
    in->device_full = in->device_have = 0;
    in->device_delta = false;
    ft_arena_reset(&in->stage);
    g_byte_array_set_size(in->next_device, 0);
    return FT_INTAKE_MORE;
}

static FtIntakeResult take_pages(FtIntake *in, const FtRecord *rec,
                                 Error **errp)
{
    const uint8_t *pos = rec->payload, *end = pos + rec->length;
    uint8_t *stage;
    FtPageEntry e;
    int ret;

    if (in->phase != FT_INTAKE_OPEN) {
        return out_of_order(rec, errp);
    }
    while ((ret = next_entry(in, &pos, end, &e, errp)) > 0) {
        FtPageId id = ft_page_id(e.block, e.page);

        if (in->entries && id <= in->last_page) {
            error_setg(errp, "the peer sent page %" PRIu64 " of RAM block %u "
                       "out of order", e.page, e.block);
            return FT_INTAKE_BROKEN;
        }
        in->last_page = id;
        in->entries++;
    }
    if (ret < 0) {
        return FT_INTAKE_BROKEN;
    }
    /* Ascending entries cannot exceed the arena */
    stage = ft_arena_take(&in->stage, rec->length);
    memcpy(stage, rec->payload, rec->length);
    ft_fault(FT_FAULT_RECV_HALF);
    return FT_INTAKE_MORE;
}

static FtIntakeResult take_device(FtIntake *in, const FtRecord *rec,
                                  Error **errp)
{
    const FtDeviceWire *d = (const void *)rec->payload;
    const uint8_t *data = rec->payload + sizeof(*d);
    size_t len = rec->length - sizeof(*d);
    uint64_t full = be64_to_cpu(d->full_length);

    if (in->phase != FT_INTAKE_OPEN ||
        (in->device_full && (in->device_full != full ||
                             in->device_have == full))) {
        return out_of_order(rec, errp);
    }
    if (!ft_wire_device_valid(rec, in->device_have, in->device->len,
                              in->committed, errp)) {
        return FT_INTAKE_BROKEN;
    }
    in->device_full = full;
    if (be32_to_cpu(d->kind) == FT_DEVICE_FULL) {
        g_byte_array_append(in->next_device, data + 8, len - 8);
        in->device_have += len - 8;
    } else {
        /* Applied after the acknowledgement, like pages */
        g_byte_array_append(in->next_device, data, len);
        in->device_delta = true;
        in->device_have = full;
    }
    return FT_INTAKE_MORE;
}

/* All blocks or none: on failure the committed epoch has to stay loadable */
static bool resize_blocks(FtIntake *in, Error **errp)
{
    uint64_t old[FT_WIRE_MAX_BLOCKS];

    for (uint32_t i = 0; i < in->ram->n && in->resize; i++) {
        FtBlock *b = &in->ram->blocks[i];

        old[i] = b->used;
        if (in->used[i] == b->used || in->resize(b, in->used[i], errp)) {
            continue;
        }
        while (i-- > 0) {
            b = &in->ram->blocks[i];
            if (b->used != old[i]) {
                in->resize(b, old[i], &error_abort);
            }
        }
        return false;
    }
    return true;
}

static FtIntakeResult take_commit(FtIntake *in, const FtRecord *rec,
                                  Error **errp)
{
    if (in->phase != FT_INTAKE_OPEN) {
        return out_of_order(rec, errp);
    }
    ft_wire_get_commit(rec, &in->commit);
    if (in->commit.epoch != in->epoch || in->commit.npages != in->entries ||
        !in->device_full || in->device_have != in->device_full) {
        error_setg(errp, "the peer committed epoch %" PRIu64 " which is not "
                   "complete", in->epoch);
        return FT_INTAKE_BROKEN;
    }
    if (!resize_blocks(in, errp)) {
        return FT_INTAKE_BROKEN;
    }
    in->phase = FT_INTAKE_STAGED;
    return FT_INTAKE_COMPLETE;
}

/* What is in it is taken as if it had come as it is */
static FtIntakeResult take_compressed(FtIntake *in, const FtRecord *rec,
                                      Error **errp)
{
    FtRecord inner;

    if (!in->zstd) {
        in->zstd = ft_zstd_new();
    }
    return ft_zstd_open(in->zstd, rec, &inner, errp) ?
           ft_intake_record(in, &inner, errp) : FT_INTAKE_BROKEN;
}

FtIntakeResult ft_intake_record(FtIntake *in, const FtRecord *rec,
                                Error **errp)
{
    switch (rec->type) {
    case FT_REC_COPY:
        return take_copy(in, rec, errp);
    case FT_REC_BEGIN:
        return take_begin(in, rec, errp);
    case FT_REC_PAGES:
        return take_pages(in, rec, errp);
    case FT_REC_DEVICE:
        return take_device(in, rec, errp);
    case FT_REC_COMPRESSED:
        return take_compressed(in, rec, errp);
    case FT_REC_COMMIT:
        return take_commit(in, rec, errp);
    default:
        return out_of_order(rec, errp);
    }
}

static void apply_device(FtIntake *in)
{
    GByteArray *old = in->device;

    if (in->device_delta) {
        ft_device_delta_apply(in->device->data, in->next_device->data,
                              in->next_device->len);
    } else {
        in->device = in->next_device;
        in->next_device = old;
    }
}

void ft_intake_apply(FtIntake *in, void (*progress)(void *), void *opaque)
{
    const uint8_t *pos = in->stage.base, *end = pos + in->stage.used;
    uint64_t n = 0;
    FtPageEntry e;

    assert(in->phase == FT_INTAKE_STAGED);
    while (next_entry(in, &pos, end, &e, &error_abort) > 0) {
        apply_entry(in->ram, &e);
        if (++n == DIV_ROUND_UP(in->entries, 2)) {
            ft_fault(FT_FAULT_APPLY_HALF);
        }
        if (progress && n % PROGRESS_ENTRIES == 0) {
            progress(opaque);
        }
    }
    apply_device(in);
    in->committed = in->epoch;
    in->phase = FT_INTAKE_BETWEEN;
}

bool ft_intake_device_verified(const FtIntake *in)
{
    return ft_hash(in->device->data, in->device->len, 0) ==
           in->commit.device_hash;
}

bool ft_intake_verify(FtIntake *in, void (*progress)(void *), void *opaque)
{
    return ft_intake_device_verified(in) &&
           ft_ram_hash(in->ram, progress, opaque) == in->commit.ram_hash;
}
