# SPDX-License-Identifier: GPL-2.0-or-later
"""The summary as Markdown: for each guest what was reached, what it cost, and
what there is no figure of, and why."""

from ftbench import modes, stats

HEAD = """<!-- SPDX-License-Identifier: GPL-2.0-or-later -->
<!-- Written by tests/ft/bench/run; the figures are in bench.json. -->
# Unprotected, checkpoint, COLO

{machine}

Median of {rounds} round{s} (min-max). A round starts each guest in each mode,
one after the other, and puts the same loads on it, {seconds:g} s each. A ratio
is one of speeds - of rates, of waiting times the other way round - formed
inside each round: 1 is as fast as the mode it is compared with, and more is
better.{note}

Load average of the machine before each boot: {busy}; well above 2 means that
something else ran beside it.
"""
COSTS = (
    # head, keys in a summary, what to divide by, unit
    ("processor, % of a core", ("cpu primary", "cpu secondary"), 0.01),
    ("memory (RSS), MiB", ("rss_mib primary", "rss_mib secondary"), 1),
    ("wire, MB/s", ("wire_bytes_s",), 1e6),
    ("epochs/s", ("epochs_s",), 1),
    ("pause p50 / p99 / max, us", ("pause p50", "pause p99", "pause max"), 1),
    ("ack p50 / p99 / max, us", ("ack p50", "ack p99", "ack max"), 1),
)
LATENCY = (("p50_ms", "p50"), ("p99_ms", "p99"))
EXPLAIN = """Processor and memory: of QEMU on the primary / on the secondary.
Wire: all that went from one side to the other, both ways, TCP's headers
included. Pause and ack (from the end of a cut to the acknowledgement): of the
latest 1024 epochs of the load; medians of the rounds.

Under COLO the secondary runs the guest too, and here it does so on the same
processors: on a host of its own it would not be in the primary's way.
"""


def number(value):
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def with_spread(cell):
    text = number(cell["median"])
    if cell["min"] == cell["max"]:
        return text
    return f"{text} ({number(cell['min'])}-{number(cell['max'])})"


def row(cells):
    return "| " + " | ".join(cells) + " |"


def table(heads, rows):
    return [row(heads), row(["---"] * len(heads)), *rows, ""]


def machine(about):
    changed = " with changes" if about["changed"] else ""
    memory = (about["memory_mib"] or 0) / 1024
    return (f"Commit {about['commit'] or 'unknown'}{changed}. "
            f"{about['qemu']}, accelerator {about['accelerator']}. Client, "
            f"primary and secondary share one machine: {about['cpus']} x "
            f"{about['cpu'] or 'unknown processor'}, {memory:.0f} GiB, "
            f"{about['system']}, Linux {about['kernel']}. "
            f"Guest: {', '.join(about['guest'])}.")


def busy(rounds):
    found = [boot["load_average"] for one in rounds
             for modes_of in one.values() for boot in modes_of.values()
             if "load_average" in boot]
    return with_spread(stats.spread(found)) if found else "unknown"


def cell_of(load, mode):
    found = load["modes"].get(mode, {})
    if "value" in found:
        return f"{with_spread(found['value'])} {load['unit']}"
    return "failed" if "error" in found else "-"


def pairs_of(names):
    return [f"{a}/{b}" for a, b in modes.RATIOS if a in names and b in names]


def speeds(loads, names):
    pairs = pairs_of(names)
    rows = []
    for name, load in loads.items():
        cells = [name] + [cell_of(load, mode) for mode in names]
        for pair in pairs:
            ratio = load["ratios"].get(pair)
            cells.append(with_spread(ratio) if ratio else "-")
        rows.append(row(cells))
    return table(["load", *names, *[p.replace("/", " / ") for p in pairs]],
                 rows)


def latencies(loads, names):
    rows = []
    for name, load in loads.items():
        cells = []
        for mode in names:
            found = load["modes"].get(mode, {})
            parts = [with_spread(found[key]) for key, _ in LATENCY
                     if key in found]
            cells.append(" / ".join(parts) or "-")
        if any(c != "-" for c in cells):
            rows.append(row([name, *cells]))
    if not rows:
        return []
    return table(["latency p50 / p99, ms", *names], rows)


def costs(loads, names):
    rows = []
    for name, load in loads.items():
        for mode in names:
            found = load["modes"].get(mode, {})
            cells = []
            for _, keys, unit in COSTS:
                parts = [number(found[key]["median"] / unit)
                         for key in keys if key in found]
                cells.append(" / ".join(parts) or "-")
            if any(c != "-" for c in cells):
                rows.append(row([name, mode, *cells]))
    if not rows:
        return []
    return table(["load", "mode", *[head for head, _, _ in COSTS]], rows)


def gaps(loads):
    """What there is no figure of; the same reason is told once."""
    told = {}
    for name, load in loads.items():
        for mode, found in load["modes"].items():
            if "error" in found:
                why = (f"failed in {found['failed']} of the rounds: "
                       f"{found['error']}")
            elif "absent" in found:
                why = found["absent"]
            else:
                continue
            told.setdefault((mode, why), []).append(name)
    lines = [f"- {', '.join(names)} in mode {mode}: {why}"
             for (mode, why), names in told.items()]
    return lines + [""] if lines else []


def markdown(data, summary, names, pictures):
    rounds = len(data["rounds"])
    note = "" if data["complete"] else \
        " This run was interrupted: it is of the rounds there were."
    lines = [HEAD.format(machine=machine(data["about"]), rounds=rounds,
                         s="" if rounds == 1 else "s", note=note,
                         seconds=data["options"]["seconds"],
                         busy=busy(data["rounds"]))]
    for title, file in pictures:
        lines += [f"![{title}]({file})", ""]
    for guest, loads in summary.items():
        lines += [f"## {guest}", "", *speeds(loads, names), *gaps(loads),
                  *latencies(loads, names)]
    lines += ["# What it costs", "", EXPLAIN]
    for guest, loads in summary.items():
        found = costs(loads, names)
        if found:
            lines += [f"## {guest}: cost", "", *found]
    return "\n".join(lines).rstrip() + "\n"
