# SPDX-License-Identifier: GPL-2.0-or-later
"""Writable disks: both images are the same, and none is lost with a host."""

import hashlib

from ftlib import database, disks, wait
from ftlib.case import assert_equal, cases, full, limit, long
from ftlib.disks import Disk, keep_cached, same_as_cached, scribble
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


@long("ahci-qcow2", "virtio-blk-qcow2")
@cases(*LAYOUTS)
@limit(200)
def test_same(t, layout):
    """After mixed writes, quit: the images are the same byte for byte."""
    disk = Disk(t.folder, **LAYOUTS[layout])
    pair = t.pair(disks=[disk]).start()
    t.counter().wait_more(20)
    sh(pair.primary, scribble(disk.node, 1))
    pair.wait_epochs(3)
    sh(pair.primary, f"md5sum {disk.node}")
    t.finish_loads()
    t.loads.clear()
    pair.primary.qmp.command("quit")
    pair.primary.wait_exit()
    pair.secondary.wait_exit()
    disks.compare(disk, "primary", "secondary")


@cases("disk-write:100", "disk-applied:100")
def test_killed_at(t, point):
    """A side dies between two writes; the other one goes on with the disk
    that its guest remembers, and the dead one's image is brought up to date."""
    disk = Disk(t.folder)
    pair = t.pair(disks=[disk], keys="timeout=2000,self-check=1")
    primary = point.startswith("disk-write")
    pair.start_secondary(fault=None if primary else point)
    pair.start_primary(fault=point if primary else None)
    pair.wait_ready()
    pair.wait_protected()
    pair.expect_takeover()
    t.counter().wait_more(10)
    keep_cached(pair.primary, disk.node)
    pair.primary.console.send(f"run {scribble(disk.node, 5, 300)}; "
                              "echo scribbled-$?")
    if primary:
        t.survive(pair)
        left, dead = pair.secondary, pair.primary
        pair.promote()
    else:
        pair.secondary.wait_exit()
        pair.wait_state("unprotected")
        left, dead = pair.primary, pair.secondary
    left.console.wait_for(r"^scribbled-0$", timeout=90)
    same_as_cached(left, disk.node)
    disk.of[pair.next_name("secondary")] = dead.name
    pair.start_secondary(port=pair.port + 1)
    left.command("ft-stop" if not primary else "query-ft")
    left.command("ft-start", {"peer": f"127.0.0.1:{pair.port}"})
    pair.wait_protected()
    t.finish_loads()
    t.loads.clear()
    left.command("quit")
    left.wait_exit()
    pair.secondary.wait_exit()
    disks.compare(disk, left.name, dead.name)


@cases("virtio-blk-iothread", "virtio-scsi-iothread")
def test_interrupt(t, kind):
    """Writes that end while a cut drains them: an iothread's interrupt is then
    in no device's state, and the guest would wait for it for ever."""
    disk = Disk(t.folder, kind=kind, slow={"primary": 1})
    pair = t.pair(disks=[disk], keys="timeout=2000,self-check=7").start()
    sh(pair.primary, "(while dd if=/dev/zero bs=4k count=1 conv=notrunc,fsync "
       f"of={disk.node}; do :; done) </dev/null >/dev/null 2>&1 &")
    pair.wait_epochs(20)
    pair.kill_primary()
    pair.wait_takeover()

    def written():
        return max(found["stats"]["wr_operations"] for found in
                   pair.secondary.command("query-blockstats"))

    before = written()
    wait.until("the guest waits for its disk", lambda: written() > before + 20)
    t.survive(pair)


def test_killed_while_copying(t):
    """The primary dies amid the first copy: nobody takes over; started again
    from its image it is protected by the same secondary."""
    disk = Disk(t.folder)
    disk.make("primary")
    disks.run("dd", "if=/dev/urandom", f"of={disk.image('primary')}",
              "bs=1M", "count=16", "conv=notrunc")
    pair = t.pair(disks=[disk])
    pair.start_secondary()
    pair.start_primary(fault="disk-sync:30")
    pair.primary.wait_exit()
    pair.wait_reason("before the first copy was complete", pair.secondary)
    disk.of["primary2"] = "primary"
    pair.start_primary()
    pair.wait_ready()
    pair.wait_protected()
    t.counter().wait_more(10)
    t.survive(pair, pair.kill_primary())
    data = disk.image("primary").read_bytes()
    found = sh(pair.secondary, f"md5sum {disk.node}").split()[0]
    assert_equal(found, hashlib.md5(data).hexdigest(), "the copy's sum")


def flushes(disk, side):
    return sum(bool(e.flush) for e in disks.log_entries(disk.log(side)))


def test_killed_while_comparing(t):
    """The peer dies while parts are hashed for it.  The primary is stopped
    meanwhile, so that it hears of that with all of them under way."""
    disk = Disk(t.folder, size=256)
    pair = t.pair(disks=[disk], keys="timeout=2000").start()
    counter = t.counter()
    for _ in range(12):
        pair.secondary.kill()
        pair.wait_state("unprotected")
        counter.wait_more(5)
        pair.start_secondary()
        wait.until("nothing is compared", lambda: pair.query().get(
            "sync-remaining", disk.size << 20) < disk.size << 20)
        pair.primary.stop_process()
        pair.secondary.kill()
        pair.primary.continue_process()
        pair.wait_state("unprotected")
        pair.start_secondary()
        pair.wait_state("syncing")
    pair.wait_protected()
    t.survive(pair, pair.kill_primary())


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

    def seen(self):
        return None             # it boots otherwise

    def args(self, side):
        return ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,"
                f"file={self.firmware}",
                "-drive", f"if=pflash,unit=1,format=raw,"
                f"file={self.images[side]}"]


SATA = "/sys/bus/pci/devices/0000:00:1f.2"
UNUSED = 0x60000                # Linux leaves the first MiB alone


def test_sata_answer(t):
    """What a SATA controller writes through a pointer that it keeps is on
    both sides, though no guest touches that page and no mapping ends."""
    pair = t.pair(model="q35").start()
    # Memory and bus master on: the driver has switched them off
    sh(pair.primary, f"echo 0000:00:1f.2 >{SATA}/driver/unbind; printf "
       f"'\\007' | dd of={SATA}/config bs=1 seek=4 conv=notrunc")
    bar = pair.primary.console.ask(f"run sed -n 6p {SATA}/resource").split()
    port = int(bar[0], 16) + 0x100

    def register(at, value):
        sh(pair.primary, f"devmem {port + at} 32 {value}")

    register(0x08, UNUSED)      # where the device's words go to
    register(0x0c, 0)
    register(0x2c, 1)           # reset, so that it has something to say
    register(0x2c, 0)
    pair.wait_epochs(2)
    register(0x18, 0x10)        # now it may
    pair.wait_epochs(2)
    pair.check_self()
    for qemu in (pair.primary, pair.secondary):
        found = qemu.command("human-monitor-command",
                             {"command-line": f"xp /1xb {UNUSED + 0x40}"})
        assert_equal(found.split()[1], "0x34", f"its word on {qemu.name}")


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
