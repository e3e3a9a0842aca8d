/*
 * QEMU-FT: packets of an epoch, on the primary
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Without this the death of the primary costs a client its TCP
 * retransmission, 200 ms at least, although the guest is back after a
 * few: the reply was held here, or the request had come here, and both died.
 *
 *     guest -> gate.c (held) --- cut n ---> BEGIN n, OUTPUT n, ... COMMIT n
 *     wire -> back end -> filter (gate-net.c) -> NIC
 *                           '- copy: pending.c --- later ---> INPUT
 *
 * Output is copied when the epoch is encoded, after the guest runs on, and
 * costs no system call of its own.
 *
 * Input cannot wait for anything: most of the time between two replies a
 * request is in the guest and in no epoch.  But to tell the peer of each costs
 * both sides a wake-up, and most of it is committed within a millisecond.  So
 * it is kept (pending.c) where the keeper of this process finds it (salvage.c),
 * and told only when it has not been committed after DELAY_NS, for the case
 * that the host dies, or is cut off, and the keeper with it.
 *
 * Without a keeper the main loop tells the peer at once, itself, which costs
 * less than a hop to another thread, and before the NIC gets the packet.  Only
 * what a back end reads in the same go waits for a bottom half, and makes one
 * record.
 *
 * Both stop where they would cost more than they help.  A queue of output
 * that is long will not be waited for by one request.  Input of more than
 * FT_PENDING_MAX bytes in an epoch is a transfer, in which a lost packet is no
 * news, and whose data are in the pages of the epoch too.
 *
 * The peer drops output that it knows to be let go, so every record says how
 * far that is, and one is sent for that alone when there is no other.
 */
#include "qemu/osdep.h"
#include "qemu/iov.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "block/aio.h"
#include "net/net.h"
#include "carry.h"
#include "fault.h"
#include "gate.h"
#include "options.h"
#include "pending.h"
#include "salvage.h"

#define OUTPUT_MAX (256 * KiB)  /* held at the cut */
#define DELAY_NS 2000000

static struct {
    FtChannel *ch;              /* NULL: nothing is carried */
    const uint64_t *epoch;
    uint64_t released, told;    /* output let go; the same as the peer knows */

    QEMUTimer *timer;           /* pending: what comes waits for it */
    QEMUBH *bh;                 /* scheduled: likewise, without a keeper */
    bool gathering;
    uint64_t input_epoch;       /* what @seen belongs to */
    uint64_t seen;              /* bytes of input of that epoch, with heads */
    bool bulk;                  /* there was too much in the one before */

    FtCarryInfo counts;
} carry;

static void tell(void)
{
    const uint8_t *record;
    size_t len;

    while ((len = ft_pending_next(carry.released, &record))) {
        ft_channel_send(carry.ch, record, len);
        /* Now: a packet that the peer has twice does no harm */
        ft_pending_told();
        carry.told = carry.released;
    }
}

void ft_carry_tell(void)
{
    if (carry.ch) {
        tell();
    }
}

static void late(void *opaque)
{
    ft_carry_tell();
}

/* In the main loop, right after the packets that came */
static void gathered(void *opaque)
{
    carry.gathering = false;
    late(opaque);
}

void ft_carry_start(FtChannel *ch, const uint64_t *epoch)
{
    if (!ft_opts.carry) {
        return;
    }
    if (!carry.bh) {
        carry.bh = qemu_bh_new(gathered, NULL);
        carry.timer = timer_new_ns(QEMU_CLOCK_REALTIME, late, NULL);
    }
    ft_pending_clear();
    carry.released = carry.told = 0;
    carry.seen = carry.input_epoch = 0;
    carry.bulk = false;
    carry.epoch = epoch;
    carry.ch = ch;
    ft_salvage_start(ch, epoch, &carry.released);
}

void ft_carry_stop(void)
{
    carry.ch = NULL;
    ft_salvage_stop();
}

void ft_carry_released(uint64_t epoch)
{
    carry.released = epoch;
}

static bool too_long(const FtPacket *p)
{
    return p->length > FT_WIRE_MAX_PACKET ||
           p->length <= p->header_length ||
           strlen(p->nic) > FT_WIRE_MAX_TEXT;
}

static bool put_output(const FtPacket *p, void *opaque)
{
    GByteArray *out = opaque;

    if (!too_long(p)) {
        ft_wire_put_carried(out, p);
        carry.counts.output++;
    }
    /* Not all of it rather than a record that is too long */
    return out->len < 2 * OUTPUT_MAX;
}

void ft_carry_output(GByteArray *out, uint64_t epoch)
{
    size_t start, empty;

    if (!carry.ch) {
        return;
    }
    start = ft_wire_begin_carried(out, FT_REC_OUTPUT, epoch, carry.released);
    empty = out->len;
    if (ft_gate_counts().held_bytes <= OUTPUT_MAX) {
        ft_gate_packets(epoch, put_output, out);
    }
    if (out->len == empty && carry.told == carry.released) {
        g_byte_array_set_size(out, start);
        return;
    }
    ft_wire_end(out, start);
    carry.told = carry.released;
}

bool ft_carry_for_many(const struct iovec *iov, int iovcnt,
                       size_t header_length)
{
    uint8_t first = 0;

    return iov_to_buf(iov, iovcnt, header_length, &first, 1) && (first & 1);
}

/* False: there is too much of it */
static bool count_input(const FtPacket *p)
{
    if (*carry.epoch != carry.input_epoch) {
        carry.bulk = carry.seen > FT_PENDING_MAX;
        carry.input_epoch = *carry.epoch;
        carry.seen = 0;
    }
    carry.seen += ft_wire_carried_size(p);
    return !carry.bulk && carry.seen <= FT_PENDING_MAX;
}

static void tell_in_time(void)
{
    if (ft_salvage_on()) {
        if (!timer_pending(carry.timer)) {
            timer_mod(carry.timer,
                      qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + DELAY_NS);
        }
    } else if (!carry.gathering) {
        tell();
        carry.gathering = true;
        qemu_bh_schedule(carry.bh);
    }
}

void ft_carry_input(NetClientState *sender, const struct iovec *iov,
                    int iovcnt)
{
    g_autofree uint8_t *data = NULL;
    FtPacket p = {
        .nic = sender->peer->name,
        .queue = sender->peer->queue_index,
        .header_length = sender->vnet_hdr_len,
    };

    if (!carry.ch) {
        return;
    }
    p.length = iov_size(iov, iovcnt);
    if (!count_input(&p) || too_long(&p) ||
        ft_carry_for_many(iov, iovcnt, p.header_length)) {
        return;
    }
    data = g_malloc(p.length);
    iov_to_buf(iov, iovcnt, 0, data, p.length);
    p.data = data;
    if (ft_pending_add(&p, *carry.epoch)) {
        carry.counts.input++;
        tell_in_time();
        ft_fault(FT_FAULT_INPUT_PASSED);
    }
}

FtCarryInfo ft_carry_counts(void)
{
    return carry.counts;
}
