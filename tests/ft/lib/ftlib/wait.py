# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting: always for something to be seen, never for time to pass."""

import os
import time

SCALE = float(os.environ.get("QEMU_FT_TIMEOUT_SCALE", "1"))


class Timeout(Exception):
    pass


def scaled(seconds):
    """Deadlines are for a usual machine; QEMU_FT_TIMEOUT_SCALE stretches."""
    return seconds * SCALE


def until(what, probe, timeout=30, interval=0.01):
    """Poll `probe` until it returns something true, and return that."""
    end = time.monotonic() + scaled(timeout)
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > end:
            raise Timeout(f"gave up after {scaled(timeout):g} s: {what}")
        time.sleep(interval)


def moment(seconds):
    """Until so much time has passed: the one reason is that something is to
    happen at a moment that was drawn, not when something was seen."""
    end = time.monotonic() + seconds
    until("", lambda: time.monotonic() >= end, interval=0.0005)


def on(condition, what, probe, timeout=30):
    """The same on a threading.Condition whose owner notifies it."""
    with condition:
        if not condition.wait_for(probe, scaled(timeout)):
            raise Timeout(f"gave up after {scaled(timeout):g} s: {what}")
        return probe()
