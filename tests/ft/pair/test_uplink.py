# SPDX-License-Identifier: GPL-2.0-or-later
"""A host loses its way to the network, and the guest goes where there is one.

    client, br0
      at0   at1             veth pairs: the cables of the two hosts
      up0   up1
    side0   side1           a bridge for each host
     tap0   tap1
  secondary primary
"""

import os
import subprocess
import time

from ftlib import netns, vm, wait
from ftlib.case import assert_equal, cases, long
from ftlib.client import Ping
from ftlib.pair import MAC, plain_tap, tap_netdev

TIMEOUT = 2.0
# What the guest may be out of reach beyond the time-out.  Its clients may
# wait longer: TCP repeats at growing intervals, each as long as all before it.
SLACK = 1.5
KEYS = f"self-check=1,timeout={TIMEOUT * 1000:.0f}"
SECONDARY, PRIMARY = 0, 1


def bridged(number, keys=""):
    """A tap on a bridge of its own, which a cable joins to br0."""
    tap, side, up, at = (f"{word}{number}" for word in
                         ("tap", "side", "up", "at"))
    netns.ip("link", "add", side, "type", "bridge", "forward_delay", "0",
             "stp_state", "0", "mcast_snooping", "0")
    netns.ip("link", "set", side, "up")
    netns.ip("link", "add", up, "type", "veth", "peer", "name", at)
    for port, bridge in ((up, side), (at, netns.BRIDGE)):
        netns.ip("link", "set", port, "master", bridge)
        netns.ip("link", "set", port, "up")
    netns.add_tap(tap, side)
    return tap_netdev(tap, keys=keys), tap


CUTS = {
    # name: (how, how to mend it), with the number of the side
    "port": ("link set up{0} down", "link set up{0} up"),
    "carrier": ("link set at{0} down", "link set at{0} up"),
    "uplink-removed": ("link set up{0} nomaster",
                       "link set up{0} master side{0}"),
    "uplink-deleted": ("link delete up{0}", ""),
    "tap-removed": ("link set tap{0} nomaster",
                    "link set tap{0} master side{0}"),
    "tap-down": ("link set tap{0} down", "link set tap{0} up"),
    "bridge-down": ("link set side{0} down", "link set side{0} up"),
}


class Reach(Ping):
    """One time for each answer: none of TCP's waits is between them."""

    def __init__(self):
        super().__init__(patience=0.1)

    def step(self):
        answers = len(self.round_trips)
        while len(self.round_trips) == answers and not self.stopping:
            try:
                super().step()
            except OSError:
                pass            # nobody says where the guest is, for now


def change(words, side):
    netns.ip(*words.format(side).split())


def cut(side, kind="carrier"):
    """Returns when."""
    moment = time.monotonic()
    change(CUTS[kind][0], side)
    return moment


def mend(side, kind="carrier"):
    change(CUTS[kind][1], side)


def states(pair, qemu=None):
    """[(state here, state at the peer)] of each NIC."""
    return [(u["state"], u["peer"]) for u in pair.query(qemu)["uplinks"]]


def wait_states(pair, wanted, qemu=None):
    wait.until(f"the uplinks are not {wanted} but {states(pair, qemu)}",
               lambda: states(pair, qemu) == [wanted])


def degraded(pair, qemu=None):
    return " / ".join(lack["reason"] for lack in pair.query(qemu)["degraded"])


def wait_event(qemu, mark, side, state):
    qemu.qmp.wait_event("FT_UPLINK_CHANGED", lambda data: data ==
                        {"side": side, "nic": "net0", "state": state},
                        since=mark)


def start(t, **options):
    options.setdefault("keys", KEYS)
    pair = t.pair(backend=options.pop("backend", bridged), **options).start()
    t.counter().wait_more(30)
    t.load(Reach()).wait_more(10)
    return pair


def started_up(t, **options):
    pair = start(t, **options)
    wait_states(pair, ("up", "up"))
    wait_states(pair, ("up", "up"), pair.secondary)
    assert_equal(degraded(pair), "", "what is degraded")
    return pair


