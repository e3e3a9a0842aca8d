# SPDX-License-Identifier: GPL-2.0-or-later
"""Loads that check every single reply.

Each runs in a thread over connections it never opens again: a connection that
closes is an error, exactly as it would be for a user.
"""

import math
import random
import select
import socket
import statistics
import struct
import threading
import time

from ftlib import netns, wait
from ftlib.redis import Redis, RedisError, request


def percentile(values, share):
    """The nearest rank: so many of the values are not above it."""
    values = sorted(values)
    return values[max(0, math.ceil(len(values) * share) - 1)]


def outage_at(times, moment):
    """The silence (ms) that began last before or around `moment`."""
    gaps = [b - a for a, b in zip(times, times[1:])
            if a <= moment + 0.5 and b >= moment]
    return max(gaps, default=0.0) * 1000


class Load(threading.Thread):
    """step() does one request and raises when the reply is wrong."""

    def __init__(self, name):
        super().__init__(name=name, daemon=True)
        self.times = []             # of each reply
        self.error = None
        self.stopping = False
        self.progress = threading.Condition()
        self.busy = threading.Lock()

    def open(self):
        raise NotImplementedError

    def step(self):
        raise NotImplementedError

    def close(self):
        raise NotImplementedError

    def start(self):
        self.open()
        super().start()
        return self

    def run(self):
        try:
            while not self.stopping:
                with self.busy:
                    self.step()
                self.replied()
        except (OSError, RedisError) as why:
            self.error = (f"{self.name}: {type(why).__name__} after "
                          f"{len(self.times)} replies: {why}")
        with self.progress:
            self.progress.notify_all()

    def silent(self):
        """With it: no request is under way, and none is made."""
        return self.busy

    def replied(self):
        with self.progress:
            self.times.append(time.monotonic())
            self.progress.notify_all()

    @property
    def count(self):
        return len(self.times)

    def check(self):
        if self.error:
            raise AssertionError(self.error)

    def wait_more(self, replies, timeout=60):
        """Until `replies` more have come, each one right."""
        target = self.count + replies
        wait.on(self.progress, f"{self.name}: no {replies} more replies",
                lambda: self.error or self.count >= target, timeout)
        self.check()

    def stop(self):
        """Finish the request under way, then report."""
        self.stopping = True
        self.join(wait.scaled(30))
        if self.is_alive() and not self.error:
            self.error = f"{self.name}: the last request was never answered"
        self.close()
        return self

    def worst_gap(self, since=None, until=None):
        """(longest silence in ms, when it began); the outage a client saw."""
        times = [t for t in list(self.times)
                 if (since is None or t >= since)
                 and (until is None or t <= until)]
        gaps = [(b - a, a) for a, b in zip(times, times[1:])]
        if not gaps:
            return 0.0, None
        gap, start = max(gaps)
        return gap * 1000, start

    def outage_at(self, moment):
        return outage_at(list(self.times), moment)


class Counter(Load):
    """INCR over ONE connection: each reply is the one before plus one.

    A lost, repeated or rolled back request shows as a wrong number.
    """

    def __init__(self, key="counter", address=None):
        super().__init__("counter")
        self.key = key
        self.address = address
        self.last = None
        self.lost = 0
        self.duplicates = 0

    def open(self):
        self.redis = Redis(self.address) if self.address else Redis()
        self.last = self.redis.call("INCR", self.key)

    def step(self):
        value = self.redis.call("INCR", self.key)
        if value != self.last + 1:
            if isinstance(value, int):
                self.lost = max(0, self.last + 1 - value)
                self.duplicates = max(0, value - self.last - 1)
            raise RedisError(f"INCR gave {value} after {self.last}")
        self.last = value

    def close(self):
        self.redis.close()


class Times(Load):
    """TIME over one connection: the guest's clock never goes back."""

    def __init__(self):
        super().__init__("times")
        self.last = 0.0

    def open(self):
        self.redis = Redis()

    def step(self):
        seconds, micros = self.redis.call("TIME")
        now = int(seconds) + int(micros) / 1e6
        if now < self.last:
            raise RedisError(f"the clock went back by {self.last - now:.6f} s")
        self.last = now

    def close(self):
        self.redis.close()


