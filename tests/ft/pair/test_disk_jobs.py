# SPDX-License-Identifier: GPL-2.0-or-later
"""What else an administrator does to the disks of a protected guest."""

import shutil

from ftlib import disks, wait
from ftlib.case import assert_equal, cases, limit
from ftlib.disks import Disk
from ftlib.guestsh import sh
from ftlib.qmp import QmpError


def fill(node, count=400):
    return (f"dd if=/dev/urandom of={node} bs=16k count={count} conv=notrunc,"
            "fsync 2>/dev/null")


def wait_job(qemu, name, timeout=90):
    def ended():
        return name not in [j["device"] for j in
                            qemu.command("query-block-jobs")]

    wait.until(f"job {name} has not ended", ended, timeout)


@cases("raw", "qcow2")
@limit(240)
def test_backup(t, form):
    """A backup made while protected, and while the guest writes, is the disk
    of one moment, and protection is as good after as before."""
    disk = Disk(t.folder, form=form, style="blockdev")
    pair = t.pair(disks=[disk], keys="timeout=2000").start()
    primary = pair.primary
    sh(primary, fill(disk.node))
    primary.command("stop")
    pair.wait_epochs(2)
    target = t.folder / "backup.raw"
    disks.img("create", "-q", "-f", "raw", str(target), f"{disk.size}M")
    primary.command("blockdev-add", {
        "driver": "raw", "node-name": "backup",
        "file": {"driver": "file", "filename": str(target)}})
    primary.command("blockdev-backup", {
        "job-id": "job0", "device": disk.name, "target": "backup",
        "sync": "full", "speed": 8 << 20})
    moment = t.folder / "moment.img"
    shutil.copyfile(disk.image("secondary"), moment)
    primary.command("cont")
    counter = t.counter()
    sh(primary, fill(disk.node))
    wait_job(primary, "job0")
    primary.command("blockdev-del", {"node-name": "backup"})
    counter.wait_more(20)
    pair.wait_protected()
    if form == "raw":       # the copy of an open qcow2 lacks what is cached
        disks.img("compare", str(target), str(moment))
    sh(primary, f"md5sum {disk.node}")
    t.survive(pair, pair.kill_primary())
    pair.secondary.command("quit")
    pair.secondary.wait_exit()
    if form == "raw" and target.read_bytes() == \
            disk.image("secondary").read_bytes():
        raise AssertionError("the guest wrote nothing during the backup")


REFUSED = {
    "mirror": ("drive-mirror", {"device": "d0", "target": "x.raw",
                                "sync": "full"}),
    "snapshot": ("blockdev-snapshot-sync", {"device": "d0",
                                            "snapshot-file": "x.qcow2"}),
    "internal": ("blockdev-snapshot-internal-sync", {"device": "d0",
                                                     "name": "one"}),
    "resize": ("block_resize", {"device": "d0", "size": 1 << 26}),
    "commit": ("block-commit", {"device": "d0", "job-id": "c"}),
    "stream": ("block-stream", {"device": "d0", "job-id": "s"}),
    "savevm": ("human-monitor-command", {"command-line": "savevm one"}),
}


def test_refused(t):
    """What would take writes past the mirror is refused, by name; after
    ft-stop it is not our business any more."""
    disk = Disk(t.folder, form="qcow2")
    pair = t.pair(disks=[disk]).start()
    for what, (command, arguments) in REFUSED.items():
        if "target" in arguments:
            arguments = dict(arguments, target=str(t.folder / "x.raw"))
        if "snapshot-file" in arguments:
            arguments = {**arguments,
                         "snapshot-file": str(t.folder / "x.qcow2")}
        try:
            said = pair.primary.command(command, arguments)
        except QmpError as why:
            said = str(why)
        t.say(f"{what}: {said}")
        if "fault tolerance" not in str(said):
            raise AssertionError(f"{what} answers {said!r}")
    pair.wait_epochs(3)
    pair.primary.command("ft-stop")
    pair.primary.command("block_resize", {"device": "d0", "size": 1 << 26})


@limit(240)
def test_plugged(t):
    """A drive that appears is never silently unprotected."""
    disk = Disk(t.folder)
    pair = t.pair(disks=[disk]).start()
    more = Disk(t.folder, name="d1")
    more.make("primary")
    pair.primary.command("blockdev-add", {
        "driver": "raw", "node-name": "d1",
        "file": {"driver": "file", "filename": str(more.image("primary"))}})
    pair.primary.command("device_add", {
        "driver": "virtio-blk-pci", "id": "dev-d1", "drive": "d1",
        "addr": "9"})
    pair.wait_reason("dev-d1")
    assert_equal(pair.query()["state"], "unprotected", "state")
    # The secondary that is there has no such drive
    pair.wait_reason("differ")
    pair.secondary.kill()
    pair.secondary.wait_exit()
    more.make("secondary1")
    disk.of["secondary2"] = "secondary"
    pair.start_secondary(extra=[
        "-drive", f"if=none,id=d1,format=raw,file={more.image('secondary1')}",
        "-device", "virtio-blk-pci,id=dev-d1,drive=d1,addr=9"])
    pair.wait_protected()
    sh(pair.primary, "usleep 300000; " + fill("/dev/vdb"))
    t.counter().wait_more(20)
    t.survive(pair, pair.kill_primary())
    pair.secondary.command("quit")
    pair.secondary.wait_exit()
    disks.img("compare", str(more.image("primary")),
              str(more.image("secondary1")))


@limit(240)
def test_unplugged(t):
    """Nothing of ours keeps a drive that is unplugged."""
    one, other = Disk(t.folder), Disk(t.folder, name="d1", style="blockdev")
    pair = t.pair(disks=[one, other]).start()
    t.counter().wait_more(20)
    pair.primary.command("device_del", {"id": "dev-d1"})
    pair.primary.qmp.wait_event("DEVICE_DELETED", timeout=60)
    pair.wait_reason("dev-d1.*unplugged|differ")
    pair.primary.command("blockdev-del", {"node-name": "d1"})
    pair.primary.command("blockdev-del", {"node-name": "file-d1"})
    pair.secondary.kill()
    pair.secondary.wait_exit()
    pair.disks = [one]
    one.of["secondary2"] = "secondary"
    pair.start_secondary()
    pair.wait_protected()
    sh(pair.primary, fill(one.node))
    t.survive(pair, pair.kill_primary())


@limit(240)
def test_started_later(t):
    """ft-start puts the filter on a disk that an iothread is using."""
    disk = Disk(t.folder, kind="virtio-blk-iothread")
    pair = t.pair(disks=[disk])
    pair.primary = pair.start_alone("primary")
    pair.wait_ready()
    sh(pair.primary, fill(disk.node))
    pair.start_secondary()
    pair.primary.command("ft-start", {"peer": f"127.0.0.1:{pair.port}"})
    pair.wait_protected()
    sh(pair.primary, fill(disk.node, 200))
    pair.primary.command("ft-stop")
    sh(pair.primary, fill(disk.node, 100))
    pair.primary.command("ft-start")
    pair.wait_protected()
    t.counter().wait_more(20)
    sh(pair.primary, fill(disk.node, 300))
    t.finish_loads()
    t.loads.clear()
    pair.primary.command("quit")
    pair.primary.wait_exit()
    pair.secondary.wait_exit()
    disks.compare(disk, "primary", "secondary")
