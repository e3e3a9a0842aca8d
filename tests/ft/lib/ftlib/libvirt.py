# SPDX-License-Identifier: GPL-2.0-or-later
"""A pair whose two QEMUs are domains of the real libvirt.

virt-qemu-run is libvirt's QEMU driver without the daemon: one process a
domain, all its files in a folder.  The domains are those of contrib/libvirt/
with what belongs to a site replaced.

QEMU is a daemon here, no child of ours.  So that nothing outlives the test
libvirt runs in a PID namespace, whose first process dies with the test.
"""

import os
import pathlib
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import xml.etree.ElementTree as ET

from ftlib import guest, netns, wait
from ftlib.console import Console
from ftlib.pair import MAC, Pair
from ftlib.qmp import Qmp
from ftlib.vm import Qemu, Refused

ENDED = re.compile(r"shutting down, reason=(\w+)")
PROGRAM = "virt-qemu-run"
DOMAINS = guest.ROOT / "contrib" / "libvirt"
SPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
ET.register_namespace("qemu", SPACE)
# Root, and nothing that needs a daemon or the host's set-up.
SETTINGS = """\
stdio_handler = "file"
user = "root"
group = "root"
namespaces = []
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = []
security_driver = "none"
"""
# libvirt looks these up even when told to use others; the package that makes
# them (libvirt-daemon-system) is not needed otherwise.
USER = "libvirt-qemu"
ACCOUNTS = {"passwd": f"{USER}:x:64055:64055::/nonexistent:/bin/false\n",
            "group": f"{USER}:x:64055:\n"}
# The shell is the namespaces' first process: it reaps what QEMU leaves.
SHELL = """\
home=$1; shift
for name in passwd group; do
    mount --bind "$home/$name" /etc/$name || exit 1
done
"$@" & wait $!
"""


def missing():
    """Why there can be no domain here, or None."""
    if not shutil.which(PROGRAM):
        return f"{PROGRAM} is missing (scripts/deps libvirt)"
    if os.geteuid():
        return "libvirt's QEMU driver needs root for a tap device"
    probe = subprocess.run(["unshare", "--pid", "--mount", "--mount-proc",
                            "--fork", "--kill-child", "--", "true"],
                           capture_output=True, text=True)
    if probe.returncode:
        return f"no PID namespace here: {probe.stderr.strip()}"
    return None


# --- the domain -------------------------------------------------------------

def argument(domain, *values):
    line = domain.find(f"{{{SPACE}}}commandline")
    for value in values:
        ET.SubElement(line, f"{{{SPACE}}}arg", value=value)


def replace_argument(domain, option, value):
    words = domain.findall(f"{{{SPACE}}}commandline/{{{SPACE}}}arg")
    names = [w.get("value") for w in words]
    words[names.index(option) + 1].set("value", value)


def write_accounts(home):
    """The host's accounts, and those libvirt wants."""
    for name, line in ACCOUNTS.items():
        text = pathlib.Path("/etc", name).read_text()
        if not text.startswith(f"{USER}:") and f"\n{USER}:" not in text:
            text += line
        (home / name).write_text(text)


def use_boot(domain, boot):
    """`boot` is -kernel FILE -initrd FILE -append LINE."""
    for name, value in zip(("kernel", "initrd", "cmdline"), boot[1::2]):
        domain.find(f"os/{name}").text = value


def use_tap(domain, tap):
    nic = domain.find("devices/interface")
    nic.set("type", "ethernet")
    nic.remove(nic.find("source"))
    nic.find("mac").set("address", MAC)
    ET.SubElement(nic, "target", dev=tap, managed="no")


def use_serial(domain, path):
    port = domain.find("devices/serial")
    port.set("type", "unix")
    ET.SubElement(port, "source", mode="connect", path=path)


def firmware():
    """QEMU run from its build folder does not find Debian's by itself."""
    words = []
    for folder in ("/usr/share/seabios", "/usr/share/qemu",
                   "/usr/lib/ipxe/qemu"):
        words += ["-L", folder]
    return words


# --- one side ---------------------------------------------------------------

