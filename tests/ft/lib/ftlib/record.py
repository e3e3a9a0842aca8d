# SPDX-License-Identifier: GPL-2.0-or-later
"""A pair with an arbiter (kind file) that a test can take away."""

import json

from ftlib import wait
from ftlib.case import assert_equal

UUID = "5f0c7c2e-0f3e-4b7a-9a52-7d3a3f1c9b10"
KEYS = "self-check=1,timeout=1000"


class Record:
    """The arbiter: a directory that can be taken away."""

    def __init__(self, folder):
        self.path = folder / "arbiter"
        self.path.mkdir()
        self.aside = folder / "arbiter-aside"

    def take_away(self):
        self.path.rename(self.aside)

    def bring_back(self):
        self.aside.rename(self.path)

    def read(self):
        return json.loads((self.path / f"{UUID}.seat").read_text())

    def give_to(self, host):
        """While it is away: `host` has been faster."""
        path = self.aside / f"{UUID}.seat"
        seat = json.loads(path.read_text())
        seat.update(generation=seat["generation"] + 1, holder=host,
                    claim=32 * "e")
        path.write_text(json.dumps(seat) + "\n")

    def keys(self, host):
        return f"{KEYS},arbiter=file:{self.path},host={host}"


def arbitrated(t, extra=(), **options):
    record = Record(t.folder)
    pair = t.pair(extra=("-uuid", UUID, *extra), **options)
    return pair, record


def start(pair, record, more="", **primary):
    pair.start_secondary(keys=record.keys("b") + more)
    pair.start_primary(keys=record.keys("a") + more, **primary)
    pair.wait_ready()
    pair.wait_protected()


def started(t, **options):
    pair, record = arbitrated(t, **options)
    start(pair, record)
    assert_equal(record.read()["generation"], 1, "generation in the record")
    assert_equal(record.read()["holder"], "a", "holder")
    return pair, record


def asking(pair, qemu):
    def probe():
        found = pair.query(qemu)
        return found["arbiter"]["asking"] and found
    return wait.until(f"{qemu.name} does not ask the arbiter", probe)


def undecided(pair, record):
    """The primary has lost its peer, and cannot ask whether it may go on."""
    record.take_away()
    pair.wait_state("degraded")
    pair.secondary.kill()
    asking(pair, pair.primary)
