/*
 * QEMU-FT: what the guest does to its disks, on its way to the peer
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The filters (disk-filter.c) call this from whatever thread runs a
 * request: the main loop, an iothread, a vCPU.  A record goes into the
 * connection when its request has succeeded locally, and before the guest
 * hears of that.  So everything a guest has seen completed stands in the
 * stream before the BEGIN of the cut that follows, and everything is tagged
 * with the epoch in which it completed: the cut is drained, a request lies
 * wholly on one side of it.
 *
 * Room.  What is bounded, by making requests wait before they start: what
 * the connection has not taken yet; what belongs to the open epoch, which
 * the peer has to keep in memory; and what is held back from shared disks.
 * A request never waits once a drain has begun, since the cut would wait for
 * it: then as many requests as were waiting go on, whose number the device
 * bounds.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "qemu/coroutine.h"
#include "qemu/memalign.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "disk-hold.h"
#include "disk-log.h"

#define ALIGNMENT 4096
#define QUEUE_MAX (32 * MiB)    /* not yet taken by the socket */
#define EPOCH_LONG (16 * MiB)   /* of one epoch: ask for a cut */
#define EPOCH_MAX (64 * MiB)    /* of one epoch: requests wait */
#define HELD_MAX (128 * MiB)    /* of all epochs of shared disks */
#define WAIT_MS 100
#define HELD_WAIT_MS 1000       /* a cut waits too when disks lag behind */
#define NAP_NS 500000

static struct {
    QemuMutex lock;             /* @ch, and the order of records */
    bool ready;
    bool on;                    /* atomic */
    FtChannel *ch;
    const uint64_t *epoch;
    bool bounded;               /* atomic: there are cuts */
    uint64_t epoch_bytes;       /* atomic */
    uint64_t bytes;             /* atomic */
} dlog;

bool ft_disk_log_on(void)
{
    return qatomic_read(&dlog.on);
}

void ft_disk_log_start(FtChannel *ch, const uint64_t *epoch)
{
    if (!dlog.ready) {
        qemu_mutex_init(&dlog.lock);
        dlog.ready = true;
    }
    QEMU_LOCK_GUARD(&dlog.lock);
    dlog.ch = ch;
    dlog.epoch = epoch;
    qatomic_set(&dlog.bounded, false);
    qatomic_set_u64(&dlog.epoch_bytes, 0);
    qatomic_set_u64(&dlog.bytes, 0);
    qatomic_set(&dlog.on, true);
}

void ft_disk_log_stop(void)
{
    if (!dlog.ready) {
        return;
    }
    QEMU_LOCK_GUARD(&dlog.lock);
    qatomic_set(&dlog.on, false);
    dlog.ch = NULL;
}

void ft_disk_log_cut(void)
{
    qatomic_set(&dlog.bounded, true);
    qatomic_set_u64(&dlog.epoch_bytes, 0);
}

bool ft_disk_log_too_long(void)
{
    return qatomic_read_u64(&dlog.epoch_bytes) > EPOCH_LONG;
}

static bool full(void)
{
    if (qatomic_read_u64(&dlog.epoch_bytes) > EPOCH_MAX ||
        ft_hold_bytes() > HELD_MAX) {
        return true;
    }
    QEMU_LOCK_GUARD(&dlog.lock);
    return dlog.ch && ft_channel_queued(dlog.ch) > QUEUE_MAX;
}

void coroutine_fn ft_disk_log_wait(const int *draining)
{
    int64_t ms = ft_hold_bytes() > HELD_MAX ? HELD_WAIT_MS : WAIT_MS;
    int64_t end = get_clock() + ms * 1000000LL;

    while (full() && !qatomic_read(draining) && get_clock() < end) {
        qemu_co_sleep_ns(QEMU_CLOCK_REALTIME, NAP_NS);
    }
}

uint8_t *ft_disk_log_buffer(size_t bytes)
{
    uint8_t *mem = qemu_try_memalign(ALIGNMENT, ALIGNMENT + bytes);

    return mem ? mem + ALIGNMENT : NULL;
}

void ft_disk_log_free(uint8_t *data)
{
    qemu_vfree(data - ALIGNMENT);
}

/* The record around the data of a write, without another copy */
static void put_write_locked(FtDiskOp *op)
{
    uint8_t *payload = (uint8_t *)op->data - sizeof(FtDiskWire);
    uint8_t *rec = payload - sizeof(FtRecHeader);
    uint32_t length = sizeof(FtDiskWire) + op->length;

    ft_wire_disk_head((FtDiskWire *)payload, op);
    ft_wire_seal(rec, FT_REC_DISK, length);
    ft_channel_send(dlog.ch, rec, sizeof(FtRecHeader) + length);
}

void ft_disk_log_put(FtDiskOp *op)
{
    uint64_t size = sizeof(FtRecHeader) + sizeof(FtDiskWire) +
                    (op->kind == FT_DISK_WRITE ? op->length : 0);

    QEMU_LOCK_GUARD(&dlog.lock);
    if (!dlog.ch) {
        return;
    }
    op->epoch = qatomic_read_u64(dlog.epoch);
    if (qatomic_read(&dlog.bounded)) {
        qatomic_add(&dlog.epoch_bytes, size);
    }
    qatomic_add(&dlog.bytes, size);
    if (op->kind == FT_DISK_WRITE) {
        put_write_locked(op);
    } else {
        g_autoptr(GByteArray) rec = g_byte_array_new();

        ft_wire_put_disk(rec, op);
        ft_channel_send(dlog.ch, rec->data, rec->len);
    }
}

void ft_disk_log_applied(uint64_t epoch)
{
    g_autoptr(GByteArray) rec = g_byte_array_new();

    ft_wire_put_u64(rec, FT_REC_APPLIED, epoch);
    QEMU_LOCK_GUARD(&dlog.lock);
    if (dlog.ch) {
        ft_channel_send(dlog.ch, rec->data, rec->len);
    }
}

uint64_t ft_disk_log_bytes(void)
{
    return qatomic_read_u64(&dlog.bytes);
}
