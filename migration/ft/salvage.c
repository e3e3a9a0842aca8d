/*
 * QEMU-FT: packets that came for the guest when this process had died
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Most requests are in no committed epoch when the primary dies: what it has
 * not told the peer of them (pending.c) is in its memory.  And a client that
 * has just got its answer asks again at once; killed in that moment, the
 * request ends in the tap of a process that is no more.  Either way the client
 * would wait for TCP to repeat it: 200 ms, where all others wait for the
 * takeover only.
 *
 * So the keeper (keeper.c) gets copies of two kinds of files: the taps, and the
 * connection.  When we are dead and our own are closed it writes to the peer
 * what is pending, then what is left in the taps, both as INPUT (carry.c), and
 * ends; with that the connection ends, too, and the peer takes over.
 *
 *     we die --> our files are closed --> INPUT is written, taps are read
 *     --> the keeper ends --> the connection ends
 *
 * It goes on reading for a moment: clients that have had the last replies
 * ask again within that, and once the tap is closed what they say is dropped
 * until the survivor is announced.
 *
 * What may it rely on?  Every thread has stopped, at any instruction, with
 * any lock held.  So it calls nothing that allocates or locks, uses memory
 * of its own, and reads of ours what is a word, the epoch, the length of a
 * tap's header, or made for it (pending.c).  If somebody was writing to the
 * connection, half a record may be in it; then it writes nothing
 * (ft_channel_between_records()).
 *
 * Not of several links: what they carry is counted (links.c).
 */
#include "qemu/osdep.h"
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include "qemu/atomic.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "net/net.h"
#include "net/tap.h"
#include "keeper.h"
#include "pending.h"
#include "salvage.h"

#define MAX_TAPS (FT_KEEPER_MAX_FILES - 1)  /* queues of all of them */
#define MAX_PACKETS 256         /* of one queue */
#define MAX_NAME 128
#define LINGER_NS 1500000       /* below a second */

typedef struct Tap {
    NetClientState *nc;         /* its side */
    uint32_t host_header;       /* bytes before each packet in the file */
    bool pad;                   /* the NIC takes no short frames */
    uint16_t queue;
    char name[MAX_NAME];        /* of the NIC */
} Tap;

static struct {
    FtChannel *ch;
    const uint64_t *epoch, *released;
    Tap taps[MAX_TAPS];
    int n;
    bool on;                    /* the keeper knows what to do */

    struct pollfd poll[MAX_TAPS];
    uint8_t packet[FT_WIRE_MAX_PACKET];
    uint8_t record[FT_WIRE_MAX_PACKET + 4 * KiB];
} salvage;

/* --- in the keeper, once we are dead --- */

/* One INPUT record with one packet; false: the connection takes no more */
static bool pass_on(int connection, const Tap *t, const uint8_t *data,
                    uint32_t len, uint16_t header)
{
    FtPacket p = {
        .nic = (char *)t->name,
        .queue = t->queue,
        .header_length = header,
        .data = data,
        .length = len,
    };
    uint8_t *end = salvage.record + sizeof(FtRecHeader);
    size_t total;

    end = ft_wire_write_carried_head(end, qatomic_read_u64(salvage.epoch),
                                     qatomic_read_u64(salvage.released));
    end = ft_wire_write_carried(end, &p);
    total = end - salvage.record;
    ft_wire_seal(salvage.record, FT_REC_INPUT, total - sizeof(FtRecHeader));
    return syscall(SYS_write, connection, salvage.record, total) ==
           total;
}

