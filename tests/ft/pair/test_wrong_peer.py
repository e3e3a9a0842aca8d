# SPDX-License-Identifier: GPL-2.0-or-later
"""Peers that do not fit, and strangers on the port."""

import random
import socket

from ftlib import wire
from ftlib.case import Skip, assert_equal, cases
from ftlib.pair import PORT, machine

OTHER_MACHINES = {
    "memory": machine(memory=160),
    "vcpus": machine(smp=2),
    "vm": machine(extra=("-uuid", "1b4e28ba-2fa1-11d2-883f-0016d3cca427")),
    "cpu-model": machine(extra=("-cpu", "qemu64")),
    "machine-type": machine(model="q35"),
    "device": machine(extra=("-device", "virtio-rng-pci")),
    "ram-blocks": machine(extra=(
        "-object", "memory-backend-ram,id=low,size=72M",
        "-object", "memory-backend-ram,id=high,size=72M",
        "-numa", "node,memdev=low", "-numa", "node,memdev=high")),
}


@cases(*OTHER_MACHINES)
def test_other(t, difference):
    """Refused in one sentence; the guest runs on; the right one is taken."""
    pair = t.pair()
    pair.start_secondary(machine_args=OTHER_MACHINES[difference])
    primary = pair.start_primary()
    reason = pair.wait_reason("differ")
    t.say(reason)
    if "\n" in reason:
        raise AssertionError(f"the reason is not one sentence: {reason!r}")
    assert_equal(pair.query()["state"], "unprotected", "state")
    assert_equal(primary.command("query-status")["status"], "running",
                 "run state")
    pair.secondary.kill()
    pair.start_secondary()
    pair.wait_protected()


def hello_of(t, pair):
    """The HELLO of a real primary, which is ended again."""
    primary = pair.start_primary(port=PORT + 1)
    try:
        return wire.capture_hello(PORT + 1)
    finally:
        primary.kill()


WRONG = {
    "major": lambda hello: wire.record(
        wire.HELLO, wire.with_version(hello, 99, 0)),
    "magic": lambda hello: wire.record(wire.HELLO, b"QEMU-XX1" + hello[8:]),
    "json": lambda hello: wire.record(wire.HELLO, hello[:-1] + b"{"),
    "qemu-version": lambda hello: wire.record(
        wire.HELLO, hello.replace(b'"qemu": "', b'"qemu": "9')),
    "no-devices": lambda hello: wire.record(
        wire.HELLO, hello.replace(b'"devices"', b'"gadgets"')),
    "check": lambda hello: wire.record(wire.HELLO, hello)[:-1] + b" ",
    "order": lambda hello: wire.record(9, bytes(8)),
    "unknown-type": lambda hello: wire.record(77, b""),
    "long": lambda hello: wire.HEADER.pack(wire.HELLO, 0, 1 << 31, 0),
}


@cases(*WRONG)
def test_wrong_hello(t, what):
    """Each is refused and closed; the secondary stays of use."""
    pair = t.pair()
    try:
        wire.xxh3(b"")
    except wire.NoHash as why:
        raise Skip(str(why)) from None
    hello = hello_of(t, pair)
    secondary = pair.start_secondary()
    with wire.dial(PORT) as sock:
        sock.sendall(wire.record(wire.HELLO, hello))
        if wire.closed_without_welcome(sock):
            raise AssertionError("the secondary refused the right one too")
    pair.wait_state("unprotected", secondary)
    with wire.dial(PORT) as sock:
        sock.sendall(WRONG[what](hello))
        if not wire.closed_without_welcome(sock):
            raise AssertionError("the secondary agreed to it")
    assert_equal(pair.query(secondary)["role"], "secondary", "role")
    pair.start_primary()
    pair.wait_protected()


def garbage(port, seed, size=100000):
    """Random bytes until the other side has had enough."""
    data = random.Random(seed).getrandbits(8 * size).to_bytes(size, "big")
    with wire.dial(port) as sock:
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass
        except TimeoutError:
            raise
        except OSError:
            pass                # reset, or gone before the shutdown


def test_garbage(t):
    """Garbage, silence and flapping, before and while protected."""
    pair = t.pair()
    pair.start_secondary()
    for seed in range(20):
        garbage(PORT, seed)
    silent = [wire.dial(PORT) for _ in range(5)]    # half-open, and stay so
    half = wire.dial(PORT)
    half.sendall(b"\0\0\0\1\0\0")
    pair.start_primary()
    pair.wait_ready()
    pair.wait_protected()
    t.counter().wait_more(20)
    for seed in range(20):
        try:
            garbage(PORT, 100 + seed)
        except ConnectionRefusedError:
            break               # it no longer listens: as good an answer
    t.loads[0].wait_more(50)
    assert_equal(pair.query()["state"], "protected", "state")
    pair.wait_epochs(5)
    pair.check_self()
    t.survive(pair, pair.kill_primary())
    for sock in silent + [half]:
        sock.close()


def test_nobody_there(t):
    """No secondary: the guest boots and serves, unprotected, with a reason."""
    pair = t.pair()
    pair.start_primary()
    pair.wait_ready()
    found = pair.query()
    assert_equal(found["state"], "unprotected", "state")
    t.say(found.get("reason", "no reason"))
    t.counter().wait_more(50)
