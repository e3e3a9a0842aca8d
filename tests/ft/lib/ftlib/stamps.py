# SPDX-License-Identifier: GPL-2.0-or-later
"""Who speaks for the guest: frames on the bridge, judged by their stamps.

With stamp=on each frame that a QEMU lets out for its guest follows a frame
of ours with the generation of that QEMU (migration/ft/gate-net.c).  One raw
socket for each tap tells from which side a frame came, the kernel's time
stamps in which order they came.  Judge knows the rules; Capture feeds it.
"""

import select
import socket
import struct
import threading
import time
from collections import namedtuple

ETH_P_ALL = 3
ETHERTYPE = 0x88b5
BUFFER = 16 << 20
OUTGOING = 4                    # PACKET_OUTGOING: on its way to QEMU
SOL_PACKET, PACKET_STATISTICS = 263, 6
SO_TIMESTAMPNS = 35
GENERATION = struct.Struct("!QQ")
REMEMBERED = 1000               # pings
LATE = 0.05                     # a frame may be read so long after it came

# `generation` is that of the stamp before it, `ping` the sequence number when
# it is one that the guest sent by itself
Emission = namedtuple("Emission", "at side generation ping")


def parse(frame):
    """("stamp", generation, counter), ("ping", number) or ("other",)"""
    kind = int.from_bytes(frame[12:14], "big")
    if kind == ETHERTYPE:
        return ("stamp", *GENERATION.unpack_from(frame, 14))
    if kind == 0x0800 and frame[23] == socket.IPPROTO_ICMP:
        body = frame[14 + (frame[14] & 15) * 4:]
        if body[0] == 8:
            return "ping", int.from_bytes(body[6:8], "big")
    return ("other",)


class Judge:
    """Takes frames in the order in which they came; `violations` grows.

    Never two: a generation belongs to one side, and once a frame of one has
    been seen there is none of an older one.  Nothing twice: the guest's own
    pings are numbered, and a number that comes again, or a lower one, means
    that the guest went back behind what the world has seen.  But for the very
    same frame from a survivor, once: it was held when its primary died, for all
    the survivor knew (a ping made again has another time in it).
    """

    def __init__(self):
        self.owner = {}             # generation -> side
        self.newest = 0
        self.stamped = {}           # side -> generation, until its frame
        self.ping = -1
        self.pings = {}             # number -> (generation, frame), of late
        self.emissions = []
        self.violations = []

    def complain(self, at, text):
        self.violations.append((at, text))

    def carried(self, number, generation, frame):
        """A survivor may repeat a frame that its primary had let go."""
        before, same = self.pings.get(number, (generation, None))
        return before < generation and same == frame

    def take(self, at, side, frame):
        what = parse(frame)
        if what[0] == "stamp":
            self.stamped[side] = what[1]
            return
        generation = self.stamped.pop(side, None)
        if generation is None:
            self.complain(at, f"{side} let out a frame without a stamp")
            return
        owner = self.owner.setdefault(generation, side)
        if owner != side:
            self.complain(at, f"two actors: {side} and {owner} both let out "
                          f"frames as generation {generation}")
        if generation < self.newest:
            self.complain(
                at, f"two actors: {side} let out a frame of generation "
                f"{generation} after {self.owner[self.newest]} had begun "
                f"with {self.newest}")
        self.newest = max(self.newest, generation)
        number = what[1] if what[0] == "ping" else None
        if number is not None:
            if number <= self.ping and not self.carried(number, generation,
                                                        frame):
                self.complain(at, f"{side} let out ping {number} after "
                              f"{self.ping}: the guest went back")
            self.ping = max(self.ping, number)
            self.pings[number] = generation, frame
            self.pings.pop(number - REMEMBERED, None)
        self.emissions.append(Emission(at, side, generation, number))

    # what has been seen, between two moments

    def between(self, since, until=float("inf")):
        found = []
        for emission in reversed(self.emissions):
            if emission.at < since:
                break
            if emission.at <= until:
                found.append(emission)
        return found[::-1]

    def actors(self, since, until=float("inf")):
        """[(side, generation)] in the order of their first frames."""
        found = {}
        for e in self.between(since, until):
            found.setdefault((e.side, e.generation))
        return list(found)

    def silence(self, since, until):
        """The longest time (s) without a frame of the guest."""
        times = [since] + [e.at for e in self.between(since, until)] + [until]
        return max(b - a for a, b in zip(times, times[1:]))


class Capture:
    """A thread that shows a Judge all that the taps let out, in order.

    Times are CLOCK_REALTIME in seconds, as the kernel stamps frames; now() is
    on the same clock.
    """

    def __init__(self, judge=None):
        self.judge = judge or Judge()
        self.lock = threading.Condition()
        self.sockets = {}           # side -> socket
        self.held = []              # (at, order, side, frame), not shown yet
        self.order = 0
        self.ending = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    @staticmethod
    def now():
        return time.time()

    def add(self, side, tap):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.setblocking(False)
        sock.bind((tap, ETH_P_ALL))
        with self.lock:
            self.sockets[side] = sock

    def drop(self, side):
        """Its QEMU is gone."""
        self.settle()
        with self.lock:
            self.sockets.pop(side).close()

    def _run(self):
        while not self.ending:
            with self.lock:
                sockets = dict(self.sockets)
            try:
                select.select(list(sockets.values()), [], [], LATE / 5)
            except (OSError, ValueError):
                continue            # one was closed meanwhile
            self.settle(LATE)

    def settle(self, late=0.0):
        """Read all there is and show what is older than `late`."""
        with self.lock:
            for side, sock in self.sockets.items():
                self._read(side, sock)
            limit = self.now() - late
            self.held.sort()
            shown = 0
            for at, _, side, frame in self.held:
                if at > limit:
                    break
                self.judge.take(at, side, frame)
                shown += 1
            del self.held[:shown]
            if shown:
                self.lock.notify_all()

    def _read(self, side, sock):
        while True:
            try:
                frame, extra, _, address = sock.recvmsg(128, 64)
            except OSError:         # nothing more, or its tap is gone
                return
            if address[2] == OUTGOING:
                continue
            at = self.now()
            for level, kind, data in extra:
                if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                    seconds, ns = struct.unpack("qq", data)
                    at = seconds + ns / 1e9
            self.order += 1
            self.held.append((at, self.order, side, frame))

    def lost(self):
        """Frames that came too fast to be read; the judge has to see all."""
        total = 0
        with self.lock:
            for sock in self.sockets.values():
                _, drops = struct.unpack("II", sock.getsockopt(
                    SOL_PACKET, PACKET_STATISTICS, 8))
                total += drops
        return total

    def end(self):
        self.ending = True
        self.thread.join()
        for sock in self.sockets.values():
            sock.close()
        self.sockets = {}
