/*
 * QEMU-FT: sending an epoch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pages are encoded against a shadow: a copy of what the peer holds, kept
 * for every page that was ever part of an epoch (what was sent in the
 * first copy alone is not kept, so the shadow grows with the guest's
 * working set, not with its RAM).  A page that did not change is not sent,
 * one that changed a little goes as a delta.
 *
 * A small epoch of a guest whose vCPUs all sleep is encoded from its RAM, while
 * the cut holds it: nobody waits for the pause, and a page that is compared in
 * place needs no copy that another pass has to fetch again.  Otherwise the cut
 * copies, which takes less time than comparing, and the guest runs on.
 *
 * The shadow and the device base are brought up to date while encoding,
 * before the last byte leaves: the acknowledgement may overtake the return
 * from write().  They are what the peer will hold once it has read all that was
 * encoded so far, whether or not it has acknowledged that: it reads in order,
 * and when the connection ends instead, shadow and base are thrown away.  So
 * the next epoch can be encoded as soon as this one is, which is at once for
 * one that is encoded here, and known of the channel's thread when the peer
 * has acknowledged it.
 */
#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "system/tcg.h"
#include "carry.h"
#include "delta.h"
#include "fault.h"
#include "options.h"
#include "ship.h"

#define RECORD_SIZE (256 * KiB) /* of a PAGES record, about */
#define INLINE_PAGES 512        /* encoded in the main loop, below 1 ms */
#define SMALL_PAGES 16          /* likewise, on a slow link */
#define DEVICE_PIECE (512 * KiB)
#define PREFETCH 256            /* bytes; from there the processor goes on */

