# SPDX-License-Identifier: GPL-2.0-or-later
"""Serial output is held like packets: across a takeover what both QEMUs
wrote, one after the other, is in order and without repetition.  It is also
complete, unless the primary died between the commit of an epoch and letting
its output go: then that epoch's is missing, and nothing else."""

from ftlib import wait
from ftlib.case import assert_equal, cases
from ftlib.console import lost_at_seam

LINES = 400
WHOLE = "".join(f"line {i}\n" for i in range(1, LINES + 1))


def check_order(text):
    """Lines `line 1` to `line N` of the whole, in spite of where it broke."""
    found = [row for row in text.split("\n") if row.startswith("line")]
    wanted = [f"line {i}" for i in range(1, LINES + 1)]
    if found == wanted:
        return
    for index, row in enumerate(wanted):
        got = found[index] if index < len(found) else "nothing"
        if got != row:
            raise AssertionError(f"where {row!r} should be there is {got!r} "
                                 f"({len(found)} of {LINES} lines)")
    raise AssertionError(f"{len(found) - LINES} lines too many, the first is "
                         f"{found[LINES]!r}")


def count_across(t, pair, die):
    console = pair.primary.console
    since = console.mark()
    console.send(f"count {LINES}")
    console.wait_for(r"^line 20$", since=since)
    die()
    pair.wait_takeover()
    console.wait_closed()       # all it ever wrote has been read

    def whole():
        return console.text(since) + pair.secondary.console.text()

    wait.until("the guest never came to its last line",
               lambda: f"line {LINES}\n" in whole())
    before, after = console.text(since), pair.secondary.console.text()
    lost = lost_at_seam(WHOLE, before[before.index("line 1\n"):],
                        after[:after.index(WHOLE[-9:]) + 9])
    t.say(f"{before.count('line')} lines from the primary, "
          f"{lost} characters lost")
    assert_equal(pair.secondary.console.ask("echo still here"), "still here",
                 "the answer")
    pair.check_self(pair.secondary)


def test_killed(t):
    pair = t.pair().start()
    count_across(t, pair, pair.kill_primary)


@cases("cut-paused", "send-half", "sent")
def test_killed_at(t, point):
    pair = t.pair()
    pair.start_primary(fault=f"{point}:15")
    pair.wait_ready()
    since = pair.primary.console.mark()
    pair.start_secondary()
    pair.expect_takeover()
    pair.primary.console.send(f"count {LINES}")
    assert_equal(pair.primary.wait_exit(60), -9, "exit code")
    pair.wait_takeover()
    pair.primary.console.wait_closed()

    def whole():
        return (pair.primary.console.text(since) +
                pair.secondary.console.text())

    wait.until("the guest never came to its last line",
               lambda: f"line {LINES}\n" in whole())
    check_order(whole())


def test_protected_output(t):
    """With nobody dying, holding output changes neither order nor bytes."""
    pair = t.pair().start()
    console = pair.primary.console
    since = console.mark()
    console.send(f"count {LINES}")
    console.wait_for(rf"^line {LINES}$", since=since)
    check_order(console.text(since))
    assert_equal(pair.secondary.console.text(), "",
                 "what the secondary wrote")
