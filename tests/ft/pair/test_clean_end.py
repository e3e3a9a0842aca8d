# SPDX-License-Identifier: GPL-2.0-or-later
"""Ends and pauses that somebody meant: none of them is a takeover."""

import signal

from ftlib import wait
from ftlib.case import assert_equal, cases


def both_end(t, pair):
    assert_equal(pair.primary.wait_exit(), 0, "the primary's exit code")
    assert_equal(pair.secondary.wait_exit(), 0, "the secondary's exit code")
    t.check()


def test_poweroff(t):
    """The guest switches itself off: both QEMUs end."""
    pair = t.pair().start()
    pair.primary.console.send("poweroff")
    both_end(t, pair)


def test_reboot(t):
    """The guest reboots: protected all the way, and served once more."""
    pair = t.pair().start()
    old = pair.primary.console.ask("boot-id")
    since = pair.primary.console.mark()
    pair.primary.console.send("reboot")
    pair.primary.wait_ready(since=since)
    pair.wait_protected()
    new = pair.primary.console.ask("boot-id")
    if new == old:
        raise AssertionError("the guest never rebooted")
    t.counter().wait_more(20)
    pair.wait_epochs(5)
    pair.check_self()
    t.survive(pair, pair.kill_primary())
    assert_equal(pair.secondary.console.ask("boot-id"), new, "boot id")


def test_reset_by_qmp(t):
    """system_reset on the primary is like the guest's own reboot."""
    pair = t.pair().start()
    since = pair.primary.console.mark()
    pair.primary.command("system_reset")
    pair.primary.wait_ready(since=since)
    pair.wait_protected()
    t.counter().wait_more(20)
    pair.wait_epochs(5)
    t.survive(pair, pair.kill_primary())


def test_sigterm(t):
    """The primary is told to end: both end."""
    pair = t.pair().start()
    pair.primary.kill(signal.SIGTERM)
    both_end(t, pair)


def test_quit(t):
    """So does quit over QMP."""
    pair = t.pair().start()
    pair.primary.command("quit")
    both_end(t, pair)


@cases("sigterm", "sigkill")
def test_no_shutdown(t, end):
    """-no-shutdown: switched off, QEMU stays; its end is no takeover."""
    pair = t.pair(extra=("-no-shutdown",)).start()
    pair.primary.console.send("poweroff")
    pair.primary.qmp.wait_event("STOP")
    assert_equal(pair.primary.command("query-status")["status"], "shutdown",
                 "run state")
    pair.wait_epochs(3)
    t.check()
    if end == "sigterm":
        pair.primary.kill(signal.SIGTERM)
        assert_equal(pair.primary.wait_exit(), 0, "the primary's exit code")
    else:
        pair.primary.kill()
    assert_equal(pair.secondary.wait_exit(), 0, "the secondary's exit code")
    t.check()


def test_secondary_sigterm(t):
    """The secondary is told to end: the primary goes on."""
    pair = t.pair().start()
    t.counter().wait_more(20)
    pair.secondary.kill(signal.SIGTERM)
    assert_equal(pair.secondary.wait_exit(), 0, "exit code")
    pair.wait_state("unprotected")
    t.loads[0].wait_more(50)


def test_started_stopped(t):
    """As libvirt does: both with -S, cont on the primary only."""
    pair = t.pair()
    pair.start_secondary(extra=("-S",))
    pair.start_primary(extra=("-S",))
    assert_equal(pair.primary.command("query-status")["running"], False,
                 "running before cont")
    pair.primary.command("cont")
    pair.wait_ready()
    pair.wait_protected()
    t.counter().wait_more(20)
    pair.wait_epochs(5)
    t.survive(pair, pair.kill_primary())


def test_stop_and_cont(t):
    """A guest paused for longer than the timeout is not a dead one."""
    pair = t.pair(keys="self-check=1,timeout=500").start()
    counter = t.counter()
    counter.wait_more(20)
    pair.primary.command("stop")
    since = pair.query(pair.secondary)["bytes-received"]
    # beats go on while the guest stands: see several timeouts of them
    wait.until("no beats arrive while the guest is paused",
               lambda: pair.query(pair.secondary)["bytes-received"] >
               since + 20 * 32)
    t.check()
    assert_equal(pair.query()["state"], "protected", "state")
    pair.primary.command("cont")
    counter.wait_more(20)
    pair.wait_epochs(5)
    t.survive(pair, pair.kill_primary())
