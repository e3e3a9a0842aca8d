# SPDX-License-Identifier: GPL-2.0-or-later
"""One QEMU process: its monitor, the guest's serial port, its logs."""

import os
import pathlib
import shlex
import signal
import socket
import subprocess

from ftlib import evidence, guest, wait
from ftlib.console import Console
from ftlib.qmp import Gone, Qmp


class Refused(Exception):
    """QEMU ended at start; the text is what it said."""


def help_text(*argv):
    done = subprocess.run([guest.qemu(), *argv], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    return done.stdout


def run_to_end(args, timeout=20):
    """Start QEMU where it should refuse: (exit code, stderr lines)."""
    argv = [guest.qemu(), "-nodefaults", "-no-user-config", "-display",
            "none", *args]
    try:
        done = subprocess.run(argv, text=True, stdin=subprocess.DEVNULL,
                              capture_output=True,
                              timeout=wait.scaled(timeout))
    except subprocess.TimeoutExpired as late:
        said = (late.stderr or b"").decode(errors="replace")
        return None, said.splitlines()
    return done.returncode, done.stderr.splitlines()


class Qemu:
    """Monitor and serial port are socket pairs: there is nothing to connect
    to and no first event to miss.  The process dies with the test.

    `ports` names further character devices; `args` gives them to a device
    of the guest, ports[name] is what it writes.  `enter` is put before its
    command (nodes.py), `fds` stay open in it.
    """

    def __init__(self, name, args, folder, env=None, tap=None, ports=(),
                 enter=(), fds=(), binary=None):
        self.name = name
        self.enter, self.fds = list(enter), tuple(fds)
        self.tap = tap              # its end of the bridge, if any
        self.args = args
        self.folder = pathlib.Path(folder)
        self.env = env or {}
        self.ports = dict.fromkeys(ports)
        self.binary = binary        # another emulator than the one built
        self.process = None
        self.qmp = self.console = None
        self.killed = "QEMU_FT_FAULT" in self.env
        self.booted = False         # its guest was saved when it was ready

    def start(self):
        monitor, their_monitor = socket.socketpair()
        serial, their_serial = socket.socketpair()
        ends = {port: socket.socketpair() for port in self.ports}
        theirs = [their_monitor, their_serial, *(b for _, b in ends.values())]
        fds = tuple(end.fileno() for end in theirs)
        argv = [str(self.binary or guest.qemu()), "-name", self.name,
                "-nodefaults",
                "-no-user-config", "-display", "none",
                "-chardev", f"socket,id=monitor0,fd={fds[0]}",
                "-mon", "chardev=monitor0,mode=control",
                "-chardev", f"socket,id=serial0,fd={fds[1]}",
                "-serial", "chardev:serial0"]
        for port, fd in zip(ends, fds[2:]):
            argv += ["-chardev", f"socket,id={port},fd={fd}"]
        argv += self.args
        self.log_path = self.folder / f"{self.name}.log"
        with open(self.log_path, "w") as log:
            settings = [f"{k}={v}" for k, v in self.env.items()]
            print("$", shlex.join(settings + argv), file=log, flush=True)
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *self.enter, *argv],
                stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, pass_fds=fds + self.fds,
                env=dict(os.environ, **self.env))
        for end in theirs:
            end.close()
        self.qmp = Qmp(monitor, self.folder / f"{self.name}.qmp")
        self.console = Console(serial, self.folder / f"{self.name}.serial")
        for port, (ours, _) in ends.items():
            self.ports[port] = Console(
                ours, self.folder / f"{self.name}-{port}.serial")
        try:
            self.qmp.negotiate()
        except Gone:
            self.process.wait()
            raise Refused(f"{self.name} did not start: "
                          f"{self.said()}") from None
        return self

    def command(self, name, arguments=None):
        return self.qmp.command(name, arguments)

    def said(self):
        """What it wrote, without the line that shows how it was started."""
        lines = self.log_path.read_text(errors="replace").splitlines()[1:]
        return "\n".join(lines)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self, how=signal.SIGKILL):
        self.process.send_signal(how)
        if how == signal.SIGKILL:
            self.killed = True
            self.process.wait()

    def stop_process(self):
        """SIGSTOP, and wait until it has stopped."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid,
                  os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def continue_process(self):
        self.process.send_signal(signal.SIGCONT)

    def wait_exit(self, timeout=30):
        try:
            return self.process.wait(wait.scaled(timeout))
        except subprocess.TimeoutExpired:
            raise wait.Timeout(f"{self.name} is still running after "
                               f"{wait.scaled(timeout):g} s") from None

    def wait_ready(self, timeout=60, since=None, peers=()):
        if self.booted and since is None:
            return
        try:
            self.console.wait_for(guest.READY, timeout, since or 0)
        except wait.Timeout as why:
            found = evidence.gather(self, peers)
            raise wait.Timeout(f"{why}; {found}") from None

    def check(self):
        """Has anything happened that never may?"""
        if self.qmp.violations:
            raise AssertionError(f"{self.name}: forbidden event "
                                 f"{self.qmp.violations[0]}")
        if self.console.trouble():
            raise AssertionError(f"{self.name}: the guest kernel says "
                                 f"{self.console.trouble()!r}")
        code = self.process.poll()
        by_us = (-signal.SIGKILL,) if self.killed else ()
        if code is not None and code < 0 and code not in by_us:
            name = signal.Signals(-code).name
            raise AssertionError(f"{self.name} died of {name}")

    def end(self):
        if self.process is None:
            return              # it never started
        if self.alive():
            self.process.kill()
        self.process.wait()
        # A signal may have come while it was being started
        for end in (self.qmp, self.console, *self.ports.values()):
            if end is not None:
                end.close()
