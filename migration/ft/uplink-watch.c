/*
 * QEMU-FT: be told when an interface of the host changes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A NETLINK_ROUTE socket in the main loop: it asks for the list of all
 * interfaces once, and the kernel tells every change after it.  When
 * the kernel had to drop something (a burst longer than the socket's buffer)
 * the list is asked for again.  Nothing here waits.
 *
 * Neither a privilege nor a file is needed.
 */
#include "qemu/osdep.h"
#include <linux/rtnetlink.h>
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/sockets.h"
#include "qemu/units.h"
#include "uplink-watch.h"

#define BUFFER (64 * KiB)
#define AT_A_TIME 64            /* datagrams between two turns of the loop */

static struct {
    int fd;
    FtUplinkTable *table;       /* NULL: nothing is told */
    uint8_t *buffer;
    bool complete;              /* the table is, once */
    bool asking;                /* the list is on its way */
    bool again;                 /* it will be out of date when it has come */
    void (*changed)(void);
} watch = { .fd = -1 };

static void give_up(const char *why)
{
    warn_report("fault tolerance: the host's network interfaces cannot be "
                "watched (%s): a lost uplink will not be noticed", why);
    if (watch.fd >= 0) {
        qemu_set_fd_handler(watch.fd, NULL, NULL, NULL);
        close(watch.fd);
        watch.fd = -1;
    }
    ft_uplink_table_free(watch.table);
    watch.table = NULL;
}

static void ask(void)
{
    struct {
        struct nlmsghdr h;
        struct ifinfomsg info;
    } request = {
        .h = {
            .nlmsg_len = sizeof(request),
            .nlmsg_type = RTM_GETLINK,
            .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
        },
        .info = { .ifi_family = AF_UNSPEC },
    };

    watch.asking = true;
    watch.again = false;
    ft_uplink_table_expect(watch.table);
    if (send(watch.fd, &request, sizeof(request), 0) != sizeof(request)) {
        give_up(strerror(errno));
    }
}

/* The bits of one datagram; -1: nothing is there */
static int take_datagram(void)
{
    struct sockaddr_nl from = { 0 };
    socklen_t size = sizeof(from);
    ssize_t n = recvfrom(watch.fd, watch.buffer, BUFFER,
                         MSG_DONTWAIT | MSG_TRUNC,
                         (struct sockaddr *)&from, &size);

    if (n < 0 && errno == ENOBUFS) {
        return FT_UPLINK_AGAIN;
    }
    if (n < 0) {
        return errno == EINTR ? 0 : -1;
    }
    if (from.nl_pid) {
        /* Not the kernel */
        return 0;
    }
    return n > BUFFER ? FT_UPLINK_AGAIN :
           ft_uplink_table_feed(watch.table, watch.buffer, n);
}

void ft_uplink_watch_poll(void)
{
    unsigned bits = 0;
    int got = 0;

    for (int i = 0; watch.table && i < AT_A_TIME && got >= 0; i++) {
        got = take_datagram();
        bits |= got > 0 ? got : 0;
    }
    if (!watch.table || !bits) {
        return;
    }
    if (bits & FT_UPLINK_ERROR) {
        give_up("the kernel does not list them");
        watch.changed();
        return;
    }
    if (bits & FT_UPLINK_DONE) {
        watch.asking = false;
        watch.complete = true;
    }
    watch.again |= bits & FT_UPLINK_AGAIN;
    if (watch.again && !watch.asking) {
        ask();
    }
    if (watch.complete && bits & FT_UPLINK_CHANGED) {
        watch.changed();
    }
}

static void readable(void *opaque)
{
    ft_uplink_watch_poll();
}

void ft_uplink_watch_start(void (*changed)(void))
{
    struct sockaddr_nl all = {
        .nl_family = AF_NETLINK,
        .nl_groups = RTMGRP_LINK,
    };

    watch.changed = changed;
    watch.fd = qemu_socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK,
                           NETLINK_ROUTE);
    if (watch.fd < 0 ||
        bind(watch.fd, (struct sockaddr *)&all, sizeof(all)) < 0) {
        give_up(strerror(errno));
        return;
    }
    watch.buffer = g_malloc(BUFFER);
    watch.table = ft_uplink_table_new();
    qemu_set_fd_handler(watch.fd, readable, NULL, NULL);
    ask();
}

const FtUplinkTable *ft_uplink_watch_table(void)
{
    return watch.complete ? watch.table : NULL;
}
