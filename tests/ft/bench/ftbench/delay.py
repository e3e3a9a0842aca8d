# SPDX-License-Identifier: GPL-2.0-or-later
"""A way between two hosts that takes its time: TCP is passed on, each byte a
given time after it came.  In user space, since not every kernel has netem; it
limits no bandwidth."""

import collections
import socket
import threading
import time

CHUNK = 1 << 18


class OneWay(threading.Thread):
    """From `source` to `sink`, until either ends."""

    def __init__(self, source, sink, seconds):
        super().__init__(daemon=True)
        self.source, self.sink, self.seconds = source, sink, seconds
        self.queue = collections.deque()        # (when it is due, bytes)
        self.changed = threading.Condition()

    def run(self):
        threading.Thread(target=self.read, daemon=True).start()
        data = True
        while data:
            with self.changed:
                self.changed.wait_for(lambda: self.queue)
                due, data = self.queue.popleft()
            # Time is what this is about: nothing is waited for
            time.sleep(max(0, due - time.monotonic()))
            try:
                if data:
                    self.sink.sendall(data)
                else:
                    self.sink.shutdown(socket.SHUT_WR)
            except OSError:
                break

    def read(self):
        data = True
        while data:
            try:
                data = self.source.recv(CHUNK)
            except OSError:
                data = b""
            with self.changed:
                self.queue.append((time.monotonic() + self.seconds, data))
                self.changed.notify()


class Way:
    """From port `near` to port `far` of this host; `round_trip` in seconds."""

    def __init__(self, near, far, round_trip):
        self.far, self.seconds = far, round_trip / 2
        self.door = socket.create_server(("127.0.0.1", near))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                one, _ = self.door.accept()
            except OSError:
                return
            try:
                other = socket.create_connection(("127.0.0.1", self.far))
            except OSError:
                one.close()
                continue
            for sock in (one, other):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            OneWay(one, other, self.seconds).start()
            OneWay(other, one, self.seconds).start()

    def end(self):
        self.door.shutdown(socket.SHUT_RDWR)
        self.door.close()
