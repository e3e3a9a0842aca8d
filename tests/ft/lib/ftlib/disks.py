# SPDX-License-Identifier: GPL-2.0-or-later
"""Writable disks of a pair: one image on each side."""

import os
import pathlib
import random
import shutil
import struct
import subprocess

from ftlib import guest
from ftlib.guestsh import sh

SECTOR = 512
SIZE = 32                       # MiB
# device arguments, and the disk's name in the guest, where it has one
KINDS = {
    "virtio-blk": (["virtio-blk-pci,id=dev-{id},drive={id}"], "/dev/vda"),
    "virtio-blk-iothread": (
        ["virtio-blk-pci,id=dev-{id},drive={id},iothread=io0"], "/dev/vda"),
    "virtio-scsi": (["virtio-scsi-pci,id=bus-{id}",
                     "scsi-hd,id=dev-{id},bus=bus-{id}.0,drive={id}"],
                    "/dev/sda"),
    "virtio-scsi-iothread": (
        ["virtio-scsi-pci,id=bus-{id},iothread=io0",
         "scsi-hd,id=dev-{id},bus=bus-{id}.0,drive={id}"], "/dev/sda"),
    "ide": (["ide-hd,id=dev-{id},drive={id}"], "/dev/sda"),
    "ahci": (["ich9-ahci,id=bus-{id}",
              "ide-hd,id=dev-{id},bus=bus-{id}.0,drive={id}"], "/dev/sda"),
}