def guest_is_behind(port):
    table = subprocess.run(["bridge", "fdb", "show", "br", netns.BRIDGE],
                           text=True, capture_output=True, check=True).stdout
    return f"{MAC} dev {port} " in table


def outlast(since, times=2):
    """Whatever is to happen a time-out after `since` has happened."""
    end = since + times * TIMEOUT
    wait.until("", lambda: time.monotonic() > end)


def still_there(t, pair):
    """Protected, no takeover, and the client is served by the primary."""
    found = pair.query()
    assert_equal(found["state"], "degraded" if found["degraded"] else
                 "protected", "the primary's state")
    assert_equal(pair.query(pair.secondary)["role"], "secondary",
                 "the other's role")
    t.loads[0].wait_more(30)


def check_moved(t, pair, moment, generation):
    event = pair.wait_takeover()
    decided = event.at - moment
    assert_equal(event.data["cause"], "switchover", "cause")
    assert_equal(event.data["generation"], generation + 1, "generation")
    t.survive(pair)
    waited, outage = (load.outage_at(moment) / 1000 for load in t.loads)
    t.say(f"moved after {decided:.3f} s, out of reach for {outage:.3f} s, "
          f"the counter waited {waited:.3f} s")
    if decided < TIMEOUT:
        raise AssertionError(f"moved after {decided:.3f} s already")
    if outage < TIMEOUT:
        raise AssertionError(f"out of reach for {outage:.3f} s only")
    if outage > decided + wait.scaled(SLACK) or \
            waited > 2 * decided + wait.scaled(SLACK):
        raise AssertionError(f"out of reach for {outage:.3f} s, the counter "
                             f"waited {waited:.3f} s")


@long("port", "uplink-deleted", "tap-removed")
@cases(*CUTS)
def test_cut(t, kind):
    """The guest is reached at the peer over the same connection."""
    pair = started_up(t)
    generation = pair.query()["generation"]
    if not guest_is_behind("at1"):
        raise AssertionError("the guest is not where it should be")
    pair.expect_takeover()
    moment = cut(PRIMARY, kind)
    check_moved(t, pair, moment, generation)
    wait.until("br0 has not learned where the guest is",
               lambda: guest_is_behind("at0"))
    pair.wait_state("fenced")
    if "uplink of NIC net0 (tap1) is down here" not in pair.primary.said():
        raise AssertionError(f"it said {pair.primary.said()!r}")


def test_flap(t):
    """Down again and again, but never for as long as the time-out."""
    pair = started_up(t)
    for _ in range(4):
        mark = pair.primary.qmp.mark()
        moment = cut(PRIMARY)
        wait_event(pair.primary, mark, "local", "down")
        outlast(moment, 0.4)
        mend(PRIMARY)
        wait_event(pair.primary, mark, "local", "up")
    outlast(time.monotonic())
    still_there(t, pair)
    if "uplink" in pair.primary.said():
        raise AssertionError("the log tells of a flap")


def test_both(t):
    """Nowhere is better: told, not acted on; the first to come back wins
    only when it is back for good."""
    pair = started_up(t)
    cut(SECONDARY)
    cut(PRIMARY)
    wait_states(pair, ("down", "down"))
    outlast(time.monotonic())
    assert_equal(pair.query()["state"], "degraded", "the primary's state")
    for text in (degraded(pair), pair.primary.said()):
        for words in ("net0 (tap1) is down", "net0 at the peer is down"):
            if words not in text:
                raise AssertionError(f"the primary says {text!r}")
    # A switch comes back: the secondary's port is a little sooner
    mend(SECONDARY)
    wait_states(pair, ("down", "up"))
    mend(PRIMARY)
    wait_states(pair, ("up", "up"))
    outlast(time.monotonic())
    still_there(t, pair)
    assert_equal(degraded(pair), "", "what is degraded")


def test_one_comes_back(t):
    """Both are lost, and only the secondary's is found again."""
    pair = started_up(t)
    generation = pair.query()["generation"]
    cut(SECONDARY)
    cut(PRIMARY)
    wait_states(pair, ("down", "down"))
    outlast(time.monotonic())
    assert_equal(pair.query()["state"], "degraded", "the primary's state")
    pair.expect_takeover()
    moment = time.monotonic()
    mend(SECONDARY)
    event = pair.wait_takeover()
    assert_equal(event.data["generation"], generation + 1, "generation")
    if event.at - moment < TIMEOUT:
        raise AssertionError("the secondary's uplink has not lasted yet")
    t.survive(pair)


