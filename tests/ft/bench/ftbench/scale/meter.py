# SPDX-License-Identifier: GPL-2.0-or-later
"""What some pairs cost in a window of time, as one flat table of figures.

Processor time is read in nanoseconds: /proc/PID/stat counts in ticks of 10 ms,
and a window holds few of them.  That of the vCPU threads is told apart, since
it is the guest's own work for the most part.
"""

import os
import statistics
import time

from ftbench.measures import wire_bytes
from ftlib.client import percentile

PHASES = ("stop", "device", "harvest", "copy", "resume")
TICKS = os.sysconf("SC_CLK_TCK")
SHARES = ("vcpus", "primary", "secondary")
BESIDE = 1 / 3                  # how long each comparison is
PROCESS_CLOCK = 2               # what is below the pid in a clock's number


def process_seconds(pid):
    return time.clock_gettime_ns((~pid << 3) | PROCESS_CLOCK) / 1e9


def thread_seconds(pid, thread):
    with open(f"/proc/{pid}/task/{thread}/schedstat") as stat:
        return int(stat.read().split()[0]) / 1e9


def memory_mib(pid):
    """(RSS, PSS); its keeper shares all of it, and is not counted."""
    found = {}
    with open(f"/proc/{pid}/smaps_rollup") as table:
        for line in table:
            words = line.split()
            if words[0] in ("Rss:", "Pss:"):
                found[words[0]] = int(words[1]) / 1024
    return found["Rss:"], found["Pss:"]


def machine_seconds():
    """(busy, taken by others than this machine) of all its processors."""
    with open("/proc/stat") as stat:
        words = [int(w) for w in stat.readline().split()[1:]]
    user, nice, system, _, _, hard, soft, steal = words[:8]
    return ((user + nice + system + hard + soft) / TICKS, steal / TICKS)


class Sample:
    """Counters of one moment; `protected` ones have counters of their own."""

    def __init__(self, members, protected):
        self.at = time.monotonic()
        self.machine = machine_seconds()
        self.wire = wire_bytes()
        self.cpu = [self._cpu(m) for m in members]
        self.ft = [m.ft() for m in members] if protected else []

    @staticmethod
    def _cpu(member):
        """(vCPUs, the rest of the primary, the secondary)"""
        pid = member.primary.process.pid
        vcpus = sum(thread_seconds(pid, one["thread-id"])
                    for one in member.primary.command("query-cpus-fast"))
        return (vcpus, process_seconds(pid) - vcpus,
                process_seconds(member.secondary.process.pid))


def processor(before, after, seconds):
    """Of a pair, on average."""
    rates = [[(b - a) / seconds for a, b in zip(one, two)]
             for one, two in zip(before.cpu, after.cpu)]
    return {f"cpu_{name}": statistics.mean(column) for name, column in
            zip(SHARES, zip(*rates))}


def epochs(before, after, seconds):
    """Means over the pairs, but medians of their percentiles."""
    made = [b["epoch"] - a["epoch"] for a, b in zip(before.ft, after.ft)]
    sent = [b["bytes-sent"] - a["bytes-sent"]
            for a, b in zip(before.ft, after.ft)]
    found = {"epochs_s": statistics.mean(made) / seconds,
             "sent_s": statistics.mean(sent) / seconds,
             "sent_epoch": sum(sent) / max(1, sum(made))}

    def middle(what, share):
        return statistics.median(info[what][share] for info in after.ft)

    for what, name in (("pause", "pause"), ("ack-latency", "ack"),
                       ("dirty-pages", "pages"), ("epoch-bytes", "bytes")):
        for share in ("p50", "p99"):
            found[f"{name}_{share}"] = middle(what, share)
    for phase in PHASES:
        found[phase] = middle("phases", phase)
    cuts = [info["cuts"] for info in after.ft]
    found["asleep"] = sum(c["without-pause"] for c in cuts) / \
        max(1, sum(c["total"] for c in cuts))
    return found


def memory(members):
    found = {}
    for side in ("primary", "secondary"):
        both = [memory_mib(getattr(m, side).process.pid) for m in members]
        for name, column in zip(("rss", "pss"), zip(*both)):
            found[f"{name}_{side}"] = statistics.mean(column)
    return found


def waits(members, start, end):
    times = [ms for m in members if m.client
             for ms in m.client.waits_between(start, end)]
    return {f"wait_{name}": percentile(times, share)
            for name, share in (("p50", 0.5), ("p99", 0.99))} if times else {}


def window(members, seconds, protected):
    """Figures of `seconds` from now on."""
    before = Sample(members, protected)
    time.sleep(seconds)
    after = Sample(members, protected)
    spent = after.at - before.at
    busy, stolen = ((b - a) / spent for a, b in
                    zip(before.machine, after.machine))
    found = {"seconds": spent, "machine": busy, "stolen": stolen,
             "wire_s": (after.wire - before.wire) / spent / len(members)}
    found.update(processor(before, after, spent))
    if protected:
        found.update(epochs(before, after, spent))
    found.update(memory(members))
    found.update(waits(members, before.at, after.at))
    return found


def plainly(members, seconds):
    """Figures without protection; what they are called begins with plain_."""
    return {f"plain_{name}": value for name, value in
            window(members, seconds, False).items()}


def protect(members):
    for member in members:
        member.protect()
    for member in members:
        member.wait_protected()


def unprotect(members):
    """Nothing has happened to them meanwhile."""
    for member in members:
        member.trouble()
    for member in members:
        member.unprotect()


def compare(plain, found):
    """What protection costs: more processor, and by the epoch.  The sum is
    without the guest's own threads, whose need varies by more than that."""
    if not found["epochs_s"]:
        raise ValueError("no checkpoint was made")
    found.update(plain)
    for name in SHARES:
        more = found[f"cpu_{name}"] - plain[f"plain_cpu_{name}"]
        found[f"more_{name}"] = more
        found[f"epoch_{name}"] = 1e6 * more / found["epochs_s"]   # us
    found["more"] = found["more_primary"] + found["more_secondary"]
    return found


def between(members, seconds, warm):
    """The same load without, with and again without protection: so a machine
    that is getting slower counts for neither."""
    time.sleep(warm)
    before = plainly(members, seconds * BESIDE)
    protect(members)
    time.sleep(warm)
    try:
        found = window(members, seconds, True)
    finally:
        unprotect(members)      # says best what went wrong in the window
    time.sleep(warm)
    after = plainly(members, seconds * BESIDE)
    mean = {name: (before[name] + after[name]) / 2 for name in before}
    # What the guest has touched since then is no cost of protection
    mean.update({name: before[name] for name in before if "ss_" in name})
    return compare(mean, found)
