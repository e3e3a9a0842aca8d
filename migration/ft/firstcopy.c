/*
 * QEMU-FT: the first copy of guest RAM
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rounds, as in live migration: round 0 sends every page, each later round
 * those written since the one before began.  A round is sent by the channel's
 * thread from guest RAM as it is at that moment; a page that changes while
 * it is read was marked dirty before the store or will be after it, so the
 * next round or the first cut sends it again.  Between rounds the vCPUs
 * stop for the harvest alone.
 *
 * A round has ended when the peer says COPIED: it has stored all of it, and
 * what the disks' first copy brought.  Otherwise the first epoch would queue
 * up behind megabytes in the socket, and the output it holds with it.
 *
 * It ends when the guest has written little during a round.  When rounds stop
 * getting smaller the guest writes faster than the link carries, and is slowed
 * down (throttle.c), or the first epoch would hold all that it writes to, and
 * its output for as long as sending that takes.  When that does not help
 * either, the first cut takes what is left.
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/cutils.h"
#include "qemu/event_notifier.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "cut.h"
#include "fault.h"
#include "firstcopy.h"
#include "harvest.h"
#include "options.h"
#include "throttle.h"

#define RECORD_SIZE (256 * KiB)
#define MAX_ROUNDS 16

typedef struct Sender {
    FtFirstCopy *fc;
    FtChannel *ch;
    GByteArray *wire;
    size_t record;
} Sender;

static bool sender_flush(Sender *s)
{
    int64_t start;
    bool ok;

    ft_compress_close(s->fc->compress, s->wire, s->record);
    start = get_clock();
    ok = ft_channel_write(s->ch, s->wire->data, s->wire->len);
    ft_compress_link(s->fc->compress, s->wire->len, get_clock() - start);
    ft_fault(FT_FAULT_FIRST_COPY);
    g_byte_array_set_size(s->wire, 0);
    s->record = ft_wire_begin(s->wire, FT_REC_COPY);
    return ok;
}

static bool send_page(Sender *s, uint32_t block, uint64_t number)
{
    const FtRam *ram = s->fc->ram;
    const uint8_t *page = ram->blocks[block].host + number * ram->page_size;

    if (buffer_is_zero(page, ram->page_size)) {
        ft_wire_put_page(s->wire, block, FT_PAGE_ZERO, number, NULL, 0);
    } else {
        ft_wire_put_page(s->wire, block, FT_PAGE_RAW, number, page,
                         ram->page_size);
    }
    qatomic_set_u64(&s->fc->remaining,
                    s->fc->remaining - ram->page_size);
    return s->wire->len - s->record < RECORD_SIZE || sender_flush(s);
}

static bool send_all(Sender *s)
{
    const FtRam *ram = s->fc->ram;

    for (uint32_t i = 0; i < ram->n; i++) {
        uint64_t n = ram->blocks[i].used / ram->page_size;

        for (uint64_t page = 0; page < n; page++) {
            if (!send_page(s, i, page)) {
                return false;
            }
        }
    }
    return true;
}

static bool send_list(Sender *s)
{
    const FtPageId *ids = (const FtPageId *)s->fc->list.base;
    uint64_t n = s->fc->list.used / sizeof(*ids);

    for (uint64_t i = 0; i < n; i++) {
        if (!send_page(s, ft_page_block(ids[i]), ft_page_number(ids[i]))) {
            return false;
        }
    }
    return true;
}

/* The guest is not worth less than its copy: no preference here */
static void round_job(FtChannel *ch, void *opaque)
{
    FtFirstCopy *fc = opaque;
    Sender s = { .fc = fc, .ch = ch, .wire = g_byte_array_new() };

    ft_channel_prefer_thread(false);
    s.record = ft_wire_begin(s.wire, FT_REC_COPY);
    if ((fc->round ? send_list(&s) : send_all(&s)) && sender_flush(&s)) {
        g_byte_array_set_size(s.wire, 0);
        ft_wire_put_u64(s.wire, FT_REC_COPIED, fc->round);
        ft_channel_write(ch, s.wire->data, s.wire->len);
    }
    g_byte_array_free(s.wire, true);
    ft_channel_prefer_thread(true);
}

/* The one first copy of this process */
static FtFirstCopy *active;

bool ft_first_copy_answer(FtFirstCopy *fc, uint64_t round, Error **errp)
{
    if (active != fc || !fc->asked || round != fc->round) {
        error_setg(errp, "the peer has confirmed round %" PRIu64 " of the "
                   "first copy, which was not sent", round);
        return false;
    }
    fc->asked = false;
    event_notifier_set(&fc->done);
    return true;
}

static void round_done(EventNotifier *e)
{
    FtFirstCopy *fc = active;
    uint64_t size;

    if (!event_notifier_test_and_clear(e) || !fc) {
        return;
    }
    if (fc->round >= MAX_ROUNDS ||
        ft_harvest_count(fc->ram, fc->enough + 1) <= fc->enough) {
        fc->finished();
        return;
    }
    ft_arena_reset(&fc->list);
    if (!ft_cut_harvest(fc->ram, &fc->list)) {
        /* A reset is under way: come back once the main loop has turned */
        event_notifier_set(&fc->done);
        return;
    }
    size = fc->list.used / sizeof(FtPageId);
    if (fc->round && size > fc->last_size * 3 / 4 &&
        !ft_throttle_half(ft_opts.throttle)) {
        fc->round = MAX_ROUNDS;
    } else {
        fc->round++;
    }
    fc->last_size = size;
    qatomic_set_u64(&fc->remaining, size * fc->ram->page_size);
    fc->asked = true;
    ft_channel_post(fc->ch, round_job, fc);
}

bool ft_first_copy_start(FtFirstCopy *fc, FtRam *ram, FtChannel *ch,
                         FtCompress *compress, uint64_t enough,
                         void (*finished)(void),
                         Error **errp)
{
    uint64_t max = ft_ram_max_bytes(ram), used = 0;

    *fc = (FtFirstCopy) {
        .ram = ram,
        .ch = ch,
        .compress = compress,
        .enough = enough,
        .finished = finished,
    };
    if (!ft_arena_init(&fc->list, max / ram->page_size * sizeof(FtPageId),
                       0, errp)) {
        return false;
    }
    if (event_notifier_init(&fc->done, false) < 0) {
        ft_arena_destroy(&fc->list);
        error_setg(errp, "cannot create an event notifier");
        return false;
    }
    for (uint32_t i = 0; i < ram->n; i++) {
        used += ram->blocks[i].used;
    }
    /* Round 0 has all that was written before; if this is put off, so what */
    ft_cut_harvest(ram, NULL);
    fc->remaining = used;
    active = fc;
    event_notifier_set_handler(&fc->done, round_done);
    fc->asked = true;
    ft_channel_post(ch, round_job, fc);
    return true;
}

void ft_first_copy_stop(FtFirstCopy *fc)
{
    if (active != fc) {
        return;
    }
    active = NULL;
    event_notifier_set_handler(&fc->done, NULL);
    event_notifier_cleanup(&fc->done);
    ft_arena_destroy(&fc->list);
}
