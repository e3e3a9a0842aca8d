# SPDX-License-Identifier: GPL-2.0-or-later
"""Loads that are clients on the guest's network.

TIME is the request whose answer differs on two copies of a guest, as any
answer does that holds a date, a random number or a TLS record.
"""

import csv
import io
import json
import re
import subprocess
import time

from ftbench import agent
from ftbench.load import Load, Stuck, patience
from ftlib import client, database, guest, netns, wait

MARGIN = 0.5                    # a run this much too short is good enough


def program(argv, limit, fine=(0,)):
    """What it printed."""
    limit = wait.scaled(limit)
    try:
        done = subprocess.run(argv, text=True, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=limit)
    except subprocess.TimeoutExpired:
        raise Stuck(f"{argv[0]} had not ended after {limit:g} s") from None
    except OSError as why:
        raise Stuck(f"{argv[0]} cannot be run ({why.strerror}): "
                    "scripts/deps bench installs it") from None
    if done.returncode not in fine:
        raise Stuck(f"{argv[0]} failed: "
                    f"{done.stderr.strip() or done.stdout.strip()[-300:]}")
    return done.stdout


class Ping(Load):
    """Echo requests one after another, 10 ms between them."""

    name = "ping"
    unit = "ms"
    lower = True

    def run(self, mode, seconds):
        load = client.Ping()
        load.start()
        time.sleep(seconds)
        load.stop()
        load.check()
        if not load.round_trips:
            raise Stuck("no answer at all")
        times = load.round_trips
        return {"value": client.percentile(times, 0.5), "lost": load.lost,
                "p50_ms": client.percentile(times, 0.5),
                "p99_ms": client.percentile(times, 0.99)}


class RedisBenchmark(Load):
    unit = "requests/s"
    longer = 1.3

    def __init__(self, command, clients):
        self.name = f"{command} x{clients}"
        self.clients = clients
        self.words = {"SET": ["SET", "key:__rand_int__", "xxx"],
                      "GET": ["GET", "key:__rand_int__"],
                      "TIME": ["TIME"]}[command]

    def run(self, mode, seconds):
        """It takes a number of requests, not a time: a short run tells how
        many the next one gets."""
        count = 10 * self.clients
        end = time.monotonic() + patience(seconds)
        while True:
            start = time.monotonic()
            found = self._once(count, end - start)
            spent = time.monotonic() - start
            if spent >= seconds * MARGIN:
                return found
            # Not too many at once: the first are the slowest
            count = int(count * min(10.0, 1.1 * seconds / spent)) + 1

    def _once(self, count, limit):
        said = program(["redis-benchmark", "-h", netns.GUEST,
                        "-p", str(guest.REDIS_PORT), "-c", str(self.clients),
                        "-n", str(count), "--csv", *self.words],
                       max(1, limit))
        rows = list(csv.DictReader(io.StringIO(said)))
        if not rows or not float(rows[-1]["rps"]):
            raise Stuck(f"redis-benchmark told nothing: {said.strip()}")
        return {"value": float(rows[-1]["rps"]), "requests": count,
                "p50_ms": float(rows[-1]["p50_latency_ms"]),
                "p99_ms": float(rows[-1]["p99_latency_ms"])}


class Iperf(Load):
    """One TCP stream.  Its payload repeats: random bytes would differ on two
    copies of the guest, which is not what this is to measure."""

    unit = "Mbit/s"

    def __init__(self, name, *options):
        self.name = f"iperf3 {name}"
        self.options = options

    def run(self, mode, seconds):
        end = wait.until("iperf3 in the guest stays busy",
                         lambda: self._once(seconds), 20, 0.1)
        received = end["sum_received"]["bits_per_second"]
        if not received:
            raise Stuck("nothing was received")
        return {"value": received / 1e6,
                "retransmits": end["sum_sent"].get("retransmits")}

    def _once(self, seconds):
        """How it ended; None while the server is busy with the end of the
        run before this one, listens to nobody yet, or hung up on a client
        that came while it was still putting that run away."""
        said = program(["iperf3", "-c", netns.GUEST, "-J",
                        "-p", str(agent.IPERF_PORT),
                        "-t", str(max(1, round(seconds))),
                        "--connect-timeout", "10000", "--repeating-payload",
                        *self.options], patience(seconds), (0, 1))
        found = json.loads(said)
        if not found["intervals"] and re.search(
                "busy|refused|reset by peer", found.get("error", "")):
            return None
        if "sum_received" not in found["end"]:
            raise Stuck(f"iperf3: {found.get('error', 'told nothing')}")
        return found["end"]


class Pgbench(Load):
    """Its default transaction; fsync is on in the guest.  A short run before
    it warms the server's and the emulator's caches."""

    unit = "transactions/s"
    needs = ("disk",)
    warm_s = 2
    extra_s = Load.extra_s + warm_s + 1

    def __init__(self, clients):
        self.name = f"pgbench x{clients}"
        self.clients = clients

    def run(self, mode, seconds):
        self._pgbench(self.warm_s)
        said = self._pgbench(max(2, round(seconds)))
        rate = re.search(r"^tps = ([\d.]+)", said, re.M)
        mean = re.search(r"^latency average = ([\d.]+) ms", said, re.M)
        if not rate or not float(rate.group(1)):
            raise Stuck(f"no transaction at all: {said}")
        return {"value": float(rate.group(1)),
                "mean_ms": float(mean.group(1)) if mean else None}

    def _pgbench(self, seconds):
        return database.tool(
            "pgbench", "-h", netns.GUEST, "-U", "postgres", "-n",
            "-c", str(self.clients), "-j", "2", "-T", str(seconds),
            "postgres", timeout=patience(seconds))
