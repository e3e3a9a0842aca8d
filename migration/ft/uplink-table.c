/*
 * QEMU-FT: the host's network interfaces, as the kernel tells of them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One entry for each interface of QEMU's network namespace, fed with
 * rtnetlink messages: the list that was asked for at first, then every
 * change.  sysfs would not do: it shows the namespace of whoever mounted it.
 *
 * A tap leads out of the host when it is up with carrier and, as the port of
 * a bridge, so is the bridge and one of the ports that lead out.  Other taps
 * and dummies lead nowhere.  A bridge that has never had anything else joins
 * guests of this host only: nothing can be wrong with it.  A port that
 * the spanning tree keeps from forwarding is as good as down.
 *
 * A bridge speaks of its ports in messages of its own (AF_BRIDGE).  They tell
 * the state of a port; that one has left its bridge is told as the deletion
 * of an interface, which it is not.
 *
 * Pure functions on memory, no lock; uplink-watch.c has the socket.
 */
#include "qemu/osdep.h"
#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/rtnetlink.h>
#include "uplink-table.h"

#define NO_PORT (-1)
#define KIND_LEN 16

typedef struct Link {
    char name[IFNAMSIZ];
    char kind[KIND_LEN];        /* as in "bridge"; "" for hardware */
    uint32_t flags;             /* IFF_* */
    uint32_t master;            /* index of the bridge or the like, 0: none */
    int port;                   /* BR_STATE_*, or NO_PORT */
    uint8_t mac[6];
    uint32_t round;             /* the last list it was in */
} Link;

struct FtUplinkTable {
    GHashTable *links;          /* by index */
    uint32_t round;
};

typedef struct Attr {
    uint16_t type;
    size_t len;
    const uint8_t *data;
} Attr;

FtUplinkTable *ft_uplink_table_new(void)
{
    FtUplinkTable *t = g_new0(FtUplinkTable, 1);

    t->links = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    return t;
}

void ft_uplink_table_free(FtUplinkTable *t)
{
    if (t) {
        g_hash_table_destroy(t->links);
        g_free(t);
    }
}

void ft_uplink_table_expect(FtUplinkTable *t)
{
    t->round++;
}

/* The next attribute from *@pos on; false at the end */
static bool next_attr(const uint8_t **pos, const uint8_t *end, Attr *a)
{
    struct rtattr h;

    if (end - *pos < sizeof(h)) {
        return false;
    }
    memcpy(&h, *pos, sizeof(h));
    if (h.rta_len < sizeof(h) || h.rta_len > end - *pos) {
        return false;
    }
    *a = (Attr) {
        .type = h.rta_type & NLA_TYPE_MASK,
        .len = h.rta_len - sizeof(h),
        .data = *pos + sizeof(h),
    };
    *pos += MIN(RTA_ALIGN(h.rta_len), end - *pos);
    return true;
}

static void get_text(const Attr *a, char *text, size_t size)
{
    size_t len = MIN(a->len, size - 1);

    memcpy(text, a->data, len);
    text[len] = 0;
}

/* The state of a port among the attributes that its bridge gives it */
static void get_port(const Attr *nest, int *port)
{
    const uint8_t *pos = nest->data;
    Attr a;

    while (next_attr(&pos, nest->data + nest->len, &a)) {
        if (a.type == IFLA_BRPORT_STATE && a.len == 1) {
            *port = a.data[0];
        }
    }
}

static void get_info(const Attr *nest, Link *l)
{
    const uint8_t *pos = nest->data;
    char of[KIND_LEN] = "";
    Attr a;

    while (next_attr(&pos, nest->data + nest->len, &a)) {
        if (a.type == IFLA_INFO_KIND) {
            get_text(&a, l->kind, sizeof(l->kind));
        } else if (a.type == IFLA_INFO_SLAVE_KIND) {
            get_text(&a, of, sizeof(of));
        } else if (a.type == IFLA_INFO_SLAVE_DATA &&
                   g_str_equal(of, "bridge")) {
            get_port(&a, &l->port);
        }
    }
}

static void get_link(const uint8_t *pos, const uint8_t *end, Link *l)
{
    Attr a;

    while (next_attr(&pos, end, &a)) {
        if (a.type == IFLA_IFNAME) {
            get_text(&a, l->name, sizeof(l->name));
        } else if (a.type == IFLA_MASTER && a.len == sizeof(l->master)) {
            memcpy(&l->master, a.data, sizeof(l->master));
        } else if (a.type == IFLA_ADDRESS && a.len == sizeof(l->mac)) {
            memcpy(l->mac, a.data, sizeof(l->mac));
        } else if (a.type == IFLA_LINKINFO) {
            get_info(&a, l);
        }
    }
}

static bool same(const Link *a, const Link *b)
{
    return g_str_equal(a->name, b->name) && g_str_equal(a->kind, b->kind) &&
           a->flags == b->flags && a->master == b->master &&
           a->port == b->port && !memcmp(a->mac, b->mac, sizeof(a->mac));
}

/* What a bridge says of a port of its */
static bool take_port(FtUplinkTable *t, const struct ifinfomsg *info,
                      const uint8_t *pos, const uint8_t *end)
{
    Link *l = g_hash_table_lookup(t->links, GINT_TO_POINTER(info->ifi_index));
    int port = NO_PORT;
    Attr a;

    while (next_attr(&pos, end, &a)) {
        if (a.type == IFLA_PROTINFO) {
            get_port(&a, &port);
        }
    }
    if (!l || port == NO_PORT || l->port == port) {
        return false;
    }
    l->port = port;
    return true;
}

