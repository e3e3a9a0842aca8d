# SPDX-License-Identifier: GPL-2.0-or-later
"""The secondary is SIGKILLed; guest and clients never notice.

The primary says it is unprotected, redials, and a new secondary on the same
port protects it again; that it really does is seen by killing the primary
at the end.
"""

from ftlib.case import assert_equal, cases, limit
from ftlib.client import Writes

POINTS = ("recv-half", "staged", "acked", "apply-half")


def lose_secondary(t, pair):
    """After its death: unprotected, with a reason, and nobody noticed."""
    found = pair.wait_state("unprotected", timeout=20)
    assert_equal(found["role"], "primary", "role")
    if not found.get("reason"):
        raise AssertionError("unprotected without a reason")
    t.say(found["reason"])
    for load in t.loads:
        load.wait_more(50)
    t.check()


def protect_again(t, pair):
    pair.start_secondary()
    pair.wait_protected()
    pair.wait_epochs(3)
    pair.check_self()


def kill_by_fault(t, pair, fault):
    pair.start_secondary(fault=fault)
    assert_equal(pair.secondary.wait_exit(60), -9,
                 f"exit code of the secondary with {fault}")
    t.say(f"died at {fault}")
    lose_secondary(t, pair)


def prove_protected(t, pair):
    protect_again(t, pair)
    t.survive(pair, pair.kill_primary())


def booted_primary(t, **options):
    pair = t.pair(**options)
    pair.start_primary()
    pair.wait_ready()
    assert_equal(pair.query()["state"], "unprotected", "state")
    return pair


@limit(240)
@cases(*POINTS)
def test_at(t, point):
    """In the first epoch, which follows the first copy, and in a later."""
    pair = booted_primary(t)
    t.counter().wait_more(20)
    kill_by_fault(t, pair, f"{point}:1")
    kill_by_fault(t, pair, f"{point}:30")
    prove_protected(t, pair)


def test_idle_then_busy(t):
    """At any moment, with no client, with one, and with many."""
    pair = t.pair().start()
    pair.secondary.kill()
    lose_secondary(t, pair)
    protect_again(t, pair)
    t.counter().wait_more(50)
    pair.secondary.kill()
    lose_secondary(t, pair)
    t.load(Writes()).wait_more(100)
    protect_again(t, pair)
    pair.secondary.kill()
    lose_secondary(t, pair)
    prove_protected(t, pair)


def test_during_first_copy(t):
    """Killed as soon as the primary says it is syncing."""
    pair = booted_primary(t, parameters="ft.dirty=16,50")
    t.counter().wait_more(20)
    since = pair.primary.qmp.mark()
    pair.start_secondary()
    pair.primary.qmp.wait_event("FT_STATE_CHANGED",
                                lambda d: d["state"] == "syncing",
                                since=since)
    pair.secondary.kill()
    lose_secondary(t, pair)
    prove_protected(t, pair)


def test_stopped_by_user(t):
    """ft-stop: unprotected, no takeover, and ft-start protects again."""
    pair = t.pair().start()
    t.counter().wait_more(50)
    pair.primary.command("ft-stop")
    pair.wait_state("unprotected")
    t.loads[0].wait_more(50)
    assert_equal(pair.query(pair.secondary)["role"], "secondary", "role")
    t.check()
    pair.primary.command("ft-start")
    pair.wait_protected()
    pair.wait_epochs(5)
    t.survive(pair, pair.kill_primary())
