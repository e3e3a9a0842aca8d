# SPDX-License-Identifier: GPL-2.0-or-later
"""As much of the redis protocol as the loads need."""

import socket

from ftlib import guest, netns, wait


class RedisError(Exception):
    """The server answered with an error, or with nonsense."""


def request(*words):
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    parts = [b"*%d\r\n" % len(words)]
    parts += [b"$%d\r\n%s\r\n" % (len(w), w) for w in words]
    return b"".join(parts)


class Redis:
    """One connection, one request at a time."""

    def __init__(self, address=(netns.GUEST, guest.REDIS_PORT), timeout=30):
        self.sock = socket.create_connection(address, wait.scaled(timeout))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.sock.makefile("rb")

    def send(self, *words):
        self.sock.sendall(request(*words))

    def receive(self):
        line = self.stream.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return self._bulk(int(rest))
        if kind == b"*":
            return [self.receive() for _ in range(int(rest))]
        raise RedisError(line.decode(errors="replace").strip())

    def _bulk(self, size):
        if size < 0:
            return None
        data = self.stream.read(size + 2)
        if len(data) != size + 2:
            raise ConnectionError("the server closed the connection")
        return data[:-2]

    def call(self, *words):
        self.send(*words)
        return self.receive()

    def close(self):
        self.stream.close()
        self.sock.close()
