# SPDX-License-Identifier: GPL-2.0-or-later
"""Plays cells of the partition matrix, one after the other on one guest.

    python3 play.py FOLDER ARBITER CELL...

has to be started in a network namespace of its own (run does) and prints one
line for each cell.  ARBITER is etcd, or none to see two actors.  The guest pings the client twenty times a second by itself, so there is always
output that a copy which wakes up might let go, and writes to its disk.

Each cell: bring the pair to its moment; cut and break; watch for as long as
decisions take; mend; watch again; judge what the capture holds.  What is left
of the pair is used for the next cell.
"""

import calendar
import os
import pathlib
import signal
import socket
import sys
import time
import uuid

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib"), str(HERE)]

import cells                                                 # noqa: E402
from ftlib import capture, disks, netns, nodes        # noqa: E402
from ftlib import qmp, stamps, vm, wait                      # noqa: E402
from ftlib.guestsh import sh                                 # noqa: E402

TIMEOUT = 0.5                   # s, the key of that name
KEYS = f"timeout={TIMEOUT * 1000:.0f},stamp=on,self-check=20"
# By then a copy that may not act is silent: its lease has ended
GRACE = 3 * TIMEOUT
# How long cells with nothing to wait for are watched
WATCH = GRACE + 1.0
# An actor has to be found within (s): detection, and some tries to ask
DECIDED = 12
RECOVERED = 25
STEADY = 10                     # frames that make an actor
SLOW_COPY = {"bps_read": 1 << 20}
SLOW_DISK = {"iops_write": 3}
DISK_MIB = 16
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
ETCD_PORT = 2379
GUEST_WORK = ("dd if=/dev/urandom of=/tmp/r bs=4k count=1; n=0; "
              "(ping -q -i 0.05 {client} & while :; do dd if=/tmp/r "
              "of=/dev/vda bs=4k count=1 seek=$((n % 1000)) conv=notrunc,fsync; "
              "n=$((n + 1)); usleep 200000; done) >/dev/null 2>&1 </dev/null &")


class Bad(Exception):
    """What is wrong with this cell."""


class Result:
    def __init__(self, cell):
        self.cell = cell
        self.name = cells.name(cell)
        self.problems = []
        self.seconds = self.silence = 0.0
        self.actors = []

    def line(self):
        verdict = "FAIL" if self.problems else "ok"
        actors = " ".join(f"{side.split('-')[1]}:{generation}"
                          for side, generation in self.actors) or "nobody"
        text = (f"{verdict:4} {self.name} {self.seconds:.1f} s, {actors}, "
                f"silent {self.silence * 1000:.0f} ms")
        return "  ".join([text, *self.problems])


class Arbiter:
    """An etcd on the third host; its data outlive its process."""

    def __init__(self, node, folder):
        self.node = node
        url = f"http://{nodes.address(nodes.ARBITER)}:{ETCD_PORT}"
        self.url = url.replace("http", "etcd") + "/ft"
        self.daemon = nodes.Daemon(node, [
            "etcd", "--data-dir", str(folder / "etcd"), "--log-level", "warn",
            "--listen-client-urls", url, "--advertise-client-urls", url,
            "--listen-peer-urls", "http://127.0.0.1:0",
            # Its folder may be on a busy disk; nothing here tests etcd
            "--heartbeat-interval", "200", "--election-timeout", "2000"],
            folder / "etcd.log")
        self.start()

    def start(self):
        self.daemon.start()
        wait.until("etcd does not listen",
                   lambda: self.node.listening(ETCD_PORT))

    def mend(self):
        if not self.daemon.alive():
            self.start()
        self.daemon.signal(signal.SIGCONT)


class Machine:
    """One VM and whoever runs it, from its first start to its end."""

    def __init__(self, stage, clock):
        self.stage, self.clock = stage, clock
        self.folder = stage.folder
        self.capture = stamps.Capture()
        self.judge = self.capture.judge
        self.disk = disks.Disk(self.folder, size=DISK_MIB, throttled=True)
        for host in (nodes.FIRST, nodes.SECOND):
            self.set_clock(host, "+0")
            path = self.folder / f"host{host}-d0.raw"
            path.unlink(missing_ok=True)
        # So that a first copy has something to read
        self.disk.image(f"host{nodes.FIRST}").write_bytes(
            os.urandom(DISK_MIB << 20))
        self.pair = nodes.NodePair(
            self.folder, stage.network, keys=KEYS, disks=[self.disk],
            on_tap=self.capture.add, env=self.environment,
            host_keys=stage.arbiter_keys,
            parameters="ft.mode=none", prefix=stage.next_prefix(),
            extra=["-uuid", str(uuid.uuid4())])

    def clock_file(self, host):
        return self.folder / f"clock{host}"

    def set_clock(self, host, offset):
        self.clock_file(host).write_text(offset + "\n")

    def environment(self, host):
        if not self.clock:
            return {}
        return {"LD_PRELOAD": FAKETIME, "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_TIMESTAMP_FILE": str(self.clock_file(host)),
                "FAKETIME_CACHE_DURATION": "1"}

    def boot(self):
        primary = self.pair.start_primary()
        primary.qmp.permit("FT_FAILOVER")
        primary.wait_ready()
        sh(primary, GUEST_WORK.format(client=netns.CLIENT))

    def listen(self):
        """S begins to wait for its copy; P looks for it at once."""
        host = 3 - self.host("P")
        secondary = self.pair.start_secondary(host)
        secondary.qmp.permit("FT_FAILOVER")
        try:
            self.pair.primary.command(
                "ft-start", {"peer": self.pair.peer_address(self.host("P"))})
        except qmp.QmpError:
            pass                # it has found its peer already

    def host(self, letter):
        if letter == "A":
            return nodes.ARBITER
        qemu = self.pair.primary if letter == "P" else self.pair.secondary
        return self.pair.host_of[qemu.name]

    def end(self):
        self.pair.end()
        self.capture.end()


