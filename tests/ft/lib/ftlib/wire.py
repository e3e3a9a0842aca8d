# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/protocol.rst, as much as a test needs to be a wrong peer."""

import ctypes
import socket
import struct

from ftlib import wait

HELLO, WELCOME, REFUSE, COPY, ATTACH, SWITCH = 1, 2, 3, 4, 23, 25
COMPRESSED = 33
MAJOR = 4
HEADER = struct.Struct("!IIII")         # type, flags, length, check
VERSION = struct.Struct("!HH")
VERSION_AT = 8                          # in a HELLO, after the magic


class NoHash(Exception):
    """Why records cannot be made here."""


def xxh3(data, seed=0):
    try:
        library = ctypes.CDLL("libxxhash.so.0")
    except OSError:
        raise NoHash("libxxhash is missing") from None
    seeded = library.XXH3_64bits_withSeed
    seeded.restype = ctypes.c_uint64
    seeded.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64)
    return seeded(data, len(data), seed)


def record(kind, payload, flags=0):
    head = struct.pack("!III", kind, flags, len(payload))
    check = xxh3(payload, xxh3(head)) & 0xffffffff
    return head + struct.pack("!I", check) + payload


def read_exactly(sock, size):
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise ConnectionError(f"closed after {len(data)} of {size} bytes")
        data += part
    return data


def read_record(sock):
    """(type, payload)"""
    kind, _, length, _ = HEADER.unpack(read_exactly(sock, HEADER.size))
    return kind, read_exactly(sock, length)


def listen(port):
    """A listening socket where a secondary would be."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen()
    sock.settimeout(wait.scaled(30))
    return sock


def capture_hello(port):
    """The HELLO payload of the primary that dials `port`."""
    with listen(port) as door:
        peer, _ = door.accept()
        with peer:
            peer.settimeout(wait.scaled(30))
            kind, payload = read_record(peer)
    if kind != HELLO:
        raise AssertionError(f"the primary opened with record type {kind}")
    return payload


def dial(port, timeout=20):
    sock = socket.create_connection(("127.0.0.1", port))
    sock.settimeout(wait.scaled(timeout))
    return sock


def welcome(minor):
    """Of a secondary that speaks MAJOR.minor."""
    return record(WELCOME, VERSION.pack(MAJOR, minor) + bytes(4))


def with_version(hello, major, minor):
    head, tail = hello[:VERSION_AT], hello[VERSION_AT + VERSION.size:]
    return head + VERSION.pack(major, minor) + tail


def closed_without_welcome(sock):
    """Read to the end; True when the other side never agreed."""
    try:
        while True:
            kind, _ = read_record(sock)
            if kind == WELCOME:
                return False
    except ConnectionError:
        return True
