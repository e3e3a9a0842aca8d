# SPDX-License-Identifier: GPL-2.0-or-later
"""Planned switchovers: the roles swap, and no client notices anything."""

import subprocess

from ftlib import guest, wait
from ftlib.case import assert_equal, cases, full, limit, long
from ftlib.client import percentile
from ftlib.console import lost_at_seam
from ftlib.disks import Disk, keep_cached, same_as_cached, scribble
from ftlib.guestsh import sh
from ftlib.qmp import QmpError
from ftlib.redis import Redis

KEYS = "self-check=1,timeout=2000"
LISTEN = ",listen=127.0.0.1:7701"
KINDS = {
    "plain": {},
    "2-vcpus": dict(smp=2),
    "e1000": dict(nic="e1000"),
    "q35": dict(model="q35"),
    "busy-guest": dict(parameters="ft.cpu=1"),
    "disk": {},
    "disk-iothread": {},
    "shared": {},
    "shared-qcow2": {},
}
DISKS = {
    "disk": {},
    "disk-iothread": dict(kind="virtio-blk-iothread", style="blockdev"),
    "shared": dict(shared=True),
    "shared-qcow2": dict(shared=True, form="qcow2"),
}


def start(t, keys=KEYS, listen=LISTEN, fault=(None, None), extra=(),
          **options):
    """A pair whose primary knows where it will wait."""
    pair = t.pair(keys=keys, **options)
    pair.start_secondary(fault=fault[1], extra=extra)
    pair.start_primary(fault=fault[0], keys=keys + listen)
    pair.wait_ready()
    pair.wait_protected()
    return pair


def switched(t, pair, checked=True):
    """Switch over, and be protected again in the other direction."""
    counter = t.loads[0] if t.loads else None
    if counter:
        counter.wait_more(30)
    moment, took = pair.switch_over()
    assert_equal(pair.took_over.data["cause"], "switchover", "cause")
    if counter:
        counter.wait_more(50)
    pair.wait_protected()
    assert_equal(pair.query(pair.secondary)["role"], "secondary", "role")
    pair.wait_epochs(3)
    pair.check_self(some=checked)
    if not counter:
        return 0
    # Of the waits that the switchover lies in; and whatever came after it
    times = list(counter.times)
    gaps = [(b - a, a, b) for a, b in zip(times, times[1:])]
    outage = 1000 * max(g for g, a, b in gaps
                        if a <= moment + took / 1000 and b >= moment)
    t.say(f"switched over in {took:.0f} ms, outage {outage:.0f} ms; longest "
          f"wait until protected again {counter.outage_at(moment):.0f} ms")
    return outage


@long("disk-iothread", "shared-qcow2")
@cases(*KINDS)
@limit(240)
def test_under_load(t, kind):
    """A counting client sees each number once, over one connection; then the
    old primary is a secondary that can take over."""
    options = dict(KINDS[kind])
    keys, disk = KEYS, None
    if kind in DISKS:
        disk = Disk(t.folder, **DISKS[kind])
        options["disks"] = [disk]
        keys += ",shared=on" if disk.shared else ""
    pair = start(t, keys=keys, **options)
    t.counter()
    console = pair.primary.console
    if disk:
        keep_cached(pair.primary, disk.node)
        console.send(f"run {scribble(disk.node, 1, 200)}; echo scribbled-$?")
    switched(t, pair)
    if disk:
        pair.primary.console.wait_for(r"^scribbled-0$", timeout=90)
        same_as_cached(pair.primary, disk.node)
    event = t.survive(pair, pair.kill_primary())
    assert_equal(event.data["generation"], 3, "generation")
    if disk:
        same_as_cached(pair.secondary, disk.node)


@long("disk", "shared")
@cases("plain", "disk", "shared")
@limit(300)
def test_back_and_forth(t, kind):
    """Five switchovers in turn between the same two processes."""
    disk = Disk(t.folder, **DISKS[kind]) if kind in DISKS else None
    pair = start(t, KEYS + (",shared=on" if kind == "shared" else ""),
                 disks=[disk] if disk else [])
    t.counter()
    if disk:
        keep_cached(pair.primary, disk.node)
    both = {pair.primary, pair.secondary}
    for number in range(5):
        switched(t, pair)
        if disk:
            sh(pair.primary, scribble(disk.node, number, 40))
            same_as_cached(pair.primary, disk.node)
    assert_equal({pair.primary, pair.secondary}, both, "the processes")
    assert_equal(pair.query()["generation"], 6, "generation")
    t.survive(pair, pair.kill_primary())
    if disk:
        same_as_cached(pair.secondary, disk.node)


@full
@limit(600)
def test_outage(t):
    """What a client sees of twenty switchovers."""
    pair = start(t, "timeout=2000,self-check=100")
    t.counter()
    outages = [switched(t, pair, False) for _ in range(20)]
    p50, most = percentile(outages, 0.5), max(outages)
    t.say(f"20 switchovers: outage p50 {p50:.0f} ms, max {most:.0f} ms")
    # Less than TCP takes to repeat one packet
    if p50 > 200:
        raise AssertionError(f"half of the outages exceed {p50:.0f} ms")


