# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts and an arbiter that lose each other: never two, and not none.

The cells are data, in tests/ft/partition/cells.py; docs/partition.rst says
how they are played and judged.
"""

import os
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "partition"))

import cells                                        # noqa: E402
import play                                         # noqa: E402
from ftlib import stamps                            # noqa: E402
from ftlib.case import assert_equal, cases, full, limit    # noqa: E402

SAMPLE, SEED = 28, 1
SAMPLED = list(cells.batches(cells.sample(cells.all_cells(), SAMPLE, SEED),
                             6))
ALL = list(cells.batches(list(cells.all_cells()), 12))


def play_all(t, batch):
    t.skip_unless(shutil.which("etcd"),
                  "etcd is missing (package etcd-server)")
    t.skip_unless(os.path.exists(play.FAKETIME),
                  "libfaketime is missing (package libfaketime)")
    stage = play.Stage(t.folder, "etcd")
    try:
        results = []
        for cell in batch:
            results.append(stage.play(cell))
            t.say(results[-1].line())
    finally:
        stage.end()
    bad = [r for r in results if r.problems]
    t.count(len(results) - len(bad), len(bad))
    if bad:
        raise AssertionError(f"{len(bad)} of {len(results)} cells: " + "; ".join(
            f"{r.name}: {r.problems[0]}" for r in bad))


@limit(420)
@cases(*range(len(SAMPLED)))
def test_sample(t, number):
    play_all(t, SAMPLED[number])


@full
@limit(900)
@cases(*range(len(ALL)))
def test_all(t, number):
    play_all(t, ALL[number])


def test_matrix(t):
    """It is as large as it says, and the sample has something of all."""
    every = list(cells.all_cells())
    if len(set(map(cells.name, every))) < 300:
        raise AssertionError(f"only {len(every)} cells")
    found = [cell for batch in SAMPLED for cell in batch]
    assert_equal(len(set(found)), SAMPLE, "size of the sample")
    for link in cells.LINKS:
        assert_equal({c.cuts & cells.states_of(link)[3] for c in found},
                     set(cells.states_of(link)), f"cuts of {link} in it")
    assert_equal({c.moment for c in found}, set(cells.MOMENTS), "moments")
    assert_equal({c.fault for c in found}, set(cells.FAULTS), "faults")


@limit(200)
def test_two_are_seen(t):
    """Without an arbiter a cut gives two actors.  Whoever does not see that
    sees nothing."""
    stage = play.Stage(t.folder, "none")
    try:
        result = stage.play(cells.by_name()["protected/P=S/none"])
    finally:
        stage.end()
    t.say(result.line())
    if not any("two actors" in text for text in result.problems):
        raise AssertionError("two copies acted, and nobody noticed: " +
                             result.line())


# --- the judge, with frames that nobody sent ---------------------------------

def stamp(generation):
    head = b"\xff" * 6 + b"\x02ft\0\0\0" + b"\x88\xb5"
    return (head + stamps.GENERATION.pack(generation, 0)).ljust(60, b"\0")


def ping(number, time=b"now"):
    packet = b"\x45" + bytes(8) + b"\x01" + bytes(10)
    return (bytes(12) + b"\x08\x00" + packet + b"\x08" + bytes(5) +
            number.to_bytes(2, "big") + time)


def sends(side, generation, number, time=b"now"):
    return [(side, stamp(generation)), (side, ping(number, time))]


FABRICATED = {
    "one-after-the-other": (
        sends("a", 1, 1) + sends("a", 1, 2) + sends("b", 2, 3), None),
    "goes-on-alone": (sends("a", 1, 1) + sends("a", 2, 2), None),
    "zombie": (sends("a", 1, 1) + sends("b", 2, 2) + sends("a", 1, 3),
               "two actors"),
    "same-generation": (sends("a", 1, 1) + sends("b", 1, 2), "two actors"),
    "both-won": (sends("a", 1, 1) + sends("b", 2, 2) + sends("a", 2, 3),
                 "two actors"),
    "without-a-stamp": (sends("a", 1, 1) + [("a", ping(2))],
                        "without a stamp"),
    "went-back": (sends("a", 1, 7) + sends("b", 2, 7, b"later"), "went back"),
    "carried": (sends("a", 1, 7) + sends("b", 2, 7) + sends("b", 2, 8), None),
    "carried-twice": (sends("a", 1, 7) + sends("b", 2, 7) + sends("b", 2, 7),
                      "went back"),
    "twice": (sends("a", 1, 7) + sends("a", 1, 7), "went back"),
}


@cases(*FABRICATED)
def test_judge(t, name):
    frames, wanted = FABRICATED[name]
    judge = stamps.Judge()
    for at, (side, frame) in enumerate(frames):
        judge.take(at, side, frame)
    found = [text for _, text in judge.violations]
    if wanted is None:
        assert_equal(found, [], "what the judge says")
    elif not any(wanted in text for text in found):
        raise AssertionError(f"the judge says {found}, not {wanted!r}")
