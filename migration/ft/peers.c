/*
 * QEMU-FT: the addresses where a peer may be
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * -ft-peer and peer= give them, ft-start by hand another one.  They are
 * dialled in turn until one answers with a WELCOME; that one is also tried
 * first when its connection is lost.
 */
#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/sockets.h"
#include "qapi/error.h"
#include "peers.h"

static GPtrArray *peers;        /* FtAddress */
static guint current;

bool ft_address_parse(FtAddress *a, const char *text, bool any_host,
                      Error **errp)
{
    g_autoptr(InetSocketAddress) inet = g_new0(InetSocketAddress, 1);
    unsigned int port;

    if (strchr(text, ',') || inet_parse(inet, text, NULL) < 0 ||
        qemu_strtoui(inet->port, NULL, 10, &port) < 0 ||
        port < 1 || port > 65535) {
        error_setg(errp, "'%s' is not an address; give %s with a port from 1 "
                   "to 65535", text, any_host ? "[addr]:port" : "host:port");
        return false;
    }
    if (!any_host && !*inet->host) {
        error_setg(errp, "no host in '%s'; give host:port", text);
        return false;
    }
    a->inet = g_steal_pointer(&inet);
    a->text = g_strdup(text);
    return true;
}

void ft_address_free(FtAddress *a)
{
    qapi_free_InetSocketAddress(a->inet);
    g_free(a->text);
    *a = (FtAddress) { 0 };
}

static bool find(const char *text, guint *at)
{
    for (*at = 0; peers && *at < peers->len; (*at)++) {
        const FtAddress *a = g_ptr_array_index(peers, *at);

        if (g_str_equal(a->text, text)) {
            return true;
        }
    }
    return false;
}

bool ft_peers_add(const char *text, Error **errp)
{
    FtAddress *a;
    guint at;

    if (find(text, &at)) {
        return true;
    }
    a = g_new0(FtAddress, 1);
    if (!ft_address_parse(a, text, false, errp)) {
        g_free(a);
        return false;
    }
    if (!peers) {
        peers = g_ptr_array_new();
    }
    g_ptr_array_add(peers, a);
    return true;
}

bool ft_peers_prefer(const char *text, Error **errp)
{
    guint at;

    if (!ft_peers_add(text, errp)) {
        return false;
    }
    find(text, &at);
    current = at;
    return true;
}

static bool any_host(const char *host)
{
    return !*host || g_str_equal(host, "0.0.0.0") || g_str_equal(host, "::");
}

char *ft_peers_reach(const char *listen, FtChannel *ch)
{
    g_autofree char *host = NULL;
    FtAddress a;
    char *text;

    if (!listen || !ft_address_parse(&a, listen, true, NULL)) {
        return NULL;
    }
    host = any_host(a.inet->host) ? ft_channel_remote_host(ch) :
           g_strdup(a.inet->host);
    text = !host ? NULL :
           g_strdup_printf(strchr(host, ':') ? "[%s]:%s" : "%s:%s", host,
                           a.inet->port);
    ft_address_free(&a);
    return text;
}

const FtAddress *ft_peers_current(void)
{
    return peers ? g_ptr_array_index(peers, current) : NULL;
}

guint ft_peers_count(void)
{
    return peers ? peers->len : 0;
}

const FtAddress *ft_peers_at(guint number)
{
    return g_ptr_array_index(peers, number);
}

guint ft_peers_current_at(void)
{
    return current;
}

void ft_peers_next(void)
{
    if (peers) {
        current = (current + 1) % peers->len;
    }
}
