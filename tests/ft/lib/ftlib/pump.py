# SPDX-License-Identifier: GPL-2.0-or-later
"""The far end of -netdev stream, dgram and socket: a tap on the bridge.

    guest -- QEMU ==socket== Pump -- tap -- bridge

Two threads for each QEMU carry whole frames, one each way; they end with
QEMU or with the tap.  Paths are relative: QEMU runs in the test's folder.
"""

import fcntl
import os
import socket
import struct
import threading

from ftlib import netns

TUNSETIFF = 0x400454ca
IFF_TAP, IFF_NO_PI = 2, 0x1000
FRAME_MAX = 65536
LENGTH = struct.Struct("!I")


def open_tap(name):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF,
                struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return fd


class Stream:
    """Frames with their lengths before them; QEMU dials."""

    def __init__(self, family, address):
        self.door = socket.socket(family, socket.SOCK_STREAM)
        self.door.bind(address)
        self.door.listen(1)
        self.address = self.door.getsockname()

    def connect(self):
        self.sock, _ = self.door.accept()
        self.stream = self.sock.makefile("rb")

    def send(self, frame):
        self.sock.sendall(LENGTH.pack(len(frame)) + frame)

    def receive(self):
        head = self.stream.read(LENGTH.size)
        if len(head) < LENGTH.size:
            return b""
        return self.stream.read(LENGTH.unpack(head)[0])


class Datagrams:
    """A frame each; one that cannot be delivered is lost, as on a wire."""

    def __init__(self, family, address, peer):
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.bind(address)
        self.address = self.sock.getsockname()
        self.peer = peer

    def connect(self):
        pass

    def send(self, frame):
        try:
            self.sock.sendto(frame, self.peer)
        except OSError:
            pass                # QEMU is not there yet, or no more

    def receive(self):
        while True:
            try:
                return self.sock.recv(FRAME_MAX)
            except ConnectionRefusedError:
                pass            # what UDP says of the frame before


# --- kinds: (link, -netdev) -------------------------------------------------

def stream_unix(number):
    link = Stream(socket.AF_UNIX, f"net{number}")
    return link, f"stream,id=net0,addr.type=unix,addr.path={link.address}"


def stream_tcp(number):
    link = Stream(socket.AF_INET, ("127.0.0.1", 0))
    return link, ("stream,id=net0,addr.type=inet,addr.host=127.0.0.1,"
                  f"addr.port={link.address[1]}")


def socket_tcp(number):
    link = Stream(socket.AF_INET, ("127.0.0.1", 0))
    return link, f"socket,id=net0,connect=127.0.0.1:{link.address[1]}"


def dgram_unix(number):
    theirs = f"net{number}-qemu"
    link = Datagrams(socket.AF_UNIX, f"net{number}-pump", theirs)
    return link, (f"dgram,id=net0,local.type=unix,local.path={theirs},"
                  f"remote.type=unix,remote.path={link.address}")


def udp(number):
    port = 7800 + number
    return Datagrams(socket.AF_INET, ("127.0.0.1", 0), ("127.0.0.1", port))


def dgram_udp(number):
    link = udp(number)
    return link, (f"dgram,id=net0,local.type=inet,local.host=127.0.0.1,"
                  f"local.port={link.peer[1]},remote.type=inet,"
                  f"remote.host=127.0.0.1,remote.port={link.address[1]}")


def socket_udp(number):
    link = udp(number)
    return link, (f"socket,id=net0,udp=127.0.0.1:{link.address[1]},"
                  f"localaddr=127.0.0.1:{link.peer[1]}")


KINDS = {"stream-unix": stream_unix, "stream-tcp": stream_tcp,
         "dgram-unix": dgram_unix, "dgram-udp": dgram_udp,
         "socket-tcp": socket_tcp, "socket-udp": socket_udp}


# --- carrying ---------------------------------------------------------------

def from_qemu(link, tap):
    try:
        link.connect()
        threading.Thread(target=to_qemu, args=(link, tap),
                         daemon=True).start()
        while frame := link.receive():
            os.write(tap, frame)
    except OSError:
        pass                    # QEMU or the tap is gone


def to_qemu(link, tap):
    try:
        while frame := os.read(tap, FRAME_MAX):
            link.send(frame)
    except OSError:
        pass


def backend(kind):
    """For Pair(backend=...): a socket of this kind for each QEMU."""
    def make(number):
        tap = f"tap{number}"
        netns.add_tap(tap)
        link, netdev = KINDS[kind](number)
        threading.Thread(target=from_qemu, args=(link, open_tap(tap)),
                         daemon=True).start()
        return netdev, tap
    return make
