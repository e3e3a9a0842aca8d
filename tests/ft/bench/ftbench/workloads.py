# SPDX-License-Identifier: GPL-2.0-or-later
"""Which loads there are.

A load (load.py) runs for about as long as it is told and returns its
figures: `value` in `unit`, and what else its client tells.  `lower` says that
a low value is the good one; a ratio is always one of speeds.
"""

from ftbench import clients, jobs, takeover

DIRTY_RATES = (20, 200)         # MiB/s


def table(dirty_rates=DIRTY_RATES):
    """{name: load}, in the order they run in."""
    loads = [clients.Ping()]
    loads += [clients.RedisBenchmark(command, count)
              for count in (1, 20) for command in ("SET", "GET", "TIME")]
    loads += [clients.Iperf("to guest"), clients.Iperf("from guest", "-R"),
              jobs.Compress(), jobs.Compile()]
    loads += [jobs.Dirty(rate) for rate in sorted(dirty_rates)]
    loads[-1].alias = "dirty hardest"
    loads += [clients.Pgbench(8), jobs.RandomWrites(), takeover.Takeover()]
    return {load.name: load for load in loads}
