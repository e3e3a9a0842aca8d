# SPDX-License-Identifier: GPL-2.0-or-later
"""Many pairs at once, each with a client of its own that asks RATE times a
second.  It begins with one, and others join: so the first ones live through
the boots of those that follow, protected, on a machine that is busy then."""

import contextlib
import time

from ftbench.guests import Guest
from ftbench.rounds import TROUBLE, reason, say
from ftbench.scale import meter
from ftbench.scale.member import Member
from ftlib.pair import MEMORY

RATE = 20
WARM, SETTLE = 0.5, 3.0         # seconds; the emulator translates first
BOOT_S, POINT_S = 4.5, SETTLE + 6       # a pair, a point; for the estimate


def more(members, count, folder):
    """Boot what is missing; those there are stay protected meanwhile."""
    guest = Guest("", MEMORY, 1, ())
    new = []
    for number in range(len(members), count):
        new.append(Member(folder / str(number), guest, number))
        members.append(new[-1])
        new[-1].boot()
    for member in new:
        member.start()
        member.ask(RATE)


def point(members, count, folder, seconds):
    """All of them are protected between two points, while more boot."""
    meter.protect(members)
    old = list(members)
    more(members, count, folder)
    meter.unprotect(old)
    time.sleep(SETTLE)
    return meter.between(members, seconds, WARM)


def told(count, found):
    if "error" in found:
        say(f"    {count:2} pairs: failed: {found['error']}")
    else:
        say(f"    {count:2} pairs: {found['more']:.3f} cores more each, "
            f"pause {found['pause_p50']:.0f} us, wait "
            f"{found['wait_p50']:.2f} ms, {found['machine']:.2f} cores busy")


def measure(folder, counts, seconds, found, keep):
    """Fill found["N"]; what fails ends it, since the pairs may be anything
    then."""
    members = []
    try:
        for count in sorted(counts):
            name = str(count)
            try:
                found[name] = point(members, count, folder, seconds)
            except TROUBLE as why:
                found[name] = {"error": reason(why, folder)}
            told(count, found[name])
            keep()
            if "error" in found[name]:
                return
    finally:
        for member in members:
            with contextlib.suppress(*TROUBLE):
                member.end()
