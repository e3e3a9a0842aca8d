# SPDX-License-Identifier: GPL-2.0-or-later
"""What a client does, and what it measures: {"rps":, "p50_ms":, "p99_ms":}.

TIME is the request whose answer differs on two copies of a guest, as any
answer does that holds a date, a random number or a TLS record.
"""

import csv
import io
import select
import shutil
import subprocess
import time

from ftlib import client, guest, netns, wait
from ftlib.redis import Redis, request

LIMIT = 300                     # seconds until a workload counts as stuck
VALUE = b"xxx"                  # as redis-benchmark's


class Stuck(Exception):
    """The client gave up."""


class Workload:
    """`count` requests; of COLO, which is slow, only `few`."""

    def __init__(self, name, count, few):
        self.name = name
        self.count = count
        self.few = few

    def requests(self, subject, scale):
        count = self.few if subject == "COLO" else self.count
        return max(20, int(count * scale))


class RedisLoad(Workload):
    def __init__(self, command, clients, count, few):
        super().__init__(f"{command} x{clients}", count, few)
        self.command = command
        self.clients = clients

    def run(self, count):
        if shutil.which("redis-benchmark"):
            return self._redis_benchmark(count)
        return self._own_client(count)

    def _words(self):
        return ["TIME"] if self.command == "TIME" else [
            "SET", "key:__rand_int__", VALUE.decode()]

    def _redis_benchmark(self, count):
        argv = ["redis-benchmark", "-h", netns.GUEST,
                "-p", str(guest.REDIS_PORT), "-c", str(self.clients),
                "-n", str(count), "--csv", *self._words()]
        try:
            done = subprocess.run(argv, text=True, stdin=subprocess.DEVNULL,
                                  capture_output=True,
                                  timeout=wait.scaled(LIMIT))
        except subprocess.TimeoutExpired:
            raise Stuck(f"{self.name}: no {count} answers in "
                        f"{wait.scaled(LIMIT):g} s") from None
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        if done.returncode or not rows:
            raise Stuck(f"{self.name}: redis-benchmark failed: "
                        f"{done.stderr.strip() or done.stdout.strip()}")
        return {"rps": float(rows[-1]["rps"]),
                "p50_ms": float(rows[-1]["p50_latency_ms"]),
                "p99_ms": float(rows[-1]["p99_latency_ms"])}

    def _own_client(self, count):
        """Where redis-benchmark is missing: slower, but the same for all."""
        links = [Redis() for _ in range(self.clients)]
        try:
            return drive(links, request(*self._words()), count)
        finally:
            for link in links:
                link.close()


def drive(links, message, count):
    """One request in flight on each link until `count` are answered."""
    sent, spent, start = {}, [], time.monotonic()

    def send(link):
        sent[link] = time.monotonic()
        link.sock.sendall(message)

    by_socket = {link.sock: link for link in links}
    for link in links[:count]:
        send(link)
    left = count - len(sent)
    while len(spent) < count:
        ready, _, _ = select.select(list(by_socket), [], [], wait.scaled(30))
        if not ready:
            raise Stuck("no answer from redis")
        for sock in ready:
            link = by_socket[sock]
            link.receive()
            spent.append((time.monotonic() - sent[link]) * 1000)
            if left > 0:
                left -= 1
                send(link)
    return summary(spent, len(spent) / (time.monotonic() - start))


def summary(times_ms, rps):
    return {"rps": rps, "p50_ms": client.percentile(times_ms, 0.5),
            "p99_ms": client.percentile(times_ms, 0.99)}


class PingLoad(Workload):
    """Echo requests one after another, 10 ms between them."""

    def __init__(self, count, few):
        super().__init__("ping", count, few)

    def run(self, count):
        load = client.Ping()
        load.start()
        load.wait_more(count, LIMIT)
        load.stop()
        load.check()
        if not load.round_trips:
            raise Stuck("ping: no answer at all")
        mean = sum(load.round_trips) / len(load.round_trips)
        found = summary(load.round_trips, 1000 / mean)
        return dict(found, lost=load.lost)


TIME_X1 = RedisLoad("TIME", 1, 4000, 60)
ALL = (PingLoad(200, 100), TIME_X1, RedisLoad("TIME", 20, 10000, 600),
       RedisLoad("SET", 20, 10000, 4000))
