/*
 * QEMU-FT: tests of the table of interfaces
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/rtnetlink.h>
#include "migration/ft/uplink-table.h"

#define GOOD (IFF_UP | IFF_RUNNING | IFF_LOWER_UP)
#define NO_STATE (-1)

enum { BRIDGE = 2, TAP, ETH, OTHER_TAP, OTHER_BRIDGE };

typedef struct Told {
    const char *name, *kind;
    int index, master, flags, port;
    uint8_t mac;
} Told;

static void put_attr(GByteArray *out, int type, const void *data, size_t len)
{
    struct rtattr a = { .rta_type = type, .rta_len = sizeof(a) + len };
    static const uint8_t pad[RTA_ALIGNTO];

    g_byte_array_append(out, (void *)&a, sizeof(a));
    g_byte_array_append(out, data, len);
    g_byte_array_append(out, pad, RTA_ALIGN(len) - len);
}

static void put_nest(GByteArray *out, int type, GByteArray *inner)
{
    put_attr(out, type, inner->data, inner->len);
    g_byte_array_free(inner, true);
}

static GByteArray *port_state(int state)
{
    GByteArray *a = g_byte_array_new();
    uint8_t byte = state;
    uint32_t cost = 4;

    put_attr(a, IFLA_BRPORT_COST, &cost, sizeof(cost));
    put_attr(a, IFLA_BRPORT_STATE, &byte, 1);
    return a;
}

static void put_head(GByteArray *out, int type, int flags, size_t body)
{
    struct nlmsghdr h = {
        .nlmsg_type = type,
        .nlmsg_flags = flags,
        .nlmsg_len = NLMSG_HDRLEN + body,
    };

    g_byte_array_append(out, (void *)&h, sizeof(h));
}

static void put_message(GByteArray *out, int type, int family, int index,
                        int flags, GByteArray *attrs)
{
    struct ifinfomsg info = {
        .ifi_family = family,
        .ifi_index = index,
        .ifi_flags = flags,
    };

    put_head(out, type, 0, sizeof(info) + attrs->len);
    g_byte_array_append(out, (void *)&info, sizeof(info));
    g_byte_array_append(out, attrs->data, attrs->len);
    g_byte_array_free(attrs, true);
}

static void put_link(GByteArray *out, int type, const Told *l)
{
    GByteArray *attrs = g_byte_array_new(), *info = g_byte_array_new();
    uint8_t mac[6] = { 0x52, 0x54, 0, 0, 0, l->mac };
    uint32_t master = l->master;

    put_attr(attrs, IFLA_IFNAME, l->name, strlen(l->name) + 1);
    put_attr(attrs, IFLA_ADDRESS, mac, sizeof(mac));
    if (master) {
        put_attr(attrs, IFLA_MASTER, &master, sizeof(master));
    }
    if (l->kind) {
        put_attr(info, IFLA_INFO_KIND, l->kind, strlen(l->kind));
    }
    if (l->port != NO_STATE) {
        put_attr(info, IFLA_INFO_SLAVE_KIND, "bridge", 6);
        put_nest(info, IFLA_INFO_SLAVE_DATA | NLA_F_NESTED,
                 port_state(l->port));
    }
    put_nest(attrs, IFLA_LINKINFO | NLA_F_NESTED, info);
    put_message(out, type, AF_UNSPEC, l->index, l->flags, attrs);
}

static unsigned feed(FtUplinkTable *t, GByteArray *buf)
{
    g_autofree uint8_t *exact = g_memdup2(buf->data, buf->len);
    unsigned bits = ft_uplink_table_feed(t, exact, buf->len);

    g_byte_array_free(buf, true);
    return bits;
}

static unsigned tell(FtUplinkTable *t, int type, Told l)
{
    GByteArray *buf = g_byte_array_new();

    put_link(buf, type, &l);
    return feed(t, buf);
}

static unsigned tell_port(FtUplinkTable *t, int type, int index, int state)
{
    GByteArray *buf = g_byte_array_new(), *attrs = g_byte_array_new();

    put_nest(attrs, IFLA_PROTINFO | NLA_F_NESTED, port_state(state));
    put_message(buf, type, AF_BRIDGE, index, GOOD, attrs);
    return feed(t, buf);
}

static unsigned tell_end(FtUplinkTable *t, int type, int flags)
{
    GByteArray *buf = g_byte_array_new();
    int zero = 0;

    put_head(buf, type, flags, sizeof(zero));
    g_byte_array_append(buf, (void *)&zero, sizeof(zero));
    return feed(t, buf);
}

static const Told bridge = { "br", "bridge", BRIDGE, 0, GOOD, NO_STATE, 1 };
static const Told tap = { "tap", "tun", TAP, BRIDGE, GOOD, 3, 2 };
static const Told other = { "tap2", "tun", OTHER_TAP, BRIDGE, GOOD, 3, 3 };
static const Told eth = { "eth", NULL, ETH, BRIDGE, GOOD, 3, 4 };

static Told with(Told l, int flags, int master)
{
    l.flags = flags;
    l.master = master;
    if (!master) {
        l.port = NO_STATE;
    }
    return l;
}

/* A bridge with @ports of tap, other, eth */
static FtUplinkTable *host(int ports)
{
    const Told all[] = { tap, other, eth };
    FtUplinkTable *t = ft_uplink_table_new();

    ft_uplink_table_expect(t);
    tell(t, RTM_NEWLINK, bridge);
    for (int i = 0; i < ports; i++) {
        tell(t, RTM_NEWLINK, all[i]);
    }
    g_assert_cmpuint(tell_end(t, NLMSG_DONE, 0), ==,
                     FT_UPLINK_DONE | FT_UPLINK_CHANGED);
    return t;
}

