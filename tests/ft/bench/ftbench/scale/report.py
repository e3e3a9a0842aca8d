# SPDX-License-Identifier: GPL-2.0-or-later
"""What was measured, as Markdown."""

import textwrap

from ftbench.report import machine, number, row, table, with_spread
from ftbench.scale import figures, pairs, sweep
from ftlib.pair import MEMORY

HEAD = """<!-- SPDX-License-Identifier: GPL-2.0-or-later -->
<!-- Written by tests/ft/bench/scale; the figures are in scale.json. -->
# What protection costs by size, by load, by number

{machine}

Median of {rounds} round{s} (min-max). Each figure is of {seconds:g} s under
protection; before and after them the same guest was measured under the same
load without.{note} What follows for many hosts is in [rack.md](rack.md).

Processor of an epoch: what was used more than without protection, by the
number of epochs. *vCPUs*: by the guest's own threads (emulation is slower for
a while after each epoch, and finds out anew what was written); a small
difference of two large figures, so its sign may be chance. *Primary*: by the
rest of QEMU there, which is all of the work for an epoch. Pause, its
phases and the acknowledgement are `query-ft`'s; a pause in which all vCPUs
slept is counted too.
"""
TEXTS = {
    "sizes": ("By memory and by vCPUs", """\
One pair. A client asks {rate} times a second, each reply makes an epoch, and
the vCPUs together write {bytes} bytes into each of {pages} pages a second.
*Busy*: the vCPUs never sleep, and so have to be stopped for each epoch.
*Idle*: neither client nor program; an epoch every {interval:g} ms."""),
    "rates": ("By requests", """\
One pair, 256 MiB, 1 vCPU, and a client that asks so many times a second; at 0
there is none, and an epoch every {interval:g} ms. Cores, more than without
protection: what is needed at 0 is needed at any time."""),
    "pages": ("By dirtied pages", """\
One pair, 256 MiB, 1 vCPU. The guest says nothing, so there is an epoch every
{interval:g} ms; a program writes so many pages in that time, so many bytes of
each, and sleeps. `{keys}`."""),
    "pairs": ("By pairs at once", """\
Guests of {memory} MiB with 1 vCPU, each with a client that asks {pair_rate}
times a second; default keys. All QEMUs and all clients share the {cpus}
processors. Figures are of one pair, on average; none was given up or taken
over in any round, also while others booted, unless the table says so."""),
}
MAIN = (
    # head, keys, what to divide by
    ("epochs/s", ("epochs_s",), 1),
    ("pages p50", ("pages_p50",), 1),
    ("pause p50 / p99, us", ("pause_p50", "pause_p99"), 1),
    ("ack p50 / p99, us", ("ack_p50", "ack_p99"), 1),
    ("bytes an epoch", ("sent_epoch",), 1),
    ("vCPUs, us an epoch", ("epoch_vcpus",), 1),
    ("primary, us an epoch", ("epoch_primary",), 1),
    ("secondary, us an epoch", ("epoch_secondary",), 1),
)
CORES = (
    ("epochs/s", ("epochs_s",), 1),
    ("vCPUs, cores", ("more_vcpus",), 1),
    ("primary, cores", ("more_primary",), 1),
    ("secondary, cores", ("more_secondary",), 1),
    ("wire, kB/s", ("wire_s",), 1000),
    ("pages p50", ("pages_p50",), 1),
    ("pause p50 / p99, us", ("pause_p50", "pause_p99"), 1),
)
PHASES = tuple((name, (name,), 1) for name in
               ("stop", "device", "harvest", "copy", "resume")) + (
    ("all vCPUs asleep, %", ("asleep",), 0.01),)
MEMORY_OF = (
    ("unprotected, PSS", ("plain_pss_primary",), 1),
    ("primary, PSS", ("pss_primary",), 1),
    ("primary, RSS", ("rss_primary",), 1),
    ("secondary, PSS", ("pss_secondary",), 1),
    ("secondary, RSS", ("rss_secondary",), 1),
)
PAIR = (
    ("processor of protection, % of a core", ("more",), 0.01),
    ("of it primary / secondary", ("more_primary", "more_secondary"), 0.01),
    ("vCPUs, % of a core", ("more_vcpus",), 0.01),
    ("wire, kB/s", ("wire_s",), 1000),
    ("epochs/s", ("epochs_s",), 1),
    ("pause p50 / p99, us", ("pause_p50", "pause_p99"), 1),
    ("client's wait p50 / p99, ms", ("wait_p50", "wait_p99"), 1),
    ("unprotected", ("plain_wait_p50", "plain_wait_p99"), 1),
    ("cores busy in all", ("machine",), 1),
    ("unprotected", ("plain_machine",), 1),
)
WAITS = (("client's wait p50 / p99, ms", ("wait_p50", "wait_p99"), 1),
         ("unprotected", ("plain_wait_p50", "plain_wait_p99"), 1))


