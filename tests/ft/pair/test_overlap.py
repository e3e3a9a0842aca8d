# SPDX-License-Identifier: GPL-2.0-or-later
"""A peer that is far away: epochs are cut while others are on their way, and
each is still what the guest was at its cut, none is let go before its turn."""

from ftlib import client, wait
from ftlib.capture import Capture
from ftlib.case import assert_equal, cases, limit
from ftlib.delay import Way
from ftlib.disks import Disk, keep_cached, same_as_cached, scribble
from ftlib.guestsh import sh
from ftlib.pair import PORT

FAR = PORT + 60                 # where the secondary listens
ROUND_TRIP = 0.02
DEPTH = 4
MUCH = 8 << 20                  # bytes
SURE = 50                       # so often it is not by chance


# Clients whose replies come together ask together: sooner or later one epoch
# serves all of them.  This one says something whatever is heard of it.
TALK = ("(until test -e /tmp/quiet; do echo tick; usleep 2000; done "
        ">/dev/ttyS0; rm /tmp/quiet) </dev/null 2>&1 &")
ENOUGH = "touch /tmp/enough; while test -e /tmp/enough; do usleep 2000; done"
QUIET = "touch /tmp/quiet; while test -e /tmp/quiet; do usleep 2000; done"


def far_pair(t, keys="self-check=3,timeout=2000", **more):
    """A pair with a long way between the two, and that way."""
    pair = t.pair(keys=keys, **more)
    pair.start_secondary(port=FAR)
    way = Way(PORT, FAR, ROUND_TRIP)
    t.at_end(way.end)
    pair.start_primary(port=PORT)
    pair.wait_ready()
    pair.wait_protected(120)
    sh(pair.primary, TALK)
    return pair, way


def wait_overlapping(pair, times=SURE):
    def count():
        return pair.query()["cuts"]["overlapping"]

    since = count()
    wait.until(f"no {times} cuts were made with an epoch in flight",
               lambda: count() >= since + times, 60, 0.05)


def cut_off(pair, way):
    """Acknowledgements do not come back any more.  Returns the last one that
    did, once the secondary has DEPTH more epochs."""
    way.hold_back()
    pair.query()                # what had come back is read by now
    committed = pair.query()["epoch"]
    wait.until("no more epochs are sent", lambda:
               pair.query(pair.secondary)["epoch"] >= committed + DEPTH)
    return committed


@cases(1, 2)
@limit(180)
def test_same(t, smp):
    """Some epochs are compared; the primary dies with some of them under way."""
    pair, _ = far_pair(t, smp=smp)
    t.load(client.Writes())
    t.counter()
    wait_overlapping(pair)
    pair.check_self()
    t.survive(pair, pair.kill_primary())


@limit(180)
def test_output_rule(t):
    """The secondary has them all, but the primary does not know: it keeps what
    they have said, and sends no more than it may.  The survivor goes on from
    the last one, with everything that was said in it."""
    pair, way = far_pair(t, keys=f"in-flight={DEPTH},self-check=3,"
                                 "timeout=60000")
    counter = t.counter()
    writes = t.load(client.Writes())
    wait_overlapping(pair)
    committed = cut_off(pair, way)
    capture = Capture(pair.primary.tap)
    replies = counter.count, writes.count
    wait.until("nothing is held", lambda: pair.query()["held-packets"])
    # No event says that nothing happens: so many turns of its main loop
    for _ in range(SURE):
        assert_equal(pair.query()["epoch"], committed, "the committed epoch")
    assert_equal(pair.query(pair.secondary)["epoch"], committed + DEPTH,
                 "the last epoch sent")
    assert_equal(capture.frames(), [], "frames that got out")
    assert_equal((counter.count, writes.count), replies, "replies")
    capture.close()
    t.survive(pair, pair.kill_primary())


@limit(180)
def test_lost(t):
    """Epochs in flight, and what had been told beside them, die with the way
    between the hosts: the survivor goes on from what it has."""
    pair, way = far_pair(t)
    t.load(client.Writes())
    t.counter()
    wait_overlapping(pair)
    way.lose()
    t.survive(pair, pair.kill_primary())


@limit(180)
def test_stopped_secondary(t):
    """It stands still with epochs in its socket, and is given up.  What it
    reads later was sent before that: it must not take it for a sign that the
    primary still counts on it."""
    pair, way = far_pair(t, keys=f"in-flight={DEPTH},timeout=1000")
    t.load(client.Writes())
    counter = t.counter()
    wait_overlapping(pair)
    pair.secondary.stop_process()
    wait.until("no more epochs are sent", lambda: (lambda found:
               found["cuts"]["total"] >= found["epoch"] + DEPTH)(pair.query()))
    way.hold()
    pair.wait_state("unprotected")
    counter.wait_more(SURE)
    way.cut()
    pair.secondary.continue_process()
    pair.wait_reason("stalled", pair.secondary)
    assert_equal(pair.query(pair.secondary)["role"], "secondary", "its role")
    counter.wait_more(SURE)


@cases("virtio-blk", "virtio-blk-iothread")
@limit(180)
def test_disk(t, kind):
    """What the guest writes to its disk belongs to the epoch it is in.  While it
    writes much, epochs may be too large to be overlapped."""
    disk = Disk(t.folder, kind=kind, style="blockdev")
    pair, _ = far_pair(t, disks=[disk])
    keep_cached(pair.primary, disk.node)
    sh(pair.primary, f"(until test -e /tmp/enough; do {scribble(disk.node, 5)}; "
       "done; rm /tmp/enough) </dev/null >/dev/null 2>&1 &")
    t.load(client.Writes())
    before = pair.query()
    wait.until("neither much is written nor are cuts made with an epoch in "
               "flight", lambda: (lambda now: now["disk-bytes"] >=
               before["disk-bytes"] + MUCH or now["cuts"]["overlapping"] >=
               before["cuts"]["overlapping"] + SURE)(pair.query()), 60)
    t.survive(pair, pair.kill_primary())
    sh(pair.secondary, ENOUGH)
    sh(pair.secondary, QUIET)
    same_as_cached(pair.secondary, disk.node)


@limit(120)
def test_off(t):
    """in-flight=1: a cut waits for the acknowledgement."""
    pair, _ = far_pair(t, keys="in-flight=1,self-check=3,timeout=2000")
    writes = t.load(client.Writes())
    writes.wait_more(10 * SURE)
    assert_equal(pair.query()["cuts"]["overlapping"], 0, "overlapping cuts")
    t.survive(pair, pair.kill_primary())
