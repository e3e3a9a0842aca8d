# SPDX-License-Identifier: GPL-2.0-or-later
"""The rounds as medians, and the lines that are laid through them."""

import dataclasses

from ftbench.scale import fit, sweep
from ftbench.stats import spread

SWEEPS = (*sweep.SWEEPS, "pairs")


def summarize(rounds):
    """{sweep: {point: {key: spread, "error":, "failed":}}}"""
    found = {}
    for sweep in SWEEPS:
        points = {}
        for one in rounds:
            for name, figures in one.get(sweep, {}).items():
                points.setdefault(name, []).append(figures)
        found[sweep] = {name: of_point(rows) for name, rows in points.items()}
    return found


def of_point(rows):
    """Of the rounds in which it did not fail, and why it did in others."""
    fine = [r for r in rows if "error" not in r]
    errors = [r["error"] for r in rows if "error" in r]
    found = {key: spread([r[key] for r in fine])
             for key in (fine[0] if fine else ())
             if all(key in r for r in fine)}
    if errors:
        found.update({"error": errors[0], "failed": len(errors)})
    return found


def measured(found):
    """Is there a round in which it did not fail?"""
    return any(isinstance(cell, dict) for cell in found.values())


def median(figures, key):
    cell = figures.get(key)
    return cell["median"] if cell else None


@dataclasses.dataclass(frozen=True)
class Fit:
    """y of the points of a sweep by x; `chosen` is given each name and gives
    x, or None for a point that is not of it."""

    name: str
    y: str
    unit: str
    x: str                      # what it is called
    sweep: str
    chosen: object
    key: str = ""               # instead of what chosen() gives: this figure

    def points(self, summary):
        found = []
        for name, figures in summary[self.sweep].items():
            x, y = self.chosen(name), median(figures, self.y)
            if x is not None and y is not None:
                found.append((median(figures, self.key) if self.key else x,
                              y))
        return found

    def line(self, summary):
        return fit.line(self.points(summary))


def parts(name):
    """(GiB, vCPUs, what it does) of the name of a guest and its load."""
    size, vcpus, *load = name.split(", ")
    number, unit = size.split()
    return (float(number) / (1 if unit == "GiB" else 1024),
            int(vcpus.split()[0]), ", " + load[0] if load else "")


def gib(wanted):
    def choose(name):
        memory, vcpus, load = parts(name)
        return memory if (vcpus, load) == (1, wanted) else None
    return choose


def vcpus_of(name):
    memory, vcpus, load = parts(name)
    return float(vcpus) if memory * 1024 == sweep.SMALL and not load else None


def written(size):
    """Chooses the points that write `size` bytes of each page."""
    return lambda name: 1.0 if name.endswith(f" x {size}") else None


def by_memory(name, y, unit, load=""):
    return Fit(name, y, unit, "GiB of memory", "sizes", gib(load))


def by_vcpus(name, y, unit):
    return Fit(name, y, unit, "vCPUs", "sizes", vcpus_of)


def by_rate(name, y, unit):
    return Fit(name, y, unit, "epochs/s", "rates", lambda name: 1.0,
               "epochs_s")


def by_pages(name, y, unit, size=64):
    return Fit(f"{name}, {size} bytes of each", y, unit, "pages", "pages",
               written(size), "pages_p50")


def by_pairs(name, y, unit):
    return Fit(name, y, unit, "pairs", "pairs", float)


FITS = {
    "memory pause": by_memory("pause p50", "pause_p50", "us"),
    "memory harvest": by_memory("of it harvest", "harvest", "us"),
    "memory primary": by_memory("primary's processor, an epoch",
                                "epoch_primary", "us"),
    "memory secondary": by_memory("secondary's processor, an epoch",
                                  "epoch_secondary", "us"),
    "memory ack": by_memory("acknowledgement p50", "ack_p50", "us"),
    "memory bytes": by_memory("bytes, an epoch", "sent_epoch", "bytes"),
    "memory idle": by_memory("primary's processor, idle guest",
                             "more_primary", "cores", sweep.IDLE),
    "vcpus pause": by_vcpus("pause p50", "pause_p50", "us"),
    "vcpus primary": by_vcpus("primary's processor, an epoch",
                              "epoch_primary", "us"),
    "vcpus bytes": by_vcpus("bytes, an epoch", "sent_epoch", "bytes"),
    "rate primary": by_rate("primary's processor", "more_primary", "cores"),
    "rate secondary": by_rate("secondary's processor", "more_secondary",
                              "cores"),
    "rate wire": by_rate("wire", "wire_s", "bytes/s"),
    "bytes": by_pages("bytes, an epoch", "sent_epoch", "bytes"),
    "bytes full": by_pages("bytes, an epoch", "sent_epoch", "bytes", 4096),
    "pause": by_pages("pause p50", "pause_p50", "us"),
    "ack": by_pages("acknowledgement p50", "ack_p50", "us"),
    "vcpus": by_pages("vCPUs' processor, an epoch", "epoch_vcpus", "us"),
    "primary": by_pages("primary's processor, an epoch", "epoch_primary",
                        "us"),
    "secondary": by_pages("secondary's processor, an epoch",
                          "epoch_secondary", "us"),
    "ack full": by_pages("acknowledgement p50", "ack_p50", "us", 4096),
    "primary full": by_pages("primary's processor, an epoch",
                             "epoch_primary", "us", 4096),
    "secondary full": by_pages("secondary's processor, an epoch",
                               "epoch_secondary", "us", 4096),
    "pair more": by_pairs("processor of protection, a pair", "more",
                          "cores"),
    "pair pause": by_pairs("pause p50", "pause_p50", "us"),
    "pair wire": by_pairs("wire, a pair", "wire_s", "bytes/s"),
    "machine": by_pairs("processor of everything", "machine", "cores"),
}


def lines(summary):
    """{key of FITS: Line} of those there are points for."""
    found = {key: one.line(summary) for key, one in FITS.items()}
    return {key: one for key, one in found.items() if one}


def flat(rounds, key="more"):
    """What a pair costs among the most pairs by what it costs alone, formed
    in each round; None when there are not both."""
    ratios = []
    for one in rounds:
        fine = {int(n): f for n, f in one.get("pairs", {}).items()
                if key in f}
        if len(fine) > 1:
            ratios.append(fine[max(fine)][key] / fine[min(fine)][key])
    return spread(ratios) if ratios else None