bool ft_ship_init(FtShip *s, const FtRam *ram, FtCompress *compress,
                  Error **errp)
{
    *s = (FtShip) { .ram = ram, .compress = compress };
    for (uint32_t i = 0; i < ram->n; i++) {
        FtShadow *sh = &s->shadow[i];

        sh->size = ram->blocks[i].max;
        sh->pages = mmap(NULL, sh->size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (sh->pages == MAP_FAILED) {
            sh->pages = NULL;
            error_setg_errno(errp, errno, "cannot reserve %zu bytes of "
                             "address space for page deltas", sh->size);
            ft_ship_destroy(s);
            return false;
        }
        sh->valid = bitmap_new(sh->size / ram->page_size);
    }
    /* With an accelerator a page that is written costs nothing of the kind */
    if (tcg_enabled() && !ft_hot_init(&s->hot, ram, errp)) {
        ft_ship_destroy(s);
        return false;
    }
    s->device = g_byte_array_new();
    s->carried = g_byte_array_new();
    s->wire = g_byte_array_sized_new(2 * RECORD_SIZE);
    return true;
}

void ft_ship_destroy(FtShip *s)
{
    for (uint32_t i = 0; i < FT_WIRE_MAX_BLOCKS; i++) {
        if (s->shadow[i].pages) {
            munmap(s->shadow[i].pages, s->shadow[i].size);
        }
        g_free(s->shadow[i].valid);
    }
    ft_hot_destroy(&s->hot);
    if (s->device) {
        g_byte_array_free(s->device, true);
        g_byte_array_free(s->carried, true);
        g_byte_array_free(s->wire, true);
    }
    *s = (FtShip) { 0 };
}

static void close_record(FtShip *s)
{
    if (s->record_open && s->in_thread) {
        ft_compress_close(s->compress, s->wire, s->record);
    } else if (s->record_open) {
        ft_wire_end(s->wire, s->record);
    }
    s->record_open = false;
}

static void put_page(FtShip *s, FtPageId id, FtPageKind kind,
                     const void *data, uint32_t len)
{
    if (s->record_open && s->wire->len - s->record > RECORD_SIZE) {
        close_record(s);
    }
    if (!s->record_open) {
        s->record = ft_wire_begin(s->wire, FT_REC_PAGES);
        s->record_open = true;
    }
    ft_wire_put_page(s->wire, ft_page_block(id), kind, ft_page_number(id),
                     data, len);
    s->entries++;
}

static void encode_page(FtShip *s, FtPageId id, const uint8_t *page)
{
    FtShadow *sh = &s->shadow[ft_page_block(id)];
    uint64_t number = ft_page_number(id);
    uint32_t size = s->ram->page_size;
    uint8_t *known = sh->pages + number * size;
    int len = -1;

    if (test_bit(number, sh->valid)) {
        len = ft_page_delta(known, page, size, s->delta,
                            MIN(size / 2, sizeof(s->delta)));
        ft_hot_note(&s->hot, id, s->cut->epoch, len != 0);
        if (len == 0) {
            return;
        }
    }
    if (len > 0) {
        put_page(s, id, FT_PAGE_DELTA, s->delta, len);
        ft_page_delta_apply(known, s->delta, len);
        return;
    }
    /* What was said, not what is there a moment later */
    if (buffer_is_zero(page, size)) {
        put_page(s, id, FT_PAGE_ZERO, NULL, 0);
        memset(known, 0, size);
    } else {
        put_page(s, id, FT_PAGE_RAW, page, size);
        memcpy(known, s->wire->data + s->wire->len - size, size);
    }
    set_bit(number, sh->valid);
}

/* Where the cut's page number @i is: in the guest, or a copy */
static const uint8_t *page_at(const FtShip *s, uint64_t i, FtPageId id)
{
    uint32_t size = s->ram->page_size;

    return s->cut->in_place ?
           s->ram->blocks[ft_page_block(id)].host + ft_page_number(id) * size :
           s->cut->pages.base + i * size;
}

/* The next page, and what the peer holds of it, while one is compared */
static void prefetch_page(const FtShip *s, uint64_t i)
{
    const FtPageId *ids = (const FtPageId *)s->cut->list.base;
    const uint8_t *page, *known;

    if (i >= s->cut->npages) {
        return;
    }
    page = page_at(s, i, ids[i]);
    known = s->shadow[ft_page_block(ids[i])].pages +
            ft_page_number(ids[i]) * s->ram->page_size;
    for (uint32_t at = 0; at < PREFETCH; at += 64) {
        __builtin_prefetch(page + at);
        __builtin_prefetch(known + at);
    }
}

static void encode_nth(FtShip *s, uint64_t i)
{
    const FtPageId *ids = (const FtPageId *)s->cut->list.base;

    prefetch_page(s, i + 1);
    encode_page(s, ids[i], page_at(s, i, ids[i]));
}

static void put_device_head(FtShip *s, uint64_t full, uint64_t base,
                            FtDeviceKind kind)
{
    FtDeviceWire d = {
        .full_length = cpu_to_be64(full),
        .base_epoch = cpu_to_be64(base),
        .kind = cpu_to_be32(kind),
    };

    g_byte_array_append(s->wire, (const guint8 *)&d, sizeof(d));
}

static void put_device_full(FtShip *s, const GByteArray *state)
{
    for (size_t pos = 0; pos < state->len; pos += DEVICE_PIECE) {
        size_t rec = ft_wire_begin(s->wire, FT_REC_DEVICE);
        uint64_t be = cpu_to_be64(pos);

        put_device_head(s, state->len, 0, FT_DEVICE_FULL);
        g_byte_array_append(s->wire, (const guint8 *)&be, sizeof(be));
        g_byte_array_append(s->wire, state->data + pos,
                            MIN(state->len - pos, DEVICE_PIECE));
        ft_wire_end(s->wire, rec);
    }
}

/* The device state whole, or what changed in it when that is less */
static void encode_device(FtShip *s)
{
    GByteArray *now = s->cut->device;
    size_t start = s->wire->len, rec;

    if (s->device_epoch && s->device->len == now->len) {
        rec = ft_wire_begin(s->wire, FT_REC_DEVICE);
        put_device_head(s, now->len, s->device_epoch, FT_DEVICE_DELTA);
        ft_device_delta(s->device->data, now->data, now->len, s->wire);
        if (s->wire->len - rec < now->len &&
            s->wire->len - rec < DEVICE_PIECE) {
            ft_wire_end(s->wire, rec);
        } else {
            g_byte_array_set_size(s->wire, start);
            put_device_full(s, now);
        }
    } else {
        put_device_full(s, now);
    }
    /* What the peer holds from now on; the next cut overwrites the other */
    s->cut->device = s->device;
    s->device = now;
    s->device_epoch = s->cut->epoch;
}

static void encode_begin(FtShip *s)
{
    uint64_t used[FT_WIRE_MAX_BLOCKS];

    for (uint32_t i = 0; i < s->ram->n; i++) {
        used[i] = s->ram->blocks[i].used;
    }
    s->entries = 0;
    g_byte_array_set_size(s->wire, 0);
    ft_wire_put_begin_epoch(s->wire, s->cut->epoch, s->cut->unacked, s->ram->n,
                            used);
}

static void encode_end(FtShip *s)
{
    FtCommit c = {
        .epoch = s->cut->epoch,
        .hashed = s->cut->hashed,
        .durable = ft_opts.durability == FT_DURABILITY_DISK,
        .ram_hash = s->cut->ram_hash,
        .device_hash = s->cut->device_hash,
    };

    close_record(s);
    g_byte_array_append(s->wire, s->carried->data, s->carried->len);
    encode_device(s);
    c.npages = s->entries;
    ft_wire_put_commit(s->wire, &c);
}

/* Write what is encoded, except for the last record that is still open */
static bool flush(FtShip *s, FtChannel *ch, uint64_t *bytes)
{
    int64_t start;
    bool ok;

    close_record(s);
    *bytes += s->wire->len;
    start = get_clock();
    ok = ft_channel_write(ch, s->wire->data, s->wire->len);
    s->waited += get_clock() - start;
    g_byte_array_set_size(s->wire, 0);
    return ok;
}

static void ship_job(FtChannel *ch, void *opaque)
{
    FtShip *s = opaque;
    uint64_t n = s->cut->npages, bytes = 0;
    int64_t start = get_clock();

    s->waited = 0;
    encode_begin(s);
    for (uint64_t i = 0; i < n; i++) {
        encode_nth(s, i);
        if (s->wire->len > RECORD_SIZE && !flush(s, ch, &bytes)) {
            return;
        }
        if (i == n / 2) {
            if (!flush(s, ch, &bytes)) {
                return;
            }
            ft_fault(FT_FAULT_SEND_HALF);
        }
    }
    encode_end(s);
    qatomic_set_u64(&s->bytes, bytes + s->wire->len);
    qatomic_set_i64(&s->busy, get_clock() - start - s->waited);
    ft_channel_write(ch, s->wire->data, s->wire->len);
    ft_fault(FT_FAULT_SENT);
}

static bool is_small(const FtShip *s, const FtCut *cut)
{
    return cut->npages <= (ft_compress_wanted(s->compress) ? SMALL_PAGES :
                           INLINE_PAGES);
}

static void encode_pages(FtShip *s)
{
    s->in_thread = false;
    encode_begin(s);
    for (uint64_t i = 0; i < s->cut->npages; i++) {
        encode_nth(s, i);
    }
}

bool ft_ship_in_place(FtShip *s, FtCut *cut)
{
    if (!cut->without_pause || !is_small(s, cut)) {
        return false;
    }
    s->cut = cut;
    cut->in_place = true;
    encode_pages(s);
    return true;
}

static void ship_inline(FtShip *s, FtChannel *ch)
{
    int64_t start = get_clock();
    const uint8_t *data;

    if (!s->cut->in_place) {
        encode_pages(s);
    }
    encode_end(s);
    data = s->wire->data;
    qatomic_set_u64(&s->bytes, s->wire->len);
    qatomic_set_i64(&s->busy, get_clock() - start);
    if (ft_fault_next(FT_FAULT_SEND_HALF)) {
        /* A beat may follow half a record only when nothing else does */
        ft_channel_send(ch, data, s->wire->len / 2);
    }
    ft_fault(FT_FAULT_SEND_HALF);
    ft_channel_send(ch, data, s->wire->len);
    ft_fault(FT_FAULT_SENT);
}

bool ft_ship(FtShip *s, FtCut *cut, FtChannel *ch)
{
    s->cut = cut;
    g_byte_array_set_size(s->carried, 0);
    ft_carry_output(s->carried, cut->epoch);
    if (cut->in_place || is_small(s, cut)) {
        ship_inline(s, ch);
        return true;
    }
    s->in_thread = true;
    ft_channel_post(ch, ship_job, s);
    return false;
}