class Writer:
    """One connection of Writes, one request in flight."""

    def __init__(self, number, rng, keys, size):
        self.redis = Redis()
        self.redis.sock.setblocking(False)
        self.number, self.rng, self.keys, self.size = number, rng, keys, size
        self.acknowledged = {}
        self.pending = None
        self.buffer = b""

    def fileno(self):
        return self.redis.sock.fileno()

    def send(self):
        key = f"w{self.number}:{self.rng.randrange(self.keys)}"
        value = self.rng.getrandbits(8 * self.size).to_bytes(self.size, "big")
        self.pending = (key, value)
        self.redis.sock.sendall(request("SET", key, value))

    def receive(self):
        """True once the reply is complete."""
        data = self.redis.sock.recv(4096)
        if not data:
            raise ConnectionError("the server closed the connection")
        self.buffer += data
        if not self.buffer.endswith(b"\r\n"):
            return False
        if self.buffer != b"+OK\r\n":
            raise RedisError(f"SET gave {self.buffer!r}")
        self.buffer = b""
        key, value = self.pending
        self.acknowledged[key] = value
        self.pending = None
        return True

    def verify(self):
        """Every write that was acknowledged is still there."""
        self.redis.sock.settimeout(wait.scaled(30))
        for key, value in self.acknowledged.items():
            if self.redis.call("GET", key) != value:
                raise RedisError(f"the acknowledged value of {key} is lost")


class Writes(Load):
    """SET of random values over many connections at once."""

    def __init__(self, connections=20, keys=50, size=512, seed=1):
        super().__init__("writes")
        self.make = (connections, keys, size, seed)
        self.writers = []

    def open(self):
        connections, keys, size, seed = self.make
        rng = random.Random(seed)
        self.writers = [Writer(i, rng, keys, size)
                        for i in range(connections)]
        for writer in self.writers:
            writer.send()

    def run(self):
        try:
            while not self.stopping or self._pending():
                self._round()
            for writer in self.writers:
                writer.verify()
        except (OSError, RedisError) as why:
            self.error = f"writes: after {self.count} replies: {why}"
        with self.progress:
            self.progress.notify_all()

    def _pending(self):
        return [w for w in self.writers if w.pending]

    def _round(self):
        ready, _, _ = select.select(self._pending(), [], [], wait.scaled(30))
        if not ready:
            raise RedisError("no reply to any SET")
        for writer in ready:
            if writer.receive():
                self.replied()
                if not self.stopping:
                    writer.send()

    def close(self):
        for writer in self.writers:
            writer.redis.close()


def checksum(data):
    words = struct.unpack(f"!{len(data) // 2}H", data)
    total = sum(words)
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


class Ping(Load):
    """Echo requests; a lost one is allowed, a wrong one is not."""

    def __init__(self, target=netns.GUEST, patience=1.0, pace=0.01):
        super().__init__("ping")
        self.pace = pace
        self.target = target
        self.patience = patience
        self.sequence = 0
        self.lost = 0
        self.round_trips = []

    def open(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_RAW,
                                  socket.IPPROTO_ICMP)

    def step(self):
        select.select([], [], [], self.pace)
        self.sequence = (self.sequence + 1) & 0xffff
        sent = time.monotonic()
        head = struct.pack("!BBHHH", 8, 0, 0, 0x4654, self.sequence)
        packet = struct.pack("!BBHHH", 8, 0, checksum(head), 0x4654,
                             self.sequence)
        self.sock.sendto(packet, (self.target, 0))
        while True:
            left = sent + self.patience - time.monotonic()
            if left <= 0:
                self.lost += 1
                return
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(256)
            except socket.timeout:
                continue
            reply = data[(data[0] & 15) * 4:]
            if reply[:1] == b"\0" and reply[4:8] == packet[4:8]:
                self.round_trips.append((time.monotonic() - sent) * 1000)
                return

    def close(self):
        self.sock.close()

    def median_ms(self):
        return statistics.median(self.round_trips or [0.0])
