# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines with every device of theirs: each cut is saved twice, by plan and
by QEMU's own loop (self-check), and has to be the same byte for byte."""

from ftlib.case import cases, limit, long
from ftlib.disks import Disk

VIRTIO = ["-device", "virtio-rng-pci", "-device", "virtio-balloon-pci",
          "-device", "virtio-serial-pci,id=vs0",
          "-chardev", "null,id=hole0",
          "-device", "virtconsole,bus=vs0.0,chardev=hole0",
          "-device", "virtio-keyboard-pci", "-device", "virtio-gpu-pci"]
# A second one, behind the one that the guest uses
NET = ["-netdev", "hubport,id=hub0,hubid=0", "-device",
       "virtio-net-pci,netdev=hub0,packed=on,addr=0x1c"]
USB = ["-device", "usb-tablet", "-device", "usb-kbd", "-device", "usb-hub"]
DISPLAY = ["-vga", "std"]
SOUND = ["-audiodev", "none,id=a0"]

MACHINES = {
    "pc": dict(model="pc", smp=2,
               extra=[*DISPLAY, "-device", "piix3-usb-uhci", *USB, *VIRTIO,
                      *NET],
               disk=dict(kind="virtio-blk")),
    "q35": dict(model="q35", nic="e1000", smp=1,
                extra=[*DISPLAY, "-device", "qemu-xhci", *USB, *VIRTIO, *NET,
                       "-device", "pcie-root-port,id=rp0",
                       *SOUND, "-device", "intel-hda",
                       "-device", "hda-duplex,audiodev=a0"],
                disk=dict(kind="ahci")),
    "scsi": dict(model="q35", smp=1,
                 extra=["-vga", "cirrus", "-device", "usb-ehci",
                        "-device", "usb-tablet", *SOUND,
                        "-device", "AC97,audiodev=a0"],
                 disk=dict(kind="virtio-scsi")),
    "ide": dict(model="pc", nic="e1000", smp=1,
                extra=["-netdev", "hubport,id=hub0,hubid=0", "-device",
                       "rtl8139,netdev=hub0,addr=0x1c",
                       "-vga", "virtio", "-device", "piix4-usb-uhci",
                       "-device", "usb-mouse"],
                disk=dict(kind="ide")),
}


@long("scsi")
@cases(*MACHINES)
@limit(200)
def test_same_bytes(t, machine):
    """From the boot on, through a reset, under load."""
    options = dict(MACHINES[machine])
    disk = Disk(t.folder, **options.pop("disk"))
    # Each cut would make a boot with so many devices last minutes
    pair = t.pair(disks=[disk], keys="self-check=10,timeout=2000",
                  fresh=True, **options).start()
    t.counter().wait_more(20)
    pair.wait_epochs(20)
    pair.check_self()
    t.finish_loads()            # whose connection a reset breaks
    t.loads.clear()
    since = pair.primary.console.mark()
    pair.primary.command("system_reset")
    pair.primary.wait_ready(since=since)
    pair.wait_protected()
    pair.wait_epochs(20)
    pair.check_self()