def test_console(t):
    """What both consoles show, one after the other, is all there is."""
    lines = 4000
    whole = "".join(f"line {i}\n" for i in range(1, lines + 1))
    pair = start(t)
    old, new = pair.primary.console, pair.secondary.console
    since = old.mark()
    old.send(f"count {lines}")
    old.wait_for(r"^line 20$", since=since)
    pair.switch_over()

    def text():
        return old.text(since) + new.text()

    wait.until("the guest never came to its last line",
               lambda: f"line {lines}\n" in text())
    before, after = old.text(since), new.text()
    lost = lost_at_seam(whole, before[before.index("line 1\n"):],
                        after[:after.index(whole[-9:]) + 9])
    assert_equal(lost, 0, "characters lost")


def refused(qemu, *why):
    """With one of these sentences."""
    try:
        qemu.command("ft-switchover")
    except QmpError as error:
        if not any(text in str(error) for text in why):
            raise
    else:
        raise AssertionError(f"not refused, where {why} was to be said")


def test_refused(t):
    """Each case by name; nothing has happened."""
    pair = t.pair(extra=("-no-shutdown",))
    pair.start_primary()
    pair.wait_reason("cannot reach")
    refused(pair.primary, "not protected but unprotected: cannot reach")
    pair.start_secondary()
    pair.wait_ready()
    pair.wait_protected()
    refused(pair.secondary, "this QEMU is a waiting secondary")
    t.counter().wait_more(20)
    pair.primary.command("ft-stop")
    refused(pair.primary, "not protected but unprotected: stopped by ft-stop")
    pair.primary.command("ft-start")
    pair.wait_protected()
    t.loads[0].wait_more(20)
    t.finish_loads()
    t.loads.clear()
    pair.primary.console.send("poweroff")
    pair.primary.qmp.wait_event("STOP")
    refused(pair.primary, "in the run state shutdown")


def test_stays_fenced(t):
    """Without listen= the old primary stays as it is, and can be ended."""
    pair = start(t, listen="")
    t.counter().wait_more(20)
    old = pair.primary
    pair.switch_over()
    t.loads[0].wait_more(50)
    found = pair.wait_state("fenced", old)
    if "switched over to the peer" not in found["reason"]:
        raise AssertionError(f"the reason is {found['reason']!r}")
    refused(old, "not protected but fenced")
    old.command("quit")
    assert_equal(old.wait_exit(), 0, "exit code")
    assert_equal(pair.query()["role"], "primary", "role")
    t.loads[0].wait_more(50)


def test_paused(t):
    """A guest that was stopped is a stopped guest over there."""
    pair = start(t)
    pair.primary.command("stop")
    pair.switch_over()
    assert_equal(pair.primary.command("query-status")["running"], False,
                 "running")
    pair.primary.command("cont")
    assert_equal(Redis().call("PING"), "PONG", "the answer")
    pair.wait_protected()


@cases("switch-cut", "switch-ready", "switch-said")
def test_primary_dies(t, point):
    """The primary dies in the middle: the other one goes on."""
    pair = start(t, fault=(point, None))
    t.counter().wait_more(20)
    pair.expect_takeover()
    pair.primary.qmp.sock.sendall(b'{"execute": "ft-switchover"}\n')
    pair.primary.wait_exit()
    event = t.survive(pair)
    if event.data["cause"] not in ("switchover", "connection-lost"):
        raise AssertionError(f"the cause is {event.data['cause']}")


def goes_on(t, pair, *why):
    refused(pair.primary, *why)
    t.loads[0].wait_more(50)
    assert_equal(pair.primary.command("query-status")["status"], "running",
                 "run state")


def test_secondary_dies_before(t):
    """Before it has been told to go on, the guest goes on here."""
    pair = start(t, "timeout=1000")
    t.counter().wait_more(20)
    pair.secondary.stop_process()
    goes_on(t, pair, "nothing has come from")
    pair.secondary.kill()
    pair.secondary.wait_exit()
    pair.start_secondary()
    pair.wait_protected()
    t.survive(pair, pair.kill_primary())


def stop_between_epochs(pair):
    """SIGSTOP for a secondary that has acknowledged all there is, so that
    the last cut is made, and never answered."""
    def stopped():
        before = pair.query()["epoch"]
        pair.secondary.stop_process()
        # An epoch that was under way would be in one of these
        found = pair.query()
        if found["epoch"] == before and not found["held-packets"]:
            return True
        pair.secondary.continue_process()
        return False

    wait.until("there is always an epoch under way", stopped, 20, 0.05)


