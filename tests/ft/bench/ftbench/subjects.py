# SPDX-License-Identifier: GPL-2.0-or-later
"""The three things measured: one QEMU binary, one guest, one machine.

Each is started, measured and ended before the next one starts, so that they
share nothing but the host's mood.
"""

import contextlib

from ftlib import guest, netns, wait
from ftlib.pair import Pair, machine, nic_device
from ftlib.qmp import QmpError
from ftlib.redis import Redis
from ftlib.vm import Qemu


class Failed(Exception):
    """Why a subject could not be brought up."""


def serve_once():
    """Until a client gets an answer."""
    def probe():
        with contextlib.suppress(OSError):
            redis = Redis(timeout=2)
            try:
                return redis.call("PING") == "PONG"
            finally:
                redis.close()
        return False

    wait.until("redis in the guest never answered", probe, 60, 0.1)


class Plain:
    """QEMU without protection."""

    name = "unprotected"

    def __init__(self, folder, memory):
        self.pair = Pair(folder, memory=memory, keys="")

    def start(self):
        self.pair.ft_option = lambda *unused: []
        self.pair.start_primary()
        self.pair.wait_ready()
        serve_once()

    def query(self):
        return None

    def check(self):
        self.pair.check()

    def end(self):
        self.pair.end()


class Protected(Plain):
    """A pair with the default keys."""

    name = "protected"

    def start(self):
        self.pair.start()
        serve_once()

    def query(self):
        return self.pair.query()

    def check(self):
        super().check()
        state = self.query()["state"]
        if state != "protected":
            raise Failed(f"the pair is {state}, not protected")


# --- upstream's COLO --------------------------------------------------------

MIRROR, COMPARED, COMPARE_IN, COMPARE_OUT, MIGRATE = range(9001, 9006)
VNET = "vnet_hdr_support"
# Only divergence costs a checkpoint, not the clock: the best case for COLO.
CHECKPOINT_DELAY_MS = 20000


def server(name, port):
    return ["-chardev", f"socket,id={name},host=127.0.0.1,port={port},"
            "server=on,wait=off"]


def dialler(name, port, more=""):
    return ["-chardev", f"socket,id={name},host=127.0.0.1,port={port}{more}"]


def objects(*texts):
    return [word for text in texts for word in ("-object", text)]


def colo_primary_args():
    """docs/COLO-FT.txt, without its disk."""
    return [
        *server("mirror0", MIRROR), *server("compare1", COMPARED),
        *server("compare0", COMPARE_IN), *dialler("compare0-0", COMPARE_IN),
        *server("compare_out", COMPARE_OUT),
        *dialler("compare_out0", COMPARE_OUT),
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


def colo_secondary_args():
    again = ",reconnect-ms=100"
    return [
        *dialler("red0", MIRROR, again), *dialler("red1", COMPARED, again),
        *objects(
            f"filter-redirector,id=f1,netdev=net0,queue=tx,indev=red0,{VNET}",
            f"filter-redirector,id=f2,netdev=net0,queue=rx,outdev=red1,{VNET}",
            f"filter-rewriter,id=rew0,netdev=net0,queue=all,{VNET}"),
        "-incoming", "defer"]


class Colo:
    """Upstream's COLO from the same binary: virtio-net on tap, no disk."""

    name = "COLO"

    def __init__(self, folder, memory):
        self.folder = folder
        self.machine = machine(memory)
        self.all = []
        netns.bridge_up()

    def _start(self, name, more):
        tap = f"colo{len(self.all)}"
        netns.add_tap(tap)
        args = [*self.machine, *guest.boot_args(), "-netdev",
                f"tap,id=net0,ifname={tap},script=no,downscript=no",
                *nic_device("virtio-net-pci"), *more]
        qemu = Qemu(name, args, self.folder, tap=tap)
        self.all.append(qemu)
        return qemu.start()

    def start(self):
        self.primary = self._start("colo-primary", colo_primary_args())
        self.secondary = self._start("colo-secondary", colo_secondary_args())
        # What it sends goes through the filters; a second copy of what the
        # client sends would only confuse the comparison.
        netns.ip("link", "set", self.secondary.tap, "nomaster")
        self.primary.wait_ready()
        self._protect()
        serve_once()

    def _protect(self):
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
            wait.until("COLO never began", self._began, 60, 0.05)
        except wait.Timeout as late:
            raise Failed(f"{late}: {self._states()}") from None

    def _began(self):
        for qemu in self.all:
            if not qemu.alive():
                raise Failed(f"{qemu.name} ended: {qemu.said()}")
        status = self.primary.command("query-migrate").get("status")
        if status == "failed":
            raise Failed(f"the migration failed: {self._states()}")
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

    def query(self):
        return None

    def check(self):
        for qemu in self.all:
            qemu.check()
            if not qemu.alive():
                raise Failed(f"{qemu.name} ended: {qemu.said()}")
        role = self.primary.command("query-colo-status")["mode"]
        if role != "primary":
            raise Failed(f"COLO has ended: mode {role}, {self._states()}")

    def end(self):
        for qemu in self.all:
            qemu.end()
            netns.delete_tap(qemu.tap)


ALL = (Plain, Protected, Colo)
