/*
 * QEMU-FT: packets that come for the guest while it moves
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Between the last cut of a switchover and the moment when the network has
 * learnt where the guest is now, packets for it still arrive at the old
 * side.  Dropped there, each costs its sender a retransmission, which takes
 * longer than the whole switchover.  So from just before the guest stops
 * they are taken at the back end, before the NIC sees them, and passed to
 * the peer over the connection; the guest gets them there once it runs.
 *
 *     old side:  wire -> back end -> filter (gate-net.c) -> PACKET
 *     new side:  PACKET -> kept -> guest runs -> its NIC's queue
 *
 * Broadcast and multicast are dropped: the network brings them to the new
 * side's back end too.  What the guest's NIC had no room for when it stopped
 * is lost, as it is when a NIC overflows.
 *
 * A NIC is named, since the two sides may have created theirs in another
 * order; a packet whose NIC is not there, or has another virtio header, is
 * dropped.
 *
 * If the guest stays where it is, it gets its packets there.
 */
#include "qemu/osdep.h"
#include "qemu/iov.h"
#include "qemu/queue.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "net/net.h"
#include "carry.h"
#include "inbound.h"

#define KEPT_MAX 8192           /* packets; NICs have shorter queues */
#define KEPT_BYTES (16 * MiB)

typedef struct Kept {
    QSIMPLEQ_ENTRY(Kept) next;
    FtPacket p;                 /* @p.data is @data */
    uint8_t data[];
} Kept;

static QSIMPLEQ_HEAD(, Kept) kept = QSIMPLEQ_HEAD_INITIALIZER(kept);
static unsigned int n_kept;
static size_t kept_bytes;
static FtChannel *peer;         /* NULL: nothing is captured */

static void keep(const FtPacket *p)
{
    Kept *k;

    if (n_kept == KEPT_MAX || kept_bytes + p->length > KEPT_BYTES) {
        return;
    }
    k = g_malloc(sizeof(*k) + p->length);
    k->p = *p;
    k->p.nic = g_strdup(p->nic);
    k->p.data = k->data;
    memcpy(k->data, p->data, p->length);
    QSIMPLEQ_INSERT_TAIL(&kept, k, next);
    n_kept++;
    kept_bytes += p->length;
}

static Kept *take_first(void)
{
    Kept *k = QSIMPLEQ_FIRST(&kept);

    if (k) {
        QSIMPLEQ_REMOVE_HEAD(&kept, next);
        n_kept--;
        kept_bytes -= k->p.length;
    }
    return k;
}

static void free_kept(Kept *k)
{
    g_free(k->p.nic);
    g_free(k);
}

void ft_inbound_capture(FtChannel *ch)
{
    ft_inbound_forget();
    peer = ch;
}

void ft_inbound_forget(void)
{
    Kept *k;

    peer = NULL;
    while ((k = take_first())) {
        free_kept(k);
    }
}

void ft_inbound_return(void)
{
    peer = NULL;
    ft_inbound_deliver();
}

bool ft_inbound_take(NetClientState *sender, const struct iovec *iov,
                     int iovcnt)
{
    g_autoptr(GByteArray) rec = NULL;
    g_autofree uint8_t *data = NULL;
    FtPacket p = {
        .nic = sender->peer->name,
        .queue = sender->peer->queue_index,
        .header_length = sender->vnet_hdr_len,
        .length = iov_size(iov, iovcnt),
    };

    if (!peer) {
        return false;
    }
    if (p.length > FT_WIRE_MAX_PACKET || strlen(p.nic) > FT_WIRE_MAX_TEXT) {
        return true;
    }
    data = g_malloc(p.length);
    iov_to_buf(iov, iovcnt, 0, data, p.length);
    p.data = data;
    keep(&p);
    if (!ft_carry_for_many(iov, iovcnt, p.header_length)) {
        rec = g_byte_array_new();
        ft_wire_put_packet(rec, &p);
        ft_channel_send(peer, rec->data, rec->len);
    }
    return true;
}

bool ft_inbound_keep(const FtRecord *rec, Error **errp)
{
    FtPacket p;

    if (!ft_wire_get_packet(rec, &p, errp)) {
        return false;
    }
    keep(&p);
    g_free(p.nic);
    return true;
}

NetClientState *ft_inbound_nic(const FtPacket *p)
{
    NetClientState *nc;

    QTAILQ_FOREACH(nc, &net_clients, next) {
        if (nc->info->type == NET_CLIENT_DRIVER_NIC && nc->peer &&
            nc->queue_index == p->queue && g_str_equal(nc->name, p->nic)) {
            return nc->peer->vnet_hdr_len == p->header_length ? nc : NULL;
        }
    }
    return NULL;
}

void ft_inbound_give(const FtPacket *p)
{
    NetClientState *nic = ft_inbound_nic(p);

    if (nic) {
        qemu_send_packet(nic->peer, p->data, p->length);
    }
}

void ft_inbound_deliver(void)
{
    Kept *k;

    while ((k = take_first())) {
        ft_inbound_give(&k->p);
        free_kept(k);
    }
}
