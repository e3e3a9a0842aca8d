# SPDX-License-Identifier: GPL-2.0-or-later
"""The link between two living hosts is cut, and TAKEOVER cannot arrive."""

import time

from ftlib import client, netns, wait
from ftlib.case import assert_equal, cases, limit
from ftlib.disks import Disk, keep_cached, same_as_cached, scribble
from ftlib.guestsh import sh
from ftlib.nodes import FIRST, SECOND, Network, NodePair

UUID = "0b6cf8a7-58b0-4c0e-9d3f-1d9e6c1f7a11"
BOTH_WAYS = ((FIRST, SECOND), (SECOND, FIRST))


class Hosts:
    """A pair on two hosts, and the taps of its QEMUs."""

    def __init__(self, t, keys, **options):
        self.network = Network()
        self.taps = {}
        t.at_end(self.network.end)
        self.pair = NodePair(t.folder, self.network, keys=keys,
                             on_tap=self.taps.__setitem__,
                             extra=("-uuid", UUID), **options)
        t.pairs.append(self.pair)
        self.pair.start()

    def sent(self, qemu):
        return netns.packets_from(self.taps[qemu.name])


def arbiter(t):
    """A file is at hand on both hosts, whatever is cut."""
    path = t.folder / "arbiter"
    path.mkdir()
    return f"arbiter=file:{path}/"


@limit(240)
@cases(*range(3))
def test_zombie(t, number):
    """A primary that was stopped amid its clients' requests, for longer than
    it takes the other one to take over, and cannot hear of that, says nothing
    when it wakes up: the acknowledgements in its socket are too old."""
    hosts = Hosts(t, f"timeout=1000,self-check=20,{arbiter(t)}")
    pair, zombie = hosts.pair, hosts.pair.primary
    counter = t.counter()
    writes = t.load(client.Writes(connections=8, seed=number))
    writes.wait_more(200)
    pair.expect_takeover()
    zombie.stop_process()
    hosts.network.set_cuts(BOTH_WAYS)
    pair.wait_takeover()
    counter.wait_more(20)
    sent, said = hosts.sent(zombie), zombie.console.mark()
    zombie.continue_process()
    wait.until("the zombie is not fenced", lambda: "this copy of the guest is "
               "stopped" in zombie.said())
    counter.wait_more(100)
    assert_equal(hosts.sent(zombie), sent, "packets it sent")
    assert_equal(zombie.console.mark(), said, "bytes it wrote to the console")
    hosts.network.heal()
    t.survive(pair)


@limit(240)
def test_zombie_holds_the_disk(t):
    """With a shared disk the survivor of the decision waits for the lock, and
    gets it once the zombie has learned that it lost."""
    disk = Disk(t.folder, shared=True)
    keys = f"timeout=1000,self-check=20,shared=on,{arbiter(t)}"
    hosts = Hosts(t, keys, disks=[disk])
    pair, zombie = hosts.pair, hosts.pair.primary
    keep_cached(zombie, disk.node)
    sh(zombie, scribble(disk.node, 1, 50))
    t.counter().wait_more(50)
    pair.wait_epochs(3)
    pair.expect_takeover()
    zombie.stop_process()
    pair.wait_reason("waiting for the shared disks", pair.secondary)
    assert_equal(pair.query(pair.secondary)["state"], "taking-over", "state")
    zombie.continue_process()
    t.survive(pair)
    sh(pair.secondary, scribble(disk.node, 2, 50))
    same_as_cached(pair.secondary, disk.node)


@limit(240)
def test_no_arbiter(t):
    """Both go on.  When the link is back the one that has taken over wins."""
    hosts = Hosts(t, "timeout=1000,self-check=20")
    pair, old = hosts.pair, hosts.pair.primary
    pair.wait_epochs(3)
    pair.expect_takeover()
    hosts.network.set_cuts(BOTH_WAYS)
    pair.wait_takeover()
    pair.wait_state("unprotected", old)
    for qemu in (old, pair.secondary):
        assert_equal(qemu.command("query-status")["running"], True,
                     f"{qemu.name} runs")
    healed = time.monotonic()
    hosts.network.heal()
    wait.until("the old primary is not fenced", lambda: "has taken over as "
               "generation 2; this copy" in old.said(), timeout=120)
    t.say(f"fenced {time.monotonic() - healed:.1f} s after the link was back")
    t.counter().wait_more(50)
    assert_equal(pair.query(pair.secondary)["role"], "primary", "role")
