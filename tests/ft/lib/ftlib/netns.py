# SPDX-License-Identifier: GPL-2.0-or-later
"""A private network: the process moves into namespaces of its own.

        client (this process)          FT channel: 127.0.0.1, on lo
              10.77.0.1
              br0 (bridge)
        tap0 ------+------ tap1 ...    one tap for each QEMU started
       primary         secondary
        10.77.0.2 (the guest, wherever it runs)

Nothing outside sees it, two tests at a time cannot collide, and all of it
goes away with the last process inside.
"""

import os
import shutil
import socket
import subprocess

from ftlib import wait

BRIDGE = "br0"
CLIENT = "10.77.0.1"
GUEST = "10.77.0.2"
PREFIX = 24
MAC = "52:54:00:77:00:01"
INSIDE = "QEMU_FT_IN_NETNS"


class Unavailable(Exception):
    """Why there can be no private network here."""


def command(argv):
    """`argv` such that it runs in a namespace of its own."""
    if not shutil.which("unshare"):
        raise Unavailable("unshare is missing (package util-linux)")
    # Mounts too: a test may fill a file system of its own
    flags = "-nm" if os.geteuid() == 0 else "-rUnm"
    return ["unshare", flags, "--"] + argv


def enter(argv):
    """Run the program again inside; returns at once when inside already."""
    if os.environ.get(INSIDE):
        return
    inside = command(argv)
    os.environ[INSIDE] = "1"
    os.execvp(inside[0], inside)


def ip(*words):
    done = subprocess.run(["ip", *words], text=True, capture_output=True)
    if done.returncode:
        raise Unavailable(f"ip {' '.join(words)}: {done.stderr.strip()}")


def quiet_ipv6():
    """No neighbour discovery: a test sees only packets somebody meant."""
    for which in ("all", "default"):
        try:
            with open(f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6",
                      "w") as knob:
                knob.write("1")
        except OSError:
            return          # no IPv6, or not ours to change


def up():
    if not shutil.which("ip"):
        raise Unavailable("ip is missing (package iproute2)")
    quiet_ipv6()
    ip("link", "set", "lo", "up")


def shape(rate, interface="lo"):
    """From now on the interface carries no more than `rate` ("100mbit");
    None: as much as it can."""
    if not shutil.which("tc"):
        raise Unavailable("tc is missing (package iproute2)")
    # A packet of lo may have 64 KiB, and none is to be dropped
    words = ["add", "dev", interface, "root", "tbf", "rate", rate, "burst",
             "256k", "limit", "64m"] if rate else \
        ["del", "dev", interface, "root"]
    done = subprocess.run(["tc", "qdisc", *words], text=True,
                          capture_output=True)
    if done.returncode:
        raise Unavailable(f"tc qdisc {' '.join(words)}: "
                          f"{done.stderr.strip()}")


def bridge_up(name=BRIDGE, address=CLIENT):
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise Unavailable("/dev/net/tun cannot be opened")
    if name in (there for _, there in socket.if_nameindex()):
        return
    # An address of its own: it would follow that of its ports as they come
    # and go, and the guest would answer to one that is there no more
    ip("link", "add", name, "address", MAC, "type", "bridge",
       "forward_delay", "0",
       "stp_state", "0", "mcast_snooping", "0")
    ip("addr", "add", f"{address}/{PREFIX}", "dev", name)
    ip("link", "set", name, "up")


def add_tap(name, bridge=BRIDGE, multi_queue=False):
    ip("tuntap", "add", "dev", name, "mode", "tap",
       *(["multi_queue"] if multi_queue else []))
    ip("link", "set", name, "master", bridge)
    ip("link", "set", name, "up")


def delete_tap(name):
    ip("link", "delete", name)


def packets_from(tap):
    """Packets the QEMU behind `tap` has sent so far."""
    with open("/proc/net/dev") as table:
        for line in table:
            name, _, figures = line.partition(":")
            if name.strip() == tap:
                return int(figures.split()[1])
    raise Unavailable(f"no interface {tap}")


def listening(port, pid="self"):
    """Does anybody in the namespace of `pid` listen on TCP `port`?"""
    wanted = f":{port:04X}"
    for table in (f"/proc/{pid}/net/tcp", f"/proc/{pid}/net/tcp6"):
        if not os.path.exists(table):
            continue
        with open(table) as rows:
            for row in rows:
                words = row.split()
                if words[3] == "0A" and words[1].endswith(wanted):
                    return True
    return False


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Host:
    """Another network namespace, which lives as long as this process."""

    def __init__(self):
        # It ends when the pipe does
        self.holder = subprocess.Popen(["unshare", "-n", "--", "cat"],
                                       stdin=subprocess.PIPE)
        self.net = f"/proc/{self.holder.pid}/ns/net"
        ours = os.readlink("/proc/self/ns/net")
        wait.until("no namespace for a host",
                   lambda: os.readlink(self.net) != ours)

    def enter(self):
        """What to put before a command that is to run here."""
        return ["nsenter", f"--net={self.net}", "--"]

    def batch(self, lines):
        """Commands of ip, here."""
        done = subprocess.run([*self.enter(), "ip", "-batch", "-"], text=True,
                              input="\n".join(lines), capture_output=True)
        if done.returncode:
            raise Unavailable(f"ip on another host: {done.stderr}")

    def listening(self, port):
        return listening(port, self.holder.pid)

    def end(self):
        self.holder.stdin.close()
        self.holder.wait()
