# SPDX-License-Identifier: GPL-2.0-or-later
"""A pair whose secondary is on another host, joined by two cables.

    namespace of the test                namespace of the secondary
       primary                              secondary
       10.78.1.1  link1 ---- veth ---- far1  10.78.1.2
       10.78.2.1  link2 ---- veth ---- far2  10.78.2.2
       br0        trunk ---- veth ---- far0  br1 --- tap
"""

import subprocess

from ftlib import netns, wait
from ftlib.pair import PORT, Pair, tap_netdev

LINKS = (1, 2)
NOBODY = "02:00:00:00:00:99"
TAP = "tap-far"


def near(link):
    return f"10.78.{link}.1"


def far(link):
    return f"10.78.{link}.2"


def address(link):
    return f"{far(link)}:{PORT}"


class Host(netns.Host):
    """The secondary's."""

    def ip(self, *words):
        self.batch([" ".join(words)])

    def cable(self, mine, theirs):
        netns.ip("link", "add", mine, "type", "veth", "peer", "name", theirs,
                 "netns", str(self.holder.pid))
        netns.ip("link", "set", mine, "up")
        self.ip("link", "set", theirs, "up")


def mac_of(device, host=None):
    """Of a device here, or on `host`."""
    argv = ["ip", "-o", "link", "show", "dev", device]
    words = subprocess.check_output((host.enter() if host else []) + argv,
                                    text=True).split()
    return words[words.index("link/ether") + 1]


class LinkedPair(Pair):
    """start() as usual; cut() and mend() a link, wait_links() for what both
    sides make of it."""

    def __init__(self, folder, peers=LINKS, **options):
        super().__init__(folder, **options)
        self.peers = peers
        self.host = Host()
        self.host.cable("trunk", "far0")
        self.host.ip("link", "set", "lo", "up")
        self.host.ip("link", "add", "br1", "type", "bridge", "forward_delay",
                     "0", "stp_state", "0", "mcast_snooping", "0")
        self.host.ip("link", "set", "br1", "up")
        self.host.ip("link", "set", "far0", "master", "br1")
        netns.ip("link", "set", "trunk", "master", netns.BRIDGE)
        for link in LINKS:
            self.host.cable(f"link{link}", f"far{link}")
            netns.ip("addr", "add", f"{near(link)}/24", "dev", f"link{link}")
            self.host.ip("addr", "add", f"{far(link)}/24", "dev",
                         f"far{link}")

    def far_tap(self, _):
        self.host.ip("tuntap", "add", "dev", TAP, "mode", "tap")
        self.host.ip("link", "set", TAP, "master", "br1")
        self.host.ip("link", "set", TAP, "up")
        return tap_netdev(TAP), None

    def start_secondary(self, fault=None, extra=(), keys=None, **_):
        near_backend, self.backend = self.backend, self.far_tap
        self.enter = self.host.enter()
        try:
            self.secondary = self._start(
                "secondary", self.ft_option("-ft-listen", f"0.0.0.0:{PORT}",
                                            keys),
                {"QEMU_FT_FAULT": fault} if fault else {}, extra)
        finally:
            self.backend = near_backend
            self.enter = []
        wait.until("the secondary does not listen",
                   lambda: self.host.listening(PORT))
        return self.secondary

    def start_primary(self, fault=None, extra=(), keys=None, **_):
        keys = self.keys if keys is None else keys
        more = "".join(f",peer={address(link)}" for link in self.peers[1:])
        self.primary = self._start(
            "primary", ["-ft-peer", f"{address(self.peers[0])}{more},{keys}"],
            {"QEMU_FT_FAULT": fault} if fault else {}, extra)
        return self.primary

    def start(self):
        super().start()
        self.wait_links({1: "active", 2: "standby"})
        return self

    # what is seen

    def links(self, qemu=None):
        """{1: "active", ...}, by the network of the address"""
        return {int(link["address"].split(".")[2]): link["state"]
                for link in self.query(qemu)["links"]}

    def wait_links(self, wanted, timeout=30):
        """Both sides say the same of the links."""
        seen = []

        def probe():
            seen[:] = [self.links(self.primary), self.links(self.secondary)]
            return seen == [wanted, wanted]
        try:
            wait.until("", probe, timeout, 0.02)
        except wait.Timeout:
            raise wait.Timeout(f"the links are {seen}, not {wanted}") from None

    # what happens

    def cut(self, link, how="down"):
        """down: the cable is out; the others are cuts of one direction only,
        which nobody is told of."""
        if how == "down":
            netns.ip("link", "set", f"link{link}", "down")
        if how in ("to-secondary", "both-ways"):
            netns.ip("neigh", "replace", far(link), "lladdr", NOBODY, "nud",
                     "permanent", "dev", f"link{link}")
        if how in ("to-primary", "both-ways"):
            self.host.ip("neigh", "replace", near(link), "lladdr", NOBODY,
                         "nud", "permanent", "dev", f"far{link}")

    def mend(self, link):
        netns.ip("link", "set", f"link{link}", "up")
        netns.ip("neigh", "replace", far(link), "lladdr",
                 mac_of(f"far{link}", self.host), "nud", "permanent", "dev",
                 f"link{link}")
        self.host.ip("neigh", "replace", near(link), "lladdr",
                     mac_of(f"link{link}"), "nud", "permanent", "dev",
                     f"far{link}")

    def end(self):
        super().end()
        self.host.end()