def test_before_there_is_a_peer(t):
    """Lost while the guest runs alone: it moves as soon as it is protected."""
    alone, late = SECONDARY, PRIMARY        # they start in the other order
    pair = t.pair(keys=KEYS, backend=bridged)
    pair.start_primary()
    pair.wait_ready()
    t.counter().wait_more(30)
    mark = pair.primary.qmp.mark()
    cut(alone, "port")
    wait_event(pair.primary, mark, "local", "down")
    pair.start_secondary()
    pair.wait_takeover(timeout=60)
    t.survive(pair)
    assert_equal(guest_is_behind(f"at{late}"), True, "the guest's new place")


def test_dies_nevertheless(t):
    """A secondary without an uplink takes over all the same, and is reached
    once it has one."""
    pair = started_up(t)
    cut(SECONDARY)
    wait_states(pair, ("up", "down"))
    pair.kill_primary()
    pair.wait_takeover()
    wait_states(pair, ("down", "unknown"), pair.secondary)
    mend(SECONDARY)
    t.survive(pair)
    assert_equal(degraded(pair, pair.secondary), "", "what is degraded")


def test_secondary(t):
    """Told by name on both sides, mended, and told that it is; as long as
    it lasts the primary's own loss moves nothing, afterwards it does."""
    pair = started_up(t)
    mark = pair.primary.qmp.mark()
    cut(SECONDARY)
    wait_event(pair.primary, mark, "peer", "down")
    wait_states(pair, ("up", "down"))
    wait_states(pair, ("down", "up"), pair.secondary)
    outlast(time.monotonic())
    still_there(t, pair)
    for qemu, words in ((pair.primary, "net0 at the peer is down: after"),
                        (pair.secondary, "net0 (tap0) is down: after")):
        for text in (degraded(pair, qemu), qemu.said()):
            if words not in text:
                raise AssertionError(f"{qemu.name} says {text!r}")
    moment = cut(PRIMARY)
    outlast(moment)
    assert_equal(pair.query()["state"], "degraded", "the primary's state")
    mend(PRIMARY)
    mend(SECONDARY)
    wait_states(pair, ("up", "up"))
    assert_equal(degraded(pair) + degraded(pair, pair.secondary), "",
                 "what is degraded")
    still_there(t, pair)
    generation = pair.query()["generation"]
    pair.expect_takeover()
    check_moved(t, pair, cut(PRIMARY), generation)


def test_taps_only(t):
    """A bridge without a way out has none to lose."""
    pair = started_up(t, backend=plain_tap)
    still_there(t, pair)


@cases("uplink=up{0}", "uplink=net0:up{0},uplink=lo")
def test_named(t, named):
    """Interfaces of the user's choice, one of which has to be up."""
    pair = t.pair(keys=KEYS, backend=bridged)
    pair.start_secondary(keys=f"{KEYS},{named.format(SECONDARY)}")
    pair.start_primary(keys=f"{KEYS},{named.format(PRIMARY)}")
    pair.wait_ready()
    pair.wait_protected()
    t.counter().wait_more(30)
    t.load(Reach()).wait_more(10)
    wait_states(pair, ("up", "up"))
    generation = pair.query()["generation"]
    pair.expect_takeover()
    check_moved(t, pair, cut(PRIMARY), generation)


def test_alternatives(t):
    """Down only when all that is named is; a name that has never existed
    is nothing to act on, and off is off."""
    pair = t.pair(keys=KEYS, backend=bridged)
    pair.start_secondary(keys=f"{KEYS},uplink=off")
    pair.start_primary(keys=f"{KEYS},uplink=up0,uplink=up1")
    pair.wait_ready()
    pair.wait_protected()
    t.counter().wait_more(30)
    wait_states(pair, ("up", "unknown"))
    change("link set up0 down", None)
    moment = time.monotonic()
    outlast(moment)
    wait_states(pair, ("up", "unknown"))
    cut(PRIMARY)
    wait_states(pair, ("down", "unknown"))
    outlast(time.monotonic())
    assert_equal(pair.query()["state"], "degraded", "the primary's state")
    mend(PRIMARY)
    wait_states(pair, ("up", "unknown"))
    still_there(t, pair)


