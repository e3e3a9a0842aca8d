# SPDX-License-Identifier: GPL-2.0-or-later
"""The domains of contrib/libvirt under the real libvirt."""

from ftlib import libvirt
from ftlib.case import assert_equal, limit


def protected_pair(t, paused=False):
    why = libvirt.missing()
    t.skip_unless(why is None, why)
    pair = libvirt.LibvirtPair(t.folder)
    t.pairs.append(pair)
    pair.start_secondary()
    if paused:
        # what virsh start --paused leaves behind: a QEMU that was given -S
        # and never cont
        pair.secondary.command("stop")
    pair.start_primary()
    pair.wait_ready()
    pair.wait_protected()
    t.counter().wait_more(20)
    pair.wait_epochs(5)
    return pair


@limit(240)
def test_killed(t):
    """kill -9 of libvirt's QEMU: the other domain takes over."""
    pair = protected_pair(t)
    t.survive(pair, pair.kill_primary())


@limit(240)
def test_paused_secondary(t):
    """A secondary started with --paused takes over too, and runs."""
    pair = protected_pair(t, paused=True)
    t.survive(pair, pair.kill_primary())


@limit(240)
def test_destroyed(t):
    """virsh destroy is a clean end: no takeover, both are gone."""
    pair = protected_pair(t)
    t.finish_loads()
    t.loads.clear()
    pair.primary.destroy()
    assert_equal(pair.primary.wait_exit(), "destroyed", "the primary's end")
    assert_equal(pair.secondary.wait_exit(), "shutdown",
                 "the secondary's end")
    t.check()
    said = pair.secondary.qemu_log()
    if "has ended the guest" not in said:
        raise AssertionError(f"the secondary ended for another reason: {said}")
