# SPDX-License-Identifier: GPL-2.0-or-later
"""Writable disks: both images are the same, and none is lost with a host."""

from ftlib import database, disks
from ftlib.case import cases, full, limit
from ftlib.disks import Disk
from ftlib.guestsh import sh

LAYOUTS = {
    "virtio-blk": dict(kind="virtio-blk"),
    "virtio-blk-qcow2": dict(kind="virtio-blk", form="qcow2"),
    "virtio-blk-iothread": dict(kind="virtio-blk-iothread",
                                style="blockdev"),
    "virtio-scsi-qcow2": dict(kind="virtio-scsi", form="qcow2",
                              style="blockdev"),
    "ide": dict(kind="ide"),
    "ahci-qcow2": dict(kind="ahci", form="qcow2"),
}


def pattern(node, seed, blocks=80):
    """Overlapping writes of many lengths, some of them flushed."""
    return (f"dd if=/dev/urandom of=/tmp/r bs=64k count=16 2>/dev/null; "
            f"for i in $(seq {blocks}); do "
            f"c=notrunc; test $((i % 10)) != 0 || c=notrunc,fsync; "
            f"dd if=/tmp/r of={node} bs=4k skip=$((i % 200)) conv=$c "
            f"seek=$(( (i * 7919 + {seed}) % 7000 )) "
            f"count=$((i % 9 + 1)) 2>/dev/null; done; sync")


@cases(*LAYOUTS)
@limit(200)
def test_same(t, layout):
    """After mixed writes, quit: the images are the same byte for byte."""
    disk = Disk(t.folder, **LAYOUTS[layout])
    pair = t.pair(disks=[disk]).start()
    t.counter().wait_more(20)
    sh(pair.primary, pattern(disk.node, 1))
    pair.wait_epochs(3)
    sh(pair.primary, f"md5sum {disk.node}")
    t.finish_loads()
    t.loads.clear()
    pair.primary.qmp.command("quit")
    pair.primary.wait_exit()
    pair.secondary.wait_exit()
    disks.compare(disk, "primary", "secondary")


FIO = ("fio --name=mix --filename={0} --rw=randrw --rwmixread=30 "
       "--bsrange=512-128k --bs_unaligned=0 --size=24M --io_size=24M "
       "--verify=crc32c --do_verify=1 --verify_fatal=1 --end_fsync=1 "
       "--fsync=20 --randseed={1} --norandommap=0 --aux-path=/tmp")


@cases(*LAYOUTS)
@full
@limit(400)
def test_fio(t, layout):
    """fio writes and verifies; the survivor of a kill in the middle goes on
    verifying what it wrote; afterwards the images are the same."""
    why = database.missing()
    t.skip_unless(why is None, why)
    disk = Disk(t.folder, **LAYOUTS[layout])
    pair = t.pair(memory=256, keys="timeout=2000",
                  disks=[disk, database.Tools()]).start()
    database.mount_tools(pair.primary)
    sh(pair.primary, "chroot /mnt " + FIO.format(disk.node, 1), timeout=200)
    console = pair.primary.console
    console.send(f"run chroot /mnt {FIO.format(disk.node, 2)} >/tmp/fio 2>&1; "
                 "echo fio-$?")
    counter = t.counter()
    counter.wait_more(100)
    pair.kill_primary()
    pair.wait_takeover()
    pair.secondary.console.wait_for(r"^fio-0$", timeout=200)
    pair.protect_again(lambda: pair.start_secondary(port=pair.port + 1))
    sh(pair.primary, "chroot /mnt " + FIO.format(disk.node, 3), timeout=200)
    t.finish_loads()
    t.loads.clear()
    images = [pair.primary.name, pair.secondary.name]
    pair.primary.command("quit")
    for qemu in (pair.primary, pair.secondary):
        qemu.wait_exit()
    disks.compare(disk, *images)