def door(path):
    """QEMU dials in, so that nothing it says is missed."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    sock.listen(1)
    return sock


def peer_pid(sock):
    found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return struct.unpack("3i", found)[0]


class Domain(Qemu):
    """As ftlib.vm.Qemu, but `process` is libvirt and QEMU its domain."""

    def __init__(self, name, domain, folder, tap):
        super().__init__(name, [], folder, tap=tap)
        self.domain = domain
        self.handle = None          # pidfd of QEMU
        self.home = None            # where libvirt keeps all its files

    def start(self):
        # Not below self.folder: libvirt's sockets are below this one, and
        # the kernel takes no path of more than 107 bytes for a socket.
        # The runner deletes it.
        home = self.home = pathlib.Path(tempfile.mkdtemp(prefix="ft-"))
        (home / "etc").mkdir()
        (home / "etc" / "qemu.conf").write_text(SETTINGS)
        write_accounts(home)
        monitor, serial = (str(home / n) for n in ("qmp", "serial"))
        use_serial(self.domain, serial)
        argument(self.domain, "-chardev", f"socket,id=test,path={monitor}",
                 "-mon", "chardev=test,mode=control")
        config = home / "domain.xml"
        ET.ElementTree(self.domain).write(config)
        with door(monitor) as first, door(serial) as second:
            self._launch(home, config)
            self._accept(first, second)
        self.qmp.negotiate()
        return self

    def _launch(self, home, config):
        self.log_path = self.folder / f"{self.name}.log"
        argv = ["setpriv", "--pdeathsig", "KILL", "--", "unshare", "--pid",
                "--mount", "--mount-proc", "--fork", "--kill-child", "--",
                "sh", "-c", SHELL, "sh", str(home), PROGRAM, "-v", "-r",
                str(home), str(config)]
        with open(self.log_path, "w") as log:
            print("$", *argv, file=log, flush=True)
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL,
                                            stdout=log,
                                            stderr=subprocess.STDOUT)

    def _accept(self, first, second):
        # libvirt may start QEMU first to see what it can do: that one is
        # given neither socket
        serial, monitor = self._dialled(second), self._dialled(first)
        self.handle = os.pidfd_open(peer_pid(monitor))
        self.qmp = Qmp(monitor, self.folder / f"{self.name}.qmp")
        self.console = Console(serial, self.folder / f"{self.name}.serial")

    def _dialled(self, sock):
        def probe():
            return (select.select([sock], [], [], 0)[0] or
                    self.process.poll() is not None)

        wait.until(f"libvirt never started {self.name}", probe, 60)
        if self.process.poll() is not None:
            raise Refused(f"{self.name} did not start: {self.said()} "
                          f"{self.qemu_log()}")
        return sock.accept()[0]

    def kill(self, how=signal.SIGKILL):
        self.killed = self.killed or how == signal.SIGKILL
        signal.pidfd_send_signal(self.handle, how)

    def alive(self):
        return not select.select([self.handle], [], [], 0)[0]

    def wait_exit(self, timeout=30):
        """Until QEMU is gone; why, as libvirt's log has it.

        Not until libvirt is: virt-qemu-run 9.0 joins its event thread
        without waking it up and may stay for good.
        """
        wait.until(f"{self.name} is still running",
                   lambda: not self.alive(), timeout)
        found = wait.until("libvirt never said why the domain ended",
                           lambda: ENDED.findall(self.qemu_log()))
        return found[-1]

    def destroy(self):
        """SIGTERM to virt-qemu-run: what virsh destroy is to libvirtd."""
        os.kill(self._libvirt(), signal.SIGTERM)

    def _libvirt(self):
        """Our process is setpriv, now unshare; below it sh; below libvirt."""
        pid = self.process.pid
        for _ in range(2):
            pid = children(pid)[0]
        return pid

    def qemu_log(self):
        """What QEMU said; libvirt keeps it in a file of its own."""
        found = self.home.glob("log/qemu/*.log")
        return "".join(p.read_text(errors="replace") for p in found)

    def end(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.kill()         # and with it the PID namespace
        self.process.wait()
        if self.handle is not None:
            self.qmp.close()
            self.console.close()
            os.close(self.handle)
        keep = self.folder / f"{self.name}.qemu.log"
        keep.write_text(self.qemu_log())


def children(pid):
    text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


# --- both -------------------------------------------------------------------

class LibvirtPair(Pair):
    """The pair of contrib/libvirt; everything else is as with any Pair."""

    def __init__(self, folder):
        super().__init__(folder, keys="self-check=1")

    def _start(self, role, ft, env, extra, machine_args=None,
               binary=None):
        tap = f"tap{len(self.all)}"
        netns.add_tap(tap)
        tree = ET.parse(DOMAINS / f"{role}.xml").getroot()
        tree.find("devices/emulator").text = os.path.realpath(guest.qemu())
        use_boot(tree, self.boot)
        use_tap(tree, tap)
        replace_argument(tree, *ft)
        argument(tree, *firmware())
        qemu = Domain(role, tree, pathlib.Path(self.folder), tap)
        try:
            qemu.start()
        except BaseException:
            qemu.end()
            raise
        self.all.append(qemu)
        qemu.qmp.forbid("FT_FAILOVER")
        return qemu
