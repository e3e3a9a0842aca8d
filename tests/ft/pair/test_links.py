# SPDX-License-Identifier: GPL-2.0-or-later
"""Two links between the hosts: the loss of one is nothing but a short wait."""

import time

from ftlib import wait, wire
from ftlib.case import Skip, assert_equal, cases, limit
from ftlib.disks import Disk, same_as_cached, keep_cached, scribble
from ftlib.guestsh import sh
from ftlib.links import LinkedPair, far
from ftlib.pair import PORT

TIMEOUT = 1000
KEYS = f"self-check=1,timeout={TIMEOUT}"
LONGEST = TIMEOUT + 500
UP = {1: "active", 2: "standby"}


def linked(t, **options):
    options = {"keys": KEYS, **options}
    return t.pair(kind=LinkedPair, **options)


def lose(t, pair, link, how, then):
    """Cut a link while a client counts; returns its longest wait in ms."""
    counter = t.loads[0]
    began = counter.times[-1]
    pair.cut(link, how)
    pair.wait_links(then)
    counter.wait_more(30)
    found = pair.wait_state("degraded")
    if far(link) not in found["reason"]:
        raise AssertionError(f"the reason is {found['reason']!r}")
    pair.wait_state("degraded", pair.secondary)
    waited = counter.worst_gap(since=began)[0]
    t.say(f"link {link} cut ({how}): longest wait {waited:.0f} ms")
    if waited > LONGEST * wait.SCALE:
        raise AssertionError(f"a client waited {waited:.0f} ms")
    return waited


def regain(pair, link, then):
    pair.mend(link)
    pair.wait_links(then)
    pair.wait_state("protected")
    pair.wait_state("protected", pair.secondary)


@limit(240)
@cases("down", "to-secondary", "to-primary", "both-ways")
def test_cut(t, how):
    """One link, mended, then the other: no takeover, the state returns."""
    pair = linked(t).start()
    t.counter().wait_more(50)
    lose(t, pair, 1, how, {1: "down", 2: "active"})
    regain(pair, 1, {1: "standby", 2: "active"})
    lose(t, pair, 2, how, {1: "active", 2: "down"})
    regain(pair, 2, UP)
    pair.wait_epochs(5)
    pair.check_self()
    if "link  " not in pair.primary.command(
            "human-monitor-command", {"command-line": "info ft"}):
        raise AssertionError("info ft shows no links")
    t.survive(pair, pair.kill_primary())


def test_standby(t):
    """Nobody waits when the link that is lost was not in use."""
    pair = linked(t).start()
    t.counter().wait_more(50)
    lose(t, pair, 2, "both-ways", {1: "active", 2: "down"})
    regain(pair, 2, UP)
    pair.check_self()


