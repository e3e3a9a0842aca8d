# SPDX-License-Identifier: GPL-2.0-or-later
"""One guest in one mode; a round of all of them; what failed, and why.

A load that fails is recorded with its reason, and the rest gets a new boot:
the guest may be anything after that.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time

from ftbench import agent, colo, load, modes
from ftbench.measures import Meter
from ftlib import guest as image
from ftlib import netns, qmp, vm, wait
from ftlib.redis import RedisError

TROUBLE = (modes.Failed, colo.Ended, load.Stuck, agent.Failed, wait.Timeout,
           AssertionError, vm.Refused, qmp.Gone, qmp.QmpError, OSError,
           ValueError, LookupError, subprocess.SubprocessError, RedisError,
           image.Missing, netns.Unavailable)
LENGTH = 300                    # of a reason


def say(text):
    print(text, file=sys.stderr, flush=True)


def reason(why, folder):
    """One line, with nothing of where it ran."""
    text = " ".join(str(why).replace(str(folder), "").split())
    return text[:LENGTH] or type(why).__name__


class Boot:
    """A guest in a mode, and the loads that are still to be run in it."""

    def __init__(self, kind, guest, loads, seconds, folder):
        self.kind, self.guest, self.seconds = kind, guest, seconds
        self.todo = list(loads)
        self.folder = folder
        self.found = {"loads": {}}

    def leave_out(self):
        """What this mode cannot do is no failure."""
        for work in list(self.todo):
            why = self.kind.cannot(work, self.guest)
            if why:
                self.todo.remove(work)
                self.found["loads"][work.name] = {"absent": why}

    def run(self):
        self.leave_out()
        self.found["load_average"] = os.getloadavg()[0]
        times = 0
        while self.todo:
            times += 1
            self._once(self.folder / str(times))
        return self.found

    def _once(self, folder):
        folder.mkdir(parents=True)
        mode, work, fine = None, None, False
        try:
            start = time.monotonic()
            mode = self.kind(folder, self.guest)
            mode.start()
            self.found.setdefault("start_s", time.monotonic() - start)
            while self.todo:
                work = self.todo[0]
                self._load(mode, work)
                self.todo.pop(0)
            fine = True
        except TROUBLE as why:
            self._failed(work, reason(why, folder), folder)
        finally:
            if mode:
                with contextlib.suppress(*TROUBLE):
                    mode.end()
            if fine:
                shutil.rmtree(folder, ignore_errors=True)

    def _load(self, mode, work):
        mode.fresh()
        meter = Meter(mode)
        figures = work.run(mode, self.seconds)
        if "secondary" not in work.needs:   # then one of them is dead
            figures.update(meter.finish())
            mode.check()
        if not figures["value"] > 0:
            raise load.Stuck(f"{figures['value']} {work.unit} is no figure")
        self.found["loads"][work.name] = figures
        say(f"      {work.name:20} {figures['value']:10.1f} {work.unit}")

    def _failed(self, work, why, folder):
        """Of the load, or of all that are left when it never began."""
        for one in [work] if work else list(self.todo):
            self.found["loads"][one.name] = {"error": why}
            self.todo.remove(one)
            say(f"      {one.name:20} failed: {why}")
        say(f"      logs: {folder}")


class Plan:
    """Which guests, modes and loads; `only`: of "GUEST/LOAD"."""

    def __init__(self, table, guests, kinds, seconds, quick, only):
        self.kinds, self.seconds = kinds, seconds
        self.rows = []              # (guest, loads)
        for guest in guests:
            loads = [w for w in guest.chosen(table, quick)
                     if only.search(f"{guest.name}/{w.name}")]
            if loads:
                self.rows.append((guest, loads))

    def estimate(self):
        """Seconds of a round on two cores without KVM."""
        total = 0.0
        for guest, loads in self.rows:
            for kind in self.kinds:
                mine = [w for w in loads if not kind.cannot(w, guest)]
                if mine:
                    total += kind.boot_s + guest.boot_s(kind.name)
                total += sum(w.longer * self.seconds + w.extra_s
                             for w in mine)
        return total

    def round(self, folder, found, keep):
        """Fill `found`; keep() after each boot."""
        for number, (guest, loads) in enumerate(self.rows):
            say(f"  {guest.name}")
            mine = found.setdefault(guest.name, {})
            for kind in self.kinds:
                say(f"    {kind.name}")
                boot = Boot(kind, guest, loads, self.seconds,
                            folder / f"{number}-{kind.name}")
                mine[kind.name] = boot.found
                boot.run()
                keep()


def failures(found):
    """["GUEST, MODE, LOAD: why"] of one round."""
    return [f"{guest}, {mode}, {name}: {figures['error']}"
            for guest, modes_of in found.items()
            for mode, boot in modes_of.items()
            for name, figures in boot["loads"].items()
            if "error" in figures]
