# SPDX-License-Identifier: GPL-2.0-or-later
"""The summary as SVG, drawn by gnuplot: bars, with a line from the least to
the most of the rounds."""

import shutil
import subprocess

SCRIPT = """
set terminal svg size {width},440 background '#ffffff' font 'sans,11'
set output '{file}'
set title "{title}" noenhanced
set style data histograms
set style histogram errorbars gap 1 linewidth 1
set style fill solid 0.8 border -1
set boxwidth 0.9
set grid ytics
set xtics rotate by 35 right scale 0 noenhanced
set lmargin 12
set key outside top center horizontal noenhanced
set ylabel "{label}" noenhanced
{scale}
{mark}
plot {series}
"""
LINEAR = "set yrange [0:*]"
LOG = "set logscale y; set format y '%g'"
# A line at 1: as fast as what it is compared with
MARK = ("set arrow from graph 0, first 1 to graph 1, first 1 nohead "
        "dashtype 2 linecolor rgb '#333333' front")
COLOURS = ("#4477aa", "#ee6677", "#ccbb44", "#228833", "#aa3377", "#bbbbbb")


class Missing(Exception):
    """Why there can be no pictures."""


class Failed(Exception):
    """gnuplot did not draw."""


class Picture:
    """`series` maps a name to [(median, min, max) or None], one for each
    name in `categories`."""

    def __init__(self, name, title, label, categories, series, log=False,
                 mark=False):
        self.file = f"bench-{name}.svg"
        self.title, self.label, self.log = title, label, log
        self.mark = mark
        kept = [i for i in range(len(categories))
                if any(values[i] for values in series.values())]
        self.categories = [categories[i] for i in kept]
        self.series = {name: [values[i] for i in kept]
                       for name, values in series.items()
                       if any(values[i] for i in kept)}

    def script(self, folder):
        blocks, plots = [], []
        for number, (name, values) in enumerate(self.series.items()):
            blocks.append(f"$d{number} << EOD")
            for category, value in zip(self.categories, values):
                numbers = " ".join(f"{v:.6g}" for v in value) if value \
                    else "? ? ?"
                blocks.append(f'"{category}" {numbers}')
            blocks.append("EOD")
            plots.append(f"$d{number} using 2:3:4:xtic(1) title '{name}' "
                         f"linecolor rgb '{COLOURS[number % len(COLOURS)]}'")
        width = max(500, 200 + 16 * len(self.categories) *
                    (len(self.series) + 1))
        return "\n".join(["set datafile missing '?'", *blocks]) + \
            SCRIPT.format(
                width=width, file=folder / self.file, title=self.title,
                label=self.label, scale=LOG if self.log else LINEAR,
                mark=MARK if self.mark else "",
                series=", \\\n  ".join(plots))


def triple(cell, unit=1):
    return tuple(cell[k] / unit for k in ("median", "min", "max")) \
        if cell and cell["max"] > 0 else None


def per_load(loads, modes, key, unit=1):
    """{mode: [triple for each load]}"""
    return {mode: [triple(load["modes"].get(mode, {}).get(key), unit)
                   for load in loads.values()] for mode in modes}


def speed(summary, guest, pairs):
    loads = summary[guest]
    series = {pair.replace("/", " / "):
              [triple(load["ratios"].get(pair)) for load in loads.values()]
              for pair in pairs}
    return Picture("speed", f"each load against the unprotected guest "
                   f"({guest})", "speed, unprotected = 1", list(loads),
                   series, log=True, mark=True)


def by_guest(summary, load, pairs):
    series = {pair.replace("/", " / "):
              [triple(loads.get(load, {}).get("ratios", {}).get(pair))
               for loads in summary.values()] for pair in pairs}
    return Picture("guests", f"{load} against the unprotected guest, by size",
                   "speed, unprotected = 1", list(summary), series, mark=True)


def distributions(summary, guest):
    loads = summary[guest]
    series = {}
    for what in ("pause", "ack"):
        for share in ("p50", "p99"):
            series[f"{what} {share}"] = [
                triple(load["modes"].get("checkpoint", {}).get(
                    f"{what} {share}")) for load in loads.values()]
    return Picture("pause", f"checkpoint: pause and acknowledgement ({guest})",
                   "us", list(loads), series, log=True)


def outages(summary, modes):
    series = {mode: [triple(loads.get("takeover", {}).get("modes", {}).get(
        mode, {}).get("value")) for loads in summary.values()]
        for mode in modes}
    return Picture("outage", "takeover: outage seen by a client", "ms",
                   list(summary), series)


def memory(summary, modes, load):
    series = {}
    for mode in modes:
        for side in ("primary", "secondary"):
            series[f"{mode}, {side}"] = [
                triple(loads.get(load, {}).get("modes", {}).get(mode, {}).get(
                    f"rss_mib {side}")) for loads in summary.values()]
    return Picture("memory", f"memory of QEMU under {load}", "RSS, MiB",
                   list(summary), series)


def pictures(summary, modes):
    """All that there are figures for."""
    guest = next(iter(summary))     # the one with all loads
    plain = ["checkpoint/unprotected", "COLO/unprotected"]
    both = [m for m in modes if m != "unprotected"]
    loads = summary[guest]
    found = [
        speed(summary, guest, plain),
        by_guest(summary, "SET x20", plain),
        distributions(summary, guest),
        Picture("wire", f"between the two sides ({guest})", "MB/s",
                list(loads), per_load(loads, both, "wire_bytes_s", 1e6),
                log=True),
        memory(summary, modes, "SET x20"),
        outages(summary, both),
    ]
    return [p for p in found if p.series]


def draw(summary, modes, folder):
    """[(title, file name)] of what was drawn."""
    if not shutil.which("gnuplot"):
        raise Missing("gnuplot is missing: scripts/deps bench installs it")
    found = []
    for picture in pictures(summary, modes):
        done = subprocess.run(["gnuplot"], input=picture.script(folder),
                              text=True, capture_output=True)
        if done.returncode:
            raise Failed(f"gnuplot: {done.stderr.strip()}")
        found.append((picture.title, picture.file))
    return found
