# SPDX-License-Identifier: GPL-2.0-or-later
"""Writable disks: both images are the same, and none is lost with a host."""

from ftlib import database, disks
from ftlib.case import assert_equal, cases, full, limit
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


def flushes(disk, side):
    return sum(bool(e.flush) for e in disks.log_entries(disk.log(side)))


def test_no_flush_of_its_own(t):
    """The secondary flushes when the guest did, and never else."""
    disk = Disk(t.folder, logged=True)
    pair = t.pair(disks=[disk], keys="timeout=2000,interval=50").start()
    pair.wait_epochs(2)
    before = flushes(disk, "secondary")
    for _ in range(5):
        sh(pair.primary, f"dd if=/dev/urandom of={disk.node} bs=4k count=20 "
           "oflag=direct conv=notrunc 2>/dev/null")
        pair.wait_epochs(2)
    if flushes(disk, "secondary") != before:
        raise AssertionError(f"{flushes(disk, 'secondary') - before} flushes "
                             "that the guest did not make")
    sh(pair.primary, f"dd if=/dev/urandom of={disk.node} bs=4k count=20 "
       "conv=notrunc,fsync 2>/dev/null")
    pair.wait_epochs(2)
    if flushes(disk, "secondary") == before:
        raise AssertionError("the guest's flush was not carried out")


FLASH_SIZE = 128 << 10
FLASH_AT = (4 << 30) - (256 << 10) - FLASH_SIZE     # below the firmware


def test_flash(t):
    """What the guest programs into its flash is on both sides."""
    firmware = "/usr/share/seabios/bios-256k.bin"
    images = {}
    for side in ("primary", "secondary"):
        images[side] = t.folder / f"{side}-flash.raw"
        images[side].write_bytes(b"\xff" * FLASH_SIZE)
    flash = Flash(firmware, images)
    pair = t.pair(disks=[flash]).start()
    t.counter().wait_more(10)
    spot = FLASH_AT + 0x1234
    for word in (0x40, 0x5a, 0xff):     # Intel's commands: program, read
        sh(pair.primary, f"devmem {spot} 8 {word}")
    found = pair.primary.console.ask(f"run devmem {spot} 8")
    assert_equal(found, "0x5A", "the byte in the flash")
    pair.wait_epochs(2)
    t.survive(pair, pair.kill_primary())
    found = pair.secondary.console.ask(f"run devmem {spot} 8")
    assert_equal(found, "0x5A", "the survivor's byte in the flash")
    pair.secondary.command("quit")
    pair.secondary.wait_exit()
    for path in images.values():
        assert_equal(path.read_bytes()[0x1234], 0x5a, f"the byte in {path}")


class Flash:
    def __init__(self, firmware, images):
        self.firmware, self.images = firmware, images

    def args(self, side):
        return ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,"
                f"file={self.firmware}",
                "-drive", f"if=pflash,unit=1,format=raw,"
                f"file={self.images[side]}"]


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
