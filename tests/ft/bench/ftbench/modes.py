# SPDX-License-Identifier: GPL-2.0-or-later
"""What is compared: one QEMU binary, one guest, one machine.

Each is started, measured and ended before the next one starts, so that they
share nothing but the host's mood.
"""

import contextlib

from ftbench import agent, colo
from ftlib import database, delay, wait
from ftlib.pair import Pair
from ftlib.redis import Redis


class Failed(Exception):
    """Why a mode could not be brought up, or did not last."""


def wait_served():
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


class Mode:
    """`lacks` maps what a load needs to why this mode does not have it.

    `primary` is the QEMU that runs the guest, `secondary` the other one or
    None.  boot_s is what starting it takes here, for the estimate.
    """

    lacks = {}
    secondary = None
    boot_s = 7

    @classmethod
    def cannot(cls, work, guest):
        """Why not, or ""."""
        needs = [*work.needs, *(["disk"] if guest.disk else [])]
        return next((cls.lacks[n] for n in needs if n in cls.lacks), "")

    def fresh(self):
        """The counters begin anew."""

    def ft(self):
        """query-ft of a protected guest, else None."""


class Plain(Mode):
    """QEMU without protection."""

    name = "unprotected"
    lacks = {"secondary": "the guest is gone with its host"}
    keys = ""

    def __init__(self, folder, guest):
        self.guest = guest
        self.disks = []
        if guest.disk:
            self.disks = [database.data_disk(folder), database.Tools()]
        self.pair = Pair(folder, memory=guest.memory, smp=guest.vcpus,
                         keys=self.keys, disks=self.disks)

    @property
    def primary(self):
        return self.pair.primary

    def start(self):
        self.pair.ft_option = lambda *unused: []
        self.pair.start_primary()
        self.serve()

    def serve(self):
        self.pair.wait_ready()
        agent.serve(self.primary)
        if self.guest.disk:
            database.start(self.primary, self.disks[0])
        wait_served()

    def check(self):
        self.pair.check()
        if not self.primary.alive():
            raise Failed(f"QEMU ended: {self.primary.said()}")

    def end(self):
        self.pair.end()


class Checkpoint(Plain):
    """A pair with the default keys."""

    name = "checkpoint"
    lacks = {}
    boot_s = 7.5

    def __init__(self, folder, guest):
        super().__init__(folder, guest)
        self.begun = True           # the counters hold nothing of a load

    @property
    def secondary(self):
        return self.pair.secondary

    def start(self):
        self.pair.start_secondary()
        self.pair.start_primary()
        self.serve()
        self.pair.wait_protected(120)
        self.fresh()

    def fresh(self):
        """They cover a session; so each load gets one of its own."""
        if not self.begun:
            self.primary.command("ft-stop")
            self.primary.command("ft-start")
            self.pair.wait_protected(120)
        self.begun = False

    def ft(self):
        return self.pair.query()

    def check(self):
        super().check()
        found = self.pair.query()
        if found["state"] != "protected":
            raise Failed(f"the pair is {found['state']}: "
                         f"{found.get('reason', 'no reason given')}")

    def die(self):
        """Kill the primary; the moment, once the secondary is the guest."""
        moment = self.pair.kill_primary()
        self.pair.wait_takeover()
        return moment


class Far(Checkpoint):
    """Of the same, with a long way between the two sides."""

    name = "far"
    listens = 7790

    def __init__(self, folder, guest, round_trip):
        super().__init__(folder, guest)
        self.round_trip = round_trip
        self.way = None

    def start(self):
        near = self.pair.port
        self.pair.start_secondary(port=self.listens)
        self.way = delay.Way(near, self.listens, self.round_trip)
        self.pair.start_primary(port=near)
        self.serve()
        self.pair.wait_protected(120)
        self.fresh()

    def end(self):
        super().end()
        if self.way:
            self.way.end()


class Colo(colo.Machines, Mode):
    """Upstream's COLO from the same binary."""

    name = "COLO"
    lacks = {"disk": "its replication of disks is not set up here"}
    boot_s = 9

    def start(self):
        self.boot()
        self.primary.wait_ready()
        agent.serve(self.primary)
        self.protect()
        wait_served()


ALL = (Plain, Checkpoint, Colo)
NAMES = [m.name for m in ALL]
# Each ratio that is reported: the speed of one by that of the other
RATIOS = [(Checkpoint.name, Plain.name), (Colo.name, Plain.name),
          (Checkpoint.name, Colo.name)]
