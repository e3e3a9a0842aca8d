/*
 * QEMU-FT: leaving a host whose way to the network is lost
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Both hosts live and see each other, but nobody sees the guest: a cable, a
 * port of the switch, or somebody's mistake with a bridge.  The guest then
 * goes on at the peer, by a switchover.  The alternative, to send its
 * packets through the peer's NIC over the channel, would need a second data
 * path with an output rule of its own, would add the link's latency to every
 * packet, and would leave the guest on a host that has just shown to be
 * broken; all that it would save is a pause of some milliseconds.
 *
 * Each side watches the interfaces behind its NICs (uplink-watch.c), also the
 * secondary, whose taps exist and wait, and tells the other what it sees in
 * UPLINK records.  A NIC is known by the path of its device, which is the
 * same on both sides; names of netdevs and interfaces need not be.
 *
 * The primary acts when, for as long as the time-out,
 *
 *     one of its NICs was down, and the same NIC of the peer was up,
 *
 * and no NIC is worse off there at that moment.  So a flap shorter than the
 * time-out moves nothing; nor does a switch that both sides hang on, which
 * comes back for one of them a little sooner; and nobody is sent to a host
 * that is known to be no better, or of which nothing is known.  There is
 * no way back: the copy that was left is gone until a new one is made.
 *
 * What cannot be acted on is told: in query-ft, by an event at once, and in
 * the log once it has lasted.  The guest is shown as degraded, not as
 * unprotected: the death of either side would still be survived.
 *
 * Only what is next to the guest is watched.  A switch farther away that
 * lost its own uplink is not seen: uplink= may name something better.
 */
#include "qemu/osdep.h"
#include <net/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "qapi/qapi-events-ft.h"
#include "hw/qdev-core.h"
#include "hw/boards.h"
#include "net/net.h"
#include "net/tap.h"
#include "hash.h"
#include "options.h"
#include "primary.h"
#include "secondary.h"
#include "state.h"
#include "uplink.h"
#include "uplink-watch.h"

/* An interface that uplink= names */
typedef struct Named {
    char *netdev;               /* NULL: of each NIC without one of its own */
    char *name;
    FtUplinkPast past;
} Named;

typedef struct Nic {
    char *id;                   /* of the netdev */
    uint64_t path;              /* hash of the device's path */
    char name[IFNAMSIZ];        /* of the interface, "": none, or unknown */
    FtUplinkPast past;
    bool elsewhere;             /* it is in another namespace, and was told */
    FtUplinkState local, peer;
    int64_t since_ms;           /* both have been what they are */
    bool local_told, peer_told; /* the log says that it is down */
} Nic;

static GPtrArray *nics, *named;
static bool off;
static QEMUTimer *timer;

static bool valid_name(const char *name)
{
    size_t len = strlen(name);

    return len && len < IFNAMSIZ && !strpbrk(name, "/: \t\n");
}

bool ft_uplink_option(const char *text, Error **errp)
{
    const char *colon = strchr(text, ':');
    const char *name = colon ? colon + 1 : text;
    Named *n;

    if (g_str_equal(text, "off")) {
        off = true;
    } else if (!valid_name(name) || colon == text) {
        error_setg(errp, "uplink=%s names no interface; give IFNAME, "
                   "NETDEV:IFNAME, or off", text);
        return false;
    } else {
        n = g_new0(Named, 1);
        n->netdev = colon ? g_strndup(text, colon - text) : NULL;
        n->name = g_strdup(name);
        named = named ?: g_ptr_array_new();
        g_ptr_array_add(named, n);
    }
    if (off && named) {
        error_setg(errp, "uplink=off cannot be combined with names of "
                   "interfaces; remove one of them");
        return false;
    }
    return true;
}

/* What one side sees */

static bool in_our_namespace(int fd)
{
    struct stat ours, its;
    int ns = ioctl(fd, TUNGETDEVNETNS);
    bool same;

    if (ns < 0) {
        /* A macvtap, an old kernel, or no privilege to ask */
        struct ifreq mac = { 0 }, name = { 0 };

        return !ioctl(fd, TUNGETIFF, &name) &&
               !ioctl(fd, SIOCGIFHWADDR, &mac) &&
               ft_uplink_table_has(ft_uplink_watch_table(), name.ifr_name,
                                   (uint8_t *)mac.ifr_hwaddr.sa_data);
    }
    same = !fstat(ns, &its) && !stat("/proc/self/ns/net", &ours) &&
           its.st_dev == ours.st_dev && its.st_ino == ours.st_ino;
    close(ns);
    return same;
}