@cases("uplink=", "uplink=a/b", "uplink=:eth0", "uplink=net0:",
       "uplink=sixteen-letters-", "uplink=off,uplink=eth0",
       "uplink=eth0,uplink=off")
def test_wrong_key(t, key):
    code, said = vm.run_to_end(["-ft-peer", f"127.0.0.1:1,{key}"])
    assert_equal((code, len(said)), (1, 1), f"exit code and lines {said}")
    if "uplink=" not in said[0]:
        raise AssertionError(f"it said {said[0]!r}")


OTHER = "net1"


def second_nic(number):
    """A second NIC on a network of its own for each side."""
    tap, side, up, at = (f"{word}{number}" for word in
                         ("tapb", "sideb", "upb", "atb"))
    netns.bridge_up("br1", "10.78.0.1")
    netns.ip("link", "add", side, "type", "bridge", "forward_delay", "0")
    netns.ip("link", "set", side, "up")
    netns.ip("link", "add", up, "type", "veth", "peer", "name", at)
    for port, bridge in ((up, side), (at, "br1")):
        netns.ip("link", "set", port, "master", bridge)
        netns.ip("link", "set", port, "up")
    netns.add_tap(tap, side)
    return ("-netdev", tap_netdev(tap, f"{OTHER}-{number}"), "-device",
            f"virtio-net-pci,netdev={OTHER}-{number},mac=52:54:00:78:00:02")


def test_two_nics(t):
    """None is traded for another.  The netdevs need not have the same
    names."""
    pair = t.pair(keys=KEYS, backend=bridged, nic="e1000")
    pair.start_secondary(extra=second_nic(SECONDARY))
    pair.start_primary(extra=second_nic(PRIMARY))
    pair.wait_ready()
    pair.wait_protected()
    t.counter().wait_more(30)
    t.load(Reach()).wait_more(10)
    wait.until("not all is up", lambda: states(pair) == [("up", "up")] * 2)
    names = {u["nic"] for u in pair.query()["uplinks"]}
    assert_equal(names, {"net0", f"{OTHER}-{PRIMARY}"}, "NICs")
    change("link set upb{0} down", SECONDARY)
    moment = cut(PRIMARY)
    wait.until("not seen", lambda: sorted(states(pair)) ==
               [("down", "up"), ("up", "down")])
    outlast(moment)
    assert_equal(pair.query()["state"], "degraded", "the primary's state")
    generation = pair.query()["generation"]
    pair.expect_takeover()
    change("link set upb{0} up", SECONDARY)
    event = pair.wait_takeover()
    assert_equal(event.data["generation"], generation + 1, "generation")
    t.survive(pair)


def test_elsewhere(t):
    """A tap in another network namespace, under a name that exists here too,
    is not taken for the one that is here."""
    pair = start(t)
    wait_states(pair, ("up", "up"))
    holder = subprocess.Popen(["unshare", "-n", "cat"],
                              stdin=subprocess.PIPE)
    try:
        wait.until("no namespace", lambda: netns_of(holder.pid) !=
                   netns_of("self"))
        mark = pair.primary.qmp.mark()
        netns.ip("link", "set", "tap1", "netns", str(holder.pid))
        wait_event(pair.primary, mark, "local", "unknown")
        netns.ip("tuntap", "add", "dev", "tap1", "mode", "tap")
        outlast(time.monotonic())
        assert_equal(states(pair), [("unknown", "up")], "uplinks")
        assert_equal(pair.query()["state"], "protected", "the state")
        if "another network namespace" not in pair.primary.said():
            raise AssertionError(f"it said {pair.primary.said()!r}")
        t.loads.clear()         # nobody is served any more
    finally:
        holder.stdin.close()
        holder.wait()


def netns_of(pid):
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return netns_of("self")