static void is(const FtUplinkTable *t, FtUplinkPast *past, const char *what)
{
    FtUplinkState s = ft_uplink_table_judge(t, "tap", true, past);

    g_assert_cmpstr(s == FT_UPLINK_STATE_UP ? "up" :
                    s == FT_UPLINK_STATE_DOWN ? "down" : "unknown", ==, what);
}

static void test_port(void)
{
    FtUplinkTable *t = host(3);
    FtUplinkPast past = { 0 };

    is(t, &past, "up");
    tell(t, RTM_NEWLINK, with(eth, IFF_UP, BRIDGE));
    is(t, &past, "down");
    tell(t, RTM_NEWLINK, with(eth, IFF_UP | IFF_LOWER_UP, BRIDGE));
    is(t, &past, "down");
    tell(t, RTM_NEWLINK, eth);
    is(t, &past, "up");
    /* Another one takes over */
    tell(t, RTM_NEWLINK, with(eth, 0, BRIDGE));
    tell(t, RTM_NEWLINK, (Told) { "eth2", "vlan", 9, BRIDGE, GOOD, 3, 5 });
    is(t, &past, "up");
    ft_uplink_table_free(t);
}

static void test_port_leaves(void)
{
    FtUplinkTable *t = host(3);
    FtUplinkPast past = { 0 };

    is(t, &past, "up");
    tell(t, RTM_NEWLINK, with(eth, GOOD, 0));
    is(t, &past, "down");
    tell(t, RTM_NEWLINK, eth);
    is(t, &past, "up");
    g_assert_cmpuint(tell(t, RTM_DELLINK, eth), ==, FT_UPLINK_CHANGED);
    is(t, &past, "down");
    /* Who comes later knows a bridge that joins guests only */
    past = (FtUplinkPast) { 0 };
    is(t, &past, "up");
    ft_uplink_table_free(t);
}

static void test_taps_only(void)
{
    FtUplinkTable *t = host(2);
    FtUplinkPast past = { 0 };

    is(t, &past, "up");
    tell(t, RTM_NEWLINK, with(other, 0, BRIDGE));
    tell(t, RTM_NEWLINK, (Told) { "d0", "dummy", 9, BRIDGE, 0, 0, 5 });
    is(t, &past, "up");
    tell(t, RTM_NEWLINK, with(bridge, 0, 0));
    is(t, &past, "down");
    ft_uplink_table_free(t);
}

