# SPDX-License-Identifier: GPL-2.0-or-later
"""One pair at a time: what it costs by memory, by vCPUs, by requests, by
dirtied pages.

By memory and vCPUs, the load is the same for all sizes: a client with RATE
requests a second, each of which makes an epoch, and PAGES a second written by
all vCPUs together.  Once more with vCPUs that are never idle, for as many as
there are processors, and once with none of it.  By requests: of a client, and
nothing else.  By dirtied pages: a guest that says nothing, so that there are
epochs every `interval`, writes a given number of pages in each.
"""

import contextlib
import os

from ftbench.guests import Guest
from ftbench.rounds import TROUBLE, reason, say
from ftbench.scale import meter
from ftbench.scale.member import Member

RATE, PAGES, BYTES = 100, 1000, 64
AREA = 500                      # pages that these are, again and again
SWEEPS = ("sizes", "rates", "pages")
INTERVAL = 0.1                  # seconds, the default of the key
KEYS = "dirty-limit=16384"      # else 4096 pages make an epoch of their own
BUSY, IDLE = ", busy", ", idle"
SMALL = 256                     # MiB
WARM = 0.5                      # seconds before each window
SETTLE = 3.0                    # seconds of load: the emulator translates
BOOT_S, POINT_S = 7 + SETTLE, 2.5       # for the estimate


def name_of(memory, vcpus):
    size = f"{memory // 1024} GiB" if memory % 1024 == 0 else f"{memory} MiB"
    return f"{size}, {vcpus} vCPU" + ("s" if vcpus > 1 else "")


def sizes(memory, vcpus):
    """Guests of both sweeps; they share the small one."""
    wanted = [(mib, 1) for mib in memory]
    wanted += [(SMALL, count) for count in vcpus]
    return [Guest(name_of(*one), *one, ()) for one in dict.fromkeys(wanted)]


@contextlib.contextmanager
def running(folder, guest, keys=""):
    """A Member that is up, awake and not protected."""
    member = Member(folder, guest, keys=keys)
    try:
        member.boot()
        member.start()
        member.serve()
        member.settle(SETTLE)
        yield member
    finally:
        with contextlib.suppress(*TROUBLE):
            member.end()


class Asked:
    """A client, and nothing else; rate 0: not even that."""

    def __init__(self, name, rate):
        self.name, self.rate = name, rate

    def __call__(self, member, seconds):
        if self.rate:
            member.ask(self.rate)
        found = meter.between([member], seconds, WARM)
        if self.rate:
            member.unask()
        return found


class Steady:
    """The load that is the same for all sizes."""

    def __init__(self, name):
        self.name = name

    def __call__(self, member, seconds):
        member.dirty(PAGES, AREA, BYTES)
        member.ask(RATE)
        found = meter.between([member], seconds, WARM)
        member.unask()
        member.clean()
        return found


class Busy(Asked):
    """The client beside a guest that never sleeps, so that its vCPUs have to
    be stopped.  They use all there is: what more they use is no figure."""

    def __call__(self, member, seconds):
        member.dirty(PAGES, AREA)
        found = super().__call__(member, seconds)
        member.clean()
        return {name: value for name, value in found.items()
                if name not in ("more_vcpus", "epoch_vcpus")}


class Written:
    """`pages` an epoch, twice as many in all, `size` bytes of each."""

    def __init__(self, pages, size):
        self.name = f"{pages} x {size}"
        self.pages, self.size = pages, size

    def __call__(self, member, seconds):
        member.dirty(self.pages / INTERVAL, 2 * self.pages, self.size)
        found = meter.between([member], seconds, WARM)
        member.clean()
        return found


def of_size(guest):
    found = [Steady(guest.name)]
    if guest.memory <= SMALL and guest.vcpus <= os.cpu_count():
        found.append(Busy(guest.name + BUSY, RATE))
    if guest.vcpus == 1:
        found.append(Asked(guest.name + IDLE, 0))
    return found


def boots(sweep, args):
    """[(guest, keys, loads)] of a sweep."""
    small = Guest("", SMALL, 1, ())
    if sweep == "sizes":
        return [(guest, "", of_size(guest))
                for guest in sizes(args.memory, args.vcpus)]
    if sweep == "rates":
        loads = [Asked(str(rate), rate) for rate in args.rates]
        return [(small, "", loads)] if loads else []
    loads = [Written(*one) for one in args.pages]
    return [(small, KEYS, loads)] if loads else []


def told(name, found):
    if "error" in found:
        say(f"    {name:24} failed: {found['error']}")
    else:
        say(f"    {name:24} {found['epochs_s']:6.1f} epochs/s, "
            f"{found['pages_p50']:6.0f} pages, pause "
            f"{found['pause_p50']:6.0f} us")


def measure(folder, work, seconds, found, keep):
    """Fill found[name of a load]; `work` is one of boots().  After a load
    that fails the rest gets a new boot: the guest may be anything then."""
    guest, keys, loads = work
    left = list(loads)
    while left:
        load = left[0]
        try:
            with running(folder / str(len(left)), guest, keys) as member:
                while left:
                    load = left[0]
                    found[load.name] = load(member, seconds)
                    told(load.name, found[load.name])
                    left.pop(0)
                    keep()
        except TROUBLE as why:
            left.pop(0)
            found[load.name] = {"error": reason(why, folder)}
            told(load.name, found[load.name])
            keep()
