# SPDX-License-Identifier: GPL-2.0-or-later
"""The primary stops without dying: a takeover, and the zombie stays mute."""

from ftlib import netns, wait
from ftlib.case import assert_equal

KEYS = "self-check=1,timeout=500"


def test_sigstop_then_sigcont(t):
    """After SIGCONT the old primary is fenced and sends nothing at all."""
    pair = t.pair(keys=KEYS).start()
    counter = t.counter()
    counter.wait_more(50)
    pair.wait_epochs(5)
    pair.check_self()
    pair.expect_takeover()
    zombie = pair.primary
    zombie.stop_process()
    event = pair.wait_takeover()
    assert_equal(event.data["cause"], "silent", "cause")
    counter.wait_more(50)
    sent = netns.packets_from(zombie.tap)
    said = zombie.console.mark()
    zombie.continue_process()
    pair.wait_state("fenced", zombie, timeout=10)
    counter.wait_more(200)
    if zombie.command("query-status")["running"]:
        raise AssertionError("the fenced primary still runs the guest")
    assert_equal(netns.packets_from(zombie.tap), sent, "packets it sent")
    assert_equal(zombie.console.mark(), said, "bytes it wrote to the console")
    zombie.kill()
    t.survive(pair)


def test_short_stop(t):
    """A primary that stands still for less than the timeout is left alone."""
    pair = t.pair(keys="self-check=1,timeout=5000").start()
    counter = t.counter()
    counter.wait_more(20)
    pair.primary.stop_process()
    # the secondary sees silence: several of its own turns go by
    for _ in range(20):
        pair.query(pair.secondary)
    pair.primary.continue_process()
    counter.wait_more(50)
    assert_equal(pair.query()["state"], "protected", "state")
    assert_equal(pair.query(pair.secondary)["role"], "secondary", "role")


def test_secondary_stops(t):
    """SIGSTOP of the secondary: given up after the timeout, clients go on.

    When it wakes up it must not take over: the primary has gone on alone.
    """
    pair = t.pair(keys=KEYS).start()
    counter = t.counter()
    counter.wait_more(50)
    pair.secondary.stop_process()
    pair.wait_state("unprotected", timeout=20)
    counter.wait_more(50)
    pair.secondary.continue_process()
    wait.until("the woken secondary never answers",
               lambda: pair.query(pair.secondary))
    counter.wait_more(100)
    assert_equal(pair.query(pair.secondary)["role"], "secondary", "role")
    pair.wait_protected()       # the primary redials, it is listening again
    pair.wait_epochs(5)
    t.survive(pair, pair.kill_primary())
