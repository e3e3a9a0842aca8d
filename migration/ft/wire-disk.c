/*
 * QEMU-FT: encoding and decoding of records about disks
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * As wire.c: pure functions on memory, every byte from the peer is checked
 * here.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "wire.h"

void ft_wire_disk_head(FtDiskWire *w, const FtDiskOp *op)
{
    *w = (FtDiskWire) {
        .epoch = cpu_to_be64(op->epoch),
        .offset = cpu_to_be64(op->offset),
        .length = cpu_to_be64(op->length),
        .disk = cpu_to_be16(op->disk),
        .kind = op->kind,
        .flags = op->may_unmap ? FT_DISK_MAY_UNMAP : 0,
    };
}

void ft_wire_put_disk(GByteArray *out, const FtDiskOp *op)
{
    size_t start = ft_wire_begin(out, FT_REC_DISK);
    FtDiskWire w;

    ft_wire_disk_head(&w, op);
    g_byte_array_append(out, (const guint8 *)&w, sizeof(w));
    if (op->kind == FT_DISK_WRITE) {
        g_byte_array_append(out, op->data, op->length);
    }
    ft_wire_end(out, start);
}

void ft_wire_put_disk_hash(GByteArray *out, const FtDiskHash *h)
{
    FtDiskHashWire w = {
        .offset = cpu_to_be64(h->offset),
        .length = cpu_to_be32(h->length),
        .disk = cpu_to_be16(h->disk),
    };

    memcpy(w.hash, h->hash, sizeof(w.hash));
    ft_wire_put(out, FT_REC_DISKHASH, &w, sizeof(w));
}

void ft_wire_put_disk_same(GByteArray *out, const FtDiskSame *a)
{
    FtDiskSameWire w = {
        .offset = cpu_to_be64(a->offset),
        .disk = cpu_to_be16(a->disk),
        .same = cpu_to_be16(a->same),
    };

    ft_wire_put(out, FT_REC_DISKSAME, &w, sizeof(w));
}

static bool range_valid(const char *what, uint32_t ndisks,
                        const uint64_t *sizes, uint16_t disk,
                        uint64_t offset, uint64_t length, Error **errp)
{
    if (disk < ndisks && length && offset <= sizes[disk] &&
        length <= sizes[disk] - offset) {
        return true;
    }
    error_setg(errp, "the peer sent a %s of disk %u at %" PRIu64 ", %" PRIu64
               " bytes long, which does not exist", what, disk, offset,
               length);
    return false;
}

bool ft_wire_get_disk(const FtRecord *rec, uint32_t ndisks,
                      const uint64_t *sizes, FtDiskOp *op, Error **errp)
{
    const FtDiskWire *w = (const void *)rec->payload;
    uint32_t len = rec->length - sizeof(*w);

    *op = (FtDiskOp) {
        .epoch = be64_to_cpu(w->epoch),
        .offset = be64_to_cpu(w->offset),
        .length = be64_to_cpu(w->length),
        .disk = be16_to_cpu(w->disk),
        .kind = w->kind,
        .may_unmap = w->flags & FT_DISK_MAY_UNMAP,
        .data = rec->payload + sizeof(*w),
    };
    switch (w->kind) {
    case FT_DISK_WRITE:
        if (len != op->length) {
            error_setg(errp, "the peer sent a disk write of %" PRIu64
                       " bytes with %" PRIu32 " bytes of data", op->length,
                       len);
            return false;
        }
        break;
    case FT_DISK_ZERO:
    case FT_DISK_DISCARD:
    case FT_DISK_FLUSH:
        if (len) {
            error_setg(errp, "the peer sent %" PRIu32 " bytes of data where "
                       "none belong", len);
            return false;
        }
        break;
    default:
        error_setg(errp, "the peer sent a disk record of unknown kind %u",
                   w->kind);
        return false;
    }
    if (w->kind == FT_DISK_FLUSH) {
        if (op->disk < ndisks && !op->offset && !op->length) {
            return true;
        }
        error_setg(errp, "the peer sent a flush of disk %u with a range, or "
                   "of a disk that does not exist", op->disk);
        return false;
    }
    return range_valid("part", ndisks, sizes, op->disk, op->offset,
                       op->length, errp);
}

bool ft_wire_get_disk_hash(const FtRecord *rec, uint32_t ndisks,
                           const uint64_t *sizes, FtDiskHash *h,
                           Error **errp)
{
    const FtDiskHashWire *w = (const void *)rec->payload;

    *h = (FtDiskHash) {
        .offset = be64_to_cpu(w->offset),
        .length = be32_to_cpu(w->length),
        .disk = be16_to_cpu(w->disk),
    };
    memcpy(h->hash, w->hash, sizeof(h->hash));
    if (h->length > FT_WIRE_MAX_DISK_DATA) {
        error_setg(errp, "the peer sent the hash of %" PRIu32 " bytes",
                   h->length);
        return false;
    }
    return range_valid("hash", ndisks, sizes, h->disk, h->offset, h->length,
                       errp);
}

bool ft_wire_get_disk_same(const FtRecord *rec, uint32_t ndisks,
                           FtDiskSame *a, Error **errp)
{
    const FtDiskSameWire *w = (const void *)rec->payload;

    *a = (FtDiskSame) {
        .offset = be64_to_cpu(w->offset),
        .disk = be16_to_cpu(w->disk),
        .same = be16_to_cpu(w->same),
    };
    if (a->disk >= ndisks || be16_to_cpu(w->same) > 1) {
        error_setg(errp, "the peer answered for disk %u, which does not exist",
                   a->disk);
        return false;
    }
    return true;
}
