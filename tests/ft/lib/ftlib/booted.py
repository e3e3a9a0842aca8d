# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that have booted already.

Under emulation half of what a test takes is the boot of its guest.  A machine
that a second test of a run asks for is booted once more, alone, and saved as
it says READY, by QEMU's own migration to a file; from then on its guests come
from there, by -incoming.  So each kind of machine boots under protection once
in a run, and whatever says fresh=True does it always.

The files belong to one emulator, one guest image and one version of what makes
its command line: BUILD/ft-booted/WHOSE/.
"""

import contextlib
import fcntl
import hashlib
import pathlib
import shutil

from ftlib import guest, wait

TOP = guest.BUILD / "ft-booted"
MAKERS = [pathlib.Path(__file__).with_name(name)
          for name in ("disks.py", "guest.py", "pair.py", "vm.py")]
wanted = False          # case.py: in tests, and not in what measures


def digest(*what):
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]


def folder():
    path = guest.qemu()
    about = pathlib.Path(path).stat()
    return TOP / digest(path, about.st_size, about.st_mtime_ns,
                        str(guest.image()), [m.read_text() for m in MAKERS])


def prune():
    """At the start of a run: the states of others, and who has asked."""
    keep = folder()
    for path in TOP.glob("*"):
        if path != keep:
            shutil.rmtree(path, ignore_errors=True)
    for path in keep.glob("*.once"):
        path.unlink()


@contextlib.contextmanager
def locked(path):
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def state(what, boot):
    """The saved guest of the machine that `what` describes, or None when it
    has not been asked for before.  boot() has it alone, as a context."""
    if not wanted:
        return None
    base = folder() / digest(what)
    base.parent.mkdir(parents=True, exist_ok=True)
    saved, once = base.with_suffix(".state"), base.with_suffix(".once")
    with locked(base.with_suffix(".lock")):
        if not once.exists():
            once.touch()
            return None
        if not saved.exists():
            with boot() as qemu:
                save(qemu, saved)
    return saved


def save(qemu, path):
    """When the guest is ready; it is not to run on."""
    part = path.with_suffix(".part")
    qemu.wait_ready()
    qemu.check()
    qemu.command("migrate", {"uri": f"file:{part}"})
    wait.until("the guest was not saved", lambda: done(qemu))
    part.rename(path)


def done(qemu):
    found = qemu.command("query-migrate")
    if found.get("status") == "failed":
        raise AssertionError(f"saving a guest failed: {found}")
    return found.get("status") == "completed"
