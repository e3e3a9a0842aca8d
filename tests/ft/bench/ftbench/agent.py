# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands in the guest, given and answered over the network.

Not over the console: of that COLO's secondary hears nothing, so it would not
do the work, and nothing of the answer would have to wait for anybody.
"""

import re
import socket
import time

from ftlib import netns, wait
from ftlib.guestsh import sh

PORT = 7777
IPERF_PORT = 5201


class Failed(Exception):
    """A command that could not be given or did not succeed."""


def serve(qemu):
    """Start what answers the clients, besides redis."""
    sh(qemu, f"nc -ll -p {PORT} -e /bin/agent </dev/null >/dev/null 2>&1 & "
       f"iperf3 -s -D -p {IPERF_PORT} >/dev/null")
    for port in (PORT, IPERF_PORT):
        sh(qemu, f"until grep -q ':{port:04X} .* 0A ' /proc/net/tcp "
           "/proc/net/tcp6; do usleep 20000; done")


def run(command, timeout):
    """What it printed; it has to succeed."""
    deadline = time.monotonic() + wait.scaled(timeout)
    said = b""
    try:
        with socket.create_connection((netns.GUEST, PORT),
                                      wait.scaled(timeout)) as sock:
            sock.sendall(command.encode() + b"\n")
            while True:
                sock.settimeout(max(0.01, deadline - time.monotonic()))
                data = sock.recv(65536)
                if not data:
                    break
                said += data
    except OSError as why:
        raise Failed(f"no answer to a command in the guest within "
                     f"{wait.scaled(timeout):g} s: {why}") from None
    text = said.decode(errors="replace")
    found = re.search(r"^the-end (\d+)\n\Z", text, re.M)
    if not found or found.group(1) != "0":
        raise Failed(f"a command failed in the guest: {text[-200:]!r}")
    return text[:found.start()]