static bool take_link(FtUplinkTable *t, bool gone, const uint8_t *body,
                      size_t len)
{
    struct ifinfomsg info;
    const uint8_t *attrs = body + NLMSG_ALIGN(sizeof(info));
    Link l = { .port = NO_PORT, .round = t->round };
    Link *old;
    void *key;

    if (len < NLMSG_ALIGN(sizeof(info))) {
        return false;
    }
    memcpy(&info, body, sizeof(info));
    if (info.ifi_family == AF_BRIDGE) {
        return !gone && take_port(t, &info, attrs, body + len);
    }
    key = GINT_TO_POINTER(info.ifi_index);
    if (gone) {
        return g_hash_table_remove(t->links, key);
    }
    l.flags = info.ifi_flags;
    get_link(attrs, body + len, &l);
    old = g_hash_table_lookup(t->links, key);
    if (old && same(old, &l)) {
        old->round = t->round;
        return false;
    }
    g_hash_table_replace(t->links, key, g_memdup2(&l, sizeof(l)));
    return true;
}

static gboolean is_older(gpointer key, gpointer value, gpointer opaque)
{
    const FtUplinkTable *t = opaque;

    return ((Link *)value)->round != t->round;
}

static unsigned take_message(FtUplinkTable *t, const struct nlmsghdr *h,
                             const uint8_t *body, size_t len)
{
    unsigned bits = h->nlmsg_flags & NLM_F_DUMP_INTR ? FT_UPLINK_AGAIN : 0;

    switch (h->nlmsg_type) {
    case NLMSG_DONE:
        g_hash_table_foreach_remove(t->links, is_older, t);
        return bits | FT_UPLINK_DONE | FT_UPLINK_CHANGED;
    case NLMSG_ERROR:
        return bits | FT_UPLINK_ERROR;
    case RTM_NEWLINK:
    case RTM_DELLINK:
        if (take_link(t, h->nlmsg_type == RTM_DELLINK, body, len)) {
            bits |= FT_UPLINK_CHANGED;
        }
    }
    return bits;
}

unsigned ft_uplink_table_feed(FtUplinkTable *t, const void *buf, size_t len)
{
    const uint8_t *pos = buf, *end = pos + len;
    unsigned bits = 0;

    while (end - pos >= NLMSG_HDRLEN) {
        struct nlmsghdr h;

        memcpy(&h, pos, sizeof(h));
        if (h.nlmsg_len < NLMSG_HDRLEN || h.nlmsg_len > end - pos) {
            break;
        }
        bits |= take_message(t, &h, pos + NLMSG_HDRLEN,
                             h.nlmsg_len - NLMSG_HDRLEN);
        pos += MIN(NLMSG_ALIGN(h.nlmsg_len), end - pos);
    }
    return bits;
}

static Link *find(const FtUplinkTable *t, const char *name)
{
    GHashTableIter it;
    gpointer value;

    g_hash_table_iter_init(&it, t->links);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        if (g_str_equal(((Link *)value)->name, name)) {
            return value;
        }
    }
    return NULL;
}

/* Would a frame pass through it? */
static bool works(const Link *l)
{
    const uint32_t need = IFF_UP | IFF_RUNNING | IFF_LOWER_UP;

    return (l->flags & need) == need &&
           (l->port == NO_PORT || l->port == BR_STATE_FORWARDING);
}

static bool leads_out(const Link *l)
{
    return !g_str_equal(l->kind, "tun") && !g_str_equal(l->kind, "dummy");
}

static bool bridge_leads_out(const FtUplinkTable *t, uint32_t bridge,
                             FtUplinkPast *past)
{
    bool works_out = false;
    GHashTableIter it;
    gpointer value;

    g_hash_table_iter_init(&it, t->links);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        const Link *l = value;

        if (l->master == bridge && leads_out(l)) {
            past->outward = true;
            works_out |= works(l);
        }
    }
    return works_out || !past->outward;
}

FtUplinkState ft_uplink_table_judge(const FtUplinkTable *t, const char *name,
                                    bool ports, FtUplinkPast *past)
{
    const Link *tap = find(t, name), *bridge;

    if (!tap) {
        return FT_UPLINK_STATE_UNKNOWN;
    }
    if (!tap->master && past->member) {
        return FT_UPLINK_STATE_DOWN;
    }
    past->member = tap->master;
    bridge = g_hash_table_lookup(t->links, GUINT_TO_POINTER(tap->master));
    if (bridge && ports && g_str_equal(bridge->kind, "bridge") &&
        (!bridge_leads_out(t, tap->master, past) ||
         !(bridge->flags & IFF_UP))) {
        return FT_UPLINK_STATE_DOWN;
    }
    return works(tap) ? FT_UPLINK_STATE_UP : FT_UPLINK_STATE_DOWN;
}

FtUplinkState ft_uplink_table_plain(const FtUplinkTable *t, const char *name,
                                    FtUplinkPast *past)
{
    const Link *l = find(t, name);

    if (!l) {
        return past->seen ? FT_UPLINK_STATE_DOWN : FT_UPLINK_STATE_UNKNOWN;
    }
    past->seen = true;
    return works(l) ? FT_UPLINK_STATE_UP : FT_UPLINK_STATE_DOWN;
}

bool ft_uplink_table_has(const FtUplinkTable *t, const char *name,
                         const uint8_t mac[6])
{
    const Link *l = find(t, name);

    return l && !memcmp(l->mac, mac, sizeof(l->mac));
}
