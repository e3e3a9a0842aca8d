# SPDX-License-Identifier: GPL-2.0-or-later
"""Who has lost its peer finds another one, without a human."""

from ftlib.case import assert_equal, limit
from ftlib.disks import Disk, keep_cached, same_as_cached, scribble
from ftlib.guestsh import sh

KEYS = "self-check=1,timeout=2000"
PORTS = (7700, 7701)
ROUNDS = 4


def address(port):
    return f"127.0.0.1:{port}"


@limit(400)
def test_in_turn(t):
    """Two hosts that know each other die in turn.  Each comes back listening,
    with the disk it had, and is wrongly told that the disks are the same."""
    disk = Disk(t.folder)
    pair = t.pair(disks=[disk], keys=KEYS)
    pair.start_secondary(keys=f"{KEYS},peer={address(PORTS[1])},"
                         "disk-sync=none")
    pair.start_primary()
    pair.wait_ready()
    pair.wait_protected()
    node = disk.node
    keep_cached(pair.primary, node)
    counter = t.counter()
    for moment in range(ROUNDS):
        sh(pair.primary, scribble(node, moment, 20))
        pair.wait_epochs(3)
        dead = pair.primary.name
        killed = pair.kill_primary()
        event = pair.wait_takeover()
        assert_equal(event.data["generation"], moment + 2, "generation")
        counter.wait_more(50)
        t.say(f"outage {counter.outage_at(killed):.0f} ms")
        sh(pair.secondary, scribble(node, moment + 50, 20))
        pair.promote()
        disk.of[pair.next_name("secondary")] = disk.of.get(dead, dead)
        here, there = PORTS[1 - moment % 2], PORTS[moment % 2]
        pair.start_secondary(port=here, keys=f"{KEYS},disk-sync=none,"
                             f"peer={address(there)}")
        found = pair.wait_protected()
        assert_equal(found["peer"], address(here), "peer")
    same_as_cached(pair.primary, node)
    t.survive(pair, pair.kill_primary())
    same_as_cached(pair.secondary, node)


def test_second_address(t):
    """A primary whose secondary has died turns to the next address."""
    pair = t.pair()
    pair.start_secondary(port=PORTS[0])
    pair.start_primary(keys=f"{KEYS},peer={address(PORTS[1])}")
    pair.wait_ready()
    pair.wait_protected()
    counter = t.counter()
    counter.wait_more(20)
    pair.secondary.kill()
    pair.secondary.wait_exit()
    pair.wait_state("unprotected")
    pair.start_secondary(port=PORTS[1])
    found = pair.wait_protected()
    assert_equal(found["peer"], address(PORTS[1]), "peer")
    counter.wait_more(20)
    t.survive(pair, pair.kill_primary())


def test_by_hand(t):
    """An address given while others are dialled in vain is the next."""
    pair = t.pair()
    pair.start_primary()
    pair.wait_ready()
    pair.wait_reason("cannot reach")
    pair.start_secondary(port=PORTS[1])
    pair.primary.command("ft-start", {"peer": address(PORTS[1])})
    pair.wait_protected()
    t.counter().wait_more(20)
    t.survive(pair, pair.kill_primary())
