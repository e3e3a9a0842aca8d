# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's serial port: everything it said, and a way to speak to it."""

import re
import threading
import time

from ftlib import wait

TROUBLE = re.compile(r"Kernel panic|Oops|BUG:|soft lockup|hung_task|"
                     r"rcu.*(stall|detected)|Call Trace")


def lost_at_seam(whole, before, after):
    """How much of `whole` is missing where one QEMU's output ends and the
    other's begins: what was committed, but not let go yet, when the first
    one died.  Everything else has to be there, once.
    """
    if not whole.startswith(before):
        raise AssertionError(f"the first part is wrong: {before[-200:]!r}")
    if not whole.endswith(after):
        raise AssertionError(f"the second part is wrong: {after[:200]!r}")
    lost = len(whole) - len(before) - len(after)
    if lost < 0:
        raise AssertionError(f"repeated: {after[:-lost]!r}")
    if lost > len(whole) // 2:
        raise AssertionError(f"{lost} of {len(whole)} characters are lost, "
                             "more than an epoch's")
    return lost


class Console:
    def __init__(self, sock, log_path):
        self.sock = sock
        self.log = open(log_path, "wb", buffering=0)
        self.changed = threading.Condition()
        self.data = b""
        self.last = None            # when the last byte came
        self.closed = False
        self.reading = threading.Event()
        self.reading.set()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            self.reading.wait()
            try:
                data = self.sock.recv(65536)
            except OSError:
                data = b""
            with self.changed:
                self.data += data
                self.last = time.monotonic()
                self.closed = not data
                self.changed.notify_all()
            if not data:
                return
            self.log.write(data)

    def text(self, since=0):
        return self.data[since:].decode(errors="replace").replace("\r", "")

    def mark(self):
        return len(self.data)

    def send(self, line):
        self.sock.sendall(line.encode() + b"\n")

    def wait_for(self, pattern, timeout=60, since=0):
        """The match of `pattern` (multi-line) in what came after `since`."""
        regex = re.compile(pattern, re.M)

        def probe():
            return regex.search(self.text(since)) or self.closed

        found = wait.on(self.changed, f"guest never said {pattern!r}", probe,
                        timeout)
        if found is True:
            found = regex.search(self.text(since))
            if not found:
                raise wait.Timeout(f"QEMU is gone; the guest had not said "
                                   f"{pattern!r}")
        return found

    def ask(self, line, pattern=r"^(.+)\n", timeout=30):
        """Give the guest one command and return the first line it answers."""
        since = self.mark()
        self.send(line)
        return self.wait_for(pattern, timeout, since).group(1)

    def pause(self):
        """Be a slow reader: at most one more piece is read until resume()."""
        self.reading.clear()

    def resume(self):
        self.reading.set()

    def trouble(self):
        found = TROUBLE.search(self.text())
        return found.group(0) if found else None

    def wait_closed(self, timeout=10):
        wait.on(self.changed, "serial port still open", lambda: self.closed,
                timeout)

    def close(self):
        self.resume()
        try:
            self.sock.shutdown(2)
        except OSError:
            pass
        self.sock.close()
