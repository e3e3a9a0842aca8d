# SPDX-License-Identifier: GPL-2.0-or-later
"""From one pair to many hosts: what was measured, multiplied, as a page that
shows how."""

import collections
import dataclasses
import textwrap

from ftbench.report import machine, number, row, table, with_spread
from ftbench.scale import pairs, racktext, sweep
from ftbench.scale.figures import flat, measured, median
from ftlib.pair import MEMORY

WIDTH = 79
WHOLE = 4096                    # bytes of a page
EXAMPLE = (50, 500, 256)        # epochs a second, pages, bytes of each
TCP = 0.95                      # of a link, for payload


@dataclasses.dataclass(frozen=True)
class Rack:
    """`vms` primaries on each of `hosts`, and as many secondaries; links of
    `gbit` each way."""

    hosts: int
    vms: int
    gbit: float

    def share(self, bytes_s):
        """Of a link, in per cent."""
        return 100 * bytes_s * 8 / (self.gbit * 1e9 * TCP)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A VM under one of the loads; per second, cores and bytes."""

    name: str
    epochs: float
    pages: float
    primary: float
    secondary: float
    vcpus: float
    wire: float


def kind_of(name, found):
    keys = ("epochs_s", "pages_p50", "more_primary", "more_secondary",
            "more_vcpus", "wire_s")
    values = [median(found, key) for key in keys]
    return None if None in values else Kind(name, *values)


def kinds(summary):
    """What there is a measurement of, the lightest first."""
    found = []
    fine = {int(n): f for n, f in summary["pairs"].items()
            if measured(f)}
    if fine:
        most = max(fine)
        found.append(kind_of(f"{pairs.RATE} requests/s (of {most} pairs at "
                             "once)", fine[most]))
    for name, one in summary["rates"].items():
        found.append(kind_of("idle" if name == "0" else f"{name} requests/s",
                             one))
    for name, one in summary["pages"].items():
        count, _, size = name.partition(" x ")
        found.append(kind_of(f"{count} pages an epoch, {size} bytes of each",
                             one))
    return [one for one in found if one]


def wrapped(text):
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)


def load_rows(found, rack):
    heads = ["each VM", "epochs/s", "pages", "primary", "secondary",
             "wire, MB/s", f"host: {rack.vms} + {rack.vms}, cores",
             f"host: each way, MB/s (% of {rack.gbit:g} Gbit/s)",
             "rack: cores", "vCPUs, cores"]
    rows = []
    for one in found:
        cores = rack.vms * (one.primary + one.secondary)
        rows.append(row([
            one.name, number(one.epochs), number(one.pages),
            number(one.primary), number(one.secondary),
            number(one.wire / 1e6), number(cores),
            f"{number(rack.vms * one.wire / 1e6)} "
            f"({number(rack.share(rack.vms * one.wire))})",
            number(rack.hosts * cores), number(one.vcpus)]))
    return table(heads, rows)


def loads(summary, rack):
    found = kinds(summary)
    if not found:
        return []
    one = found[0]
    cores = one.primary + one.secondary
    return [
        "## The loads that were measured", "", wrapped(
            "Cores are of protection only: what the primary's QEMU outside "
            "its vCPUs used more than without, and the secondary's. What "
            "protection made the vCPUs use more is apart: it is emulation's "
            "price, and may be below zero by chance. Pages are all that an "
            "epoch had: the guest's kernel and what else runs there write "
            "into some besides, as the idle guest shows."), "",
        *load_rows(found, rack),
        wrapped(
            f"The first row: {rack.vms} primaries x {number(one.primary)} + "
            f"{rack.vms} secondaries x {number(one.secondary)} = "
            f"{number(rack.vms * cores)} cores a host; {rack.vms} x "
            f"{number(one.wire / 1e6)} = {number(rack.vms * one.wire / 1e6)} "
            f"MB/s out for the primaries, and as much in for the "
            f"secondaries; {rack.hosts} x {number(rack.vms * cores)} = "
            f"{number(rack.hosts * rack.vms * cores)} cores for "
            f"{rack.hosts * rack.vms} VMs."), ""]


@dataclasses.dataclass(frozen=True)
class Epoch:
    """What an epoch of d pages costs of which c bytes each have changed:
    base + d (page + byte c)."""

    base: float
    page: float
    byte: float

    def at(self, d, c):
        return self.base + d * (self.page + self.byte * c)

    def __str__(self):
        return f"{number(self.base)} + *d* ({number(self.page)} + " \
            f"{number(self.byte)} *c*)"


def epoch(lines, key, idle=0.0):
    """From the lines for both numbers of bytes.  Those epochs came every
    interval, so what runs all the time (`idle`, cores) is taken out."""
    few, full = lines.get(key), lines.get(f"{key} full")
    if not few or not full:
        return None
    byte = (full.b - few.b) / (WHOLE - sweep.BYTES)
    return Epoch(few.a - 1e6 * sweep.INTERVAL * idle,
                 few.b - sweep.BYTES * byte, byte)


def background(lines):
    """(primary's, secondary's) cores at no epoch at all."""
    found = [lines.get(k) for k in ("rate primary", "rate secondary")]
    return None if None in found else [max(0.0, one.a) for one in found]


def polling(lines):
    """What *I* grows by with the memory, which is looked through for
    dirty-limit."""
    line = lines.get("memory idle")
    return f" + {number(max(0.0, line.b))} for each GiB of *M* beyond " \
        f"{sweep.SMALL} MiB" if line else ""


def formula(summary, lines, rack):
    each, idle = fixed(summary), background(lines)
    if None in (each, idle):
        return []
    primary = epoch(lines, "primary", idle[0])
    secondary = epoch(lines, "secondary", idle[1])
    ack, size = epoch(lines, "ack"), epoch(lines, "bytes")
    if None in (primary, secondary, ack, size):
        return []
    rows = "\n".join([
        f"| *I*, both processors at any time, cores | "
        f"{number(idle[0])} + {number(idle[1])}{polling(lines)} |",
        f"| *P*, primary's processor, us an epoch | {primary} |",
        f"| *S*, secondary's processor, us an epoch | {secondary} |",
        f"| *A*, until acknowledged, us | {ack} |",
        f"| *B*, bytes of an epoch | {size} |"])
    out = [racktext.FORMULA.format(rows=rows, fixed=number(each))]
    e, d, c = EXAMPLE
    p, s, b = (one.at(d, c) for one in (primary, secondary, size))
    rate = rack.vms * e * b
    cores = rack.vms * (sum(idle) + e * (p + s) / 1e6)
    out.append(wrapped(racktext.EXAMPLE.format(
        vms=rack.vms, idle=number(sum(idle)), e=e, d=d, c=c, p=number(p),
        s=number(s), b=number(b / 1000), cores=number(cores),
        rate=number(rate / 1e6), share=number(rack.share(rate)),
        gbit=rack.gbit, tcp=100 * TCP)) + "\n")
    return out


def saturation(data, lines):
    cpus, line = data["about"]["cpus"], lines.get("machine")
    if not line or line.b <= 0:
        return []
    return [wrapped(
            f"On the machine of the measurement everything together - guests "
            f"of {MEMORY} MiB, {pairs.RATE} requests/s each, their clients, "
            f"both sides of each pair - kept {number(line.a)} + "
            f"{number(line.b)} x pairs cores busy, so its {cpus} would be "
            f"full at some {(cpus - line.a) / line.b:.0f} pairs; from there "
            "on figures would tell of waiting, not of protection."), ""]


def memory_of(summary):
    """{guest: (unprotected, primary, secondary)}, the most pairs last."""
    named = {**summary["sizes"],
             **{f"{MEMORY} MiB, of {n} pairs": f
                for n, f in list(summary["pairs"].items())[-1:]}}
    found = {name: [median(figures, key) for key in
                    ("plain_pss_primary", "pss_primary", "pss_secondary")]
             for name, figures in named.items()}
    return {name: values for name, values in found.items()
            if None not in values}


def fixed(summary):
    """MiB that a primary has more than without protection, at most: what it
    keeps of the few pages these guests write is in it."""
    found = [primary - plain for plain, primary, _ in
             memory_of(summary).values()]
    return max(found) if found else None


def memory(summary, rack):
    rows = [row([name, *map(number, (plain, primary, secondary)),
                 number(primary - plain)])
            for name, (plain, primary, secondary)
            in memory_of(summary).items()]
    if not rows:
        return []
    heads = ["guest", "unprotected", "primary", "secondary",
             "more on the primary"]
    each = fixed(summary)
    return [racktext.MEMORY.format(
        table="\n".join(table(heads, rows)), vms=rack.vms, each=number(each),
        gib=rack.vms * 36, mib=number(2 * rack.vms * each))]


def homes(rack):
    """[(primary's host, secondary's host)] of all VMs."""
    return [(host, (host + number) % rack.hosts) for host in
            range(rack.hosts) for number in range(1, rack.vms + 1)]


def death(rack):
    """Host 0 dies; who has to send a copy, and how many."""
    lone = collections.Counter(two if one == 0 else one
                               for one, two in homes(rack) if 0 in (one, two))
    both, left = sum(lone.values()), rack.hosts - 1
    per_host = -(-both // left)
    return racktext.DEATH.format(
        vms=rack.vms, others=rack.vms, both=both,
        rest=rack.hosts * rack.vms - both, left=left, per_host=per_host,
        out=max(lone.values()),
        copies=both, gbit=rack.gbit, tcp=100 * TCP,
        copy=number(per_host * 16 * 2 ** 30 * 8 / (rack.gbit * 1e9 * TCP)),
        total=rack.hosts * rack.vms, hosts=rack.hosts,
        two=number(rack.hosts * rack.vms * 2 / (rack.hosts * left)))


def markdown(data, summary, lines, rack):
    stable = flat(data["rounds"])
    told = (f": among {max(map(int, summary['pairs']))} pairs at once one "
            f"cost {with_spread(stable)} times what it cost alone") \
        if stable else ""
    out = [racktext.HEAD.format(hosts=rack.hosts, vms=rack.vms,
                       machine=wrapped(machine(data["about"]))),
           racktext.LAYOUT.format(vms=rack.vms, others=rack.vms,
                         total=rack.hosts * rack.vms, copies=2 * rack.vms,
                         flat=told),
           *loads(summary, rack), *saturation(data, lines),
           *formula(summary, lines, rack), *memory(summary, rack), death(rack),
           racktext.HONEST.format(copies=2 * rack.vms)]
    return "\n".join(out).rstrip() + "\n"
