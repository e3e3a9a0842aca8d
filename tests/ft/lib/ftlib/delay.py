# SPDX-License-Identifier: GPL-2.0-or-later
"""A way between two hosts that takes its time: TCP is passed on, each byte a
given time after it came.  In user space, since not every kernel has netem; it
limits no bandwidth."""

import collections
import socket
import threading
import time

from ftlib import wait

CHUNK = 1 << 18


class OneWay(threading.Thread):
    """From `source` to `sink`, until either ends."""

    def __init__(self, source, sink, seconds):
        super().__init__(daemon=True)
        self.source, self.sink, self.seconds = source, sink, seconds
        self.queue = collections.deque()        # (when it is due, bytes)
        self.changed = threading.Condition()
        self.open = threading.Event()           # else it keeps what comes
        self.open.set()
        self.lost = False                       # or forgets it
        self.came = self.passed = 0             # bytes

    def run(self):
        threading.Thread(target=self.read, daemon=True).start()
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.queue)
                due, data = self.queue.popleft()
            # Time is what this is about: nothing is waited for
            time.sleep(max(0, due - time.monotonic()))
            self.open.wait()
            try:
                if self.lost:
                    continue
                if data:
                    self.sink.sendall(data)
                    self.passed += len(data)
                else:
                    self.sink.shutdown(socket.SHUT_WR)
            except OSError:
                break
            if not data:
                break

    def read(self):
        data = True
        while data:
            try:
                data = self.source.recv(CHUNK)
            except OSError:
                data = b""
            self.came += len(data)
            with self.changed:
                self.queue.append((time.monotonic() + self.seconds, data))
                self.changed.notify()


class Way:
    """From port `near` to port `far` of this host; `round_trip` in seconds."""

    def __init__(self, near, far, round_trip):
        self.far, self.seconds = far, round_trip / 2
        self.there, self.back = [], []
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
            self.there.append(OneWay(one, other, self.seconds))
            self.back.append(OneWay(other, one, self.seconds))
            self.there[-1].start()
            self.back[-1].start()

    def hold_back(self):
        """Nothing more comes back from `far`; it is kept."""
        for way in self.back:
            way.open.clear()

    def hold(self):
        """Nothing more gets to `far`, once all that is under way has."""
        for way in self.there:
            wait.until("what is under way never arrives",
                       lambda: way.passed == way.came)
            way.open.clear()

    def cut(self):
        """Both ends see the end of the connection, and nothing before it; there
        is no other one."""
        self.end()
        for way in self.there + self.back:
            way.sink.shutdown(socket.SHUT_WR)

    def lose(self):
        """Nothing gets through any more, not even that an end has ended."""
        for way in self.there + self.back:
            way.lost = True
            way.open.set()

    def end(self):
        self.lose()
        if self.door.fileno() >= 0:
            self.door.shutdown(socket.SHUT_RDWR)
            self.door.close()
