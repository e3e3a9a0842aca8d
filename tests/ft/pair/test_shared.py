# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks on shared storage: writes are held back until they are committed."""

import hashlib
import os

from ftlib import wait
from ftlib.case import assert_equal, cases, limit, long
from ftlib.disks import (Disk, SmallFileSystem, keep_cached, same_as_cached,
                          scribble)
from ftlib.guestsh import sh
from ftlib.qmp import QmpError
from ftlib.vm import Refused

KEYS = "self-check=1,timeout=2000,shared=on"
PATIENT = "timeout=30000,shared=on"
BLOCK = 4096
SPOT = 1000                     # the block that is looked at
LAYOUTS = {
    "virtio-blk": {},
    "virtio-blk-qcow2": dict(form="qcow2"),
    "virtio-blk-iothread": dict(kind="virtio-blk-iothread",
                                style="blockdev"),
    "ahci-qcow2": dict(kind="ahci", form="qcow2"),
    "slow": dict(slow={"primary": 5}),
}


def shared_pair(t, keys=KEYS, **options):
    disk = Disk(t.folder, shared=True, **options)
    return t.pair(disks=[disk], keys=keys), disk


@long("ahci-qcow2")
@cases(*LAYOUTS)
@limit(200)
def test_survives(t, layout):
    """The survivor of a kill amid writes finds the disk it remembers.

    The slow one has much that the primary had not written yet.
    """
    pair, disk = shared_pair(t, **LAYOUTS[layout])
    pair.start()
    t.counter().wait_more(20)
    keep_cached(pair.primary, disk.node)
    sh(pair.primary, scribble(disk.node, 1))
    console = pair.primary.console
    console.send(f"run {scribble(disk.node, 2, 300)}; echo scribbled-$?")
    pair.wait_epochs(10)
    if disk.slow:
        wait.until("nothing is held for the slow disk",
                   lambda: pair.query()["journal-bytes"] > 100000)
    t.survive(pair, pair.kill_primary())
    pair.secondary.console.wait_for(r"^scribbled-0$", timeout=90)
    found = same_as_cached(pair.secondary, disk.node)
    pair.secondary.command("quit")
    pair.secondary.wait_exit()
    data = disk.flattened("secondary").read_bytes()
    assert_equal(hashlib.md5(data).hexdigest(), found, "the image's sum")


def block_of(disk, number=SPOT):
    with open(disk.image("primary"), "rb") as image:
        return os.pread(image.fileno(), BLOCK, number * BLOCK)


def flushes(qemu):
    return sum(d["stats"]["flush_operations"] for d in
               qemu.command("query-blockstats") if d.get("device") == "d0")


def test_held(t):
    """Nothing that is not committed reaches the image; the guest reads it
    all the same, and a survivor knows nothing of it."""
    pair, disk = shared_pair(t, PATIENT)
    pair.start()
    node = disk.node
    sh(pair.primary, "tr '\\000' A </dev/zero | dd of=/tmp/a bs=4k count=1 "
       "iflag=fullblock; tr A B </tmp/a >/tmp/b; "
       f"dd if=/tmp/a of={node} bs=4k seek={SPOT} conv=notrunc,fsync")
    wait.until("the committed block never reached the image",
               lambda: block_of(disk) == b"A" * BLOCK)
    pair.secondary.stop_process()
    before = flushes(pair.primary)
    console = pair.primary.console
    # The second read comes after a write that lies only half over it
    console.send(
        f"run dd if=/tmp/b of={node} bs=4k seek={SPOT} oflag=direct; "
        f"dd if={node} of=/tmp/c bs=4k skip={SPOT} count=1 iflag=direct; "
        f"dd if=/tmp/b of={node} bs=512 seek={SPOT * 8 - 4} count=2 "
        f"oflag=direct; dd if={node} of=/tmp/d bs=4k skip={SPOT - 1} "
        "count=2 iflag=direct; "
        f"dd if=/tmp/b of={node} bs=4k seek={SPOT} oflag=direct conv=fsync; "
        "cmp /tmp/b /tmp/c && echo read-$(md5sum </tmp/d | cut -c1-32)")
    wait.until("the guest's flush was never answered",
               lambda: flushes(pair.primary) > before)
    assert_equal(block_of(disk), b"A" * BLOCK, "the block in the image")
    if not pair.query()["journal-bytes"]:
        raise AssertionError("nothing is held")
    pair.secondary.continue_process()
    whole = bytes(2048) + b"B" * 1024 + bytes(1024) + b"B" * BLOCK
    console.wait_for("^read-" + hashlib.md5(whole).hexdigest())
    wait.until("the block never reached the image",
               lambda: block_of(disk, SPOT - 1) + block_of(disk) == whole)


