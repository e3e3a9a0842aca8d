# SPDX-License-Identifier: GPL-2.0-or-later
"""What a load costs on both sides while it runs."""

import os
import time

TICKS = os.sysconf("SC_CLK_TCK")
SIDES = ("primary", "secondary")
DISTRIBUTIONS = {"pause": "pause", "ack-latency": "ack",
                 "dirty-pages": "pages", "epoch-bytes": "epoch_bytes"}


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        words = stat.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


def rss_mib(pid):
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return None


def wire_bytes():
    """What has gone over lo, TCP's headers included: clients use a bridge, so
    it is all from one side to the other."""
    with open("/proc/net/dev") as table:
        for line in table:
            name, _, figures = line.partition(":")
            if name.strip() == "lo":
                return int(figures.split()[0])
    return 0


class Meter:
    """From its making to finish()."""

    def __init__(self, mode):
        self.mode = mode
        self.sides = {side: getattr(mode, side).process.pid
                      for side in SIDES if getattr(mode, side)}
        self.epoch = self._epoch()
        self.wire = wire_bytes()
        self.cpu = {s: cpu_seconds(pid) for s, pid in self.sides.items()}
        self.start = time.monotonic()

    def _epoch(self):
        found = self.mode.ft()
        return found["epoch"] if found else 0

    def finish(self):
        spent = time.monotonic() - self.start
        found = {"seconds": spent, "cpu": {}, "rss_mib": {}}
        if len(self.sides) > 1:
            found["wire_bytes_s"] = (wire_bytes() - self.wire) / spent
        for side, pid in self.sides.items():
            found["cpu"][side] = (cpu_seconds(pid) - self.cpu[side]) / spent
            found["rss_mib"][side] = rss_mib(pid)
        info = self.mode.ft()
        if info:
            found["epochs_s"] = (info["epoch"] - self.epoch) / spent
            for key, name in DISTRIBUTIONS.items():
                found[name] = info[key]
        return found
