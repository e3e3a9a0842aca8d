# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that libvirt has saved, or that moves here, comes by -incoming: it
is protected as soon as it is here."""

from ftlib import booted, vm, wait
from ftlib.case import assert_equal, cases
from ftlib.disks import Disk, keep_cached, same_as_cached, scribble
from ftlib.guestsh import sh
from ftlib.pair import machine
from ftlib.qmp import QmpError
from ftlib.record import UUID

PEER = ["-ft-peer", "127.0.0.1:7700"]
LISTEN = ["-ft-listen", "127.0.0.1:7700"]
TCP = ["-incoming", "tcp:127.0.0.1:7799"]
DEFER = ["-incoming", "defer"]
ORDERS = {
    "listen-tcp": LISTEN + TCP, "tcp-listen": TCP + LISTEN,
    "listen-defer": LISTEN + DEFER, "defer-listen": DEFER + LISTEN,
}
WAITS = "the guest comes by -incoming and does not run here yet"


@cases(*ORDERS)
def test_refused(t, order):
    """With -ft-listen, whichever comes first."""
    code, lines = vm.run_to_end(machine() + ORDERS[order], timeout=8)
    t.say("\n".join(lines))
    assert_equal(code, 1, "exit code")
    assert_equal(len(lines), 1, "number of lines on stderr")
    if "-incoming" not in lines[0]:
        raise AssertionError(f"the error does not name -incoming: {lines[0]}")


def saved(pair):
    """A guest that has written to its disk, and where it was saved."""
    path = pair.folder / "saved.state"
    first = pair.start_alone("saved")
    first.wait_ready()
    for disk in pair.disks:
        keep_cached(first, disk.node)
        sh(first, scribble(disk.node, 1))
        disk.of["primary"] = "saved"
    booted.save(first, path)
    first.command("quit")
    first.wait_exit()
    return path


def goes_on(t, pair):
    """It is protected, and survives."""
    pair.wait_protected()
    t.counter().wait_more(50)
    for disk in pair.disks:
        sh(pair.primary, scribble(disk.node, 2))
    t.survive(pair, pair.kill_primary())
    for disk in pair.disks:
        same_as_cached(pair.secondary, disk.node)


@cases("file", "defer")
def test_protected(t, how):
    """From a file, at once or when told; with a disk that was written to."""
    pair = t.pair(disks=[Disk(t.folder)], fresh=True)
    uri = f"file:{saved(pair)}"
    pair.start_secondary()
    pair.start_primary(extra=("-incoming", "defer" if how == "defer" else uri))
    if how == "defer":
        found = pair.query()
        assert_equal((found["role"], found["state"], found["reason"]),
                     ("primary", "unprotected", WAITS), "what query-ft says")
        try:
            pair.primary.command("ft-start")
        except QmpError as why:
            if WAITS not in str(why):
                raise
        else:
            raise AssertionError("ft-start was not refused")
        pair.primary.command("migrate-incoming", {"uri": uri})
    goes_on(t, pair)


@cases("disk", "no-disk")
def test_paused(t, kind):
    """With -S, as libvirt has it: nothing is protected that may still be
    taken back."""
    disks = [Disk(t.folder)] if kind == "disk" else []
    pair = t.pair(disks=disks, fresh=True)
    uri = f"file:{saved(pair)}"
    pair.start_secondary()
    pair.start_primary(extra=("-S", "-incoming", uri))
    primary = pair.primary
    wait.until("it did not arrive paused", lambda: primary.command(
        "query-status")["status"] == "paused")
    # Longer than it looks for the guest
    primary.qmp.forbid("FT_STATE_CHANGED")
    for _ in range(100):
        assert_equal(pair.query()["reason"], WAITS, "the reason")
    primary.qmp.permit("FT_STATE_CHANGED")
    primary.command("cont")
    goes_on(t, pair)


def test_fails(t):
    """What was sent is no guest: said once, and the process is there."""
    pair = t.pair(fresh=True)
    rubbish = t.folder / "rubbish"
    rubbish.write_bytes(b"this is no guest" * 1000)
    pair.start_primary(extra=("-incoming", "defer"))
    pair.primary.command("migrate-incoming", {
        "uri": f"file:{rubbish}", "exit-on-error": False})
    pair.wait_reason("the guest's migration to here has failed")
    assert_equal(pair.query()["state"], "unprotected", "state")


def test_arbiter(t):
    """With an arbiter it would run here and there."""
    code, lines = vm.run_to_end(machine() + [
        *TCP, "-ft-peer", f"127.0.0.1:7700,arbiter=file:{t.folder}/arbiter,"
        "host=a", "-uuid", UUID], timeout=8)
    t.say("\n".join(lines))
    assert_equal(code, 1, "exit code")
    assert_equal(len(lines), 1, "number of lines on stderr")
    for word in ("arbiter", "-incoming"):
        if word not in lines[0]:
            raise AssertionError(f"the error does not name {word}: {lines}")
    assert_equal((t.folder / "arbiter").exists(), False, "a record was made")