def query(qemu):
    """query-ft, or {} when it is dead."""
    try:
        return qemu.command("query-ft")
    except (qmp.Gone, qmp.QmpError):
        return {}


def runs(qemu):
    """Does this copy of the guest run, or could it any moment?"""
    if not qemu.alive():
        return False
    try:
        return (qemu.command("query-status")["running"] and
                query(qemu).get("role") == "primary")
    except (qmp.Gone, qmp.QmpError):
        return False


def host_time(qemu):
    """What it takes for the time of day (s); its emulated RTC follows."""
    now = qemu.command("qom-get", {"path": "/machine", "property": "rtc-time"})
    return calendar.timegm([now[f"tm_{part}"] + more for part, more in (
        ("year", 1900), ("mon", 1), ("mday", 0), ("hour", 0), ("min", 0),
        ("sec", 0))])


def undecided(qemu):
    return query(qemu).get("arbiter", {}).get("asking")


class Stage:
    """The hosts; one VM at a time on them."""

    def __init__(self, folder, arbiter):
        self.folder = pathlib.Path(folder)
        netns.up()
        netns.bridge_up()
        self.network = nodes.Network()
        self.arbiter = self.machine = None
        self.prefixes = 0
        if arbiter == "etcd":
            self.arbiter = Arbiter(self.network.nodes[nodes.ARBITER],
                                   self.folder)

    def arbiter_keys(self, host):
        return self.arbiter and f"arbiter={self.arbiter.url},host=h{host}"

    def next_prefix(self):
        self.prefixes += 1
        return f"vm{self.prefixes}-"

    def discard(self):
        if self.machine:
            self.machine.end()
            self.machine = None

    def end(self):
        self.discard()
        if self.arbiter:
            self.arbiter.daemon.end()
        self.network.end()

    # to the moment

    def fresh(self, clock):
        self.discard()
        self.machine = Machine(self, clock)
        self.machine.boot()

    def protect(self, clock):
        """A protected pair: the last one, if it can be, or a new one."""
        if self.machine and self.machine.clock != clock:
            self.discard()
        if not self.machine or not self.actor():
            self.fresh(clock)
        pair = self.machine.pair
        pair.primary = self.actor()
        for qemu in pair.living():
            if qemu not in (pair.primary, pair.secondary):
                qemu.kill()
        if not self.healthy(pair):
            if pair.secondary and pair.secondary is not pair.primary and \
                    pair.secondary.alive():
                pair.secondary.kill()
            self.machine.listen()
        pair.wait_protected()
        pair.wait_epochs(2)

    def actor(self):
        found = [q for q in self.machine.pair.living() if runs(q)]
        return found[0] if len(found) == 1 else None

    @staticmethod
    def healthy(pair):
        return (pair.secondary not in (None, pair.primary) and
                query(pair.secondary).get("state") == "protected" and
                query(pair.primary).get("state") == "protected")

    def begin_copy(self):
        """S has begun to get a copy, and will not be done soon."""
        pair = self.machine.pair
        self.machine.disk.throttle(pair.primary, **SLOW_COPY)
        self.machine.listen()
        pair.wait_state("syncing")
        pair.wait_state("syncing", pair.secondary)

    def reach(self, cell):
        clock = cell.fault.startswith("clock")
        if cell.moment == "first-copy":
            self.fresh(clock)
            self.begin_copy()
            return
        self.protect(clock)
        pair = self.machine.pair
        if cell.moment == "resync":
            pair.kill_primary()
            pair.wait_takeover()
            pair.promote()
            wait.until("the survivor does not run", lambda: self.actor())
            self.begin_copy()
        elif cell.moment == "takeover":
            self.set_cuts(cells.both_ways(*"PSA"))
            wait.until("S does not try to take over",
                       lambda: undecided(pair.secondary))
            wait.until("P does not notice that S is lost",
                       lambda: undecided(pair.primary))

    # the fault

    def set_cuts(self, cuts):
        where = {letter: self.machine.host(letter) for letter in "PSA"}
        self.network.set_cuts({(where[x], where[y]) for x, y in cuts})

    def victim(self, letter):
        pair = self.machine.pair
        return pair.primary if letter == "P" else pair.secondary

    def strike(self, fault):
        kind, _, letter = fault.partition("-")
        if letter == "A" and self.arbiter:
            self.arbiter.daemon.signal(signal.SIGKILL if kind == "crash" else
                                       signal.SIGSTOP)
        elif letter == "A" or kind == "none":
            pass
        elif kind == "crash":
            self.victim(letter).kill()
        elif kind == "stop":
            self.victim(letter).stop_process()
        elif kind == "clock":
            before = host_time(self.victim(letter))
            self.machine.set_clock(self.machine.host(letter), "+1h")
            wait.until("QEMU does not see that the clock has jumped", lambda:
                       host_time(self.victim(letter)) - before > 3000)
        elif kind == "disk":
            self.machine.disk.throttle(self.victim(letter), **SLOW_DISK)

    def mend(self, cell):
        kind, _, letter = cell.fault.partition("-")
        if self.arbiter:
            self.arbiter.mend()
        for qemu in self.machine.pair.living():
            if kind == "stop" and qemu is self.victim(letter):
                qemu.continue_process()
            try:
                self.machine.disk.throttle(qemu)
            except qmp.Gone:
                pass            # it has just ended
        if kind == "clock":
            self.machine.set_clock(self.machine.host(letter), "+0")
        self.network.heal()

    # what is seen

    def acted(self, since, enough=STEADY):
        self.machine.capture.settle(stamps.LATE)
        return len(self.machine.judge.between(since)) >= enough

    def watch(self, until):
        wait.until("", lambda: self.machine.capture.now() >= until, 60, 0.02)

    def must_act(self, since, seconds, what, problems):
        try:
            wait.until("", lambda: self.acted(since), seconds, 0.05)
        except wait.Timeout:
            problems.append(f"nobody acts {what}")

    def check_mute(self, cell, since, until, problems):
        for letter in sorted(cells.expected(cell).mute):
            qemu = self.victim(letter)
            late = [e for e in self.machine.judge.between(since, until)
                    if e.side == qemu.name]
            if late:
                problems.append(
                    f"{letter} ({qemu.name}) lets out {len(late)} frames that "
                    f"it may not, the last {late[-1].at - since:.2f} s after "
                    "it had to be silent")

    def check_end(self, problems):
        """At most one copy runs, and the guest answers."""
        pair = self.machine.pair
        try:
            wait.until("", lambda: sum(map(runs, pair.living())) <= 1, 10,
                       0.05)
        except wait.Timeout:
            problems.append("more than one copy of the guest runs in the end")
        for qemu in pair.living():
            try:
                qemu.check()
            except AssertionError as why:
                problems.append(str(why))

    def answers(self):
        with socket.socket(socket.AF_INET, socket.SOCK_RAW,
                           socket.IPPROTO_ICMP) as sock:
            sock.settimeout(0.5)
            capture.ping([1])
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                try:
                    data = sock.recv(256)
                except TimeoutError:
                    return False
                if capture.echo_reply(bytes(12) + b"\x08\x00" + data) == 1:
                    return True
        return False

    def play(self, cell):
        result = Result(cell)
        began = time.monotonic()
        try:
            self.reach(cell)
            self.judge(cell, result)
        except (wait.Timeout, vm.Refused, qmp.Gone, qmp.QmpError,
                AssertionError, OSError) as why:
            result.problems.append(f"{type(why).__name__}: {why}")
        result.seconds = time.monotonic() - began
        if result.problems:
            self.discard()
        return result

    def judge(self, cell, result):
        machine, wanted = self.machine, cells.expected(cell)
        judge, now = machine.judge, machine.capture.now
        seen = len(judge.violations)
        struck = now()
        if cell.moment == "takeover":
            # While it is undecided; then what the cell leaves is mended
            self.strike(cell.fault)
            self.set_cuts(cell.cuts)
        else:
            # A host that loses its links with its power says nothing
            self.set_cuts(cell.cuts)
            self.strike(cell.fault)
        in_force = now()
        if wanted.must:
            self.must_act(in_force + GRACE, DECIDED, "during the fault",
                          result.problems)
        self.watch(in_force + WATCH)
        mended = now()
        self.mend(cell)
        if wanted.must_after:
            self.must_act(now(), RECOVERED, "after all was mended",
                          result.problems)
            try:
                wait.until("", self.answers, 10)
            except wait.Timeout:
                result.problems.append("the guest does not answer")
        self.watch(now() + 2 * TIMEOUT)
        self.check_end(result.problems)
        machine.capture.settle()
        self.check_mute(cell, in_force + GRACE, mended, result.problems)
        result.problems += [text for _, text in judge.violations[seen:][:3]]
        lost = machine.capture.lost()
        if lost:
            result.problems.append(f"the capture lost {lost} frames")
        result.actors = judge.actors(struck)
        result.silence = judge.silence(struck, now())


def main(folder, arbiter, *names):
    known = cells.by_name()
    failed = 0
    stage = Stage(folder, arbiter)
    try:
        for name in names:
            result = stage.play(known[name])
            failed += bool(result.problems)
            print(result.line(), flush=True)
    finally:
        stage.end()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
