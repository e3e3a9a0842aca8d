# SPDX-License-Identifier: GPL-2.0-or-later
"""The output rule itself: while the secondary stands still, so that nothing
is acknowledged, nothing the guest says comes out; afterwards all of it does.

Its time-out is so long here that the primary does not give it up.
"""

from ftlib import wait
from ftlib.capture import Capture, ping
from ftlib.case import assert_equal, cases
from ftlib.console import lost_at_seam

KEYS = "self-check=1,timeout=60000"
NO_SERVER = "ft.mode=none"
COUNT = 50                      # lines, or pings
# what: (options of the machine, the file the guest writes to)
PORTS = {
    "virtconsole": (("-device", "virtio-serial-pci",
                     "-device", "virtconsole,chardev=port"), "/dev/hvc0"),
    "virtserialport": (("-device", "virtio-serial-pci", "-device",
                        "virtserialport,chardev=port,name=port"),
                       "/dev/vport0p1"),
}
MANY = 400                      # lines across a takeover
KEPT = 1 << 20                  # BACKLOG_MAX in gate-console.c
SMALL, LARGE = KEPT // 16, KEPT + KEPT // 16
SERIAL = "/dev/ttyS0"


def lines(count):
    return "".join(f"line {i}\n" for i in range(1, count + 1))


def counting(count, path):
    """A command for the guest that writes line by line."""
    return (f"run i=1; while [ $i -le {count} ]; do echo line $i; "
            f"i=$((i+1)); done >{path}")


def hold(pair):
    """Stop the secondary; from here on no epoch is committed."""
    pair.secondary.stop_process()
    pair.query()                # acks that had arrived are read by now
    return pair.query()["epoch"]


def wait_held(pair, key, least):
    return wait.until(f"there are never {least} {key}",
                      lambda: pair.query()[key] >= least)


def still_held(pair, epoch):
    found = pair.query()
    assert_equal(found["epoch"], epoch, "the committed epoch")
    assert_equal(found["state"], "protected", "state")


def let_go(t, pair):
    pair.secondary.continue_process()
    wait.until("what was held is never released",
               lambda: not pair.query()["held-packets"])
    pair.wait_epochs(3)
    pair.check_self()


def test_network(t):
    """No frame leaves the primary's tap; then all answers, in order."""
    pair = t.pair(keys=KEYS).start()
    counter = t.counter()
    counter.wait_more(50)
    epoch = hold(pair)
    capture = Capture(pair.primary.tap)
    replies = counter.count
    ping(range(COUNT))
    wait_held(pair, "held-packets", COUNT)
    assert_equal(len(capture.frames()), 0, "frames that got out")
    assert_equal(counter.count, replies, "replies the client has")
    still_held(pair, epoch)
    let_go(t, pair)
    wait.until("answers are lost", lambda: len(capture.echoes()) >= COUNT)
    assert_equal(capture.echoes(), list(range(COUNT)), "the answers")
    counter.wait_more(50)
    t.survive(pair, pair.kill_primary())


def test_network_lost(t):
    """What was held when the primary dies never comes out of the primary.

    The client asks again, and the secondary's guest answers it once.
    """
    pair = t.pair(keys=KEYS).start()
    counter = t.counter()
    counter.wait_more(50)
    hold(pair)
    capture = Capture(pair.primary.tap)
    ping(range(COUNT))
    wait_held(pair, "held-packets", COUNT)
    moment = pair.kill_primary()
    assert_equal(len(capture.frames()), 0, "frames that got out")
    pair.secondary.continue_process()
    t.survive(pair, moment)
    assert_equal(len(capture.frames()), 0, "frames the dead one sent")


def test_serial(t):
    """Not a byte of the serial port comes out; then all of them."""
    pair = t.pair(keys=KEYS, parameters=NO_SERVER).start()
    console = pair.primary.console
    since = console.mark()
    epoch = hold(pair)
    console.send(f"count {COUNT}")
    wait_held(pair, "held-bytes", len(lines(COUNT)))
    assert_equal(console.text(since), "", "what came out")
    still_held(pair, epoch)
    let_go(t, pair)
    console.wait_for(rf"^line {COUNT}\n", since=since)
    assert_equal(console.text(since), lines(COUNT), "what came out")


def pair_with_port(t, kind, **options):
    devices, path = PORTS[kind]
    pair = t.pair(extra=devices, ports=("port",), **options).start()
    found = pair.primary.console.ask(f"run test -c {path} && echo there || "
                                     "echo missing")
    t.skip_unless(found == "there", f"the guest has no {path}")
    return pair, path


