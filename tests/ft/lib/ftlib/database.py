# SPDX-License-Identifier: GPL-2.0-or-later
"""PostgreSQL in the guest, on a mirrored disk, and clients that remember
what it acknowledged."""

import functools
import os
import pathlib
import random
import socket
import subprocess
import threading
import time

from ftlib import client, guest, netns, wait
from ftlib.disks import Disk
from ftlib.guestsh import sh

ACCOUNTS = 100
BALANCE = 1000
MEMORY = 384                    # MiB

TOOLS = """
modprobe crc32c_generic; modprobe ext4; mkdir -p /dev/shm;
mount -t tmpfs none /dev/shm; chmod 1777 /dev/shm;
for b in /sys/block/vd*; do
    test "$(cat $b/serial)" = tools && mount -t ext4 -o ro /dev/${b##*/} /mnt;
done;
mount -t tmpfs none /mnt/tmp && chmod 1777 /mnt/tmp && mount -t proc none
/mnt/proc && mount --bind /dev /mnt/dev && mount --bind /dev/shm /mnt/dev/shm
"""
START = """
mount -t ext4 NODE /mnt/data && chroot /mnt su postgres -s /bin/sh -c
". /database-env; pg_ctl -D /data/pg -l /tmp/log -w -t 100 start >/tmp/out ||
cat /tmp/out /tmp/log"; chroot /mnt su postgres -s /bin/sh -c
". /database-env; pg_ctl -D /data/pg status >/dev/null"
"""


def missing():
    """Why the database cannot be used here, or None."""
    if os.geteuid():
        return "making the database's image needs root"
    return None


