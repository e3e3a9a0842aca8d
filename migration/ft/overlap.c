/*
 * QEMU-FT: cutting again before the peer has acknowledged
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the guest says waits for the next cut, and then for a round trip.  If
 * each cut waits for the acknowledgement of the one before, the first wait is
 * half a round trip on average, and close to one for what is said right behind
 * a cut:
 *
 *     one in flight    cut ------ ack cut ------ ack cut ------ ack
 *     four             cut ------ ack
 *                        cut ------ ack
 *                          cut ------ ack
 *                            cut ------ ack
 *
 * A cut costs the guest its pause, and pages that have become clean.  So the
 * next one is made early only where the peer is far: an acknowledgement takes
 * FAR_NS and more, and many times what a cut does.  They are then spread over
 * the time that it takes, so that the longest wait for a cut is one part in
 * @depth of it.
 *
 * Nothing is cut on top of an epoch that a thread is still encoding: the copied
 * pages and what the peer is known to hold are in use.  Small epochs are
 * encoded and handed to the connection before anything else happens (ship.c),
 * and only those are overlapped.  The connection keeps the order, so the peer
 * sees one epoch after the other, as if each had waited.
 */
#include "qemu/osdep.h"
#include "overlap.h"

#define FAR_NS 1000000
#define FAR_PAUSES 8

void ft_overlap_cut(FtOverlap *o, bool handed, int64_t now)
{
    o->inflight++;
    o->handed = handed;
    o->cut_at = now;
}

void ft_overlap_acked(FtOverlap *o, uint32_t left, int64_t ack)
{
    o->inflight = left;
    if (ack) {
        o->ack += o->ack ? (ack - o->ack) / 8 : ack;
    }
}

int64_t ft_overlap_earliest(const FtOverlap *o, uint32_t depth, int64_t pause)
{
    if (!o->inflight) {
        return 0;
    }
    if (o->inflight >= depth || !o->handed ||
        o->ack < MAX(FAR_NS, FAR_PAUSES * pause)) {
        return INT64_MAX;
    }
    return o->cut_at + o->ack / depth;
}
