# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets of an epoch: a reply that was held, or a request that had only come
to the primary, is not lost with it, so that no client waits for TCP to repeat
it; and what was said in an epoch that is not committed never leaves."""

import os
import pathlib
import signal
import socket

from ftlib import netns, wait
from ftlib.capture import BUFFER, ETH_P_ALL, OUTGOING, Capture, ping
from ftlib.case import assert_equal, cases
from ftlib.client import Counter, Times
from ftlib.pair import plain_tap
from ftlib.redis import Redis

KEYS = "timeout=2000"
ATTEMPTS = 4
COUNT = 50                      # pings
FRAME = 42                      # bytes of one, without heads
# where the primary dies: which counter of the takeover shows that it helped
POINTS = {
    "ack-received:30": "sent",          # the reply is committed, and held
    "sent:30": "sent",
    "cut-paused:30": "delivered",       # the request is in no epoch
    "input-passed:30": "delivered",
}


def data_of(frame):
    """(port of the client and of the guest, sequence number, data) of a TCP
    segment, else None."""
    if frame[12:14] != b"\x08\x00" or frame[23] != socket.IPPROTO_TCP:
        return None
    packet = frame[14:14 + int.from_bytes(frame[16:18], "big")]
    segment = packet[(packet[0] & 15) * 4:]
    return (segment[:4], int.from_bytes(segment[4:8], "big"),
            segment[(segment[12] >> 4) * 4:])


class Requests:
    """Counts what a client on this side of the bridge says twice."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                                  socket.htons(ETH_P_ALL))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self.sock.bind((netns.BRIDGE, 0))
        self.sock.setblocking(False)

    def repeated(self):
        seen, twice = set(), 0
        while True:
            try:
                frame, address = self.sock.recvfrom(65536)
            except BlockingIOError:
                return len(seen), twice
            found = data_of(frame)
            if address[2] == OUTGOING and found and found[2]:
                twice += found[:2] in seen
                seen.add(found[:2])


def die_at(t, point):
    """The primary meets its secondary under load and dies at `point`; (the
    takeover as query-ft tells it, what a client said twice, its wait in ms)"""
    base = 2 * len(t.pairs)
    pair = t.pair(keys=KEYS, backend=lambda n: plain_tap(base + n))
    pair.start_primary(fault=point)
    pair.wait_ready()
    netns.ip("neigh", "flush", "dev", netns.BRIDGE)
    counter = Counter().start()
    counter.wait_more(20)
    requests = Requests()
    pair.start_secondary()
    pair.expect_takeover()
    assert_equal(pair.primary.wait_exit(60), -9, "the primary's exit code")
    event = pair.wait_takeover()
    counter.wait_more(20)
    found = pair.query(pair.secondary)["takeover"]
    counter.stop().check()
    said, twice = requests.repeated()
    if said < 20:
        raise AssertionError("nothing was captured")
    pair.check()
    pair.secondary.kill()
    pair.secondary.wait_exit()
    return found, twice, counter.outage_at(event.at)


@cases(*POINTS)
def test_no_repetition(t, point):
    """The client has its answer, or at least is told that its request has
    come, before TCP repeats it.  On a crowded machine the survivor may need
    longer than that, but not each time."""
    for _ in range(ATTEMPTS):
        found, twice, outage = die_at(t, point)
        t.say(f"{found['sent']} sent, {found['delivered']} delivered, {twice} "
              f"repeated, outage {outage:.0f} ms")
        if found[POINTS[point]] and not twice:
            return
    raise AssertionError("the client had to repeat its request each time")


@cases("primary", "secondary")
def test_off(t, side):
    """Either side can switch it off."""
    pair = t.pair(keys="")
    pair.start_secondary(keys="carry=off" if side == "secondary" else "")
    pair.start_primary(keys="carry=off" if side == "primary" else "")
    pair.wait_ready()
    pair.wait_protected()
    counter = t.counter()
    counter.wait_more(50)
    carried = pair.query()["carry"]
    t.say(str(carried))
    assert_equal(carried["output"] > 20, side == "secondary", "output carried")
    assert_equal(carried["input"] > 20, side == "secondary", "input carried")
    t.survive(pair, pair.kill_primary())
    found = pair.query(pair.secondary)["takeover"]
    assert_equal((found["sent"], found["delivered"]), (0, 0), "packets")