@functools.lru_cache(maxsize=None)
def files():
    """The folder that scripts/database-image makes."""
    done = subprocess.run([str(guest.ROOT / "scripts" / "database-image")],
                          text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    if done.returncode:
        raise guest.Missing(done.stderr.strip())
    return pathlib.Path(done.stdout.strip().splitlines()[-1])


def data_disk(folder, **options):
    return Disk(folder, template=files() / "data.img", **options)


class Tools:
    """Read-only and on both sides the same: nothing to mirror."""

    def seen(self):
        return "tools"

    def args(self, side):
        return ["-drive", f"if=none,id=tools,format=raw,readonly=on,"
                f"file={files() / 'tools.img'}",
                "-device", "virtio-blk-pci,drive=tools,serial=tools"]


def mount_tools(qemu):
    """The root with the server and with fio, at /mnt in the guest."""
    sh(qemu, " ".join(TOOLS.split()))


def start(qemu, disk):
    """Mount the disk in the guest and start the server."""
    mount_tools(qemu)
    script = " ".join(START.split()).replace("NODE", disk.node)
    sh(qemu, script, timeout=150)


def stop(qemu):
    """End the server and unmount the disk: it is clean afterwards."""
    sh(qemu, 'chroot /mnt su postgres -s /bin/sh -c ". /database-env; '
       'pg_ctl -D /data/pg -m fast -w stop >/dev/null" && '
       # Its file is gone before the process is
       "while pidof postgres >/dev/null; do :; done; umount /mnt/data",
       timeout=90)


def tool(*argv, timeout=300):
    """A client program of the server's own version, on the host.

    Killing the first process of the namespace kills all of it.
    """
    done = subprocess.run(
        ["chroot", str(files() / "root"), "sh", "-c",
         '. /database-env; exec "$@"', "sh", *argv],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=wait.scaled(timeout))
    if done.returncode:
        raise AssertionError(f"{argv[0]} failed: {done.stdout}")
    return done.stdout


def connect():
    import psycopg2
    return psycopg2.connect(host=netns.GUEST, user="postgres",
                            dbname="postgres", connect_timeout=60)


def amcheck():
    tool("pg_amcheck", "-h", netns.GUEST, "-U", "postgres",
         "--heapallindexed", "postgres")


class Teller(threading.Thread):
    """Moves money and notes it in the ledger, over one connection.

    `done` is the number of the last transfer whose commit was acknowledged.
    """

    def __init__(self, number, seed=0, on_reply=None):
        super().__init__(daemon=True)
        self.number = number
        self.random = random.Random(seed * 1000 + number)
        self.done = 0
        self.error = None
        self.stopping = False
        self.on_reply = on_reply
        self.connection = connect()

    def transfer(self, number):
        one, other = self.random.sample(range(1, ACCOUNTS + 1), 2)
        amount = self.random.randint(1, 50)
        # Locks in one order, or two tellers may wait for each other
        steps = sorted([(one, -amount), (other, amount)])
        with self.connection.cursor() as cursor:
            for account, change in steps:
                cursor.execute("update account set balance = balance + %s "
                               "where id = %s", (change, account))
            cursor.execute("insert into ledger values (%s, %s, %s)",
                           (self.number, number, amount))
        self.connection.commit()

    def abandon(self):
        with socket.socket(fileno=os.dup(self.connection.fileno())) as sock:
            sock.shutdown(socket.SHUT_RDWR)
        self.join(wait.scaled(30))

    def run(self):
        try:
            while not self.stopping:
                self.transfer(self.done + 1)
                self.done += 1
                self.on_reply()
        except Exception as why:        # psycopg2 is not imported up here
            self.error = (f"teller {self.number}, after {self.done} "
                          f"transfers: {type(why).__name__}: {why}")
            self.on_reply()


class Bank:
    """Some tellers, and what they know to be committed."""

    def __init__(self, tellers=4, seed=0):
        self.progress = threading.Condition()
        self.times = []
        self.stopping = False
        self.tellers = [Teller(i, seed, self.replied)
                        for i in range(1, tellers + 1)]

    def start(self):
        for teller in self.tellers:
            teller.start()
        return self

    def replied(self):
        with self.progress:
            self.times.append(time.monotonic())
            self.progress.notify_all()

    def outage_at(self, moment):
        """As of one load, of all tellers together."""
        return client.outage_at(list(self.times), moment)

    def failed(self):
        return next((t.error for t in self.tellers if t.error), None)

    def check(self):
        if self.failed():
            raise AssertionError(self.failed())

    def wait_more(self, replies, timeout=90):
        target = len(self.times) + replies
        wait.on(self.progress, f"no {replies} more transfers",
                lambda: self.failed() or len(self.times) >= target, timeout)
        self.check()

    def stop(self):
        for teller in self.tellers:
            teller.stopping = True
        for teller in self.tellers:
            teller.join(wait.scaled(60))
        self.check()
        return self

    def halt(self):
        """The server is dead: what is acknowledged by now is all."""
        for teller in self.tellers:
            teller.stopping = True
            teller.abandon()

    def close(self):
        for teller in self.tellers:
            teller.connection.close()

    def audit(self, exact=True):
        """Every acknowledged transfer once, and no money made or lost.

        `exact`: no transfer is under way, so there are no others either.
        """
        known = {t.number: t.done for t in self.tellers}
        connection = connect()
        with connection, connection.cursor() as cursor:
            cursor.execute("select sum(balance), count(*) from account")
            if cursor.fetchone() != (ACCOUNTS * BALANCE, ACCOUNTS):
                raise AssertionError("the accounts' sum is not right")
            cursor.execute("select client, count(*), max(number) from ledger "
                           "group by client")
            found = {c: (count, last) for c, count, last in cursor.fetchall()}
        connection.close()
        for number, done in known.items():
            count, last = found.get(number, (0, 0))
            if count != last:
                raise AssertionError(f"teller {number}: {count} entries, the "
                                     f"last is number {last}")
            if last < done or (exact and last != done):
                raise AssertionError(f"teller {number}: {done} transfers were "
                                     f"acknowledged, the last known is {last}")
        return sum(known.values())
