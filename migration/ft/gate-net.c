/*
 * QEMU-FT: output commit for network packets
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A net filter on each queue of each back end that serves a NIC, at the
 * stage next to the wire.  It always takes the whole packet at once, so
 * NICs see a back end that is never busy and keep no transmit state.
 *
 * Not a NetQueue: that drops silently beyond 10000 packets.
 *
 * What comes the other way passes, except during a switchover (inbound.c);
 * the peer gets a copy (carry.c).
 *
 * Created directly, not through -object: the checks of a user's filter
 * (an id, one queue only) do not apply.
 *
 * With stamp=on (a test aid) each of the guest's frames follows one of ours
 * that says which generation let it go, through the same back end: whoever
 * captures it sees whether two copies ever acted.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/iov.h"
#include "net/filter.h"
#include "net/net.h"
#include "qom/object.h"
#include "carry.h"
#include "gate.h"
#include "inbound.h"
#include "options.h"
#include "salvage.h"
#include "state.h"

#define TYPE_FILTER_FT "filter-ft"
#define STAMP_ETHERTYPE 0x88b5  /* IEEE 802: local experimental */

typedef struct QEMU_PACKED FtStamp {
    uint8_t to[6], from[6];
    uint16_t ethertype;
    uint64_t generation, counter;
    uint8_t padding[30];        /* to the least length of a frame, 60 */
} FtStamp;
QEMU_BUILD_BUG_ON(sizeof(FtStamp) != 60);

/* Of the frame that comes next; nothing when the user did not ask for it */
static void stamp_next(NetFilterState *nf)
{
    static uint64_t counter;
    static const uint8_t vnet_hdr[32];
    int hdr_len = nf->netdev->vnet_hdr_len;
    FtStamp s = {
        .to = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
        .from = { 0x02, 'f', 't' },
        .ethertype = cpu_to_be16(STAMP_ETHERTYPE),
        .generation = cpu_to_be64(ft_status.generation),
    };
    struct iovec iov[] = {
        { .iov_base = (void *)vnet_hdr, .iov_len = hdr_len },
        { .iov_base = &s, .iov_len = sizeof(s) },
    };

    if (!ft_opts.stamp) {
        return;
    }
    assert(hdr_len <= sizeof(vnet_hdr));
    s.counter = cpu_to_be64(++counter);
    qemu_netfilter_pass_to_next(nf->netdev->peer, 0, hdr_len ? iov : iov + 1,
                                hdr_len ? 2 : 1, nf);
}

static void net_release(void *target, unsigned flags,
                        const uint8_t *data, size_t len)
{
    NetFilterState *nf = target;
    struct iovec iov = { .iov_base = (void *)data, .iov_len = len };

    stamp_next(nf);
    qemu_netfilter_pass_to_next(nf->netdev->peer, flags, &iov, 1, nf);
}

/* A filter lives as long as its back end; cleanup forgets what is held */
static void net_ref(void *target)
{
}

/* The guest's own have no flags; QEMU says others for it */
static bool net_packet(void *target, unsigned flags, FtPacket *p)
{
    NetFilterState *nf = target;
    NetClientState *nic = nf->netdev->peer;

    if (flags || !nic) {
        return false;
    }
    p->nic = nic->name;
    p->queue = nic->queue_index;
    p->header_length = nf->netdev->vnet_hdr_len;
    return true;
}

static const FtGateOps net_gate = {
    .release = net_release,
    .ref = net_ref,
    .unref = net_ref,
    .packet = net_packet,
};

void ft_gate_net_say(const FtPacket *p)
{
    NetClientState *nic = ft_inbound_nic(p);

    if (nic) {
        qemu_send_packet(nic, p->data, p->length);
    }
}

static ssize_t filter_ft_receive(NetFilterState *nf, NetClientState *sender,
                                 unsigned flags, const struct iovec *iov,
                                 int iovcnt, NetPacketSent *sent_cb)
{
    if (sender == nf->netdev) {
        /* On its way to the guest */
        if (ft_inbound_take(sender, iov, iovcnt)) {
            return iov_size(iov, iovcnt);
        }
        ft_carry_input(sender, iov, iovcnt);
        return 0;
    }
    switch (ft_gate_mode) {
    case FT_GATE_PASS:
        stamp_next(nf);
        return 0;
    case FT_GATE_HOLD:
        ft_gate_hold(&net_gate, nf, flags, iov, iovcnt);
        break;
    case FT_GATE_DROP:
        break;
    }
    return iov_size(iov, iovcnt);
}

static void filter_ft_cleanup(NetFilterState *nf)
{
    ft_gate_forget(nf);
    /* The keeper's copy would keep the tap */
    ft_salvage_stop();
}

static void filter_ft_class_init(ObjectClass *oc, void *data)
{
    NetFilterClass *nfc = NETFILTER_CLASS(oc);

    nfc->receive_iov = filter_ft_receive;
    nfc->cleanup = filter_ft_cleanup;
}

static const TypeInfo filter_ft_info = {
    .name = TYPE_FILTER_FT,
    .parent = TYPE_NETFILTER,
    .instance_size = sizeof(NetFilterState),
    .class_init = (void *)filter_ft_class_init,
};

static void filter_ft_register(void)
{
    type_register_static(&filter_ft_info);
}

type_init(filter_ft_register)

static bool has_gate(NetClientState *nc)
{
    NetFilterState *nf;

    QTAILQ_FOREACH(nf, &nc->filters, next) {
        if (object_dynamic_cast(OBJECT(nf), TYPE_FILTER_FT)) {
            return true;
        }
    }
    return false;
}

static void attach(NetClientState *nc)
{
    static unsigned int n;
    NetFilterState *nf = NETFILTER(object_new(TYPE_FILTER_FT));
    g_autofree char *name = g_strdup_printf("ft-gate%u", n++);

    nf->netdev = nc;
    nf->direction = NET_FILTER_DIRECTION_ALL;
    nf->on = true;
    object_property_add_child(object_get_objects_root(), name, OBJECT(nf));
    object_unref(OBJECT(nf));
    QTAILQ_INSERT_HEAD(&nc->filters, nf, next);
}

void ft_gate_net_attach(void)
{
    NetClientState *nc;

    QTAILQ_FOREACH(nc, &net_clients, next) {
        if (nc->info->type != NET_CLIENT_DRIVER_NIC && nc->peer &&
            nc->peer->info->type == NET_CLIENT_DRIVER_NIC && !has_gate(nc)) {
            attach(nc);
        }
    }
}