static bool empty_tap(int fd, const Tap *t, int connection)
{
    uint16_t header = t->nc->vnet_hdr_len;
    /* The guest has no use for it, so QEMU takes it off (tap_send()) */
    uint32_t skip = header ? 0 : t->host_header;

    for (int i = 0; i < MAX_PACKETS; i++) {
        ssize_t n = syscall(SYS_read, fd, salvage.packet,
                            sizeof(salvage.packet) - 1);
        const uint8_t *data = salvage.packet + skip;

        if (n <= 0) {
            break;
        }
        if (t->pad && !header && n < skip + ETH_ZLEN) {
            memset(salvage.packet + n, 0, skip + ETH_ZLEN - n);
            n = skip + ETH_ZLEN;
        }
        /* Not what goes to many: that comes to the peer by itself */
        if (n > skip + header && !(data[header] & 1) &&
            !pass_on(connection, t, data, n - skip, header)) {
            return false;
        }
    }
    return true;
}

static int64_t now_ns(void)
{
    struct timespec t = { 0 };

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static bool pass_on_pending(int connection)
{
    const uint8_t *record;
    size_t len;

    while ((len = ft_pending_next(qatomic_read_u64(salvage.released),
                                  &record))) {
        if (syscall(SYS_write, connection, record, len) != len) {
            return false;
        }
        ft_pending_told();
    }
    return true;
}

static void pass_on_all(const int *fds)
{
    int connection = fds[salvage.n];
    int64_t end = now_ns() + LINGER_NS, left = LINGER_NS;
    bool ok = ft_channel_between_records(salvage.ch) &&
              pass_on_pending(connection);

    for (int i = 0; i < salvage.n; i++) {
        salvage.poll[i] = (struct pollfd) { .fd = fds[i], .events = POLLIN };
    }
    while (ok && salvage.n && left > 0) {
        struct timespec t = { .tv_nsec = left };

        for (int i = 0; i < salvage.n && ok; i++) {
            ok = empty_tap(fds[i], &salvage.taps[i], connection);
        }
        /* Not in a loop: who is to speak may need this processor */
        syscall(SYS_ppoll, salvage.poll, salvage.n, &t, NULL, 0);
        left = end - now_ns();
    }
}

/* --- in this process --- */

/* Its number is the next one; false: nothing can be read from it */
static bool note_tap(NetClientState *nc, int fd)
{
    Tap *t = &salvage.taps[salvage.n];
    struct ifreq ifr = { 0 };
    int size = 0;

    *t = (Tap) {
        .nc = nc,
        .queue = nc->peer->queue_index,
        .pad = net_peer_needs_padding(nc),
    };
    if (strlen(nc->peer->name) >= MAX_NAME ||
        ioctl(fd, TUNGETIFF, &ifr) < 0) {
        return false;
    }
    pstrcpy(t->name, MAX_NAME, nc->peer->name);
    if (ifr.ifr_flags & IFF_VNET_HDR) {
        if (ioctl(fd, TUNGETVNETHDRSZ, &size) < 0) {
            return false;
        }
        t->host_header = size;
    }
    return true;
}

static bool serves_nic(const NetClientState *nc)
{
    return nc->info->type == NET_CLIENT_DRIVER_TAP && nc->peer &&
           nc->peer->info->type == NET_CLIENT_DRIVER_NIC;
}

void ft_salvage_start(FtChannel *ch, const uint64_t *epoch,
                      const uint64_t *released)
{
    int fds[FT_KEEPER_MAX_FILES];
    NetClientState *nc;

    ft_salvage_stop();
    salvage.ch = ch;
    salvage.epoch = epoch;
    salvage.released = released;
    salvage.n = 0;
    QTAILQ_FOREACH(nc, &net_clients, next) {
        if (serves_nic(nc) && salvage.n < MAX_TAPS) {
            fds[salvage.n] = tap_get_fd(nc);
            salvage.n += note_tap(nc, fds[salvage.n]);
        }
    }
    fds[salvage.n] = ft_channel_fd(ch);
    salvage.on = fds[salvage.n] >= 0 &&
                 ft_keeper_give(fds, salvage.n + 1, pass_on_all);
}

bool ft_salvage_on(void)
{
    return salvage.on;
}

void ft_salvage_stop(void)
{
    salvage.on = false;
    ft_keeper_take_back();
}
