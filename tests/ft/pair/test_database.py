# SPDX-License-Identifier: GPL-2.0-or-later
"""PostgreSQL on a mirrored disk: no acknowledged commit is ever lost."""

import signal

from ftlib import database, disks
from ftlib.case import cases, limit, long
from ftlib.database import Bank


def bank_pair(t, keys="timeout=2000", **options):
    why = database.missing()
    t.skip_unless(why is None, why)
    disk = database.data_disk(t.folder, **options)
    pair = t.pair(memory=database.MEMORY, keys=keys,
                  disks=[disk, database.Tools()])
    pair.start_secondary()
    pair.start_primary()
    pair.wait_ready()
    database.start(pair.primary, disk)
    pair.wait_protected(timeout=90)
    return pair, disk


def boot_alone(t, pair, disk, side):
    """Start from one image, as after a loss of power; the server recovers."""
    for qemu in pair.living():
        qemu.kill(signal.SIGKILL)
        qemu.wait_exit()
    disk.of = {"alone": side}
    alone = pair.start_alone("alone")
    alone.wait_ready()
    database.start(alone, disk)
    return alone


SHARED = dict(keys="timeout=2000,shared=on", shared=True)


@long("primary-shared", "secondary-shared")
@cases("primary", "secondary", "primary-shared", "secondary-shared")
@limit(400)
def test_killed(t, case):
    """A kill, then the loss of power on what is left: all is there."""
    side, _, shared = case.partition("-")
    pair, disk = bank_pair(t, **SHARED if shared else {})
    bank = Bank(tellers=4).start()
    bank.wait_more(60)
    if side == "primary":
        pair.kill_primary()
        pair.wait_takeover()
        left = pair.secondary
    else:
        pair.secondary.kill()
        pair.wait_state("unprotected")
        left = pair.primary
    bank.wait_more(60)
    bank.stop()
    t.say(f"{bank.audit()} transfers")
    bank.close()
    boot_alone(t, pair, disk, left.name)
    bank.audit()
    database.amcheck()


@long("primary")
@cases("primary", "secondary", "shared")
@limit(400)
def test_power_loss(t, side):
    """Both hosts lose power at once; what was never flushed is thrown away,
    or part of it.  Either image has every acknowledged transfer.

    The secondary's disk is slow, so that its image is behind; a shared one
    is, so that writes are held for long.
    """
    if side == "shared":
        pair, disk = bank_pair(t, logged=True, slow={"primary": 15}, **SHARED)
        side = "primary"
    else:
        pair, disk = bank_pair(t, logged=True, slow={"secondary": 15})
    bank = Bank(tellers=4).start()
    bank.wait_more(100)
    for qemu in (pair.primary, pair.secondary):
        qemu.stop_process()
    for qemu in (pair.primary, pair.secondary):
        qemu.kill()
    bank.halt()
    total, flushed, kept, dropped = disk.power_loss(side, seed=1)
    t.say(f"{total} writes, {flushed} up to the last flush; of the others "
          f"{kept} kept, {dropped} lost")
    boot_alone(t, pair, disk, side)
    t.say(f"{bank.audit(exact=False)} transfers")
    database.amcheck()


@limit(500)
def test_alternating(t):
    """One guest, one connection: each side is killed in turn, and comes back
    with its old image."""
    pair, disk = bank_pair(t)
    bank = Bank(tellers=4).start()
    bank.wait_more(40)
    disk.of = {}
    for moment in range(3):
        dead = pair.primary.name
        pair.kill_primary()
        pair.wait_takeover()
        bank.wait_more(20)

        def come_back():
            disk.of[pair.next_name("secondary")] = dead
            pair.start_secondary(port=pair.port + 1)

        pair.protect_again(come_back)
        bank.wait_more(20)
    bank.stop()
    t.say(f"{bank.audit()} transfers")
    database.amcheck()
    bank.close()
    database.stop(pair.primary)
    images = [pair.primary.name, pair.secondary.name]
    pair.primary.command("quit")
    for qemu in (pair.primary, pair.secondary):
        qemu.wait_exit()
    disks.compare(disk, *images)
    disks.run("e2fsck", "-fn", str(disk.image(images[0])))
