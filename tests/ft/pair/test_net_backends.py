# SPDX-License-Identifier: GPL-2.0-or-later
"""Every way of joining a NIC to a network is gated and taken over."""

import os

from ftlib import netns, pump, wait
from ftlib.capture import Capture, ping
from ftlib.case import assert_equal, cases, long, require_netdev
from ftlib.guest import REDIS_PORT
from ftlib.pair import tap_netdev

OTHER_BRIDGE = "br1"
OTHER_CLIENT = "10.78.0.1"
OTHER_GUEST = "10.78.0.2"
OTHER_MAC = "52:54:00:78:00:02"


def two_queues(number):
    tap = f"tap{number}"
    netns.add_tap(tap, multi_queue=True)
    return tap_netdev(tap, keys=",queues=2"), tap


def other_nic(number, device):
    """Arguments for a second NIC on a network of its own."""
    tap = f"other{number}"
    netns.bridge_up(OTHER_BRIDGE, OTHER_CLIENT)
    netns.add_tap(tap, OTHER_BRIDGE)
    return ("-netdev", tap_netdev(tap, "net1"),
            "-device", f"{device},netdev=net1,mac={OTHER_MAC}")


def set_address(console, nic="eth1"):
    found = console.ask(f"run ip addr add {OTHER_GUEST}/24 dev {nic} && "
                        f"ip link set {nic} up && echo done")
    assert_equal(found, "done", f"the answer to setting up {nic}")


def check_released(t, pair, replies):
    """Each of these replies was a packet that waited for its epoch."""
    before = pair.query()["released-packets"]
    t.loads[0].wait_more(replies)
    released = pair.query()["released-packets"] - before
    t.say(f"{released} packets released for {replies} replies")
    if released < replies - 1:
        raise AssertionError(f"{released} packets were released, but "
                             f"{replies} replies have come")


def die_and_survive(t, pair):
    pair.wait_epochs(5)
    pair.check_self()
    t.survive(pair, pair.kill_primary())


def test_two_queues(t):
    """A multi-queue tap and virtio-net, as many queues as vCPUs."""
    pair = t.pair(smp=2, nic="virtio-net-pci,mq=on,vectors=6",
                  backend=two_queues).start()
    queues = pair.primary.console.ask("run ls -d /sys/class/net/eth0/queues/"
                                      "tx-* | wc -l")
    assert_equal(queues.strip(), "2", "number of transmit queues in use")
    for key in ("counter", "other", "third"):
        t.counter(key=key).wait_more(20)
    check_released(t, pair, 50)
    die_and_survive(t, pair)


def test_two_nics(t):
    """An e1000 and a virtio-net on networks of their own, both in use."""
    pair = t.pair(nic="e1000")
    pair.start_secondary(extra=other_nic(0, "virtio-net-pci"))
    pair.start_primary(extra=other_nic(1, "virtio-net-pci"))
    pair.wait_ready()
    set_address(pair.primary.console)
    pair.wait_protected()
    t.counter().wait_more(20)
    t.counter(key="other", address=(OTHER_GUEST, REDIS_PORT)).wait_more(20)
    die_and_survive(t, pair)


@long("stream-unix", "dgram-unix", "socket-udp")
@cases(*pump.KINDS)
def test_sockets(t, kind):
    """-netdev stream, dgram and socket hold output and are taken over."""
    require_netdev(kind.partition("-")[0])
    os.chdir(t.folder)
    pair = t.pair(backend=pump.backend(kind)).start()
    t.counter().wait_more(20)
    check_released(t, pair, 50)
    die_and_survive(t, pair)


@cases("stream-unix", "dgram-udp")
def test_held(t, kind):
    """Without acks nothing comes out of them; with the next all of it."""
    os.chdir(t.folder)
    pair = t.pair(keys="timeout=30000", backend=pump.backend(kind)).start()
    t.counter().wait_more(20)
    t.finish_loads()
    pair.secondary.stop_process()
    pair.query()                # acks that had arrived are read by now
    pair.query()
    capture = Capture(pair.primary.tap)
    ping(range(10))
    wait.until("the guest's answers are not held",
               lambda: pair.query()["held-packets"] >= 10)
    assert_equal(len(capture.frames()), 0, "frames that got out")
    pair.secondary.continue_process()
    wait.until("the held answers never came",
               lambda: len(capture.echoes()) >= 10)
    assert_equal(capture.echoes(), list(range(10)), "the answers")
