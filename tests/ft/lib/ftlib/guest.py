# SPDX-License-Identifier: GPL-2.0-or-later
"""Where things are, and how the test guest is told what to do."""

import functools
import os
import pathlib
import subprocess

from ftlib import netns

ROOT = pathlib.Path(__file__).resolve().parents[4]
BUILD = pathlib.Path(os.environ.get("QEMU_FT_BUILD", ROOT / "build"))
READY = "FT-GUEST-READY"
REDIS_PORT = 6379
# no_timer_check: a starved emulator misses ticks while the kernel counts them
# at boot, and the kernel then panics; KVM guests skip that test by themselves.
KERNEL = ("console=ttyS0 quiet loglevel=3 panic=-1 cryptomgr.notests "
          "no_timer_check "
          "audit=0 mitigations=off")


class Missing(Exception):
    """Something has to be built first."""


def qemu():
    path = os.environ.get("QEMU_FT_QEMU", str(BUILD / "qemu-system-x86_64"))
    if not os.access(path, os.X_OK):
        raise Missing(f"there is no {path}: build QEMU first")
    return path


@functools.lru_cache(maxsize=None)
def image():
    """The folder of the guest image; built when missing."""
    return made()


def bench_image():
    """The folder of the guest image of the measurements."""
    return made("--bench")


def made(*options):
    """The folder that scripts/guest-image prints."""
    done = subprocess.run([str(ROOT / "scripts" / "guest-image"), "--print",
                           *options], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    if done.returncode:
        raise Missing(done.stderr.strip())
    return pathlib.Path(done.stdout.strip())


def kernel():
    """Unpacked if there is one: QEMU starts it seconds faster."""
    unpacked = image() / "vmlinux"
    return unpacked if unpacked.exists() else image() / "vmlinuz"


def boot_args(parameters="", address=f"{netns.GUEST}/{netns.PREFIX}"):
    line = f"{KERNEL} ft.ip={address} {parameters}".strip()
    return ["-kernel", str(kernel()), "-initrd", str(image() / "initramfs"),
            "-append", line]
