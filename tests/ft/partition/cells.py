# SPDX-License-Identifier: GPL-2.0-or-later
"""The partition matrix as data: what is done, and what has to come of it.

A cell is a moment, a set of cuts and a fault.  Its name says all three, as in
"protected/P=S,S>A/crash-P".  P is the host whose QEMU runs the guest when the
cell begins, S the other one, A the arbiter's.  A cut "P>S" loses what P sends
to S; "P=S" is both directions.

expected() computes from the cell alone what the invariants demand.  No
outcome of a run has been copied into it.
"""

import itertools
import random
from collections import Counter, namedtuple

# first-copy: a fresh VM that has never been protected, S gets its first copy
# protected: S holds a committed copy
# takeover: each of P and S has lost the other one and cannot ask the arbiter;
#     then the cuts become those of the cell
# resync: after a takeover, the other host gets a copy again
MOMENTS = ("first-copy", "protected", "takeover", "resync")
LINKS = (("P", "S"), ("P", "A"), ("S", "A"))
# crash: SIGKILL.  stop: SIGSTOP until the end of the cell's fault.  clock: one
# host's clock jumps by an hour.  disk: one host's disk becomes slow.
FAULTS = ("none", "crash-P", "crash-S", "crash-A", "stop-P", "stop-S",
          "stop-A", "clock-P", "clock-S", "disk-P", "disk-S")

Cell = namedtuple("Cell", "moment cuts fault")
# must: a copy of the guest has to act while the fault lasts
# mute: sides that may not act then
# must_after: one has to act once everything that can be is mended
Expected = namedtuple("Expected", "must mute must_after")


def states_of(link):
    """Up, cut one way, the other way, both ways."""
    x, y = link
    return (frozenset(), frozenset({(x, y)}), frozenset({(y, x)}),
            frozenset({(x, y), (y, x)}))


def every_pattern():
    """All links in all states: 64."""
    for states in itertools.product(*map(states_of, LINKS)):
        yield frozenset().union(*states)


def both_ways(*hosts):
    """Every link that ends at one of the hosts is cut both ways."""
    return frozenset().union(*(states_of(link)[3] for link in LINKS
                               if set(link) & set(hosts)))


def one_thing():
    """Nothing, one link in each state, or one host alone: 13."""
    found = {frozenset()}
    for link in LINKS:
        found.update(states_of(link))
    found.update(both_ways(host) for host in "PSA")
    return sorted(found, key=cuts_name)


def with_fault():
    """What a fault is combined with: 5."""
    return [frozenset(), states_of(("P", "S"))[3],
            *(both_ways(host) for host in "PSA")]


# --- which cells there are ---------------------------------------------------

def all_cells():
    """Not the whole product of 4 x 64 x 11, but

    * no fault besides the cuts: every pattern where a decision depends on it
      (protected, takeover); where S has nothing to decide with (first-copy,
      resync) one link or one host at a time;
    * a fault: without a cut, with the link between the hosts cut, and with
      each host alone;
    * but not an arbiter that is both unreachable and dead or stopped: nobody
      could tell the difference.
    """
    for moment in MOMENTS:
        patterns = every_pattern() if holds_copy(moment) else one_thing()
        for cuts in patterns:
            yield Cell(moment, cuts, "none")
        for cuts, fault in itertools.product(with_fault(), FAULTS[1:]):
            if fault.endswith("-A") and both_ways("A") <= cuts:
                continue
            yield Cell(moment, cuts, fault)


def cuts_name(cuts):
    words = []
    for x, y in LINKS:
        there, back = (x, y) in cuts, (y, x) in cuts
        if there or back:
            words.append(f"{x}={y}" if there and back else
                         f"{x}>{y}" if there else f"{y}>{x}")
    return ",".join(words) or "-"


def name(cell):
    return f"{cell.moment}/{cuts_name(cell.cuts)}/{cell.fault}"


def by_name():
    return {name(cell): cell for cell in all_cells()}


# --- what has to come of it ---------------------------------------------------

def holds_copy(moment):
    """Does S hold a committed copy at that moment?"""
    return moment in ("protected", "takeover")


def works(cell, host):
    """Is it neither dead nor stopped while the fault lasts?"""
    return cell.fault not in (f"crash-{host}", f"stop-{host}")


def joined(cell, x, y):
    """Both work, and hear each other."""
    return (works(cell, x) and works(cell, y) and
            not {(x, y), (y, x)} & cell.cuts)


def may_act(cell, host):
    """Can it prove that it may act?  By its peer, who counts on it, or by
    the arbiter; the first time, when no copy exists, nobody else can."""
    if not holds_copy(cell.moment):
        return host == "P" and works(cell, "P")
    # In a takeover each has lost the other already
    counted_on = (cell.moment == "protected" and host == "P" and
                  joined(cell, "P", "S"))
    return counted_on or joined(cell, host, "A")


def expected(cell):
    able = [host for host in "PS" if may_act(cell, host)]
    holders = "PS" if holds_copy(cell.moment) else "P"
    return Expected(
        must=bool(able),
        mute=frozenset("PS") - set(able),
        # The arbiter comes back, what was stopped goes on, links are whole
        must_after=any(cell.fault != f"crash-{host}" for host in holders))


# --- a sample -----------------------------------------------------------------

def features(cell):
    yield cell.fault
    yield cell.cuts
    yield cell.moment, cell.fault
    for link in LINKS:
        yield link, frozenset(cell.cuts) & states_of(link)[3]
    yield cell.moment, expected(cell)


def sample(cells, count, seed):
    """`count` cells, spread over moments, faults and states of links."""
    left = list(cells)
    random.Random(seed).shuffle(left)
    used = Counter()
    chosen = []
    while left and len(chosen) < count:
        best = min(left, key=lambda c: sum(used[f] for f in features(c)))
        left.remove(best)
        used.update(features(best))
        chosen.append(best)
    return chosen


def batches(cells, size):
    """Lists of at most `size` that one VM after the other plays.

    A clock that can jump needs another start of QEMU; a first copy needs a
    fresh VM, which then serves the cells behind it."""
    for clock in (False, True):
        same = [c for c in cells if c.fault.startswith("clock") == clock]
        count = -(-len(same) // size)
        same.sort(key=lambda c: MOMENTS.index(c.moment))
        for first in range(count):
            yield same[first::count]