def cell(found, keys, unit, whole):
    parts = []
    for key in keys:
        if key in found:
            one = {k: v / unit for k, v in found[key].items()}
            parts.append(with_spread(one) if whole else number(one["median"]))
    return " / ".join(parts) or "-"


def columns(first, points, heads, whole=True):
    """A table of those points that did not fail; phases without spreads."""
    rows = [row([name] + [cell(found, keys, unit, whole)
                          for _, keys, unit in heads])
            for name, found in points.items() if figures.measured(found)]
    return table([first] + [head for head, _, _ in heads], rows) if rows \
        else []


def gaps(points):
    lines = [f"- {name}: failed in {found['failed']} of the rounds: "
             f"{found['error']}" for name, found in points.items()
             if "error" in found]
    return lines + [""] if lines else []


def fits(lines, keys):
    rows = []
    for key in keys:
        one, line = figures.FITS[key], lines.get(key)
        if line:
            rows.append(row([one.name, f"{number(line.a)} + "
                             f"{number(line.b)} x {one.x}", one.unit,
                             f"{100 * line.worst:.0f} %"]))
    return table(["line", "", "unit", "worst deviation"], rows) if rows \
        else []


def shown(pictures, sweep_name):
    found = []
    for name, title, file in pictures:
        if name == sweep_name:
            found += [f"![{title}]({file})", ""]
    return found


SECTIONS = (
    # sweep, name of a point, tables, lines
    ("sizes", "guest", (MAIN, PHASES, WAITS, MEMORY_OF),
     [k for k in figures.FITS if k.startswith(("memory ", "vcpus "))]),
    ("rates", "requests/s", (CORES, WAITS),
     [k for k in figures.FITS if k.startswith("rate ")]),
    ("pages", "pages x bytes", (MAIN, PHASES),
     ["bytes", "bytes full", "pause", "ack", "ack full", "vcpus", "primary",
      "primary full", "secondary", "secondary full"]),
    ("pairs", "pairs", (PAIR, PHASES, MEMORY_OF),
     ["pair more", "pair pause", "pair wire", "machine"]),
)
TITLES = {PHASES: "Where the pause goes, us:", MEMORY_OF: "Memory, MiB:",
          WAITS: "What the client waits:"}


def markdown(data, summary, lines, pictures):
    options, count = data["options"], len(data["rounds"])
    note = "" if data["complete"] else \
        " This run was interrupted: it is of the rounds there were."
    about = textwrap.fill(machine(data["about"]), 79, break_on_hyphens=False)
    out = [HEAD.format(machine=about, rounds=count,
                       s="" if count == 1 else "s",
                       seconds=options["seconds"], note=note)]
    words = {"rate": sweep.RATE, "pages": sweep.PAGES, "bytes": sweep.BYTES,
             "interval": 1000 * sweep.INTERVAL, "keys": sweep.KEYS,
             "memory": MEMORY, "pair_rate": pairs.RATE,
             "cpus": data["about"]["cpus"]}
    for name, first, tables, keys in SECTIONS:
        points = summary[name]
        if not points:
            continue
        title, text = TEXTS[name]
        out += [f"## {title}", "", text.format(**words), ""]
        out += shown(pictures, name) + gaps(points)
        for heads in tables:
            found = columns(first, points, heads, heads is not PHASES)
            if found and heads in TITLES:
                out += [TITLES[heads], ""]
            out += found
        out += fits(lines, keys)
    stable = figures.flat(data["rounds"])
    if stable:
        out += ["A pair among the most costs "
                f"{with_spread(stable)} times what it costs alone (both "
                "sides without vCPUs; formed in each round).", ""]
    return "\n".join(out).rstrip() + "\n"
