# SPDX-License-Identifier: GPL-2.0-or-later
"""The summary as SVG, drawn by gnuplot: points with a line from the least to
the most of the rounds, and the straight lines laid through them."""

import dataclasses
import shutil
import subprocess

from ftbench.plots import COLOURS, Failed, Missing
from ftbench.scale import figures

SCRIPT = """
set terminal svg size 640,400 background '#ffffff' font 'sans,11'
set output '{file}'
set title "{title}" noenhanced
set grid
set lmargin 12
set key outside top center horizontal noenhanced
set xlabel "{x}" noenhanced
set ylabel "{y}" noenhanced
{scale}
plot {series}
"""
LINEAR = "set yrange [0:*]; set xrange [0:*]"
LOG = "set logscale xy; set format '%g'; set xrange [{low:g}:{high:g}]"


@dataclasses.dataclass(frozen=True)
class Picture:
    """`fits` are keys of figures.FITS; all have the same x and unit."""

    sweep: str
    name: str
    title: str
    label: str
    fits: tuple
    log: bool = False
    unit: float = 1

    @property
    def file(self):
        return f"scale-{self.name}.svg"

    def script(self, summary, lines, folder):
        """None when there is nothing to show."""
        blocks, series, xs = [], [], []
        for number, key in enumerate(self.fits):
            points = self._points(figures.FITS[key], summary)
            if not points:
                continue
            xs += [p[0] for p in points]
            colour = COLOURS[number % len(COLOURS)]
            blocks += [f"$d{number} << EOD",
                       *(" ".join(f"{v:.6g}" for v in p) for p in points),
                       "EOD"]
            series.append(
                f"$d{number} using 1:2:3:4 with yerrorbars pointtype 7 "
                f'linecolor rgb "{colour}" title "{figures.FITS[key].name}"')
            if key in lines:
                one = lines[key]
                series.append(f"({one.a / self.unit:.6g})+"
                              f"({one.b / self.unit:.6g})*x with lines "
                              f'linecolor rgb "{colour}" notitle')
        if not series:
            return None
        scale = LOG.format(low=min(xs) / 2, high=max(xs) * 2) if self.log \
            else LINEAR
        return "\n".join(blocks) + SCRIPT.format(
            file=folder / self.file, title=self.title,
            x=figures.FITS[self.fits[0]].x, y=self.label, scale=scale,
            series=", \\\n  ".join(series))

    def _points(self, one, summary):
        found = []
        for name, cells in summary[one.sweep].items():
            x = one.chosen(name)
            if x is not None and one.y in cells:
                if one.key:
                    x = cells[one.key]["median"]
                found.append((x, *(cells[one.y][k] / self.unit for k in
                                   ("median", "min", "max"))))
        return found


PICTURES = (
    Picture("sizes", "memory", "an epoch by the guest's memory", "us",
            ("memory pause", "memory harvest", "memory primary",
             "memory secondary")),
    Picture("sizes", "vcpus", "an epoch by the guest's vCPUs", "us",
            ("vcpus pause", "vcpus primary")),
    Picture("rates", "rates", "processor of protection by epochs", "cores",
            ("rate primary", "rate secondary")),
    Picture("pages", "pages", "an epoch by its pages", "us",
            ("pause", "primary", "secondary"), True),
    Picture("pages", "bytes", "an epoch on the wire", "bytes",
            ("bytes", "bytes full"), True),
    Picture("pairs", "pairs", "processor by pairs at once", "% of a core",
            ("pair more", "machine"), unit=0.01),
    Picture("pairs", "pairs-pause", "pause by pairs at once", "us",
            ("pair pause",)),
)


def draw(summary, lines, folder):
    """[(sweep, title, file name)] of what was drawn."""
    if not shutil.which("gnuplot"):
        raise Missing("gnuplot is missing: scripts/deps bench installs it")
    found = []
    for picture in PICTURES:
        script = picture.script(summary, lines, folder)
        if not script:
            continue
        done = subprocess.run(["gnuplot"], input=script, text=True,
                              capture_output=True)
        if done.returncode:
            raise Failed(f"gnuplot: {done.stderr.strip()}")
        found.append((picture.sweep, picture.title, picture.file))
    return found
