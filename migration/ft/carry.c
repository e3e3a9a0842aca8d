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
 *                           '- copy -> INPUT
 *
 * Output is copied when the epoch is encoded, after the guest runs on, and
 * costs no system call of its own.
 *
 * Input cannot wait for anything: most of the time between two replies a
 * request is in the guest and in no epoch.  So it is written by the main loop
 * itself, which costs less than a hop to another thread, and before the NIC
 * gets it.  Only what a back end reads in the same go waits for a bottom
 * half, and makes one record.
 *
 * What came when this process had died already is for salvage.c.
 *
 * Both stop where they would cost more than they help.  A queue of output
 * that is long will not be waited for by one request.  Input of more than
 * BULK bytes in an epoch is a transfer, in which a lost packet is no news,
 * and whose data are in the pages of the epoch too.
 *
 * The peer drops output that it knows to be let go, so every record says how
 * far that is, and one is sent for that alone when there is no other.
 */
#include "qemu/osdep.h"
#include "qemu/iov.h"
#include "qemu/main-loop.h"
#include "qemu/units.h"
#include "block/aio.h"
#include "net/net.h"
#include "carry.h"
#include "fault.h"
#include "gate.h"
#include "options.h"
#include "salvage.h"

#define OUTPUT_MAX (256 * KiB)  /* held at the cut */
#define BULK (64 * KiB)         /* of input in an epoch */

static struct {
    FtChannel *ch;              /* NULL: nothing is carried */
    const uint64_t *epoch;
    uint64_t released, told;    /* output let go; the same as the peer knows */

    QEMUBH *bh;                 /* scheduled: what comes waits for it */
    bool gathering;
    GByteArray *input;          /* an INPUT record that is open, or empty */
    uint64_t input_epoch;       /* what @input and @seen belong to */
    uint64_t seen;              /* bytes of input of that epoch, with heads */
    bool bulk;                  /* there was too much in the one before */

    FtCarryInfo counts;
} carry;

static void end_input(void)
{
    if (carry.input->len) {
        ft_wire_end(carry.input, 0);
    }
}

static void send_input(void)
{
    end_input();
    ft_channel_send(carry.ch, carry.input->data, carry.input->len);
    g_byte_array_set_size(carry.input, 0);
    ft_fault(FT_FAULT_INPUT_PASSED);
}

/* In the main loop, right after the packets that came */
static void gathered(void *opaque)
{
    carry.gathering = false;
    if (carry.ch && carry.input->len) {
        send_input();
    }
}

void ft_carry_start(FtChannel *ch, const uint64_t *epoch)
{
    if (!ft_opts.carry) {
        return;
    }
    if (!carry.bh) {
        carry.bh = qemu_bh_new(gathered, NULL);
        carry.input = g_byte_array_new();
    }
    g_byte_array_set_size(carry.input, 0);
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
    if (carry.input->len) {
        /* It came just before the cut, and its bottom half is late */
        end_input();
        g_byte_array_append(out, carry.input->data, carry.input->len);
        g_byte_array_set_size(carry.input, 0);
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
        carry.bulk = carry.seen > BULK;
        carry.input_epoch = *carry.epoch;
        carry.seen = 0;
    }
    carry.seen += sizeof(FtCarriedPacketWire) + strlen(p->nic) + p->length;
    return !carry.bulk && carry.seen <= BULK;
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
    if (!carry.input->len) {
        ft_wire_begin_carried(carry.input, FT_REC_INPUT, *carry.epoch,
                              carry.released);
        carry.told = carry.released;
    }
    ft_wire_put_carried(carry.input, &p);
    carry.counts.input++;
    if (!carry.gathering) {
        send_input();
        carry.gathering = true;
        qemu_bh_schedule(carry.bh);
    }
}

FtCarryInfo ft_carry_counts(void)
{
    return carry.counts;
}
