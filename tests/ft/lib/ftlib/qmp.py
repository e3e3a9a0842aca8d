# SPDX-License-Identifier: GPL-2.0-or-later
"""QMP over a connected socket; a thread reads, so no event is ever missed."""

import json
import threading
import time

from ftlib import wait


class QmpError(Exception):
    """QEMU answered a command with an error."""


class Gone(Exception):
    """QEMU closed the connection."""


class Event:
    def __init__(self, message):
        self.at = time.monotonic()
        self.name = message["event"]
        self.data = message.get("data", {})

    def __repr__(self):
        return f"{self.name} {json.dumps(self.data)}"


class Qmp:
    """events only grows; forbidden may be changed at any time."""

    def __init__(self, sock, log_path):
        self.sock = sock
        self.log = open(log_path, "w", buffering=1)
        self.changed = threading.Condition()
        self.events = []
        self.replies = []
        self.forbidden = {}
        self.violations = []
        self.closed = False
        self.serial = threading.Lock()      # one command at a time
        threading.Thread(target=self._read, daemon=True).start()

    def negotiate(self):
        self.command("qmp_capabilities")

    # the reader thread

    def _read(self):
        try:
            for line in self.sock.makefile("rb"):
                self.log.write(f"{time.monotonic():.3f} {line.decode()}")
                self._take(json.loads(line))
        except (OSError, ValueError):
            pass
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def _take(self, message):
        with self.changed:
            if "event" in message:
                event = Event(message)
                self.events.append(event)
                self._judge(event)
            elif "QMP" not in message:
                self.replies.append(message)
            self.changed.notify_all()

    def _judge(self, event):
        allowed = self.forbidden.get(event.name, lambda data: True)
        if not allowed(event.data):
            self.violations.append(event)

    # the test's side

    def forbid(self, name, allowed=lambda data: False):
        """From now on `name` fails the test unless allowed(data)."""
        self.forbidden[name] = allowed

    def permit(self, name):
        self.forbidden.pop(name, None)

    def command(self, name, arguments=None, timeout=30):
        request = {"execute": name}
        if arguments:
            request["arguments"] = arguments
        with self.serial:
            self.replies.clear()
            self.log.write(f"{time.monotonic():.3f} > {name}\n")
            try:
                self.sock.sendall(json.dumps(request).encode() + b"\n")
            except OSError as why:
                raise Gone(f"{name}: {why}") from None
            wait.on(self.changed, f"no answer to {name}",
                    lambda: self.replies or self.closed, timeout)
            if not self.replies:
                raise Gone(f"{name}: QEMU closed its monitor")
            reply = self.replies.pop()
        if "error" in reply:
            raise QmpError(f"{name}: {reply['error']['desc']}")
        return reply["return"]

    def mark(self):
        """A position in the stream of events, for `since`."""
        return len(self.events)

    def find_event(self, name, predicate=None, since=0):
        for event in self.events[since:]:
            if event.name == name and (not predicate or
                                       predicate(event.data)):
                return event
        return None

    def wait_event(self, name, predicate=None, timeout=30, since=0):
        def probe():
            return (self.find_event(name, predicate, since) or self.closed)

        found = wait.on(self.changed, f"no event {name}", probe, timeout)
        if found is True:
            raise Gone(f"QEMU closed its monitor before event {name}")
        return found

    def close(self):
        try:
            self.sock.shutdown(2)
        except OSError:
            pass
        self.sock.close()
