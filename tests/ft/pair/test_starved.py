# SPDX-License-Identifier: GPL-2.0-or-later
"""Too little processor time is no failure: nobody takes over, nobody gives up.

Both QEMUs and their neighbours share ONE core.  A neighbour computes all the
time, in a session of its own: where the kernel groups by session, it gets as
much as both QEMUs together.
"""

import contextlib
import os
import subprocess
import sys
import time

from ftlib import wait
from ftlib.case import alone, assert_equal, cases, full, limit

BUSY = "while True: pass"
KEYS = "timeout=500"            # the default, whatever that of the tests is


@contextlib.contextmanager
def pinned(core):
    """What is started meanwhile stays on this core with all its threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def neighbours(core, count):
    started = []
    try:
        with pinned(core):
            for _ in range(count):
                started.append(subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", sys.executable, "-c",
                     BUSY], start_new_session=True))
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def stays_protected(t, count, seconds, parameters=""):
    core = max(os.sched_getaffinity(0))
    with pinned(core):
        pair = t.pair(keys=KEYS, parameters=parameters).start()
    counter = t.counter()
    counter.wait_more(20)
    with neighbours(core, count):
        for qemu in (pair.primary, pair.secondary):
            qemu.qmp.forbid("FT_STATE_CHANGED")
        begin, replies = time.monotonic(), counter.count

        def over():
            t.check()
            return time.monotonic() >= begin + seconds

        wait.until("", over, 2 * seconds, 0.2)
        counter.wait_more(1)
        replies = counter.count - replies
        longest, _ = counter.worst_gap(begin)
    t.say(f"{count} neighbours: {replies} replies in {seconds} s, longest "
          f"wait {longest:.0f} ms")
    assert_equal(pair.query()["state"], "protected", "state")
    assert_equal(pair.query(pair.secondary)["role"], "secondary", "role")
    return pair


@alone
@limit(180)
def test_one_core(t):
    """Half a minute beside one neighbour."""
    stays_protected(t, 1, 30)


@alone
@full
@limit(800)
def test_ten_minutes(t):
    stays_protected(t, 1, 600)


@alone
@full
@limit(300)
@cases(2, 4, 8)
def test_neighbours(t, count):
    """The more there are, the less is left; the guest computes, too."""
    stays_protected(t, count, 60, parameters="ft.cpu=1")
