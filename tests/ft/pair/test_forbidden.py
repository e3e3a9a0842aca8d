# SPDX-License-Identifier: GPL-2.0-or-later
"""A copy of the guest that must not run stays stopped, whoever tells it to
go on: cont, a reset, a debugger, the end of a dump."""

import os
import socket
import threading

from ftlib import wait
from ftlib.case import assert_equal, cases
from ftlib.disks import Disk, scribble
from ftlib.guestsh import sh
from ftlib.qmp import QmpError
from ftlib.record import arbitrated, start, started, undecided

SPOT = 1000                     # the block where an image is bad
# Its registers show whether it runs
BUSY = "ft.cpu=1"
FORBIDDEN = "finish-migrate"


def run_state(qemu):
    return qemu.command("query-status")["status"]


def registers(qemu):
    return qemu.command("human-monitor-command",
                        {"command-line": "info registers"})


def cont_refused(qemu):
    try:
        qemu.command("cont")
    except QmpError as why:
        if "not finalized" not in str(why):
            raise
    else:
        raise AssertionError(f"{qemu.name}: cont was carried out")
    assert_equal(run_state(qemu), FORBIDDEN, "run state")


def stays_stopped(qemu):
    """Through whatever its monitor offers; for good."""
    since = qemu.qmp.mark()
    before = registers(qemu)
    cont_refused(qemu)
    assert_equal(registers(qemu), before, "registers")
    qemu.command("system_reset")
    qemu.qmp.wait_event("RESET", since=since)
    cont_refused(qemu)
    before = registers(qemu)
    qemu.command("query-ft")
    assert_equal(registers(qemu), before, "registers after a reset")
    if qemu.qmp.find_event("RESUME", since=since):
        raise AssertionError(f"{qemu.name}: the guest was started")


@cases("running", "paused")
def test_outvoted(t, guest):
    """The arbiter says that the other copy acts, and this one ran, or was
    stopped by its user."""
    pair, record = started(t, parameters=BUSY)
    pair.wait_epochs(3)
    since = pair.primary.qmp.mark()
    if guest == "paused":
        pair.primary.command("stop")
    undecided(pair, record)
    pair.primary.qmp.wait_event("STOP", since=since)
    record.give_to("b")
    record.bring_back()
    pair.wait_state("fenced")
    stays_stopped(pair.primary)


def test_taken_over(t):
    """Fenced while it ran; a reset does not make it another guest."""
    pair = t.pair(keys="self-check=1,timeout=500", parameters=BUSY).start()
    pair.wait_epochs(3)
    pair.expect_takeover()
    old = pair.primary
    old.stop_process()
    pair.wait_takeover()
    old.continue_process()
    pair.wait_state("fenced", old)
    stays_stopped(old)


@cases("running", "paused")
def test_undecided(t, guest):
    """While nobody knows; then it goes on as it was."""
    pair, record = started(t)
    counter = t.counter()
    counter.wait_more(20)
    qemu = pair.primary
    if guest == "paused":
        qemu.command("stop")
    undecided(pair, record)
    wait.until("the guest may be continued",
               lambda: run_state(qemu) == FORBIDDEN)
    since = qemu.qmp.mark()
    cont_refused(qemu)
    if qemu.qmp.find_event("RESUME", since=since):
        raise AssertionError("the guest was started")
    record.bring_back()
    pair.wait_state("unprotected")
    if guest == "paused":
        assert_equal(run_state(qemu), "paused", "run state")
        qemu.command("cont")
    counter.wait_more(50)
    assert_equal(run_state(qemu), "running", "run state")


def debugger(path, packet):
    """Connect as gdb does, and send one packet."""
    gdb = socket.socket(socket.AF_UNIX)
    gdb.connect(str(path))
    total = sum(packet.encode()) % 256
    gdb.sendall(f"+${packet}#{total:02x}".encode())
    return gdb


@cases("c", "vCont;c")
def test_debugger(t, packet):
    """A debugger that continues the guest finds it stopped; later it goes
    on, and nothing is wrong with its devices."""
    pair, record = arbitrated(t, parameters=BUSY)
    path = t.folder / "gdb"
    start(pair, record, extra=("-gdb", f"unix:{path},server=on,wait=off"))
    counter = t.counter()
    counter.wait_more(20)
    qemu = pair.primary
    undecided(pair, record)
    qemu.qmp.wait_event("STOP")
    before, since = registers(qemu), qemu.qmp.mark()
    gdb = debugger(path, packet)
    qemu.qmp.wait_event("STOP", since=since)
    assert_equal(run_state(qemu), FORBIDDEN, "run state")
    assert_equal(registers(qemu), before, "registers")
    gdb.close()
    record.bring_back()
    pair.wait_state("unprotected")
    counter.wait_more(50)
    assert_equal(run_state(qemu), "running", "run state")


