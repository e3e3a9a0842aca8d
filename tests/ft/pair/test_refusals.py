# SPDX-License-Identifier: GPL-2.0-or-later
"""What cannot be protected is refused at start: one sentence, exit code 1."""

import os
import re
import socket

from ftlib import netns, vm
from ftlib.case import assert_equal, cases
from ftlib.pair import MEMORY, machine

PEER = ["-ft-peer", "127.0.0.1:7700"]
LISTEN = ["-ft-listen", "127.0.0.1:7700"]
SNAPSHOT = ["-drive", "file=disk.raw,format=raw,if=virtio,id=disk0,snapshot=on"]
UUID = ["-uuid", "6e7a9d5e-30f8-4f2c-9a57-2f3d6d1c8f11"]
NEWLINE = ["-object", "secret,id=pw,data=end\n"]


def arbiter(keys):
    return UUID + ["-ft-peer", "127.0.0.1:7700," + keys]


SHARED = ["-object", f"memory-backend-ram,id=ram0,size={MEMORY}M,share=on",
          "-machine", "memory-backend=ram0"]
# what: (arguments, what the sentence has to name)
BAD = {
    "snapshot": (PEER + SNAPSHOT, "drive disk0 .*snapshot=on"),
    "snapshot-secondary": (LISTEN + SNAPSHOT, "drive disk0 .*snapshot=on"),
    "unknown-durability": (["-ft-peer", "127.0.0.1:7700,durability=some"],
                           "durability=some .*memory, disk"),
    "unknown-sync": (["-ft-peer", "127.0.0.1:7700,disk-sync=no"],
                     "disk-sync=no .*hash, full, none"),
    "unknown-compress": (["-ft-peer", "127.0.0.1:7700,compress=zip"],
                         "compress=zip .*auto, on, off"),
    "throttle-range": (["-ft-peer", "127.0.0.1:7700,throttle=96"],
                       "throttle=96 .*0 to 95"),
    "shared-memory": (PEER + SHARED, "ram0"),
    "icount": (PEER + ["-icount", "shift=3"], "-icount"),
    "no-port": (["-ft-peer", "localhost"], "ft-peer.*localhost"),
    "no-host": (["-ft-peer", ":7700"], "ft-peer.*:7700"),
    "bad-port": (["-ft-peer", "localhost:seventy"], "ft-peer.*seventy"),
    "both": (PEER + LISTEN, "-ft-listen .*-ft-peer"),
    "twice": (PEER + PEER, "-ft-peer .*twice"),
    "unknown-key": (["-ft-peer", "127.0.0.1:7700,colour=blue"], "colour"),
    "not-a-number": (["-ft-peer", "127.0.0.1:7700,interval=soon"],
                     "interval"),
    "too-small": (["-ft-peer", "127.0.0.1:7700,interval=0"],
                  "interval=0 .*from 1 "),
    "too-big": (["-ft-listen", "127.0.0.1:7700,timeout=999999999"],
                "timeout=999999999 .*to 60000"),
    "arbiter-scheme": (arbiter("arbiter=http://a:1/ft"), "arbiter=http"),
    "arbiter-host": (arbiter("arbiter=etcd://:1/ft"), "arbiter=.*no host"),
    "arbiter-port": (arbiter("arbiter=etcd://a:1,,b:65536/ft"),
                     "arbiter=.*b:65536"),
    "arbiter-prefix": (arbiter("arbiter=etcd://a:1"), "arbiter=.*prefix"),
    "arbiter-path": (arbiter("arbiter=file:x"), "arbiter=file:x"),
    "arbiter-tls": (arbiter("arbiter=etcd://a:1/ft,arbiter-tls=/nowhere"),
                    "arbiter-tls=/nowhere.*ca-cert.pem"),
    "arbiter-tls-file": (arbiter("arbiter=file:/x,arbiter-tls=/nowhere"),
                         "arbiter-tls="),
    "arbiter-user-alone": (arbiter("arbiter=etcd://a:1/ft,arbiter-user=me"),
                           "arbiter-user= .*arbiter-secret="),
    "arbiter-secret-alone": (
        arbiter("arbiter=etcd://a:1/ft,arbiter-secret=pw"),
        "arbiter-secret= .*arbiter-user="),
    "arbiter-none": (arbiter("arbiter-tls=/nowhere"),
                     "arbiter-tls= .*arbiter="),
    "arbiter-host-name": (arbiter("arbiter=file:/x,host=a/b"), "host= 'a/b'"),
    # These need the whole machine
    "arbiter-uuid": (["-ft-listen", "127.0.0.1:7700,arbiter=file:/x"],
                     "-ft-listen: arbiter= needs -uuid"),
    "arbiter-secret-missing": (
        arbiter("arbiter=etcd://a:1/ft,arbiter-user=me,arbiter-secret=pw"),
        "-ft-peer: .*arbiter-secret=pw"),
    "arbiter-secret-newline": (
        NEWLINE + arbiter("arbiter=etcd://a:1/ft,arbiter-user=me,"
                          "arbiter-secret=pw"),
        "-ft-peer: .*arbiter-secret=pw.*newline"),
}