class Promises:
    """What the guest has said to the world, byte by byte of its TCP streams:
    it may say it again, but never something else in its place."""

    def __init__(self):
        self.said = {}                  # (ports, sequence number) -> byte
        self.broken = []

    def take(self, frame):
        ports, sequence, data = data_of(frame) or (None, 0, b"")
        for at, byte in enumerate(data):
            if self.said.setdefault((ports, sequence + at), byte) != byte:
                self.broken.append((ports.hex(), sequence + at))


@cases("send-half:31", "cut-resumed:31")
def test_open_epoch(t, point):
    """The replies of an epoch that half arrived stay where they are: the
    guest, which answers again, gives another time."""
    pair = t.pair(keys=KEYS)
    pair.start_primary(fault=point)
    pair.wait_ready()
    clock = t.load(Times())
    clock.wait_more(20)
    taps = [Capture(pair.primary.tap)]
    pair.start_secondary()
    taps.append(Capture(pair.secondary.tap))
    pair.expect_takeover()
    assert_equal(pair.primary.wait_exit(60), -9, "the primary's exit code")
    t.survive(pair)
    promises = Promises()
    for tap in taps:
        for frame in tap.frames():
            promises.take(frame)
        tap.close()
    t.say(f"{len(promises.said)} bytes, {promises.broken[:3]} broken")
    assert_equal(promises.broken[:3], [], "what was taken back")
    if len(promises.said) < 1000:
        raise AssertionError("nothing was captured")


def strand(pair):
    """The secondary stands and the primary has got pings; query-ft before."""
    pair.secondary.stop_process()
    before = pair.query()
    ping(range(COUNT))
    wait.until("the primary has not got all pings",
               lambda: pair.query()["carry"]["input"] >=
               before["carry"]["input"] + COUNT)
    return before


def wait_answers(capture):
    wait.until("not every ping was answered",
               lambda: set(capture.echoes()) == set(range(COUNT)))


def test_stopped_secondary(t):
    """What a standing secondary had not read when the primary died is there
    all the same: each of fifty pings is answered."""
    pair = t.pair(keys="timeout=60000").start()
    assert_equal(Redis().call("PING"), "PONG", "the answer")
    strand(pair)
    capture = Capture(pair.secondary.tap)
    pair.kill_primary()
    pair.secondary.continue_process()
    pair.wait_takeover()
    wait_answers(capture)
    t.say(str(pair.query(pair.secondary)["takeover"]))
    capture.close()


def kill_keeper(pair):
    """Its files are closed then; nobody reaps it."""
    [keeper] = pair.keepers()
    os.kill(keeper, signal.SIGKILL)
    stat = pathlib.Path(f"/proc/{keeper}/stat")
    wait.until("the keeper lives",
               lambda: stat.read_text().rpartition(")")[2].split()[0] == "Z")


@cases("told", "at-once")
def test_host_dies(t, when):
    """With the keeper gone, too, as with its host, the survivor has what the
    primary told it a moment after it came; or at once, if the keeper was
    never there to do that."""
    pair = t.pair(keys="timeout=60000").start()
    assert_equal(Redis().call("PING"), "PONG", "the answer")
    if when == "at-once":
        pair.primary.command("ft-stop")
        kill_keeper(pair)
        pair.primary.command("ft-start")
        pair.wait_protected()
    before = strand(pair)
    wait.until("the peer was not told", lambda: pair.query()["bytes-sent"] >
               before["bytes-sent"] + COUNT * FRAME)
    capture = Capture(pair.secondary.tap)
    if when == "told":
        kill_keeper(pair)
    pair.kill_primary()
    pair.secondary.continue_process()
    pair.wait_takeover()
    wait_answers(capture)
    t.say(str(pair.query(pair.secondary)["takeover"]))
    capture.close()


@cases("virtio-net-pci", "e1000")
def test_dead_tap(t, nic):
    """What nobody has read from the tap of a primary that dies is answered
    by the survivor: its keeper passes it on."""
    pair = t.pair(keys="timeout=60000", nic=nic).start()
    assert_equal(Redis().call("PING"), "PONG", "the answer")
    pair.primary.stop_process()
    ping(range(COUNT))
    capture = Capture(pair.secondary.tap)
    pair.kill_primary()
    pair.wait_takeover()
    found = pair.query(pair.secondary)["takeover"]
    t.say(str(found))
    wait_answers(capture)
    if found["delivered"] < COUNT:
        raise AssertionError(f"{found['delivered']} packets delivered")
    capture.close()
