# SPDX-License-Identifier: GPL-2.0-or-later
"""A primary and a secondary with the same machine, and a network."""

import contextlib
import os
import pathlib
import re
import signal
import time

from ftlib import booted, guest, netns, wait
from ftlib.qmp import Gone, QmpError
from ftlib.vm import Qemu, Refused

MAC = "52:54:00:77:00:02"
PORT = 7700


def nic_device(model, mac=MAC):
    return ["-device", f"{model},netdev=net0,mac={mac}"]


def tap_netdev(tap, name="net0", keys=""):
    return f"tap,id={name},ifname={tap},script=no,downscript=no{keys}"


def plain_tap(number):
    tap = f"tap{number}"
    netns.add_tap(tap)
    return tap_netdev(tap), tap


# Below some 120 the guest's kernel cannot unpack its initramfs; MiB
MEMORY = 144


def machine(memory=MEMORY, smp=1, model="pc", extra=()):
    return ["-machine", model, "-accel", "tcg", "-cpu", "max",
            "-m", str(memory), "-smp", str(smp), *extra]


def without_uuid(options):
    """It is in no state of the machine."""
    if "-uuid" not in options:
        return options
    at = options.index("-uuid")
    return options[:at] + options[at + 2:]


# Four QEMUs share two cores here, where a thread that only wants to send a
# beat can wait for 0.2 s; death itself is noticed by the end of the
# connection.  Tests of the time-out set their own.
KEYS = "self-check=1,timeout=2000"


