# SPDX-License-Identifier: GPL-2.0-or-later
"""Straight lines through figures: y = a + b x by least squares of the
*relative* deviations, since what matters of an epoch of ten pages is not lost
in the error of one of thousands."""

import dataclasses

SMALL = 0.05                    # of the largest: below it, absolute


@dataclasses.dataclass(frozen=True)
class Line:
    a: float
    b: float
    worst: float                # largest deviation of a point, as a share
    count: int

    def at(self, x):
        return self.a + self.b * x


def line(points):
    """None when there are not two different x."""
    if len({x for x, _ in points}) < 2:
        return None
    least = SMALL * max(abs(y) for _, y in points) or 1.0
    scale = [max(abs(y), least) for _, y in points]
    weights = [1 / s ** 2 for s in scale]
    total = sum(weights)
    mean_x = sum(w * x for w, (x, _) in zip(weights, points)) / total
    mean_y = sum(w * y for w, (_, y) in zip(weights, points)) / total
    b = sum(w * (x - mean_x) * (y - mean_y)
            for w, (x, y) in zip(weights, points)) / \
        sum(w * (x - mean_x) ** 2 for w, (x, _) in zip(weights, points))
    a = mean_y - b * mean_x
    worst = max(abs(a + b * x - y) / s for s, (x, y) in zip(scale, points))
    return Line(a, b, worst, len(points))
