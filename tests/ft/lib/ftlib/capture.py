# SPDX-License-Identifier: GPL-2.0-or-later
"""What really leaves an interface, frame by frame, and pings to provoke it.

Raw sockets, so nothing between QEMU's write and this can hide a frame.
"""

import socket
import struct

from ftlib import netns
from ftlib.client import checksum

ETH_P_ALL = 3
BUFFER = 4 << 20
OUTGOING = 4                    # PACKET_OUTGOING: on its way to QEMU
IDENTITY = 0x4f52


class Capture:
    """Frames that the QEMU behind `tap` has sent since this was made."""

    def __init__(self, tap):
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                                  socket.htons(ETH_P_ALL))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self.sock.bind((tap, 0))
        self.sock.setblocking(False)
        self.seen = []

    def frames(self):
        """All so far."""
        while True:
            try:
                frame, address = self.sock.recvfrom(65536)
            except BlockingIOError:
                return self.seen
            if address[2] != OUTGOING:
                self.seen.append(frame)

    def echoes(self):
        """Sequence numbers of the answers to ping(), in their order."""
        return [number for number in map(echo_reply, self.frames())
                if number is not None]

    def close(self):
        self.sock.close()


def echo_reply(frame):
    """Its sequence number, or None for any other frame."""
    if frame[12:14] != b"\x08\x00" or frame[23] != socket.IPPROTO_ICMP:
        return None
    reply = frame[14 + (frame[14] & 15) * 4:]
    kind, _, _, identity, number = struct.unpack("!BBHHH", reply[:8])
    return number if (kind, identity) == (0, IDENTITY) else None


def ping(numbers, target=netns.GUEST):
    """Send echo requests and wait for nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW,
                       socket.IPPROTO_ICMP) as sock:
        for number in numbers:
            head = struct.pack("!BBHHH", 8, 0, 0, IDENTITY, number)
            sock.sendto(struct.pack("!BBHHH", 8, 0, checksum(head), IDENTITY,
                                    number), (target, 0))