def refused(t, args, names):
    os.chdir(t.folder)
    with open("disk.raw", "wb") as disk:
        disk.truncate(1 << 20)
    code, lines = vm.run_to_end(machine() + args)
    t.say("\n".join(lines))
    assert_equal(code, 1, "exit code")
    assert_equal(len(lines), 1, "number of lines on stderr")
    if not re.match(rf"qemu-system-\w+: .*{names}", lines[0]):
        raise AssertionError(f"the error does not name {names!r}: {lines[0]}")


@cases(*BAD)
def test_option(t, what):
    refused(t, *BAD[what])


def test_vhost(t):
    t.skip_unless(os.path.exists("/dev/vhost-net"), "no /dev/vhost-net")
    netns.bridge_up()
    netns.add_tap("tap0")
    refused(t, PEER + ["-netdev", "tap,id=net0,ifname=tap0,script=no,"
                       "downscript=no,vhost=on",
                       "-device", "virtio-net-pci,netdev=net0"],
            "net0 .*vhost")


@cases("ft-peer", "ft-listen")
def test_help(t, option):
    """-ft-peer help lists every key and exits 0."""
    text = vm.help_text(f"-{option}", "help")
    for key in ("interval", "output-delay", "quiet", "dirty-limit", "timeout",
                "self-check", "durability", "disk-sync", "sync-rate",
                "compress", "throttle", "carry",
                "arbiter", "arbiter-tls", "arbiter-user", "arbiter-secret",
                "host"):
        if key not in text:
            raise AssertionError(f"-{option} help says nothing of {key}")


def test_read_only_drive(t):
    """A drive nobody writes to is no obstacle."""
    os.chdir(t.folder)
    with open("disk.raw", "wb") as disk:
        disk.truncate(1 << 20)
    drive = os.path.join(t.folder, "disk.raw")
    pair = t.pair(extra=("-drive", f"file={drive},format=raw,if=virtio,"
                         "readonly=on"))
    pair.start_secondary()
    pair.start_primary()
    pair.wait_protected()


def test_port_taken(t):
    """-ft-listen on a port somebody has: one sentence too."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 7700))
        other.listen()
        refused(t, LISTEN, ".*7700")


def test_off(t):
    """Neither option: query-ft says none, info ft says so in words."""
    pair = t.pair()
    pair.ft_option = lambda *args: []
    qemu = pair.start_primary()
    found = pair.query(qemu)
    assert_equal((found["role"], found["state"]), ("none", "unprotected"),
                 "role and state")
    text = qemu.command("human-monitor-command", {"command-line": "info ft"})
    if not text.strip() or "unknown command" in text:
        raise AssertionError(f"info ft says {text!r}")