static void test_tap(void)
{
    FtUplinkTable *t = host(3);
    FtUplinkPast past = { 0 };

    is(t, &past, "up");
    tell(t, RTM_NEWLINK, with(tap, IFF_UP, BRIDGE));
    is(t, &past, "down");
    tell(t, RTM_NEWLINK, tap);
    is(t, &past, "up");
    tell(t, RTM_NEWLINK, with(tap, GOOD, 0));
    is(t, &past, "down");
    /* Routed from the beginning: as good as it is itself */
    past = (FtUplinkPast) { 0 };
    is(t, &past, "up");
    tell(t, RTM_NEWLINK, with(tap, IFF_UP, 0));
    is(t, &past, "down");
    tell(t, RTM_DELLINK, tap);
    is(t, &past, "unknown");
    ft_uplink_table_free(t);
}

/* Into another bridge, which has never led anywhere, and a switch */
static void test_other_master(void)
{
    FtUplinkTable *t = host(3);
    FtUplinkPast past = { 0 };
    Told last = bridge;

    is(t, &past, "up");
    last.name = "br2";
    last.index = OTHER_BRIDGE;
    tell(t, RTM_NEWLINK, last);
    tell(t, RTM_NEWLINK, with(tap, GOOD, OTHER_BRIDGE));
    is(t, &past, "down");
    last.kind = "openvswitch";
    tell(t, RTM_NEWLINK, last);
    is(t, &past, "up");
    ft_uplink_table_free(t);
}

static void test_ports_not_looked_at(void)
{
    FtUplinkTable *t = host(3);
    FtUplinkPast past = { 0 };

    tell(t, RTM_NEWLINK, with(eth, 0, BRIDGE));
    g_assert_cmpint(ft_uplink_table_judge(t, "tap", false, &past), ==,
                    FT_UPLINK_STATE_UP);
    ft_uplink_table_free(t);
}

/* The spanning tree, told by the interface and by its bridge */
static void test_spanning_tree(void)
{
    FtUplinkTable *t = host(3);
    FtUplinkPast past = { 0 };
    Told blocked = eth;

    blocked.port = BR_STATE_BLOCKING;
    is(t, &past, "up");
    tell(t, RTM_NEWLINK, blocked);
    is(t, &past, "down");
    tell_port(t, RTM_NEWLINK, ETH, BR_STATE_LEARNING);
    is(t, &past, "down");
    g_assert_cmpuint(tell_port(t, RTM_NEWLINK, ETH, BR_STATE_FORWARDING), ==,
                     FT_UPLINK_CHANGED);
    is(t, &past, "up");
    g_assert_cmpuint(tell_port(t, RTM_NEWLINK, ETH, BR_STATE_FORWARDING), ==,
                     0);
    tell_port(t, RTM_NEWLINK, TAP, BR_STATE_LISTENING);
    is(t, &past, "down");
    tell_port(t, RTM_NEWLINK, TAP, BR_STATE_FORWARDING);
    /* A bridge that lets go of a port deletes no interface */
    g_assert_cmpuint(tell_port(t, RTM_DELLINK, ETH, BR_STATE_DISABLED), ==,
                     0);
    is(t, &past, "up");
    ft_uplink_table_free(t);
}

static void test_plain(void)
{
    FtUplinkTable *t = host(3);
    FtUplinkPast past = { 0 }, never = { 0 };

    g_assert_cmpint(ft_uplink_table_plain(t, "eth", &past), ==,
                    FT_UPLINK_STATE_UP);
    tell(t, RTM_NEWLINK, with(eth, IFF_UP, 0));
    g_assert_cmpint(ft_uplink_table_plain(t, "eth", &past), ==,
                    FT_UPLINK_STATE_DOWN);
    tell(t, RTM_DELLINK, eth);
    g_assert_cmpint(ft_uplink_table_plain(t, "eth", &past), ==,
                    FT_UPLINK_STATE_DOWN);
    g_assert_cmpint(ft_uplink_table_plain(t, "eth", &never), ==,
                    FT_UPLINK_STATE_UNKNOWN);
    ft_uplink_table_free(t);
}