def run(*argv):
    done = subprocess.run(argv, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise AssertionError(f"{argv[0]} {argv[1]} failed: {done.stdout}")
    return done.stdout


def img(*argv):
    return run(str(guest.BUILD / "qemu-img"), *argv)


class Disk:
    """`template`: contents to begin with; `style`: drive or blockdev.

    `broken` maps a QEMU's name to what its image does wrong, as
    {"primary": dict(iotype="write", errno=5, sector=61440)}: keys of a
    blkdebug rule; with none of them stop_read() works.  `logged`: keep what
    power_loss() needs.  `slow` maps a QEMU's name to how many writes a second
    its image takes.  `shared`: all QEMUs have the same image.  `throttled`:
    throttle() works.
    """

    def __init__(self, folder, kind="virtio-blk", form="raw", style="drive",
                 size=SIZE, template=None, name="d0", keys="",
                 broken=None, logged=False, slow=None, shared=False,
                 throttled=False):
        self.folder = pathlib.Path(folder)
        self.kind, self.form, self.style = kind, form, style
        self.size, self.template, self.name = size, template, name
        self.keys = keys
        self.broken = broken or {}
        self.logged = logged
        self.slow = slow or {}
        self.shared = shared
        self.throttled = throttled
        if logged or slow or throttled:
            self.style = "blockdev"
        self.file = {}          # replaces the image of the QEMU so named
        self.of = {}            # a QEMU's name -> the one whose image it has
        self.devices, self.node = KINDS[kind]

    def seen(self):
        """What a guest that boots sees of it, or None when that cannot be
        told from its options."""
        if self.file or self.image("primary").exists():
            return None
        return (self.kind, self.size, self.name, self.keys, self.template)

    def image(self, side):
        side = "shared" if self.shared else self.of.get(side, side)
        return self.folder / f"{side}-{self.name}.{self.form}"

    def make(self, side):
        """The image of `side`, made when it is not there yet."""
        path = self.image(side)
        if path.exists() or side in self.file:
            return path
        if self.template:
            if self.form == "raw":
                run("cp", "--sparse=always", str(self.template), str(path))
            else:
                img("convert", "-O", self.form, str(self.template), str(path))
        else:
            img("create", "-q", "-f", self.form, str(path), f"{self.size}M")
        return path

    def args(self, side):
        path = self.file.get(side) or self.make(side)
        found = []
        if self.kind.endswith("-iothread"):
            found += ["-object", "iothread,id=io0"]
        if self.style == "drive":
            found += ["-drive", f"if=none,id={self.name},format={self.form},"
                      f"file={path}{self.keys}"]
        else:
            found += self.nodes(side, path)
        for device in self.devices:
            found += ["-device", device.format(id=self.name)]
        return found

    def nodes(self, side, path):
        below = f"file-{self.name}"
        found = ["-blockdev", f"driver=file,node-name={below},"
                 f"filename={path},discard=unmap"]
        if side in self.broken:
            # "none" happens when the image is opened
            keys = self.broken[side] and {"event": "none",
                                          **self.broken[side]}
            rule = "".join(f",inject-error.0.{key}={value}"
                           for key, value in keys.items())
            found += ["-blockdev", f"driver=blkdebug,node-name=bad-"
                      f"{self.name},image={below},discard=unmap{rule}"]
            below = f"bad-{self.name}"
        if self.logged:
            log = self.log(side)
            log.touch()
            found += ["-blockdev", f"driver=file,node-name=log-{self.name},"
                      f"filename={log}",
                      "-blockdev", f"driver=blklogwrites,node-name=logged-"
                      f"{self.name},file={below},log=log-{self.name},"
                      f"log-sector-size={SECTOR}"]
            below = f"logged-{self.name}"
        if side in self.slow or self.throttled:
            found += ["-object", f"throttle-group,id=group-{self.name},"
                      f"x-iops-write={self.slow.get(side, 0)}",
                      "-blockdev", f"driver=throttle,node-name=slow-"
                      f"{self.name},throttle-group=group-{self.name},"
                      f"file={below},discard=unmap"]
            below = f"slow-{self.name}"
        return found + ["-blockdev", f"driver={self.form},discard=unmap,"
                        f"node-name={self.name},file={below}"]

    def throttle(self, qemu, **limits):
        """From now on its image is so slow: members of ThrottleLimits, with
        _ for -; none: as fast as it can."""
        qemu.command("qom-set", {
            "path": f"/objects/group-{self.name}", "property": "limits",
            "value": {key.replace("_", "-"): value for key, value in
                      {"iops_write": 0, "bps_read": 0, **limits}.items()}})

    def _debug(self, qemu, command):
        qemu.command("human-monitor-command", {
            "command-line": f"qemu-io -d /machine/peripheral/dev-{self.name}/"
                            f"virtio-backend \"{command}\""})

    def stop_read(self, qemu):
        """The next read of its image stands until go_on()."""
        self._debug(qemu, "break read_aio here")

    def go_on(self, qemu):
        self._debug(qemu, "resume here")

    def log(self, side):
        return self.folder / f"{side}-{self.name}.log-writes"

    def power_loss(self, side, seed):
        """Make the image what a disk with a volatile cache could have left:
        all up to the last flush, and any of what came after it."""
        chance = random.Random(seed)
        entries = list(log_entries(self.log(side)))
        last = max((i for i, e in enumerate(entries) if e.flush), default=-1)
        path = self.image(side)
        path.unlink()
        self.make(side)
        kept = dropped = 0
        with open(path, "r+b") as image:
            for i, entry in enumerate(entries):
                if i > last and chance.random() < 0.5:
                    dropped += 1
                    continue
                entry.replay(image)
                kept += i > last
        return len(entries), last + 1, kept, dropped

    def flattened(self, side):
        """The guest's view of an image that no QEMU uses any more."""
        path = self.image(side)
        if self.form == "raw":
            return path
        flat = self.folder / f"{side}-{self.name}.flat"
        img("convert", "-O", "raw", str(path), str(flat))
        return flat

    def keep_copy(self, side, name):
        path = self.folder / name
        shutil.copyfile(self.flattened(side), path)
        return path


class SmallFileSystem:
    """A file system of its own that is soon full, for this test only."""

    def __init__(self, folder, mib):
        self.path = pathlib.Path(folder) / "small"
        self.path.mkdir()
        run("mount", "-t", "tmpfs", "-o", f"size={mib}M", "none",
            str(self.path))

    def give_room(self, mib):
        run("mount", "-o", f"remount,size={mib}M", str(self.path))

    def image(self, mib):
        """An empty raw image, larger than what fits."""
        path = self.path / "image.raw"
        img("create", "-q", "-f", "raw", str(path), f"{mib}M")
        return path


class LogEntry:
    """One entry of the log that QEMU's blklogwrites keeps, in the format of
    the kernel's dm-log-writes: what was done to the disk, in order."""

    FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8

    def __init__(self, sector, sectors, flags, data, sector_size):
        self.flush = flags & (self.FLUSH | self.FUA)
        self.discard = flags & self.DISCARD
        self.offset = sector * sector_size
        self.length = sectors * sector_size
        self.data = data

    def replay(self, image):
        image.seek(self.offset)
        if self.discard:
            image.write(bytes(self.length))
        elif self.data:
            image.write(self.data)


def log_entries(path):
    magic = 0x6a736677736872
    with open(path, "rb") as log:
        end = os.fstat(log.fileno()).st_size
        if not end:
            return
        found, version, _, size = struct.unpack("<QQQI", log.read(28))
        if not found:           # there was no flush yet
            size = SECTOR
        elif (found, version) != (magic, 1):
            raise AssertionError(f"{path} is no log of writes")
        position = size
        # The count in the head is that of the last flush: look for more
        while position < end:
            log.seek(position)
            sector, sectors, flags, _ = struct.unpack("<QQQQ", log.read(32))
            if flags > 15 or not (sectors or flags):
                break
            position += size
            data = b""
            if not flags & LogEntry.DISCARD:
                log.seek(position)
                data = log.read(sectors * size)
                position += sectors * size
            yield LogEntry(sector, sectors, flags, data, size)


def scribble(node, seed, count=80):
    """For the guest's shell: overlapping writes of many lengths, some of them
    flushed."""
    return (f"dd if=/dev/urandom of=/tmp/r bs=64k count=16 2>/dev/null; "
            f"for i in $(seq {count}); do "
            f"c=notrunc; test $((i % 5)) != 0 || c=notrunc,fsync; "
            f"dd if=/tmp/r of={node} bs=4k skip=$((i % 200)) conv=$c "
            f"seek=$(( (i * 7919 + {seed}) % 7000 )) "
            f"count=$((i % 9 + 1)) 2>/dev/null; done; sync")


def keep_cached(qemu, node):
    """The guest's cache of a disk would go with whoever closes it last."""
    sh(qemu, f"tail -f /dev/null <{node} & :")


def same_as_cached(qemu, node):
    """What the disk holds is what the guest's memory says it holds; after
    keep_cached(), before anything was written.  Returns the sum."""
    return sh(qemu, f"a=$(md5sum {node}); echo 3 >/proc/sys/vm/drop_caches; "
              f"b=$(md5sum {node}); test \"$a\" = \"$b\" && echo $b"
              ).split()[0]


def compare(disk, one, other):
    """Both images hold the same, byte for byte; no QEMU uses them."""
    img("compare", "-f", disk.form, "-F", disk.form, str(disk.image(one)),
        str(disk.image(other)))
