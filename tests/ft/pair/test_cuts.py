# SPDX-License-Identifier: GPL-2.0-or-later
"""Cuts that a vCPU makes between two stretches of the guest's code, and pages
that stay dirty: each epoch of these is compared with the guest as it was."""

from ftlib import wait
from ftlib.case import cases, limit

SURE = 40                       # bursts that a guest has had the same way


def complete(pair):
    return pair.query()["cuts"]["complete"]


def wait_complete(pair, count):
    since = complete(pair)
    wait.until(f"no {count} cuts came because a burst was complete",
               lambda: complete(pair) >= since + count, 60, 0.05)


@cases(1, 2, 4)
@limit(120)
def test_early(t, smp):
    """One client, whose replies are cut as soon as they are there."""
    pair = t.pair(smp=smp, keys="self-check=1,timeout=2000").start()
    t.counter()
    wait_complete(pair, SURE)
    cuts = pair.query()["cuts"]
    assert cuts["without-pause"] >= cuts["complete"] / 2, cuts
    pair.check_self()
    t.survive(pair, pair.kill_primary())


@limit(120)
def test_other_clients(t):
    """What one client does is not what two of them do."""
    pair = t.pair(keys="self-check=1,timeout=2000").start()
    t.counter()
    wait_complete(pair, SURE)
    t.counter(key="other")
    t.counter(key="third")
    pair.wait_epochs(3 * SURE)
    pair.check_self()
    t.survive(pair, pair.kill_primary())


@limit(120)
def test_off(t):
    """Every reply waits for the guest's sleep, or for silence."""
    pair = t.pair(keys="early=off").start()
    t.counter().wait_more(10 * SURE)
    assert not complete(pair), pair.query()["cuts"]
    t.survive(pair, pair.kill_primary())
