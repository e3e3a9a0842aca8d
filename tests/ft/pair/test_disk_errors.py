# SPDX-License-Identifier: GPL-2.0-or-later
"""An image fails on one side, and the guest does not see it."""

import hashlib
import os
import time

from ftlib import wait
from ftlib.case import assert_equal, cases
from ftlib.disks import Disk, SmallFileSystem, img
from ftlib.guestsh import sh

SPOT = 30 << 20                 # where the image is bad
ERRORS = {
    "write": dict(iotype="write", errno=5, sector=SPOT // 512),
    "read": dict(iotype="read", errno=5, sector=SPOT // 512),
    "flush": dict(iotype="flush", errno=5),
    "no-space": dict(iotype="write", errno=28, sector=SPOT // 512),
}
TOUCH = {
    "write": "dd if=/dev/urandom of={0} bs=4k seek={1} count=4 conv=notrunc,"
             "fsync",
    "read": "dd if={0} of=/dev/null bs=4k skip={1} count=4",
    "flush": "dd if=/dev/urandom of={0} bs=4k seek={1} count=4 conv=notrunc,"
             "fsync",
}
TOUCH["no-space"] = TOUCH["write"]
KEYS = "self-check=1,timeout=2000"


def prepare(pair, command):
    """Commit a command that waits to be let go: what is typed after the last
    commit is not known to a survivor."""
    pair.primary.console.send("run (until test -e /tmp/go; do usleep 20000; "
                              f"done; {command}) &")
    pair.wait_epochs(3)


def go(qemu):
    qemu.console.send("run touch /tmp/go")


def touch(disk, error):
    return TOUCH[error].format(disk.node, SPOT // 4096)


@cases(*ERRORS)
def test_primary(t, error):
    """The peer goes on from before the request, on its own disk."""
    disk = Disk(t.folder, style="blockdev", broken={"primary": ERRORS[error]})
    # The first copy would find the bad spot before the guest does
    keys = KEYS + (",disk-sync=none" if error == "read" else "")
    pair = t.pair(disks=[disk], keys=keys).start()
    counter = t.counter()
    counter.wait_more(30)
    pair.expect_takeover()
    prepare(pair, f"{touch(disk, error)} && echo all-is-well-$?")
    go(pair.primary)
    event = pair.wait_takeover()
    go(pair.secondary)
    assert_equal(event.data["cause"], "handed-over", "cause")
    pair.secondary.console.wait_for(r"^all-is-well-0$", timeout=30)
    found = pair.wait_state("fenced")
    if "drive d0 failed" not in found["reason"] + pair.primary.said():
        raise AssertionError(f"no word of the drive: {found['reason']}")
    if pair.primary.console.text().count("all-is-well-0"):
        raise AssertionError("the broken side went on")
    t.survive(pair)
    worst, _ = counter.worst_gap()
    t.say(f"longest wait {worst:.0f} ms")
    if worst > 1000:
        raise AssertionError(f"the client waited {worst:.0f} ms")
    kernel = sh(pair.secondary, "dmesg")
    if "I/O error" in kernel or "critical" in kernel:
        raise AssertionError(f"the guest has seen an error: {kernel}")


@cases("write", "flush", "no-space")
def test_secondary(t, error):
    """That copy is of no use, which is told by name; the guest goes on.

    A secondary with a new image, and nothing else, makes it protected again.
    """
    disk = Disk(t.folder, style="blockdev",
                broken={"secondary": ERRORS[error]})
    # An empty image needs no writes to become a copy of an empty one
    pair = t.pair(disks=[disk], keys=KEYS)
    pair.start_secondary()
    pair.start_primary()
    pair.wait_ready()
    if error != "flush":
        pair.wait_protected()
    t.counter().wait_more(20)
    sh(pair.primary, touch(disk, error) + " && sync")
    found = pair.wait_state("degraded", timeout=30)
    if "disk d0 of the secondary failed" not in found["reason"]:
        raise AssertionError(f"the reason is {found['reason']!r}")
    t.loads[0].wait_more(20)
    pair.secondary.kill()
    pair.secondary.wait_exit()
    disk.broken.clear()
    pair.start_secondary()
    pair.wait_protected(timeout=60)
    pair.wait_epochs(3)
    t.survive(pair, pair.kill_primary())


FILL = "dd if=/dev/urandom of={0} bs=1M count=24 conv=notrunc,fsync"


@cases("primary", "secondary")
def test_full_file_system(t, side):
    """A host's file system is full, for real: absorbed on the primary; on
    the secondary it heals as soon as there is room."""
    small = SmallFileSystem(t.folder, 16)
    disk = Disk(t.folder)
    disk.file[side] = small.image(disk.size)
    pair = t.pair(disks=[disk], keys=KEYS).start()
    t.counter().wait_more(20)
    if side == "primary":
        pair.expect_takeover()
        prepare(pair, f"{FILL.format(disk.node)}; echo filled-$?")
        go(pair.primary)
        pair.wait_takeover()
        go(pair.secondary)
        pair.secondary.console.wait_for(r"^filled-0$", timeout=60)
        t.survive(pair)
        return
    sh(pair.primary, FILL.format(disk.node))
    found = pair.wait_state("degraded")
    if "disk d0 of the secondary failed: No space" not in found["reason"]:
        raise AssertionError(f"the reason is {found['reason']!r}")
    small.give_room(64)
    pair.wait_protected()
    t.survive(pair, pair.kill_primary())


def cdrom(path):
    img("create", "-q", "-f", "qcow2", str(path), "1M")
    return ["-drive", f"if=none,id=cd,media=cdrom,format=qcow2,file={path}",
            "-device", "ide-cd,drive=cd"]


def test_read_only_image(t):
    """An image that the secondary has only to read has become bad: that is
    found while the primary can still take the guest back."""
    disk = Disk(t.folder, style="blockdev",
                broken={"primary": ERRORS["write"]})
    pair = t.pair(disks=[disk], keys=KEYS)
    bad = t.folder / "secondary-cd.qcow2"
    pair.start_secondary(extra=cdrom(bad))
    pair.start_primary(extra=cdrom(t.folder / "primary-cd.qcow2"))
    pair.wait_ready()
    pair.wait_protected()
    t.counter().wait_more(20)
    with open(bad, "r+b") as image:
        image.write(bytes(512))
    text = sh(pair.primary, f"{touch(disk, 'write')} || echo failed-as-usual")
    if "failed-as-usual" not in text:
        raise AssertionError(f"the guest says {text!r}")
    if "an image of the secondary cannot be used" not in pair.primary.said():
        raise AssertionError("no word of the image")
    t.loads[0].wait_more(20)


PART = 256 << 10                # what the first copy reads at once
FILLED = 16                     # parts that are not empty


def test_first_copy_stands(t):
    """The peer dies while the disk does not answer the first copy: neither
    the guest nor the monitor waits for it; only the next copy does."""
    disk = Disk(t.folder, style="blockdev", broken={"primary": {}})
    data = os.urandom(FILLED * PART)
    with open(disk.make("primary"), "r+b") as image:
        image.write(data)
    pair = t.pair(disks=[disk], keys=KEYS)
    pair.start_primary()
    pair.wait_ready()
    counter = t.counter()
    counter.wait_more(20)
    disk.stop_read(pair.primary)
    pair.start_secondary()
    wait.until("the first copy does not come to where the disk stands", lambda:
               pair.query()["disks"][0].get("sync-remaining") == PART)
    since = time.monotonic()
    pair.secondary.kill()
    pair.wait_state("unprotected")
    t.say(f"unprotected after {1000 * (time.monotonic() - since):.0f} ms")
    counter.wait_more(50)
    pair.start_secondary()
    pair.wait_reason("a disk has not answered yet")
    counter.wait_more(50)
    worst, _ = counter.worst_gap(since)
    t.say(f"longest wait {worst:.0f} ms")
    if worst > 1000:
        raise AssertionError(f"the client waited {worst:.0f} ms")
    disk.go_on(pair.primary)
    pair.wait_protected()
    pair.wait_epochs(3)
    t.survive(pair, pair.kill_primary())
    found = sh(pair.secondary, f"dd if={disk.node} bs={PART} count={FILLED} "
               "2>/dev/null | md5sum")
    assert_equal(found.split()[0], hashlib.md5(data).hexdigest(),
                 "the sum of what the survivor reads")


def test_unprotected(t):
    """Without a peer an error is the guest's, as it always was."""
    disk = Disk(t.folder, style="blockdev",
                broken={"primary": ERRORS["write"]})
    pair = t.pair(disks=[disk])
    pair.start_primary()
    pair.wait_ready()
    text = sh(pair.primary, f"{touch(disk, 'write')} || echo failed-as-usual")
    if "failed-as-usual" not in text:
        raise AssertionError(f"the guest says {text!r}")
    assert_equal(pair.query()["state"], "unprotected", "state")


def test_both(t):
    """Neither side has a good disk: the guest goes on and gets the error."""
    bad = ERRORS["write"]
    disk = Disk(t.folder, style="blockdev",
                broken={"primary": bad,
                        "secondary": dict(bad, sector=0)})
    pair = t.pair(disks=[disk], keys=KEYS).start()
    t.counter().wait_more(10)
    sh(pair.primary, f"dd if=/dev/urandom of={disk.node} bs=4k count=1 "
       "conv=notrunc,fsync")
    pair.wait_state("degraded")
    text = sh(pair.primary, f"{touch(disk, 'write')} || echo failed-as-usual")
    if "failed-as-usual" not in text:
        raise AssertionError(f"the guest says {text!r}")
    t.loads[0].wait_more(10)
    if pair.query()["state"] == "protected":
        raise AssertionError("protected by a broken disk")


REFUSED = {
    "missing": "disk d0 is missing or read-only",
    "read-only": "disk d0 is missing or read-only",
    "size": "disk d0 differs: .*bytes on the secondary",
    "same-image": "disk d0 is one image on both sides|lock",
}


@cases(*REFUSED)
def test_refused(t, what):
    """A secondary whose disk does not fit says which, and stays of use."""
    disk = Disk(t.folder)
    pair = t.pair(disks=[disk])
    if what == "missing":
        pair.disks = []
        extra = ["-device", "virtio-blk-pci,id=dev-d0,drive=d0",
                 "-blockdev", "driver=null-co,node-name=d0,read-only=on,"
                 f"size={disk.size << 20}"]
    elif what == "read-only":
        disk.make("secondary")
        disk.keys = ",readonly=on"
        extra = []
    elif what == "size":
        disk.size += 1
        disk.make("secondary")
        extra = []
    else:
        disk.file["secondary"] = disk.make("primary")
        disk.keys = ",file.locking=off"
        extra = []
    pair.start_secondary(extra=extra)
    pair.disks = [disk]
    disk.keys = ",file.locking=off" if what == "same-image" else ""
    if what == "size":
        disk.size -= 1
    pair.start_primary()
    pair.wait_reason(REFUSED[what])
    pair.wait_ready()

