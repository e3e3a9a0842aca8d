# SPDX-License-Identifier: GPL-2.0-or-later
"""What rack.py says; the figures are filled in."""

HEAD = """<!-- SPDX-License-Identifier: GPL-2.0-or-later -->
<!-- Written by tests/ft/bench/scale; the figures are in scale.json. -->
# A rack: {hosts} hosts with {vms} VMs each

No rack was at hand. This page multiplies what one pair was measured to cost
([scale.md](scale.md)) and says where that may be wrong. It is written by
`tests/ft/bench/scale`; `--hosts`, `--vms` and `--link` say for how many, and
`--from docs/performance/scale.json` writes it again without measuring.

{machine}
"""
LAYOUT = """## Who is where

Each host runs {vms} primaries and keeps {vms} secondaries, those of VMs of
*other* hosts: that of VM *j* of host *i* is on host *i* + *j* (after the last
host comes the first). So the secondaries of a host belong to {others}
different hosts, and none to itself. Pairs know nothing of each other: there is
no coordinator and nothing that {total} VMs share but the links and the
processors (and an arbiter, if there is one, which is asked only when a peer is
lost). So the costs of a host are the sum of those of its {copies}
copies{flat}.
"""
FORMULA = """## With your own numbers

From `query-ft` of a guest of yours, or guessed: *e* epochs a second (`epoch`,
twice), *d* pages in one (`dirty-pages`), *c* bytes that change in a page (what
makes *B* below the `epoch-bytes` there), *M* its memory, *W* the part of that
which it ever writes while protected. The lines are laid through the points in
scale.md; so many microseconds of *this* machine's processor.

| of one pair | |
| --- | --- |
{rows}

| of a host with *V* primaries and *V* secondaries | |
| --- | --- |
| processor, guests apart, cores | *V* (*I* + *e* (*P* + *S*) / 1000000) |
| network, each way, bytes/s | *V* *e* *B* |
| what a reply waits for besides | pause, *A*, *B* / bandwidth, a round trip |
| memory | 2 *V* *M* + *V* *W* + 2 *V* x {fixed} MiB |
"""
EXAMPLE = """\
For example {vms} VMs with *e* = {e}, *d* = {d}, *c* = {c}: *P* = {p} us, *S* =
{s} us, *B* = {b} kB. A host spends {vms} x ({idle} + {e} x ({p} + {s}) /
1000000) = {cores} cores and sends {vms} x {e} x {b} kB = {rate} MB/s, {share}
% of a link of {gbit:g} Gbit/s ({tcp:.0f} % of which is payload).
"""
MEMORY = """## Memory

The secondary holds the guest's memory, what was touched of it. The primary
keeps besides a copy of each page that was ever part of an epoch, to send
differences: *W*, which grows towards *M* with the guest's working set. So plan
with three times the memory of a VM in the worst case, on two hosts, and
between two and three times else. The rest does not depend on the guest's size:
two buffers of `dirty-limit` pages (16 MiB each), and those of the secondary.
Measured, after some seconds of protection, in MiB (PSS; emulation itself needs
much of it for translated code, which a host with KVM does not):

{table}
So {vms} + {vms} copies of VMs of 16 GiB with a working set of a quarter need
{vms} x (2 x 16 + 4) = {gib} GiB, and for what is besides, taken for both sides
as what the primary had more at the most, 2 x {vms} x {each} = {mib} MiB.
"""
DEATH = """## When a host dies

1. Its {vms} primaries: each is taken over by its secondary, on {others}
   different hosts, after `timeout` (500 ms) of silence; of its process alone
   within milliseconds. Each of these hosts runs one guest more: leave room for
   one VM's vCPUs and its epochs.
2. Its {vms} secondaries: their primaries, on {others} hosts, go on unprotected
   after `timeout`.
3. {both} VMs then run without a second copy, and the other {rest} notice
   nothing. A further death before they have one again takes those of them with
   it that run there. Each finds a new secondary among its `peer=` addresses,
   where a cluster manager or systemd has to start one: QEMU-FT does not start
   QEMUs on other hosts.
4. {both} new secondaries on {left} hosts: at most {per_host} more on each,
   with *M* of memory each. So a host needs memory for {copies} copies and
   {per_host}.
5. The first copy: {both} x *M* over the network, at most {per_host} into each
   host and {out} out of each. With 16 GiB to send, that is {per_host} x 16 GiB
   / ({gbit:g} Gbit/s x {tcp:.0f} %) = {copy} s at the least; `sync-rate`
   limits disks only. A mirrored disk is compared, and only what differs is
   sent.

Two hosts at the same moment: a VM is lost only when they are the two of *its*
pair. Of {total} VMs {two} on average for two hosts picked at random: {total} x
2 / ({hosts} x {left}).
"""
HONEST = """## What of this holds for KVM and real links

Measured under QEMU's own emulation (TCG), on loopback, with the clients on the
same processors. Nothing here was measured with KVM.

* **Carries over**: the bytes of an epoch (the same code writes them for the
  same pages); the secondary's work, in which no guest code takes part;
  encoding, sending and saving the device state on the primary, at the speed of
  your processors. That the work for an epoch grows with its pages and hardly
  with memory, and that pairs are independent.
* **Does not**: *vCPUs*, the price of emulation that begins anew after each
  epoch. With KVM a guest pays a page fault, or an entry in a log of the
  processor, for the first write to each page in an epoch. *Harvest*: KVM is
  asked for its log and told to clear it, for each slot of memory; this grows
  with memory and with dirtied pages in another way. The same for *I*: for
  `dirty-limit` the bitmap is looked through every 5 ms under emulation, and
  KVM's log fetched every 20 ms otherwise. *Stop*: here most epochs found the
  guest asleep and stopped nothing; with KVM the vCPUs are always kicked and
  stopped, as *busy* ones are in scale.md, at another price.
* **The loads do not**: a guest under KVM runs many times faster, and writes
  more pages in an epoch for that. Take *e* and *d* from your guest, not from
  here; `dirty-limit` (4096 pages) bounds *d*.
* **Latency**: loopback has no round trip. Add that of your link once to each
  reply.
* **Contention**: {copies} copies on a host also share its memory bandwidth and
  caches. Here, with as many pairs as the table in scale.md says, that is part
  of the figures.
* **Disks**: none here. What guests write to mirrored disks goes over the link
  once more, and the secondary flushes as often as the guest does
  ([performance.md](../performance.md)).
"""
