# SPDX-License-Identifier: GPL-2.0-or-later
"""The primary stops without dying: a takeover, and the zombie stays mute."""

import ctypes
import os
import threading

from ftlib import netns, wait
from ftlib.case import Skip, assert_equal, cases
from ftlib.disks import Disk, scribble
from ftlib.guestsh import sh

TIMEOUT = 500                   # ms
KEYS = f"self-check=1,timeout={TIMEOUT}"
HUNG = 4 * TIMEOUT              # age of the main loop that ends the patience
BEAT = TIMEOUT // 5
SLACK = 400                     # for a test machine that has more to do
PTRACE_SEIZE, PTRACE_INTERRUPT, WALL = 0x4206, 0x4207, 0x40000000


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


def loaded_pair(t, **options):
    """A guest that answers first, and is protected then."""
    fault = options.pop("fault", None)
    secondary_fault = options.pop("secondary_fault", None)
    pair = t.pair(keys=f"timeout={TIMEOUT}", **options)
    pair.start_primary(fault=fault)
    pair.wait_ready()
    counter = t.counter()
    counter.wait_more(20)
    pair.start_secondary(fault=secondary_fault)
    return pair, counter


def taken_from_hung(t, pair, counter, latest):
    """The secondary decides in time; the hung one sends nothing more."""
    event = pair.wait_takeover()
    # The survivor's first reply may be here before its event has been read
    counter.wait_more(1)
    _, last = counter.worst_gap()
    took = 1000 * (event.at - last)
    t.say(f"{took:.0f} ms from the last reply to the takeover")
    assert_equal(event.data["cause"], "hung", "cause")
    if not HUNG - 3 * BEAT <= took <= latest + wait.scaled(SLACK):
        raise AssertionError(f"the takeover came after {took:.0f} ms, not "
                             f"after {HUNG} to {latest} ms")
    zombie = pair.primary
    if not zombie.alive():
        raise AssertionError("the primary has died instead of hanging")
    sent = netns.packets_from(zombie.tap)
    counter.wait_more(100)
    assert_equal(netns.packets_from(zombie.tap), sent, "packets it sent")
    zombie.kill()
    t.survive(pair)


@cases("ack-received", "cut-paused")
def test_main_loop_hangs(t, point):
    """With the BQL held, while the other threads live and beat."""
    pair, counter = loaded_pair(t, fault=f"{point}:200,hang")
    pair.expect_takeover()
    taken_from_hung(t, pair, counter, HUNG + BEAT)


def stop_thread(tid):
    """SIGSTOP would stop the whole process; a debugger can stop one."""
    libc = ctypes.CDLL(None, use_errno=True)
    for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
        if libc.ptrace(request, tid, None, None):
            raise Skip(f"ptrace: {os.strerror(ctypes.get_errno())}")
    # Its process cannot end before its debugger has heard of the end
    threading.Thread(target=hear_of_end, args=(tid,), daemon=True).start()


def hear_of_end(tid):
    while True:
        _, status = os.waitpid(tid, WALL)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            return


def test_vcpu_stuck(t):
    """A vCPU that never runs again: a cut waits for it, and with it the main
    loop.  When it was caught in the pause of a cut it seems to sleep."""
    pair, counter = loaded_pair(t, parameters="ft.cpu=1")
    pair.wait_protected()
    pair.wait_epochs(20)
    counter.wait_more(20)
    pair.expect_takeover()
    cpu, = pair.primary.command("query-cpus-fast")
    stop_thread(cpu["thread-id"])
    interval = 100
    taken_from_hung(t, pair, counter, HUNG + 2 * BEAT + interval)


def test_secondary_main_loop_hangs(t):
    """Its receiver lives and beats: given up by the age in the beats."""
    disk = Disk(t.folder)
    pair, counter = loaded_pair(t, disks=[disk],
                                secondary_fault="disk-applied:300,hang")
    pair.wait_protected()
    sh(pair.primary, scribble(disk.node, 1, 400))
    t.say(pair.wait_reason("main loop does not turn|disks of the secondary",
                           timeout=20))
    counter.wait_more(50)
    pair.secondary.kill()
    pair.secondary.wait_exit()
    pair.start_secondary()
    pair.wait_protected()
    counter.wait_more(50)
