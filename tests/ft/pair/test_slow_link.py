# SPDX-License-Identifier: GPL-2.0-or-later
"""A link that is slower than the guest writes: memory goes compressed, and
a guest that goes on is slowed down; what arrives is the same."""

import time

from ftlib import netns, wait, wire
from ftlib.case import alone, assert_equal, cases, limit
from ftlib.guestsh import sh
from ftlib.pair import PORT

SLOW = "100mbit"
TEXT = "seq {0} {1} >/tmp/text{0}"      # of {1} - {0} lines, never the same
SET = 24                                # MiB that the guest writes to
WRITE = f"dd if=/dev/urandom of=/tmp/dirty bs=1M count={SET} conv=notrunc"
COPIES = 40                             # records of the first copy to read


@cases("auto", "on", "off")
def test_compress(t, key):
    """Fresh memory of the first copy and of epochs, then a takeover."""
    netns.shape(SLOW)
    pair = t.pair(keys=f"self-check=1,timeout=2000,compress={key}").start()
    found = pair.query()["compressed"]
    t.say(f"first copy in {pair.query()['sync-time']} ms, {found}")
    counter = t.counter()
    counter.wait_more(20)
    sh(pair.primary, TEXT.format(1, 200000))
    pair.wait_epochs(5)
    later = pair.query()["compressed"]
    t.say(f"with epochs {later}")
    if key == "off":
        assert_equal((later["before"], later["after"]), (0, 0), "compressed")
    elif not (found["after"] < found["before"] / 2 and
              later["before"] > found["before"] > 1 << 20):
        raise AssertionError(f"not compressed: {found}, then {later}")
    counter.wait_more(20)
    t.survive(pair, pair.kill_primary())


@alone
def test_fast(t):
    """Where the link is faster than compressing, nothing is."""
    pair = t.pair(keys="self-check=7,compress=auto").start()
    sh(pair.primary, TEXT.format(1, 100000))
    pair.wait_epochs(5)
    found, sent = pair.query()["compressed"], pair.query()["bytes-sent"]
    t.say(f"{found} of {sent} bytes")
    # A crowded machine may be slow once in a while, but not all the time
    if found["after"] > sent / 2:
        raise AssertionError(f"{found} of {sent} bytes")
    t.survive(pair, pair.kill_primary())


@cases(0, 1)
def test_old_peer(t, minor):
    """A secondary that says 4.0 gets no record that it cannot read."""
    pair = t.pair(keys="compress=on", parameters="ft.mode=none")
    with wire.listen(PORT) as door:
        pair.start_primary()
        peer, _ = door.accept()
        with peer:
            peer.settimeout(wait.scaled(30))
            assert_equal(wire.read_record(peer)[0], wire.HELLO, "record")
            peer.sendall(wire.welcome(minor))
            kinds = []
            while len(kinds) < COPIES:
                kind, _ = wire.read_record(peer)
                if kind in (wire.COPY, wire.COMPRESSED):
                    kinds.append(kind)
    compressed = kinds.count(wire.COMPRESSED)
    t.say(f"{compressed} of {COPIES} records compressed")
    assert_equal(compressed > COPIES / 2, minor == 1, "compressed")
    if minor == 0:
        assert_equal(compressed, 0, "compressed records")


def busy_pair(t, throttle):
    """A guest that writes much more than the link carries, with a client."""
    # An epoch that is hashed says nothing of the link
    pair = t.pair(keys="self-check=7,timeout=2000,dirty-limit=512,"
                  f"throttle={throttle}")
    pair.start_primary()
    pair.wait_ready()
    counter = t.counter()
    counter.wait_more(20)
    sh(pair.primary, WRITE)             # it is the second time that counts
    start = time.monotonic()
    sh(pair.primary, WRITE)
    rate = SET * 8 / (time.monotonic() - start)
    netns.shape(f"{rate / 3:.0f}mbit")
    t.say(f"the guest writes {rate:.0f} Mbit/s, the link carries a third")
    sh(pair.primary, f"(while :; do {WRITE}; done) </dev/null >/dev/null 2>&1 &")
    pair.start_secondary()
    pair.wait_protected(120)
    return pair, counter


@limit(400)
def test_throttle(t):
    """Slowed down, but no more than it may be; then at full speed again."""
    pair, counter = busy_pair(t, 80)
    seen = [pair.query()["throttle"]]
    for _ in range(10):
        pair.wait_epochs(1)
        seen.append(pair.query()["throttle"])
    t.say(f"throttle {seen}, {pair.query()['dirty-pages']}, "
          f"{pair.query()['ack-latency']} us")
    if not 0 < max(seen) <= 80:
        raise AssertionError(f"slowed down by {seen} percent, with throttle=80")
    counter.wait_more(2)
    netns.shape(None)
    wait.until("the guest is still slowed down",
               lambda: not pair.query()["throttle"], 60, 0.05)
    counter.wait_more(20)
    t.survive(pair, pair.kill_primary())


@limit(400)
def test_no_throttle(t):
    """It has all of its time, and epochs of all that it writes to."""
    pair, counter = busy_pair(t, 0)
    pair.wait_epochs(2)
    found = pair.query()
    t.say(f"{found['dirty-pages']}, {found['ack-latency']} us")
    assert_equal(found["throttle"], 0, "throttle")
    if found["dirty-pages"]["p50"] < 2 * 512:
        raise AssertionError(f"it was slow enough: {found['dirty-pages']}")
    netns.shape(None)
    counter.wait_more(20)
    t.survive(pair, pair.kill_primary())


@limit(400)
def test_lost_while_slow(t):
    """The secondary dies: full speed at once, without it."""
    pair, counter = busy_pair(t, 80)
    wait.until("the guest is not slowed down",
               lambda: pair.query()["throttle"] > 0, 60, 0.02)
    pair.secondary.kill()
    pair.wait_state("unprotected")
    assert_equal(pair.query()["throttle"], 0, "throttle")
    counter.wait_more(50)
