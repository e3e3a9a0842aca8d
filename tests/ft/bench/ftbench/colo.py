# SPDX-License-Identifier: GPL-2.0-or-later
"""Two QEMUs under upstream's COLO, as its docs/COLO-FT.txt sets them up.

It has our fix of its locking under TCG (migration-colo-hold-bql.patch), for
without that it does not run at all.  What it needs a management program for
- to see the primary's death and to tell the secondary - happens here at once.
"""

import contextlib
import time

from ftlib import guest as image
from ftlib import netns, wait
from ftlib.pair import machine, nic_device, tap_netdev
from ftlib.qmp import QmpError
from ftlib.vm import Qemu

MIRROR, COMPARED, MIGRATE = range(9001, 9004)
VNET = "vnet_hdr_support"
# Only divergence costs a checkpoint, not the clock: the best case for COLO.
CHECKPOINT_DELAY_MS = 20000
# What the secondary has to be rid of when it is alone
LEFT_OVER = (("object-del", "f2"), ("object-del", "f1"),
             ("chardev-remove", "red1"), ("chardev-remove", "red0"))


class Ended(Exception):
    """COLO did not begin, or did not last."""


def objects(*texts):
    return [word for text in texts for word in ("-object", text)]


def chardevs(*texts):
    return [word for text in texts for word in ("-chardev", text)]


def primary_args(folder):
    """What stays inside the primary goes over sockets in `folder`: on lo
    there is nothing but what goes from one side to the other."""
    inner = f"socket,path={folder}/"
    outer = "socket,host=127.0.0.1,server=on,wait=off"
    return [
        *chardevs(f"{outer},id=mirror0,port={MIRROR}",
                  f"{outer},id=compare1,port={COMPARED}",
                  f"{inner}in,id=compare0,server=on,wait=off",
                  f"{inner}in,id=compare0-0",
                  f"{inner}out,id=compare_out,server=on,wait=off",
                  f"{inner}out,id=compare_out0"),
        *objects(
            f"filter-mirror,id=m0,netdev=net0,queue=tx,outdev=mirror0,{VNET}",
            "filter-redirector,id=redire0,netdev=net0,queue=rx,"
            f"indev=compare_out,{VNET}",
            "filter-redirector,id=redire1,netdev=net0,queue=rx,"
            f"outdev=compare0,{VNET}",
            "iothread,id=iothread1",
            "colo-compare,id=comp0,primary_in=compare0-0,"
            "secondary_in=compare1,outdev=compare_out0,iothread=iothread1,"
            f"{VNET}")]


def secondary_args():
    outer = "socket,host=127.0.0.1,reconnect-ms=100"
    return [
        *chardevs(f"{outer},id=red0,port={MIRROR}",
                  f"{outer},id=red1,port={COMPARED}"),
        *objects(
            f"filter-redirector,id=f1,netdev=net0,queue=tx,indev=red0,{VNET}",
            f"filter-redirector,id=f2,netdev=net0,queue=rx,outdev=red1,{VNET}",
            f"filter-rewriter,id=rew0,netdev=net0,queue=all,{VNET}"),
        "-incoming", "defer"]


class Machines:
    """virtio-net on a tap, no disk."""

    def __init__(self, folder, guest):
        self.folder = folder
        self.guest = guest
        self.machine = machine(guest.memory, guest.vcpus)
        self.all = []
        self.primary = self.secondary = None
        netns.bridge_up()

    def _start(self, name, more):
        tap = f"colo{len(self.all)}"
        netns.add_tap(tap)
        args = [*self.machine, *image.boot_args(), "-netdev", tap_netdev(tap),
                *nic_device("virtio-net-pci"), *more]
        qemu = Qemu(name, args, self.folder, tap=tap)
        self.all.append(qemu)
        return qemu.start()

    def boot(self):
        self.primary = self._start("primary", primary_args(self.folder))
        self.secondary = self._start("secondary", secondary_args())
        # What it sends goes through the filters; a second copy of what the
        # client sends would only confuse the comparison.
        netns.ip("link", "set", self.secondary.tap, "nomaster")

    def protect(self):
        for qemu in self.all:
            qemu.command("migrate-set-capabilities", {"capabilities": [
                {"capability": "x-colo", "state": True}]})
        where = {"uri": f"tcp:127.0.0.1:{MIGRATE}"}
        self.secondary.command("migrate-incoming", where)
        self.primary.command("migrate-set-parameters", {
            "x-checkpoint-delay": CHECKPOINT_DELAY_MS,
            "max-bandwidth": 1 << 30})
        self.primary.command("migrate", where)
        try:
            wait.until("COLO never began", self._began, 90, 0.05)
        except wait.Timeout as late:
            raise Ended(f"{late}: {self._states()}") from None

    def _began(self):
        for qemu in self.all:
            if not qemu.alive():
                raise Ended(f"{qemu.name} ended: {qemu.said()}")
        status = self.primary.command("query-migrate").get("status")
        if status == "failed":
            raise Ended(f"the migration failed: {self._states()}")
        return status == "colo" and all(
            q.command("query-status")["running"] for q in self.all)

    def _states(self):
        """The latest states, and what both QEMUs said."""
        parts = []
        for qemu in self.all:
            with contextlib.suppress(QmpError):
                state = qemu.command("query-status")["status"]
                move = qemu.command("query-migrate").get("status")
                parts.append(f"{qemu.name} {state}, migration {move}; "
                             f"{qemu.said()}")
        return " / ".join(parts)

    def check(self):
        for qemu in self.all:
            qemu.check()
            if not qemu.alive():
                raise Ended(f"{qemu.name} ended: {qemu.said()}")
        role = self.primary.command("query-colo-status")["mode"]
        if role != "primary":
            raise Ended(f"COLO has ended: mode {role}, {self._states()}")

    def die(self):
        """Kill the primary; the moment, once the secondary was told."""
        moment = time.monotonic()
        self.primary.kill()
        self.secondary.command("x-colo-lost-heartbeat")
        for command, name in LEFT_OVER:
            self.secondary.command(command, {"id": name})
        netns.ip("link", "set", self.secondary.tap, "master", netns.BRIDGE)
        return moment

    def end(self):
        for qemu in self.all:
            qemu.end()
            netns.delete_tap(qemu.tap)
