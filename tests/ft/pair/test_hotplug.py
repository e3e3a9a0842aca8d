# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices that come and go: protection ends in a sentence that names the
device, never in a takeover, and comes back with a machine that fits."""

from ftlib import netns, wait
from ftlib.case import assert_equal, cases
from ftlib.guest import REDIS_PORT
from ftlib.pair import tap_netdev
from ftlib.qmp import QmpError
from ftlib.record import asking, started

RNG = {"driver": "virtio-rng-pci", "id": "rng0"}
RNG_OPTION = ("-device", "virtio-rng-pci,id=rng0")
BRIDGE, CLIENT, GUEST = "br1", "10.78.0.1", "10.78.0.2"
NIC_MAC = "52:54:00:78:00:02"
LINES = 50


def wait_ended(qemu, device, since=0):
    """Protection ends, for a reason that names the device."""
    event = qemu.qmp.wait_event("FT_STATE_CHANGED",
                                lambda d: d["state"] == "unprotected",
                                timeout=10, since=since)
    return names(event.data.get("reason", ""), device)


def names(reason, device):
    if device not in reason or "\n" in reason:
        raise AssertionError(f"the reason does not name {device} in one "
                             f"sentence: {reason!r}")
    return reason


def wait_refused(qemu, device, since=0):
    """The peer it redials refuses it, and says what differs."""
    event = qemu.qmp.wait_event("FT_STATE_CHANGED",
                                lambda d: "differ" in d.get("reason", ""),
                                since=since)
    return names(event.data["reason"], device)


def no_takeover(t, pair):
    assert_equal(pair.query(pair.secondary)["role"], "secondary", "role")
    t.check()


def unplug(qemu, device):
    """The guest has to let it go."""
    qemu.command("device_del", {"id": device})
    qemu.qmp.wait_event("DEVICE_DELETED",
                        lambda d: d.get("device") == device)


def die_and_survive(t, pair):
    pair.wait_epochs(5)
    pair.check_self()
    t.survive(pair, pair.kill_primary(), replies=50)


def test_plug_and_unplug(t):
    """Unprotected while the machines differ, protected again by itself."""
    pair = t.pair().start()
    counter = t.counter()
    counter.wait_more(20)
    since = pair.primary.qmp.mark()
    pair.primary.command("device_add", RNG)
    wait_refused(pair.primary, "rng0", since)
    assert_equal(pair.query()["state"], "unprotected", "state")
    no_takeover(t, pair)
    counter.wait_more(50)
    unplug(pair.primary, "rng0")
    pair.wait_protected(20)
    counter.wait_more(20)
    die_and_survive(t, pair)


def test_reason(t):
    """The first thing said already names the device the user plugged."""
    pair = t.pair(parameters="ft.mode=none").start()
    since = pair.primary.qmp.mark()
    pair.primary.command("device_add", RNG)
    t.say(wait_ended(pair.primary, "rng0", since))


def test_unplug(t):
    """A device both sides had goes: the pair no longer fits."""
    pair = t.pair(extra=RNG_OPTION).start()
    counter = t.counter()
    counter.wait_more(20)
    since = pair.primary.qmp.mark()
    unplug(pair.primary, "rng0")
    wait_refused(pair.primary, "rng0", since)
    no_takeover(t, pair)
    counter.wait_more(50)


def plug_nic(pair):
    netns.bridge_up(BRIDGE, CLIENT)
    netns.add_tap("other0", BRIDGE)
    words = tap_netdev("other0", "net1").split(",")
    arguments = dict(word.split("=") for word in words[1:])
    pair.primary.command("netdev_add", {"type": words[0], **arguments})
    pair.primary.command("device_add", {
        "driver": "virtio-net-pci", "id": "nic1", "netdev": "net1",
        "mac": NIC_MAC, "addr": "8"})


def set_address(console):
    found = console.ask(
        "run until test -e /sys/class/net/eth1; do usleep 20000; done; "
        f"ip addr add {GUEST}/24 dev eth1 && ip link set eth1 up && "
        "echo done")
    assert_equal(found, "done", "the answer to setting up eth1")


def secondary_with_nic(pair):
    netns.add_tap("other1", BRIDGE)
    pair.secondary.kill()
    return pair.start_secondary(extra=(
        "-netdev", tap_netdev("other1", "net1"), "-device",
        f"virtio-net-pci,id=nic1,netdev=net1,mac={NIC_MAC},addr=8"))


def test_nic(t):
    """Output of a NIC plugged in passes; with a secondary that has the
    same, it is protected like the first."""
    pair = t.pair().start()
    t.counter().wait_more(20)
    since = pair.primary.qmp.mark()
    plug_nic(pair)
    wait_refused(pair.primary, "nic1", since)
    no_takeover(t, pair)
    set_address(pair.primary.console)
    t.counter(key="other", address=(GUEST, REDIS_PORT)).wait_more(20)
    secondary_with_nic(pair)
    pair.wait_protected(20)
    t.loads[1].wait_more(20)
    die_and_survive(t, pair)


def test_unplug_keeps_output(t):
    """What a console holds is not lost when some other device goes."""
    pair = t.pair(extra=RNG_OPTION, parameters="ft.mode=none",
                  keys="timeout=4000").start()
    console = pair.primary.console
    pair.secondary.stop_process()
    pair.query()                # acks that had arrived are read by now
    pair.query()
    since = console.mark()
    wanted = "".join(f"line {i}\n" for i in range(1, LINES + 1))
    console.send(f"count {LINES}")
    wait.until("the guest's lines are not held",
               lambda: pair.query()["held-bytes"] >= len(wanted))
    unplug(pair.primary, "rng0")
    console.send("echo after")
    console.wait_for(r"^after\n", since=since)
    pair.secondary.continue_process()
    assert_equal(console.text(since), wanted + "after\n", "what came out")


@cases("plugged", "other-slot")
def test_on_waiting_secondary(t, what):
    """The handshake fails with a sentence that names the device."""
    pair = t.pair()
    secondary = pair.start_secondary()
    extra = ()
    if what == "other-slot":
        # its state could not be loaded there: sections are named by slot
        extra = (*RNG_OPTION[:1], RNG_OPTION[1] + ",addr=7")
    secondary.command("device_add", dict(RNG, addr="8"))
    primary = pair.start_primary(extra=extra)
    t.say(names(pair.wait_reason("differ"), "rng0"))
    assert_equal(pair.query()["state"], "unprotected", "state")
    assert_equal(primary.command("query-status")["status"], "running",
                 "run state")


def test_on_protecting_secondary(t):
    """Refused, or the end of protection: what it holds no longer fits."""
    pair = t.pair(parameters="ft.mode=none")
    pair.start_secondary()
    pair.start_primary()
    pair.wait_protected()
    since = pair.primary.qmp.mark()
    try:
        pair.secondary.command("device_add", RNG)
    except QmpError as why:
        t.say(str(why))
        return
    wait_ended(pair.primary, "rng0", since)


TABLET = ("-device", "piix3-usb-uhci,id=usb",
          "-device", "usb-tablet,bus=usb.0,id=tab0")


@cases("plug", "unplug")
def test_on_heir(t, what):
    """Refused while the secondary asks whether it may take over: the copy is
    the last one, and would not fit.  Later it is done."""
    pair, record = started(t, extra=TABLET)
    counter = t.counter()
    counter.wait_more(20)
    pair.wait_epochs(3)
    record.take_away()
    pair.wait_state("degraded", pair.secondary)
    moment = pair.kill_primary()
    asking(pair, pair.secondary)
    command = {"plug": ("device_add", RNG),
               "unplug": ("device_del", {"id": "tab0"})}[what]
    try:
        pair.secondary.command(*command)
    except QmpError as why:
        if "about to take over; try again" not in str(why):
            raise
    else:
        raise AssertionError(f"{command[0]} was carried out")
    record.bring_back()
    t.survive(pair, moment)
    pair.secondary.command(*command)


def test_plugged_and_dead(t):
    """The primary dies before the secondary has told it that its machine is
    another one: it does not take over with what cannot be loaded."""
    pair = t.pair(ports=("hmp",),
                  extra=("-mon", "chardev=hmp,mode=readline")).start()
    pair.wait_epochs(3)
    secondary, hmp = pair.secondary, pair.secondary.ports["hmp"]
    hmp.sock.sendall(b"device_add virtio-rng-pci,id=rng0")
    hmp.wait_for(r"id=rng0")
    secondary.stop_process()
    pair.kill_primary()
    # The end of the line is there before the thread can tell of the death
    hmp.send("")
    secondary.continue_process()

    def probe():
        return pair.query(secondary)["role"] == "primary" or \
            "rng0" in pair.reason(secondary)

    wait.until("the secondary does not say what it does", probe)
    t.say(pair.reason(secondary))
