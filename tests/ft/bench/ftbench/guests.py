# SPDX-License-Identifier: GPL-2.0-or-later
"""In which guests it is measured, and what runs in each."""

import dataclasses
import re


@dataclasses.dataclass(frozen=True)
class Guest:
    """`loads` are patterns of names of workloads.table(); `quick`: those of
    the quick form, None: it is not part of that."""

    name: str
    memory: int                 # MiB
    vcpus: int
    loads: tuple
    quick: tuple = None
    disk: bool = False

    def boot_s(self, mode):
        """Seconds its size adds to a boot, for the estimate."""
        per_gib = 3 if mode == "COLO" else 0.2
        return per_gib * self.memory / 1024 + 4 * self.disk

    def chosen(self, table, quick):
        patterns = self.quick if quick else self.loads
        return [load for name, load in table.items()
                if any(re.fullmatch(p, word) for p in patterns or ()
                       for word in (name, load.alias))]


EVERYTHING = ("ping", "(SET|GET|TIME) x.*", "iperf3 .*", "compress",
              "compile", "dirty .*", "takeover")
SOME = ("ping", "SET x20", "compress", "dirty hardest", "takeover")

ALL = (
    Guest("256 MiB, 1 vCPU", 256, 1, EVERYTHING, EVERYTHING),
    Guest("1 GiB, 1 vCPU", 1024, 1, SOME),
    Guest("4 GiB, 1 vCPU", 4096, 1, SOME),
    Guest("256 MiB, 2 vCPUs", 256, 2, SOME, ("SET x20", "compress")),
    Guest("256 MiB, 4 vCPUs", 256, 4, SOME),
    Guest("384 MiB, 1 vCPU, disk", 384, 1,
          ("pgbench .*", "fio .*", "takeover"), ("pgbench .*", "fio .*"),
          disk=True),
)