def test_rolled_back(t):
    """A write of an epoch that is never committed has never been."""
    pair, disk = shared_pair(t, PATIENT)
    pair.start()
    console = pair.primary.console
    pair.wait_epochs(2)
    pair.secondary.stop_process()
    before = flushes(pair.primary)
    console.send(f"run dd if=/dev/urandom of={disk.node} bs=4k seek={SPOT} "
                 "count=1 oflag=direct conv=fsync; echo written-$?")
    wait.until("the guest's flush was never answered",
               lambda: flushes(pair.primary) > before)
    pair.kill_primary()
    pair.primary.wait_exit()
    assert_equal(block_of(disk), bytes(BLOCK), "the block in the image")
    pair.secondary.continue_process()
    pair.wait_takeover()
    pair.secondary.command("query-status")


def test_fenced(t):
    """A primary that does not move keeps its lock: nobody takes over; when
    it moves again it goes on, and is protected again."""
    pair, disk = shared_pair(t, "timeout=1000,shared=on")
    pair.start()
    counter = t.counter()
    counter.wait_more(20)
    pair.primary.stop_process()
    pair.wait_reason("disk d0 .*lock", pair.secondary)
    pair.primary.continue_process()
    counter.wait_more(20)
    pair.wait_protected()
    keep_cached(pair.primary, disk.node)
    sh(pair.primary, scribble(disk.node, 3))
    same_as_cached(pair.primary, disk.node)
    # The secondary that had to give up is as good as a new one
    t.survive(pair, pair.kill_primary())
    same_as_cached(pair.secondary, disk.node)


def test_alone(t):
    """Without its peer the primary writes what was held, and then all."""
    pair, disk = shared_pair(t)
    pair.start()
    counter = t.counter()
    console = pair.primary.console
    keep_cached(pair.primary, disk.node)
    console.send(f"run {scribble(disk.node, 4, 200)}; echo scribbled-$?")
    counter.wait_more(20)
    pair.secondary.kill()
    pair.secondary.wait_exit()
    pair.wait_state("unprotected")
    console.wait_for(r"^scribbled-0$", timeout=90)
    assert_equal(pair.query()["journal-bytes"], 0, "bytes still held")
    found = same_as_cached(pair.primary, disk.node)
    image = hashlib.md5(disk.image("primary").read_bytes())
    assert_equal(image.hexdigest(), found, "the image's sum")
    pair.start_secondary()
    pair.wait_protected()
    sh(pair.primary, scribble(disk.node, 5))
    t.survive(pair, pair.kill_primary())
    same_as_cached(pair.secondary, disk.node)


FAILURES = {
    "writing to": dict(iotype="write", errno=28, sector=SPOT * 8, once="on"),
    # The flush after the first write, not those before the first cut
    "flushing": dict(iotype="flush", errno=28, event="pwritev", once="on"),
}


@cases(*FAILURES)
def test_image_fails(t, what):
    """A write that was held fails, or its flush: the guest is stopped before
    anything is lost, and goes on once it is continued."""
    pair, disk = shared_pair(t, style="blockdev",
                             broken={"primary": FAILURES[what]})
    pair.start()
    node = disk.node
    keep_cached(pair.primary, node)
    since = pair.primary.console.mark()
    pair.primary.console.send(
        f"run dd if=/dev/urandom of={node} bs=4k seek={SPOT - 8} count=16 "
        "conv=notrunc,fsync; echo written-$?")
    pair.wait_reason(f"{what} shared drive d0 failed: No space left")
    wait.until("the guest was never stopped", lambda: pair.primary.command(
        "query-status")["status"] == "io-error")
    pair.primary.command("cont")
    pair.primary.console.wait_for(r"^written-0$", since=since)
    pair.wait_state("protected")
    pair.wait_epochs(2)
    t.counter().wait_more(10)
    t.survive(pair, pair.kill_primary())
    same_as_cached(pair.secondary, node)


def test_quit_while_failed(t):
    """What the failed image lacks is on the peer: it is not told to forget,
    and goes on once the primary's lock is gone."""
    bad = dict(iotype="write", errno=5, sector=SPOT * 8)
    pair, disk = shared_pair(t, style="blockdev", broken={"primary": bad})
    pair.start()
    node = disk.node
    keep_cached(pair.primary, node)
    pair.primary.console.send(
        f"run dd if=/dev/urandom of={node} bs=4k seek={SPOT - 8} count=16 "
        "conv=notrunc,fsync; echo written-$?")
    pair.wait_reason("shared drive d0 failed: Input/output error")
    pair.wait_epochs(2)
    pair.expect_takeover()
    pair.primary.command("quit")
    pair.primary.wait_exit()
    pair.wait_takeover()
    pair.secondary.command("cont")
    same_as_cached(pair.secondary, node)