@cases("plain", "shared")
def test_killed_while_stopped(t, kind):
    """The secondary is killed when the guest stands already: it goes on."""
    disk = Disk(t.folder, shared=True)
    # No checkpoint without a reason, which could be under way
    keys = KEYS + ",interval=5000" + (",shared=on" if kind == "shared" else "")
    pair = start(t, keys, disks=[disk] if kind == "shared" else [])
    t.counter().wait_more(20)
    with t.loads[0].silent():
        stop_between_epochs(pair)
        pair.primary.qmp.sock.sendall(b'{"execute": "ft-switchover"}\n')
        pair.primary.qmp.wait_event("STOP")
        pair.secondary.kill()
    t.loads[0].wait_more(50)
    pair.wait_state("unprotected")
    if kind == "shared":
        sh(pair.primary, scribble(disk.node, 1))
    pair.start_secondary(keys=keys)
    pair.wait_protected()
    switched(t, pair)


def test_slow_disk(t):
    """Output that waits for a slow disk of the peer is not waited for for
    ever: the guest goes on here, and nothing is wrong."""
    disk = Disk(t.folder, slow={"secondary": 1})
    # Both sides wait four times as long for the disk, and either may be first
    pair = start(t, "timeout=500,disk-sync=none", disks=[disk])
    t.counter().wait_more(20)
    pair.primary.console.send(f"run {scribble(disk.node, 1, 40)}; "
                              "echo scribbled-$?")
    wait.until("nothing waits for the disk", lambda: pair.query(
        pair.secondary)["journal-bytes"] > 200000)
    goes_on(t, pair, "could not be let go in time", "does not answer")
    pair.primary.console.wait_for(r"^scribbled-0$", timeout=90)


@cases("switch-heard", "switch-loaded")
def test_secondary_dies_after(t, point):
    """Told to go on, and then silent: nobody can know, so the old one keeps
    still."""
    pair = start(t, fault=(None, point))
    pair.wait_epochs(2)
    refused(pair.primary, "the peer, which has not answered")
    pair.wait_state("fenced")


@cases("mirrored", "shared")
def test_cannot_load(t, kind):
    """A peer that cannot load the state says so: the guest goes on here."""
    disk = Disk(t.folder, shared=kind == "shared")
    keys = KEYS + (",shared=on" if kind == "shared" else "")
    # The guest's driver has been promised what this NIC does not have
    pair = start(t, keys, disks=[disk], extra=(
        "-global", "virtio-net-pci.event_idx=off"))
    t.counter().wait_more(20)
    goes_on(t, pair, "the peer could not go on")
    assert_equal(pair.secondary.wait_exit(), 1, "the secondary's exit code")
    sh(pair.primary, scribble(disk.node, 1))
    pair.start_secondary(keys=keys)
    pair.wait_protected()
    switched(t, pair)


def test_fenced_waits(t):
    """A primary that was taken for dead waits for its guest, with listen=."""
    pair = start(t, "timeout=1000")
    counter = t.counter()
    counter.wait_more(20)
    pair.expect_takeover()
    old = pair.primary
    old.stop_process()
    pair.wait_takeover()
    old.continue_process()
    pair.promote()
    pair.secondary = old
    counter.wait_more(20)
    pair.wait_protected()
    t.survive(pair, pair.kill_primary())


# --- a rolling upgrade ------------------------------------------------------

def next_emulator(t):
    """One of another patch level, or skip."""
    done = subprocess.run([str(guest.ROOT / "scripts/build-next")],
                          capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"scripts/build-next: {done.stderr.strip()}")
    return done.stdout.strip()


def version(pair, qemu):
    return pair.query(qemu)["ft-version"]


@limit(300)
def test_rolling_upgrade(t):
    """Both QEMUs are replaced by the next patch level; the guest never
    stops, and is still there when one of the new ones dies."""
    newer = next_emulator(t)
    disk = Disk(t.folder)
    pair = start(t, disks=[disk])
    first = version(pair, pair.primary)
    counter = t.counter()
    counter.wait_more(20)
    keep_cached(pair.primary, disk.node)
    sh(pair.primary, scribble(disk.node, 1))

    # 1: the secondary
    disk.of[pair.next_name("secondary")] = pair.secondary.name
    pair.secondary.command("quit")
    pair.secondary.wait_exit()
    pair.start_secondary(binary=newer)
    pair.wait_protected()
    if version(pair, pair.secondary) == first:
        raise AssertionError("both have the same version")
    # 2: the guest moves to it, and is protected by the old version
    switched(t, pair)
    same_as_cached(pair.primary, disk.node)
    # 3: the old side
    disk.of[pair.next_name("secondary")] = pair.secondary.name
    pair.secondary.command("quit")
    pair.secondary.wait_exit()
    pair.start_secondary(binary=newer, port=7701)
    pair.wait_protected()
    assert_equal(version(pair, pair.secondary), version(pair, pair.primary),
                 "the secondary's version")
    counter.wait_more(20)
    # 4: and still it survives
    t.survive(pair, pair.kill_primary())
    same_as_cached(pair.secondary, disk.node)
