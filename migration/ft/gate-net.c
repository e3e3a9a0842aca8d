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
 * What comes the other way passes, except during a switchover (inbound.c).
 *
 * Created directly, not through -object: the checks of a user's filter
 * (an id, one queue only) do not apply.
 */
#include "qemu/osdep.h"
#include "qemu/iov.h"
#include "net/filter.h"
#include "net/net.h"
#include "qom/object.h"
#include "gate.h"
#include "inbound.h"

#define TYPE_FILTER_FT "filter-ft"

static void net_release(void *target, unsigned flags,
                        const uint8_t *data, size_t len)
{
    NetFilterState *nf = target;
    struct iovec iov = { .iov_base = (void *)data, .iov_len = len };

    qemu_netfilter_pass_to_next(nf->netdev->peer, flags, &iov, 1, nf);
}

/* A filter lives as long as its back end; cleanup forgets what is held */
static void net_ref(void *target)
{
}

static const FtGateOps net_gate = {
    .release = net_release,
    .ref = net_ref,
    .unref = net_ref,
};

static ssize_t filter_ft_receive(NetFilterState *nf, NetClientState *sender,
                                 unsigned flags, const struct iovec *iov,
                                 int iovcnt, NetPacketSent *sent_cb)
{
    if (sender == nf->netdev) {
        /* On its way to the guest */
        return ft_inbound_take(sender, iov, iovcnt) ?
               iov_size(iov, iovcnt) : 0;
    }
    switch (ft_gate_mode) {
    case FT_GATE_PASS:
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