def test_dump(t):
    """The end of a dump would let the guest go on."""
    pair, record = started(t, parameters=BUSY)
    pair.wait_epochs(3)
    qemu, pipe = pair.primary, t.folder / "dump"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    qemu.command("dump-guest-memory", {
        "paging": False, "protocol": f"file:{pipe}", "detach": True})
    assert_equal(run_state(qemu), "save-vm", "run state")
    undecided(pair, record)
    record.give_to("b")
    record.bring_back()
    pair.wait_state("fenced")
    before = registers(qemu)
    assert_equal(qemu.command("query-dump")["status"], "active", "the dump")
    os.set_blocking(reader, True)
    while os.read(reader, 1 << 20):
        pass
    os.close(reader)
    qemu.qmp.wait_event("DUMP_COMPLETED")
    assert_equal(run_state(qemu), FORBIDDEN, "run state")
    assert_equal(registers(qemu), before, "registers")
    stays_stopped(qemu)


def test_handed_over(t):
    """A disk has failed, and the peer has not answered yet."""
    disk = Disk(t.folder, style="blockdev", broken={"primary": dict(
        iotype="write", errno=5, sector=SPOT * 8)})
    pair = t.pair(disks=[disk], keys="self-check=1,timeout=30000").start()
    t.counter().wait_more(20)
    pair.primary.console.send(
        "run (until test -e /tmp/go; do usleep 20000; done; dd "
        f"if=/dev/urandom of={disk.node} bs=4k seek={SPOT} count=4 "
        "conv=notrunc,fsync; echo written-$?) &")
    pair.wait_epochs(3)
    pair.expect_takeover()
    pair.secondary.stop_process()
    pair.primary.console.send("run touch /tmp/go")
    pair.primary.qmp.wait_event("STOP")
    cont_refused(pair.primary)
    pair.secondary.continue_process()
    pair.wait_takeover()
    pair.wait_state("fenced")
    stays_stopped(pair.primary)
    t.survive(pair)


def switch_over(t, pair):
    try:
        pair.primary.command("ft-switchover")
    except QmpError as why:
        t.say(str(why))


def test_while_switching(t):
    """Between the last cut and the answer: what the guest did then would be
    gone.  The last output waits for a slow disk of the peer, for too long."""
    disk = Disk(t.folder, slow={"secondary": 1})
    pair = t.pair(keys="timeout=1000,disk-sync=none", disks=[disk],
                  ports=("hmp",),
                  extra=("-mon", "chardev=hmp,mode=readline")).start()
    qemu, hmp = pair.primary, pair.primary.ports["hmp"]
    qemu.console.send(f"run {scribble(disk.node, 1, 40)}; echo scribbled-$?")
    wait.until("nothing waits for the disk", lambda: pair.query(
        pair.secondary)["journal-bytes"] > 200000)
    # It waits in its monitor; the other one is free
    switching = threading.Thread(target=switch_over, args=(t, pair))
    switching.start()
    qemu.qmp.wait_event("STOP")
    hmp.send("cont")
    hmp.wait_for("not finalized")
    switching.join()
    assert_equal(run_state(qemu), "running", "run state")
    t.counter().wait_more(20)
    qemu.console.wait_for(r"^scribbled-0$", timeout=90)


def test_never_answered(t):
    """Told to go on, and then dead: the old primary keeps still."""
    pair = t.pair(parameters=BUSY)
    pair.start_secondary(fault="switch-heard")
    pair.start_primary()
    pair.wait_ready()
    pair.wait_protected()
    pair.wait_epochs(2)
    switch_over(t, pair)
    pair.wait_state("fenced")
    stays_stopped(pair.primary)


def test_held_write_fails(t):
    """Allowed to go on, but a shared disk fails with what was held: then it
    waits for cont as it does without an arbiter."""
    disk = Disk(t.folder, shared=True, style="blockdev", broken={
        "primary": dict(iotype="write", errno=28, sector=SPOT * 8,
                        once="on")})
    pair, record = arbitrated(t, disks=[disk])
    start(pair, record, ",shared=on")
    qemu = pair.primary
    sh(qemu, f"dd if=/dev/zero of={disk.node} bs=4k count=1 conv=fsync")
    pair.wait_epochs(3)
    record.take_away()
    pair.wait_state("degraded")
    pair.secondary.stop_process()
    qemu.console.send(f"run dd if=/dev/urandom of={disk.node} bs=4k "
                      f"seek={SPOT} count=1 oflag=direct; echo written-$?")
    wait.until("nothing is held", lambda: pair.query()["journal-bytes"])
    pair.secondary.kill()
    wait.until("the guest may be continued",
               lambda: run_state(qemu) == FORBIDDEN)
    record.bring_back()
    pair.wait_reason("writing to shared drive d0 failed: No space left")
    wait.until("the guest does not wait for cont",
               lambda: run_state(qemu) == "io-error")
    qemu.command("cont")
    qemu.console.wait_for(r"^written-0$")
    pair.wait_state("unprotected")