/* The interface itself, and where its bridge leads unless @ports is false */
static FtUplinkState look_at_tap(Nic *nic, int fd, bool ports)
{
    struct ifreq ifr = { 0 };

    if (ioctl(fd, TUNGETIFF, &ifr) < 0) {
        /* The file outlives the interface; ENOLINK: that of a macvtap */
        return errno == EBADFD || errno == ENOLINK ? FT_UPLINK_STATE_DOWN :
               FT_UPLINK_STATE_UNKNOWN;
    }
    pstrcpy(nic->name, sizeof(nic->name), ifr.ifr_name);
    if (!in_our_namespace(fd)) {
        if (!nic->elsewhere) {
            warn_report("fault tolerance: the interface %s of NIC %s is in "
                        "another network namespace: the loss of its uplink "
                        "will not be noticed", nic->name, nic->id);
        }
        nic->elsewhere = true;
        return FT_UPLINK_STATE_UNKNOWN;
    }
    return ft_uplink_table_judge(ft_uplink_watch_table(), nic->name, ports,
                                 &nic->past);
}

static bool is_for(const Named *n, const Nic *nic, bool by_netdev)
{
    return by_netdev ? !g_strcmp0(n->netdev, nic->id) : !n->netdev;
}

/* The interfaces named for @nic; false: there are none */
static bool look_at_named(const Nic *nic, FtUplinkState *best)
{
    bool any = false;

    *best = FT_UPLINK_STATE_DOWN;
    for (int by_netdev = 1; by_netdev >= 0 && !any; by_netdev--) {
        for (guint i = 0; named && i < named->len; i++) {
            Named *n = g_ptr_array_index(named, i);
            FtUplinkState state;

            if (!is_for(n, nic, by_netdev)) {
                continue;
            }
            any = true;
            state = ft_uplink_table_plain(ft_uplink_watch_table(), n->name,
                                          &n->past);
            if (*best == FT_UPLINK_STATE_DOWN ||
                state == FT_UPLINK_STATE_UP) {
                *best = state;
            }
        }
    }
    return any;
}

static FtUplinkState look(Nic *nic)
{
    NetClientState *nc = qemu_find_netdev(nic->id);
    FtUplinkState named_state, state = FT_UPLINK_STATE_UNKNOWN;
    bool have_named;

    nic->name[0] = 0;
    if (off || !nc || !ft_uplink_watch_table()) {
        return state;
    }
    have_named = look_at_named(nic, &named_state);
    if (nc->info->type == NET_CLIENT_DRIVER_TAP) {
        state = look_at_tap(nic, tap_get_fd(nc), !have_named);
    }
    return have_named && state != FT_UPLINK_STATE_DOWN ? named_state : state;
}

/* What is told */

/* "net0 (tap0)"; interfaces of the peer are not known here */
static char *title(const Nic *nic, bool peer)
{
    bool named = !peer && *nic->name;

    return g_strdup_printf("%s%s%s%s", nic->id, named ? " (" : "",
                           named ? nic->name : "",
                           named ? ")" : peer ? " at the peer" : "");
}

/* That @nic is down on that side, and what of it */
static char *sentence(const Nic *nic, bool peer)
{
    bool secondary = peer != (ft_status.role == FT_ROLE_SECONDARY);
    g_autofree char *what = title(nic, peer);

    return g_strdup_printf("the uplink of NIC %s is down%s", what,
                           secondary ? ": after a takeover the guest could "
                           "not be reached" : "");
}

static void say(const Nic *nic, bool peer, FtUplinkState state, bool *told)
{
    bool down = state == FT_UPLINK_STATE_DOWN;
    g_autofree char *text = down ? sentence(nic, peer) : title(nic, peer);

    if (down && !*told) {
        warn_report("fault tolerance: %s", text);
    } else if (*told && state == FT_UPLINK_STATE_UP) {
        info_report("fault tolerance: the uplink of NIC %s is up again",
                    text);
    }
    *told = down;
}

