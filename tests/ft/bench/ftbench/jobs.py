# SPDX-License-Identifier: GPL-2.0-or-later
"""Loads that are work inside the guest, given and answered over its network
(agent.py)."""

import json
import re
import time

from ftbench import agent
from ftbench.load import Load, Stuck, patience


class Job(Load):
    """The same piece of work again and again, one at a time on each vCPU; the
    first one is not counted."""

    unit = "jobs/min"
    extra_s = Load.extra_s + 1
    longer = 1.15

    def run(self, mode, seconds):
        each = mode.guest.vcpus
        script = (f"for i in $(seq {each}); do {self.command} & p=\"$p $!\"; "
                  "done; for i in $p; do wait $i || exit 1; done")
        agent.run(script, patience(seconds))
        done, start = 0, time.monotonic()
        while True:
            agent.run(script, patience(seconds))
            done += each
            spent = time.monotonic() - start
            if spent >= seconds:
                return {"value": 60 * done / spent, "jobs": done}


class Compress(Job):
    name = "compress"
    command = ("zstd -q -c -3 --single-thread /bin/redis-server "
               "/lib64/libcrypto.so.3 >/dev/null")


class Compile(Job):
    name = "compile"
    command = "tcc -c -o /tmp/object$i.o /bench/source.c"


class Dirty(Load):
    """Memory is written at a given rate; the value is what the guest still
    gets done besides."""

    unit = "loops/s"
    mib = 64

    def __init__(self, rate):
        self.name = f"dirty {rate} MiB/s"
        self.rate = rate

    def run(self, mode, seconds):
        start = time.monotonic()
        said = agent.run(f"dirty {self.mib} {self.rate} {seconds:g}",
                         patience(seconds))
        spent = time.monotonic() - start
        found = re.search(r"loops (\d+) pages (\d+)", said)
        if not found:
            raise Stuck(f"it said {said!r}")
        loops, pages = map(int, found.groups())
        return {"value": loops / spent,
                "dirtied_mib_s": pages / 256 / spent}


class RandomWrites(Load):
    """4 KiB at random places of a file, each followed by fsync."""

    name = "fio randwrite+fsync"
    unit = "writes/s"
    needs = ("disk",)

    def run(self, mode, seconds):
        said = agent.run(
            "chroot /mnt fio --name=random --filename=/data/random "
            "--rw=randwrite --bs=4k --size=32m --fsync=1 --time_based "
            f"--runtime={max(1, round(seconds))} --output-format=json "
            "--aux-path=/tmp", patience(seconds))
        found = json.loads(said[said.index("{"):said.rindex("}") + 1])
        job = found["jobs"][0]
        if not job["write"]["iops"]:
            raise Stuck("nothing was written")
        sync = job["sync"]["lat_ns"].get("percentile", {})
        return {"value": job["write"]["iops"],
                "p50_ms": sync.get("50.000000", 0) / 1e6 or None,
                "p99_ms": sync.get("99.000000", 0) / 1e6 or None}
