# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts with a network between them: a namespace each.

    first 10.78.0.1     second 10.78.0.2     arbiter 10.78.0.3
      eth0                eth0                 eth0
       |                   |                    |
    ---+------- br1 -------+--------------------+---     in the test's namespace

The FT channel and the arbiter's clients use this network.  The guest's own
is as in netns.py: its taps are made in the test's namespace and handed to
QEMU, which runs in its host's, as open files.

Neighbour entries are static.  cut(x, y) gives y an address in x's table that
nobody has: what x sends to y is lost without a sign, as by a broken cable,
and what y sends to x arrives.
"""

import fcntl
import os
import signal
import struct
import subprocess

from ftlib import netns, wait
from ftlib.pair import KEYS, PORT, Pair, nic_device
from ftlib.vm import Qemu

BRIDGE = "br1"
NOBODY = "02:00:00:00:00:ee"
FIRST, SECOND, ARBITER = 1, 2, 3
HOSTS = (FIRST, SECOND, ARBITER)
TUNSETIFF = 0x400454ca
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000


def address(host):
    return f"10.78.0.{host}"


def mac(host):
    return f"02:00:00:00:00:{host:02x}"


class Node(netns.Host):
    """A host of the partition matrix."""

    def __init__(self, host):
        super().__init__()
        self.host = host
        port = f"host{host}"
        netns.ip("link", "add", port, "type", "veth", "peer", "name", "eth0",
                 "netns", str(self.holder.pid))
        netns.ip("link", "set", port, "master", BRIDGE, "up")
        self.batch(["link set lo up",
                    f"link set eth0 address {mac(host)} up",
                    f"addr add {address(host)}/24 dev eth0"] +
                   [self.neighbour(other, mac(other))
                    for other in HOSTS if other != host])

    @staticmethod
    def neighbour(other, where):
        return (f"neigh replace {address(other)} lladdr {where} dev eth0 "
                "nud permanent")

    def set_cuts(self, before, after):
        """Of frames from here, to the hosts named."""
        self.batch([self.neighbour(other, NOBODY if other in after else
                                   mac(other))
                    for other in sorted(before ^ after)])


class Network:
    """All hosts and what is cut between them: a set of (from, to)."""

    def __init__(self):
        netns.ip("link", "add", BRIDGE, "type", "bridge", "forward_delay",
                 "0", "stp_state", "0", "mcast_snooping", "0")
        netns.ip("link", "set", BRIDGE, "up")
        self.cuts = frozenset()
        self.nodes = {host: Node(host) for host in HOSTS}

    def set_cuts(self, cuts):
        """From now on these, and no others."""
        cuts = frozenset(cuts)
        for host, node in self.nodes.items():
            before, after = ({y for x, y in which if x == host}
                             for which in (self.cuts, cuts))
            if before != after:
                node.set_cuts(before, after)
        self.cuts = cuts

    def cut(self, x, y):
        self.set_cuts(self.cuts | {(x, y)})

    def heal(self):
        self.set_cuts(())

    def end(self):
        for node in self.nodes.values():
            node.end()


def open_tap(name):
    """A tap of the guest's network; the file that QEMU is to have."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(),
                                           IFF_TAP | IFF_NO_PI))
    os.set_blocking(fd, False)
    netns.ip("link", "set", name, "master", netns.BRIDGE, "up")
    return fd


class NodePair(Pair):
    """A pair whose QEMUs run on hosts of a Network.

    `on_tap` is called with the name of each QEMU and its tap before it
    starts, `env` and `host_keys` with its host.  Images of disks belong to a
    host; each QEMU is called after its host and a running number.
    """

    def __init__(self, folder, network, keys=KEYS, on_tap=None, env=None,
                 host_keys=None, prefix="", **options):
        super().__init__(folder, keys=keys, **options)
        self.network = network
        self.on_tap = on_tap or (lambda name, tap: None)
        self.env = env or (lambda host: {})
        self.host_keys = host_keys or (lambda host: "")
        self.prefix = prefix
        self.host_of = {}           # of a QEMU, by its name

    def _launch(self, host, ft, fault=None, extra=()):
        name = f"{self.prefix}h{host}-{len(self.all)}"
        tap = f"{self.prefix}tap{len(self.all)}"
        for disk in self.disks:
            disk.of[name] = f"host{host}"
        fd = open_tap(tap)
        try:
            self.on_tap(name, tap)
            env = dict(self.env(host))
            if fault:
                env["QEMU_FT_FAULT"] = fault
            args = [*self.machine, *self.boot,
                    "-netdev", f"tap,id=net0,fd={fd}", *nic_device(self.nic),
                    *(a for d in self.disks for a in d.args(name)),
                    *ft, *extra]
            qemu = Qemu(name, args, self.folder, env, None, self.ports,
                        self.network.nodes[host].enter(), (fd,))
            self.all.append(qemu)
            self.host_of[name] = host
            qemu.start()
        finally:
            os.close(fd)        # the tap is QEMU's now, and goes with it
        return qemu

    def peer_address(self, host):
        return f"{address(SECOND if host == FIRST else FIRST)}:{PORT}"

    def keys_of(self, host):
        return ",".join(filter(None, (self.keys, self.host_keys(host))))

    def start_secondary(self, host=SECOND, fault=None, extra=()):
        keys = f"peer={self.peer_address(host)},{self.keys_of(host)}"
        self.secondary = self._launch(
            host, self.ft_option("-ft-listen", f"0.0.0.0:{PORT}", keys),
            fault, extra)
        wait.until(f"nobody listens on host {host}",
                   lambda: self.network.nodes[host].listening(PORT))
        return self.secondary

    def start_primary(self, host=FIRST, fault=None, extra=()):
        self.primary = self._launch(
            host, self.ft_option("-ft-peer", self.peer_address(host),
                                 self.keys_of(host)), fault, extra)
        return self.primary


class Daemon:
    """A process on a host that may be killed, stopped and started again."""

    def __init__(self, node, argv, log):
        self.node, self.argv, self.log = node, argv, log
        self.process = None

    def start(self):
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *self.node.enter(),
                 *self.argv], stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT)
        return self

    def signal(self, how):
        self.process.send_signal(how)
        if how == signal.SIGKILL:
            self.process.wait()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def end(self):
        if self.alive():
            self.process.kill()
            self.process.wait()
