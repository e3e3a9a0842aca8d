# SPDX-License-Identifier: GPL-2.0-or-later
"""The file with every figure, and what machine and sources it is of.

It is written again after each boot, so a run that is interrupted keeps what
it has.
"""

import json
import os
import pathlib
import platform
import subprocess

from ftlib import guest, vm

FORMAT = 1


def first(path, prefix):
    """What follows the colon in the first such line of a file."""
    try:
        lines = pathlib.Path(path).read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == prefix:
            return " ".join(value.split())
    return ""


def distribution():
    with open("/etc/os-release") as release:
        for line in release:
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip().strip('"')
    return ""


def git(*words):
    try:
        done = subprocess.run(["git", "-C", str(guest.ROOT), *words],
                              text=True, capture_output=True)
    except OSError:
        return ""
    return done.stdout.strip() if not done.returncode else ""


def packages(image):
    """Of the guest: those whose version matters for the figures."""
    lines = (pathlib.Path(image) / "packages").read_text().split()
    wanted = ("linux-image", "redis-server=", "iperf3=", "zstd=", "tcc=")
    return [line for line in lines if line.startswith(wanted)]


def subject():
    """The machine and the sources; no name of a host or a folder."""
    memory = first("/proc/meminfo", "MemTotal").split()
    return {
        "commit": git("rev-parse", "--short=12", "HEAD"),
        "changed": bool(git("status", "--porcelain",
                            "--untracked-files=no")),
        "qemu": vm.help_text("--version").splitlines()[0],
        "accelerator": "tcg",
        "cpu": first("/proc/cpuinfo", "model name"),
        "cpus": os.cpu_count(),
        "memory_mib": int(memory[0]) // 1024 if memory else None,
        "kernel": platform.release(),
        "system": distribution(),
        "guest": packages(os.environ["QEMU_FT_GUEST"]),
    }


class Results:
    """All of a run."""

    def __init__(self, path, about, options):
        self.path = pathlib.Path(path)
        self.data = {"format": FORMAT, "about": about, "options": options,
                     "complete": False, "rounds": []}

    @property
    def rounds(self):
        return self.data["rounds"]

    def keep(self):
        """At no moment is there half a file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.data, indent=1) + "\n")
        part.replace(self.path)