static void test_changed(void)
{
    FtUplinkTable *t = host(3);
    Told renamed = eth;

    g_assert_cmpuint(tell(t, RTM_NEWLINK, eth), ==, 0);
    renamed.name = "wan";
    g_assert_cmpuint(tell(t, RTM_NEWLINK, renamed), ==, FT_UPLINK_CHANGED);
    g_assert(ft_uplink_table_has(t, "wan", (uint8_t[]) { 0x52, 0x54, 0, 0, 0,
                                                         4 }));
    g_assert(!ft_uplink_table_has(t, "wan", (uint8_t[]) { 0x52, 0x54, 0, 0, 0,
                                                          5 }));
    g_assert(!ft_uplink_table_has(t, "eth", (uint8_t[]) { 0x52, 0x54, 0, 0, 0,
                                                          4 }));
    g_assert_cmpuint(tell(t, RTM_DELLINK, renamed), ==, FT_UPLINK_CHANGED);
    g_assert_cmpuint(tell(t, RTM_DELLINK, renamed), ==, 0);
    ft_uplink_table_free(t);
}

/* A list that was asked for again: who is not in it is gone */
static void test_again(void)
{
    FtUplinkTable *t = host(3);
    FtUplinkPast past = { 0 };

    is(t, &past, "up");
    ft_uplink_table_expect(t);
    tell(t, RTM_NEWLINK, bridge);
    tell(t, RTM_NEWLINK, tap);
    is(t, &past, "up");
    g_assert_cmpuint(tell_end(t, NLMSG_DONE, NLM_F_DUMP_INTR), ==,
                     FT_UPLINK_DONE | FT_UPLINK_CHANGED | FT_UPLINK_AGAIN);
    is(t, &past, "down");
    g_assert_cmpuint(tell_end(t, NLMSG_ERROR, 0), ==, FT_UPLINK_ERROR);
    g_assert_cmpuint(tell_end(t, RTM_NEWROUTE, 0), ==, 0);
    ft_uplink_table_free(t);
}

/* Lengths that lie, everywhere; the sanitizer and valgrind watch */
static void test_malformed(void)
{
    GRand *r = g_rand_new_with_seed(7);
    g_autoptr(GByteArray) good = g_byte_array_new();
    int changed = 0;

    put_link(good, RTM_NEWLINK, &bridge);
    put_link(good, RTM_NEWLINK, &eth);
    for (int i = 0; i < 100000; i++) {
        size_t len = g_rand_int_range(r, 0, good->len + 1);
        g_autofree uint8_t *bad = g_memdup2(good->data, len);
        FtUplinkTable *t = ft_uplink_table_new();
        FtUplinkPast past = { 0 };

        for (int n = g_rand_int_range(r, 0, 6); n && len; n--) {
            bad[g_rand_int_range(r, 0, len)] = g_rand_int(r);
        }
        changed += ft_uplink_table_feed(t, bad, len) & FT_UPLINK_CHANGED;
        ft_uplink_table_plain(t, "eth", &past);
        ft_uplink_table_judge(t, "eth", true, &past);
        ft_uplink_table_free(t);
    }
    g_assert_cmpint(changed, >, 10000);
    g_rand_free(r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ft/uplink/port", test_port);
    g_test_add_func("/ft/uplink/port-leaves", test_port_leaves);
    g_test_add_func("/ft/uplink/taps-only", test_taps_only);
    g_test_add_func("/ft/uplink/tap", test_tap);
    g_test_add_func("/ft/uplink/other-master", test_other_master);
    g_test_add_func("/ft/uplink/ports-not-looked-at",
                    test_ports_not_looked_at);
    g_test_add_func("/ft/uplink/spanning-tree", test_spanning_tree);
    g_test_add_func("/ft/uplink/plain", test_plain);
    g_test_add_func("/ft/uplink/changed", test_changed);
    g_test_add_func("/ft/uplink/again", test_again);
    g_test_add_func("/ft/uplink/malformed", test_malformed);
    return g_test_run();
}