class Pair:
    """Options are those of the machine both sides share; `keys` is what
    follows the address in -ft-peer and -ft-listen; `boot` replaces the test
    guest's kernel; `fresh`: it is to boot, and not to come from booted.py.

    start() brings up everything.  A test that wants another order calls
    start_secondary(), start_primary(), wait_ready() and wait_protected()
    itself: a primary without a peer runs on and redials.  Several pairs at once
    differ in `mac`, `address`, the taps of `backend` and the attribute `port`.
    """

    def __init__(self, folder, memory=MEMORY, smp=1, nic="virtio-net-pci",
                 model="pc", keys=KEYS, extra=(), parameters="",
                 user_net=False, backend=None, ports=(), disks=(), mac=MAC,
                 address=netns.GUEST, boot=None, fresh=False):
        self.folder = folder
        self.disks = disks
        self.keys = keys
        self.user_net = user_net
        self.nic, self.mac = nic, mac
        self.address = address
        self.backend = backend or plain_tap     # (netdev, tap) from a number
        self.ports = ports
        self.machine = machine(memory, smp, model, extra)
        self.fresh = fresh or boot is not None or ports
        self.boot = boot if boot is not None else guest.boot_args(
            parameters, "10.0.2.15/24" if user_net else
            f"{address}/{netns.PREFIX}")
        self.primary = None
        self.secondary = None
        self.all = []
        self.forwards = {}
        self.port = PORT
        self.enter = []             # put before the next QEMU's command
        self.took_over = None       # the FT_FAILOVER event
        self.told = {}              # where to look for the next one
        netns.up()
        if not user_net:
            netns.bridge_up()

    # one side

    def _backend(self, name):
        if not self.user_net:
            return self.backend(len(self.all))
        port = netns.free_port()
        self.forwards[name] = ("127.0.0.1", port)
        return (f"user,id=net0,hostfwd=tcp:127.0.0.1:{port}-:"
                f"{guest.REDIS_PORT}"), None

    def next_name(self, role):
        """Of the next QEMU that is started as `role`."""
        return role if not any(q.name == role for q in self.all) else \
            f"{role}{len(self.all)}"

    def _args(self, name, backend):
        return [*self.boot, "-netdev", backend,
                *nic_device(self.nic, self.mac),
                *(a for d in self.disks for a in d.args(name))]

    @contextlib.contextmanager
    def _alone(self, extra):
        """Its guest, for booted.py."""
        backend, tap = self._backend("booted") if self.user_net else \
            plain_tap("-booted")
        qemu = Qemu("booted", [*self.machine, *self._args("booted", backend),
                               *extra], self.folder, tap=tap)
        try:
            yield qemu.start()
        finally:
            qemu.end()
            if tap:
                netns.delete_tap(tap)

    def _saved(self, backend, extra):
        """The arguments that have it booted already, if it can be."""
        kind = backend.partition(",")[0]
        disks = [d.seen() for d in self.disks]
        options = without_uuid([*self.machine, *extra])
        if self.fresh or kind not in ("tap", "user") or "queues=" in backend \
                or "-S" in options or any("/" in o for o in options) \
                or None in disks:
            return []
        state = booted.state((kind, options, self.boot, self.nic, self.mac,
                              disks), lambda: self._alone(extra))
        return ["-incoming", f"file:{state}"] if state else []

    def _start(self, role, ft, env, extra, machine_args=None, binary=None):
        name = self.next_name(role)
        backend, tap = self._backend(name)
        # An arbiter's guest is not let in
        boots = role != "primary" or self.primary or machine_args or \
            binary or any("arbiter=" in word for word in ft)
        saved = [] if boots else self._saved(backend, list(extra))
        qemu = Qemu(name, [*(machine_args or self.machine),
                           *self._args(name, backend), *ft, *extra, *saved],
                    self.folder, env, tap, self.ports, binary=binary)
        qemu.enter = self.enter
        self.all.append(qemu)
        qemu.start()
        qemu.qmp.forbid("FT_FAILOVER")
        if saved:
            qemu.booted = True
            wait.until("the saved guest did not arrive",
                       lambda: self.arrived(qemu))
        return qemu

    def ft_option(self, option, address, keys=None):
        keys = self.keys if keys is None else keys
        return [option, address + ("," + keys if keys else "")]

    def arrived(self, qemu):
        try:
            return qemu.command("query-status")["status"] != "inmigrate" and \
                "by -incoming" not in self.reason(qemu)
        except Gone:
            if qemu.killed:
                return True     # already, by a fault point
            raise Refused(f"{qemu.name}: {qemu.said()}") from None

    def start_secondary(self, fault=None, extra=(), keys=None, port=None,
                        machine_args=None, binary=None):
        self.port = port or self.port
        env = {"QEMU_FT_FAULT": fault} if fault else {}
        ft = self.ft_option("-ft-listen", f"127.0.0.1:{self.port}", keys)
        self.secondary = self._start("secondary", ft, env, extra,
                                     machine_args, binary)
        wait.until(f"nobody listens on port {self.port}",
                   lambda: netns.listening(self.port))
        return self.secondary

    def start_primary(self, fault=None, extra=(), keys=None, port=None,
                      machine_args=None, binary=None):
        env = {"QEMU_FT_FAULT": fault} if fault else {}
        address = f"127.0.0.1:{port or self.port}"
        ft = self.ft_option("-ft-peer", address, keys)
        self.primary = self._start("primary", ft, env, extra, machine_args,
                                   binary)
        return self.primary

    def start_alone(self, name):
        """The same machine as the only one, under the primary's address."""
        return self._start(name, [], {}, ())

    def start(self):
        self.start_secondary()
        self.start_primary()
        self.wait_ready()
        self.wait_protected()
        return self

    # what is seen

    def query(self, qemu=None):
        return (qemu or self.primary).command("query-ft")

    def wait_ready(self):
        self.primary.wait_ready(peers=[q for q in self.living()
                                       if q is not self.primary])

    def wait_state(self, state, qemu=None, timeout=60):
        qemu = qemu or self.primary
        seen = {}

        def probe():
            seen.update(self.query(qemu))
            return seen["state"] == state

        try:
            wait.until("", probe, timeout, 0.02)
        except wait.Timeout:
            raise wait.Timeout(
                f"{qemu.name} is {seen.get('state')} "
                f"({seen.get('reason', 'no reason given')}), not {state}, "
                f"after {wait.scaled(timeout):g} s") from None
        return seen

    def wait_protected(self, timeout=60):
        return self.wait_state("protected", timeout=timeout)

    def wait_epochs(self, count, timeout=60):
        """Until `count` more epochs have been committed."""
        target = self.query()["epoch"] + count
        wait.until(f"no {count} more epochs committed",
                   lambda: self.query()["epoch"] >= target, timeout)

    def client_address(self, qemu):
        return self.forwards.get(qemu.name, (self.address, guest.REDIS_PORT))

    # what happens

    def expect_takeover(self):
        self.secondary.qmp.permit("FT_FAILOVER")

    def kill_primary(self):
        """SIGKILL; returns when, on the clock the client's replies are on."""
        self.expect_takeover()
        moment = time.monotonic()
        self.primary.kill(signal.SIGKILL)
        return moment

    def fill_memory(self, mib):
        """Touch memory that the kernel has to free when the primary dies."""
        console = self.primary.console
        since = console.mark()
        console.send("run mount -o remount,size=95% /tmp; dd if=/dev/zero "
                     f"of=/tmp/fill bs=1M count={mib}; echo memory is filled")
        console.wait_for("^memory is filled", since=since, timeout=120)

    def keepers(self):
        """Processes that share the primary's memory (keeper.c)."""
        pid = self.primary.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
        return [int(word) for word in children.read_text().split()]

    def wait_takeover(self, timeout=30):
        """The secondary is the VM now; returns the FT_FAILOVER event."""
        self.expect_takeover()
        qmp = self.secondary.qmp
        # One that has taken over before has told of that before
        self.took_over = qmp.wait_event("FT_FAILOVER", timeout=timeout,
                                        since=self.told.get(qmp, 0))
        return self.took_over

    def taken_over(self):
        """The event, if this secondary is the VM already and it was waited
        for; else None."""
        if self.secondary.qmp not in self.told or \
                self.query(self.secondary)["role"] != "primary":
            return None
        return self.took_over

    def protect_again(self, secondary):
        """The survivor of a takeover gets a secondary: start_secondary() is
        `secondary`; both swap their roles in this object."""
        self.promote()
        secondary()
        self.primary.command("ft-start",
                             {"peer": f"127.0.0.1:{self.port}"})
        self.wait_protected()

    def promote(self):
        """After a takeover: the old secondary is the primary from now on."""
        self._note_takeover()
        self.primary, self.secondary = self.secondary, None
        return self.primary

    def _note_takeover(self):
        qmp = self.secondary.qmp
        event = qmp.find_event("FT_FAILOVER", since=self.told.get(qmp, 0))
        if event:
            self.told[qmp] = qmp.events.index(event) + 1

    def switch_over(self):
        """ft-switchover; when it was called, and how long it took (ms).  The
        two swap their roles in this object."""
        self.expect_takeover()
        since = time.monotonic()
        self.primary.command("ft-switchover")
        took = 1000 * (time.monotonic() - since)
        self.wait_takeover()
        self._note_takeover()
        self.primary, self.secondary = self.secondary, self.primary
        self.primary.qmp.forbid("FT_FAILOVER")
        return since, took

    # checks

    def check_self(self, qemu=None, some=True):
        """Each epoch was the same on both sides, hash by hash."""
        for one in [qemu] if qemu else self.living():
            found = self.query(one)["self-check"]
            if found["failed"]:
                raise AssertionError(f"{one.name}: self-check failed "
                                     f"{found['failed']} times")
            if some and not found["passed"]:
                raise AssertionError(f"{one.name}: nothing was self-checked")

    def living(self):
        return [q for q in self.all if q.alive()]

    def check(self):
        for qemu in self.all:
            qemu.check()

    def end(self):
        for qemu in self.all:
            qemu.end()
            if qemu.tap:
                netns.delete_tap(qemu.tap)

    def reason(self, qemu=None):
        """Why it is in its state, or "" (also when it is gone)."""
        try:
            return self.query(qemu).get("reason", "")
        except (Gone, QmpError):
            return ""

    def wait_reason(self, pattern, qemu=None, timeout=30):
        """Until the reason matches; asked for, because an event may have
        come before the monitor was there to pass it on."""
        return wait.until(f"no reason like {pattern!r}",
                          lambda: re.search(pattern, self.reason(qemu)) and
                          self.reason(qemu), timeout, 0.05)

    def file(self, name):
        return os.path.join(self.folder, name)