@cases(*PORTS)
def test_port(t, kind):
    """The same for ports of a virtio-serial device."""
    pair, path = pair_with_port(t, kind, keys=KEYS, parameters=NO_SERVER)
    port = pair.primary.ports["port"]
    epoch = hold(pair)
    pair.primary.console.send(counting(COUNT, path))
    wait_held(pair, "held-bytes", len(lines(COUNT)))
    assert_equal(port.text(), "", "what came out")
    still_held(pair, epoch)
    let_go(t, pair)
    port.wait_for(rf"^line {COUNT}\n")
    assert_equal(port.text(), lines(COUNT), "what came out")


@cases(*PORTS)
def test_port_killed(t, kind):
    """Across a takeover what both sides wrote is in order, once, and whole
    but for what the primary had no time to let go."""
    pair, path = pair_with_port(t, kind, parameters=NO_SERVER)
    port = pair.primary.ports["port"]
    pair.primary.console.send(counting(MANY, path))
    port.wait_for(r"^line 20$")
    pair.kill_primary()
    pair.wait_takeover()
    port.wait_closed()
    rest = pair.secondary.ports["port"]

    def whole():
        return port.text() + rest.text()

    wait.until("the guest never came to its last line",
               lambda: f"line {MANY}\n" in whole())
    lost = lost_at_seam(lines(MANY), port.text(), rest.text())
    t.say(f"{port.text().count('line')} lines from the primary, {lost} "
          "characters lost")
    pair.check_self(pair.secondary)


def first_difference(found, wanted):
    for at, (one, other) in enumerate(zip(found, wanted)):
        if one != other:
            return (f"at byte {at} of {len(wanted)} there is "
                    f"{found[at:at + 20]!r}, not {wanted[at:at + 20]!r}")
    return f"{len(found)} bytes came, not {len(wanted)}"


def say_much(pair, path, size):
    """Have the guest write `size` bytes or less; returns them."""
    count = size // len("line 100000\n")
    pair.primary.console.send(f"run seq 100000 {99999 + count} | "
                              f"sed 's/^/line /' >{path}")
    return "".join(f"line {100000 + i}\n" for i in range(count))


def check_whole(port, since, wanted):
    """All of it comes out, in order, once."""
    wait.on(port.changed, "the last line never came",
            lambda: port.data[-30:].decode().replace("\r", "").endswith(
                wanted[-12:]), 60)
    found = port.text(since)
    if found != wanted:
        raise AssertionError(first_difference(found, wanted))


def test_slow_serial_reader(t):
    """Nobody reads until the guest has said it all."""
    pair = t.pair(parameters=NO_SERVER).start()
    console = pair.primary.console
    since = console.mark()
    before = pair.query()["released-packets"]
    console.pause()
    wanted = say_much(pair, SERIAL, SMALL)
    wait.until("the guest does not get rid of its output",
               lambda: pair.query()["released-packets"] - before >=
               len(wanted), 60)     # each byte is a packet of its own
    console.resume()
    check_whole(console, since, wanted)
    pair.wait_epochs(3)
    pair.check_self()


@cases("virtserialport")        # hvc needs minutes for so much
def test_slow_port_reader(t, kind):
    """More than QEMU keeps; the guest has to wait for the reader."""
    pair, path = pair_with_port(t, kind, parameters=NO_SERVER)
    port = pair.primary.ports["port"]
    port.pause()
    wanted = say_much(pair, path, LARGE)
    pair.wait_epochs(50)
    port.resume()
    check_whole(port, 0, wanted)
    pair.wait_epochs(3)
    pair.check_self()


def fill_gate(pair, port, path, full):
    """While nothing is committed the guest says more than QEMU keeps."""
    since = port.mark()
    hold(pair)
    wanted = say_much(pair, path, LARGE)
    wait_held(pair, "held-bytes", full)
    for _ in range(20):
        pair.query()            # so many turns of its main loop
    assert_equal(port.text(since), "", "what came out")
    pair.secondary.continue_process()
    check_whole(port, since, wanted)
    pair.wait_epochs(3)
    pair.check_self()


def test_full_serial(t):
    pair = t.pair(keys=KEYS, parameters=NO_SERVER).start()
    fill_gate(pair, pair.primary.console, SERIAL, KEPT)


@cases("virtserialport")        # hvc needs minutes for so much
def test_full_port(t, kind):
    pair, path = pair_with_port(t, kind, keys=KEYS, parameters=NO_SERVER)
    fill_gate(pair, pair.primary.ports["port"], path,
              KEPT - 40000)     # it writes pages, not bytes