@limit(240)
def test_dirtying(t):
    """Again and again, with epochs of thousands of pages under way."""
    pair = linked(t, parameters="ft.dirty=16,50").start()
    t.counter().wait_more(50)
    for turn in range(6):
        link = 1 + turn % 2
        lose(t, pair, link, ("both-ways", "down")[turn // 2 % 2],
             {link: "down", 3 - link: "active"})
        regain(pair, link, {link: "standby", 3 - link: "active"})
    pair.check_self()
    t.survive(pair, pair.kill_primary())


@limit(240)
@cases("down", "both-ways")
def test_first_copy(t, how):
    """The first copy goes on over the other link, disks and all."""
    disk = Disk(t.folder)
    pair = linked(t, disks=[disk],
                  keys=f"{KEYS},disk-sync=full,sync-rate=8")
    pair.start_primary()
    pair.wait_ready()
    keep_cached(pair.primary, disk.node)
    t.counter().wait_more(20)
    pair.start_secondary()
    # It was dialling both in turn
    wait.until("no two links", lambda: len(pair.links()) == 2)
    first = 1 if pair.links() == UP else 2
    assert_equal(pair.query()["state"], "syncing", "state")
    pair.cut(first, how)
    pair.wait_links({first: "down", 3 - first: "active"})
    assert_equal(pair.query()["state"], "syncing", "state")
    sh(pair.primary, scribble(disk.node, 1, 20))
    pair.wait_state("degraded")
    regain(pair, first, {first: "standby", 3 - first: "active"})
    pair.check_self()
    t.survive(pair, pair.kill_primary())
    same_as_cached(pair.secondary, disk.node)


@cases(1, 2)
def test_primary_killed(t, count):
    """A process's death ends all links at once: no switch is waited for."""
    pair = linked(t, peers=(1, 2)[:count])
    pair.start_secondary()
    pair.start_primary()
    pair.wait_ready()
    pair.wait_protected()
    if count == 2:
        pair.wait_links(UP)
    else:
        assert_equal(pair.links(), {}, "links")
    t.counter().wait_more(50)
    pair.wait_epochs(5)
    event = t.survive(pair, pair.kill_primary())
    assert_equal(event.data["cause"], "connection-lost", "cause")
    detect = pair.query(pair.secondary)["takeover"]["detect-us"]
    t.say(f"{count} links: detected after {detect / 1000:.1f} ms")


def test_primary_killed_in_cut(t):
    """On the link that is left, while the other one is down."""
    pair = linked(t).start()
    t.counter().wait_more(50)
    lose(t, pair, 1, "both-ways", {1: "down", 2: "active"})
    event = t.survive(pair, pair.kill_primary())
    assert_equal(event.data["cause"], "connection-lost", "cause")


def test_primary_stopped(t):
    """SIGSTOP: silence on both; TAKEOVER fences the one that wakes up."""
    pair = linked(t).start()
    t.counter().wait_more(50)
    pair.expect_takeover()
    zombie = pair.primary
    zombie.stop_process()
    event = pair.wait_takeover()
    assert_equal(event.data["cause"], "silent", "cause")
    t.loads[0].wait_more(50)
    zombie.continue_process()
    pair.wait_state("fenced", zombie, timeout=10)
    zombie.kill()
    t.survive(pair)


def test_short_stop(t):
    """Both links are silent for a while, and neither is lost."""
    pair = linked(t, keys="self-check=1,timeout=5000").start()
    t.counter().wait_more(20)
    pair.primary.stop_process()
    wait.until("the secondary is not asked",
               lambda: all(pair.query(pair.secondary) for _ in range(20)))
    pair.primary.continue_process()
    t.loads[0].wait_more(50)
    pair.wait_links(UP)
    assert_equal(pair.query()["state"], "protected", "state")


def test_secondary_killed(t):
    """The primary goes on at once, and has both links to the next one."""
    pair = linked(t).start()
    t.counter().wait_more(50)
    pair.secondary.kill()
    pair.host.ip("link", "delete", "tap-far")
    pair.wait_state("unprotected", timeout=20)
    wait.until("the links are still shown", lambda: not pair.links())
    t.loads[0].wait_more(50)
    pair.start_secondary()
    pair.wait_protected()
    wait.until("no two links", lambda: len(pair.links()) == 2)
    pair.wait_epochs(5)
    t.survive(pair, pair.kill_primary())


def test_both_cut(t):
    """Nothing is left: silence, as with one link."""
    pair = linked(t).start()
    pair.wait_epochs(5)
    pair.expect_takeover()
    pair.cut(1, "both-ways")
    pair.cut(2, "both-ways")
    event = pair.wait_takeover()
    assert_equal(event.data["cause"], "silent", "cause")
    pair.primary.kill()


@cases(0.3, 0.55)
def test_staggered(t, part):
    """One after the other is cut; TAKEOVER arrives when one is back."""
    pair = linked(t).start()
    pair.wait_epochs(5)
    pair.expect_takeover()
    pair.cut(1, "both-ways")
    later = time.monotonic() + part * TIMEOUT / 1000
    wait.until("", lambda: time.monotonic() > later, interval=0.01)
    pair.cut(2, "both-ways")
    pair.wait_takeover()
    pair.mend(2)
    pair.wait_state("fenced", pair.primary, timeout=20)
    pair.primary.kill()


def test_ended(t):
    """ft-stop and quit, over the second link."""
    pair = linked(t).start()
    t.counter().wait_more(20)
    lose(t, pair, 1, "both-ways", {1: "down", 2: "active"})
    pair.primary.command("ft-stop")
    pair.wait_state("unprotected", pair.secondary)
    t.loads[0].wait_more(20)
    pair.mend(1)
    pair.primary.command("ft-start")
    pair.wait_protected()
    t.finish_loads()
    t.loads.clear()
    pair.primary.qmp.command("quit")
    assert_equal(pair.primary.wait_exit(), 0, "the primary's exit code")
    assert_equal(pair.secondary.wait_exit(), 0, "the secondary's exit code")


def test_other_host(t):
    """A further peer that is another secondary is no link, and no trouble."""
    pair = t.pair()
    other = pair.start_secondary(port=PORT + 1)
    pair.start_secondary(port=PORT)
    pair.start_primary(keys=f"{pair.keys},peer=127.0.0.1:{PORT + 1}")
    pair.wait_ready()
    pair.wait_protected()
    t.counter().wait_more(50)
    pair.wait_epochs(5)
    found = pair.query()
    assert_equal([link["state"] for link in found["links"]], ["active"],
                 "the links' states")
    assert_equal(pair.query(other)["state"], "unprotected", "the other's")
    if "refused" in other.said():
        raise AssertionError(f"the other complains: {other.said()}")
    t.survive(pair, pair.kill_primary())


def attach(session=b"x" * 16, link=1):
    return wire.record(wire.ATTACH, session + link.to_bytes(4, "big") +
                       bytes(4))


def refused(said, port=PORT):
    with wire.dial(port) as sock:
        sock.sendall(said)
        kind, payload = wire.read_record(sock)
        if kind != wire.REFUSE:
            raise AssertionError(f"answered by record {kind}, not REFUSE")
        return payload.decode()


@limit(240)
def test_hostile(t):
    """ATTACH without a session, to a wrong one, with a wrong number, many at
    a time, before and while a guest is protected."""
    try:
        wire.xxh3(b"")
    except wire.NoHash as why:
        raise Skip(str(why)) from None
    pair = t.pair()
    pair.start_secondary()
    t.say(refused(attach()))
    refused(attach(link=16))
    pair.start_primary(keys=f"{pair.keys},peer=127.0.0.2:{PORT}")
    pair.wait_ready()
    pair.wait_protected()
    # 127.0.0.1 alone is listened on
    wait.until("no links are shown", lambda: pair.query()["links"])
    assert_equal(len(pair.query()["links"]), 1, "number of links")
    counter = t.counter()
    for link in (0, 1, 15, 16, 0xffffffff):
        t.say(refused(attach(link=link)))
    refused(wire.record(wire.SWITCH, bytes(8)))
    many = [wire.dial(PORT) for _ in range(40)]
    for sock in many:
        sock.sendall(attach())
    counter.wait_more(50)
    assert_equal(pair.query()["state"], "protected", "state")
    assert_equal(len(pair.query(pair.secondary)["links"]), 1, "links")
    for sock in many:
        sock.close()
    pair.check_self()
    t.survive(pair, pair.kill_primary())