GByteArray *ft_uplink_record(void)
{
    GByteArray *rec = g_byte_array_new();
    FtUplinks u = { 0 };

    for (guint i = 0; nics && i < MIN(nics->len, FT_WIRE_MAX_NICS); i++) {
        const Nic *nic = g_ptr_array_index(nics, i);

        u.at[u.n].nic = nic->path;
        u.at[u.n++].state = nic->local;
    }
    ft_wire_put_uplinks(rec, &u);
    return rec;
}

static void tell_peer(void)
{
    GByteArray *rec = ft_uplink_record();

    if (ft_status.role == FT_ROLE_SECONDARY) {
        ft_secondary_say(rec);
        return;
    }
    if (ft_primary.welcomed) {
        ft_channel_send(ft_primary.ch, rec->data, rec->len);
    }
    g_byte_array_free(rec, true);
}

/* What the primary does */

static void switch_over(const char *why)
{
    static char *said;          /* once, not at every attempt */
    Error *err = NULL;

    if (ft_primary_switch_over(why, &err)) {
        g_clear_pointer(&said, g_free);
        return;
    }
    if (g_strcmp0(said, error_get_pretty(err))) {
        g_free(said);
        said = g_strdup(error_get_pretty(err));
        warn_report("fault tolerance: %s, but: %s", why, said);
    }
    error_free(err);
}

static bool is_worse(FtUplinkState a, FtUplinkState than)
{
    static const int rank[] = {
        [FT_UPLINK_STATE_DOWN] = 0,
        [FT_UPLINK_STATE_UNKNOWN] = 1,
        [FT_UPLINK_STATE_UP] = 2,
    };

    return rank[a] < rank[than];
}

static int64_t now_ms(void)
{
    return qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
}

/* What has lasted for as long as the time-out? */
static void judge(void *opaque)
{
    int64_t now;
    Nic *lost = NULL;
    bool worse = false;

    /* What has ended meanwhile must not count as lasting */
    ft_uplink_watch_poll();
    now = now_ms();
    for (guint i = 0; i < nics->len; i++) {
        Nic *nic = g_ptr_array_index(nics, i);

        worse |= is_worse(nic->peer, nic->local);
        if (now - nic->since_ms < ft_opts.timeout_ms) {
            timer_mod_anticipate(timer, nic->since_ms + ft_opts.timeout_ms);
            continue;
        }
        say(nic, false, nic->local, &nic->local_told);
        say(nic, true, nic->peer, &nic->peer_told);
        if (nic->local == FT_UPLINK_STATE_DOWN &&
            nic->peer == FT_UPLINK_STATE_UP) {
            lost = nic;
        }
    }
    if (lost && !worse && ft_status.role == FT_ROLE_PRIMARY &&
        ft_primary.wanted) {
        g_autofree char *what = title(lost, false);
        g_autofree char *why = g_strdup_printf(
            "the uplink of NIC %s is down here and up at the peer", what);

        /* Again, if it cannot be done yet, or fails */
        timer_mod(timer, now + ft_opts.timeout_ms);
        switch_over(why);
    }
}

/* All that is down on one side in one text, or NULL */
static char *all_down(bool peer)
{
    g_autoptr(GString) text = g_string_new("");

    for (guint i = 0; i < nics->len; i++) {
        const Nic *nic = g_ptr_array_index(nics, i);

        if ((peer ? nic->peer : nic->local) == FT_UPLINK_STATE_DOWN) {
            g_autofree char *one = sentence(nic, peer);

            g_string_append_printf(text, "%s%s", text->len ? "; " : "", one);
        }
    }
    return text->len ? g_string_free(g_steal_pointer(&text), false) : NULL;
}

static void note_lacks(void)
{
    g_autofree char *local = all_down(false);
    g_autofree char *peer = all_down(true);

    ft_state_lack(FT_LACK_UPLINK, local);
    ft_state_lack(FT_LACK_PEER_UPLINK, peer);
}

static void changed(Nic *nic, FtSide side, FtUplinkState state)
{
    nic->since_ms = now_ms();
    note_lacks();
    qapi_event_send_ft_uplink_changed(side, nic->id, state);
    timer_mod_anticipate(timer, nic->since_ms + ft_opts.timeout_ms);
}