UUID = "3b0f7a52-6d0d-4c7f-8a0e-2f5b1c9d4e61"


def one_of_two(t, disk, arbiter):
    """A pair that may have an arbiter."""
    pair = t.pair(disks=[disk], keys=KEYS, extra=("-uuid", UUID))
    keys = {}
    if arbiter:
        (t.folder / "arbiter").mkdir()
        keys = {name: f"{KEYS},arbiter=file:{t.folder / 'arbiter'},host={name}"
                for name in "ab"}
    pair.start_secondary(keys=keys.get("b"))
    pair.start_primary(keys=keys.get("a"))
    pair.wait_ready()
    pair.wait_protected()
    return pair


@cases("arbiter", "alone")
def test_full_at_takeover(t, who):
    """The file system is full for the survivor as it was for the primary: it
    keeps what it has, and is the VM once there is room."""
    small = SmallFileSystem(t.folder, 16)
    disk = Disk(t.folder, shared=True)
    path = small.image(disk.size)
    disk.file.update(primary=path, secondary=path)
    pair = one_of_two(t, disk, who == "arbiter")
    node = disk.node
    keep_cached(pair.primary, node)
    pair.primary.console.send(f"run dd if=/dev/urandom of={node} bs=1M "
                              "count=24 conv=notrunc,fsync; echo written-$?")
    pair.wait_reason("writing to shared drive d0 failed: No space left")
    pair.wait_epochs(2)
    pair.kill_primary()
    pair.wait_reason("waiting for the shared disks: .*d0 .*No space left",
                     pair.secondary)
    assert_equal(pair.query(pair.secondary)["state"], "taking-over", "state")
    small.give_room(64)
    pair.wait_takeover()
    pair.secondary.command("cont")
    pair.secondary.console.wait_for(r"^written-0$", timeout=60)
    same_as_cached(pair.secondary, node)


ONCE = {
    "write": dict(iotype="write", errno=5, once="on"),
    "flush": dict(iotype="flush", errno=28, once="on"),
}


@cases(*ONCE)
def test_fails_at_takeover(t, what):
    """The disk fails the survivor amid what it has kept: all of that is
    written again, in its order."""
    disk = Disk(t.folder, shared=True, style="blockdev",
                broken={"secondary": ONCE[what]})
    pair = one_of_two(t, disk, True)
    t.counter().wait_more(20)
    keep_cached(pair.primary, disk.node)
    sh(pair.primary, scribble(disk.node, 6))
    pair.wait_epochs(2)
    t.survive(pair, pair.kill_primary())
    if "waiting for the shared disks" not in pair.secondary.said():
        raise AssertionError("no disk has failed")
    same_as_cached(pair.secondary, disk.node)


def test_unlocked_refused(t):
    """With share-rw=on the image's lock would tell nothing."""
    pair, disk = shared_pair(t)
    disk.devices = [device + ",share-rw=on" for device in disk.devices]
    try:
        pair.start_primary()
    except Refused as why:
        if "drive d0 lets others write to its image" not in str(why):
            raise
    else:
        raise AssertionError("share-rw=on was not refused")


REFUSED = {
    "one-side": "the key shared differs: off on the secondary, on on the",
    "other-image": "disk d0 is not the same image on both sides",
}


@cases(*REFUSED)
def test_refused(t, what):
    """What would lose data is refused by name; the guest runs on."""
    pair, disk = shared_pair(t)
    if what == "one-side":
        pair.start_secondary(keys="timeout=2000")
    else:
        disk.file["secondary"] = t.folder / "another.raw"
        disk.file["secondary"].write_bytes(bytes(disk.size << 20))
        pair.start_secondary()
    pair.start_primary()
    pair.wait_reason(REFUSED[what])
    pair.wait_ready()


def test_backup_refused(t):
    """The image alone is not what the guest sees."""
    pair, _ = shared_pair(t)
    pair.start()
    target = t.folder / "target.raw"
    target.write_bytes(bytes(32 << 20))
    try:
        pair.primary.command("drive-backup", {
            "device": "d0", "sync": "full", "target": str(target),
            "format": "raw", "mode": "existing"})
    except QmpError as why:
        if "drive d0 is " not in str(why):
            raise
    else:
        raise AssertionError("a backup of a shared disk began")