static void look_again(void)
{
    bool any = false;

    for (guint i = 0; i < nics->len; i++) {
        Nic *nic = g_ptr_array_index(nics, i);
        FtUplinkState state = look(nic);

        if (state != nic->local) {
            nic->local = state;
            changed(nic, FT_SIDE_LOCAL, state);
            any = true;
        }
    }
    if (any) {
        tell_peer();
    }
}

static FtUplinkState peers_word(const FtUplinks *told, uint64_t path)
{
    for (uint32_t i = 0; told && i < told->n; i++) {
        if (told->at[i].nic == path) {
            return told->at[i].state;
        }
    }
    return FT_UPLINK_STATE_UNKNOWN;
}

void ft_uplink_heard(const FtUplinks *told)
{
    for (guint i = 0; nics && i < nics->len; i++) {
        Nic *nic = g_ptr_array_index(nics, i);
        FtUplinkState state = peers_word(told, nic->path);

        if (state != nic->peer) {
            nic->peer = state;
            changed(nic, FT_SIDE_PEER, state);
        }
    }
}

/* Finding the NICs */

static void free_nic(gpointer opaque)
{
    Nic *nic = opaque;

    g_free(nic->id);
    g_free(nic);
}

static Nic *find_nic(GPtrArray *set, const char *id)
{
    for (guint i = 0; set && i < set->len; i++) {
        Nic *nic = g_ptr_array_index(set, i);

        if (g_str_equal(nic->id, id)) {
            return nic;
        }
    }
    return NULL;
}

/* A device with a netdev; a part of it may have the same one */
static int visit(Object *obj, void *opaque)
{
    GPtrArray *found = opaque;
    DeviceState *dev = (DeviceState *)object_dynamic_cast(obj, TYPE_DEVICE);
    g_autofree char *path = NULL;
    g_autofree char *id = NULL;
    Nic *nic, *old;

    if (!dev || !dev->realized || !object_property_find(obj, "netdev")) {
        return 0;
    }
    id = object_property_get_str(obj, "netdev", NULL);
    if (!id || !*id || find_nic(found, id)) {
        return 0;
    }
    path = object_get_canonical_path(obj);
    nic = g_new0(Nic, 1);
    old = find_nic(nics, id);
    if (old) {
        *nic = *old;
    }
    nic->id = g_steal_pointer(&id);
    nic->path = ft_hash(path, strlen(path), 0);
    g_ptr_array_add(found, nic);
    return 0;
}

static int by_id(gconstpointer a, gconstpointer b)
{
    const Nic *x = *(Nic *const *)a, *y = *(Nic *const *)b;

    return strcmp(x->id, y->id);
}

static void check_names(void)
{
    for (guint i = 0; named && i < named->len; i++) {
        const Named *n = g_ptr_array_index(named, i);

        if (n->netdev && !find_nic(nics, n->netdev)) {
            warn_report("fault tolerance: uplink=%s:%s: no NIC has the netdev "
                        "%s", n->netdev, n->name, n->netdev);
        }
    }
}

void ft_uplink_find(void)
{
    GPtrArray *found = g_ptr_array_new_with_free_func(free_nic);
    bool first = !nics;

    object_child_foreach_recursive(qdev_get_machine(), visit, found);
    g_ptr_array_sort(found, by_id);
    if (nics) {
        g_ptr_array_free(nics, true);
    }
    nics = found;
    if (first) {
        timer = timer_new_ms(QEMU_CLOCK_REALTIME, judge, NULL);
        check_names();
        if (!off) {
            ft_uplink_watch_start(look_again);
        }
    }
    look_again();
    note_lacks();
}

/* For users */

FtUplinkList *ft_uplink_query(void)
{
    FtUplinkList *list = NULL, **tail = &list;

    for (guint i = 0; nics && i < nics->len; i++) {
        const Nic *nic = g_ptr_array_index(nics, i);
        FtUplink *u = g_new0(FtUplink, 1);

        u->nic = g_strdup(nic->id);
        u->interface = *nic->name ? g_strdup(nic->name) : NULL;
        u->state = nic->local;
        u->peer = nic->peer;
        QAPI_LIST_APPEND(tail, u);
    }
    return list;
}
