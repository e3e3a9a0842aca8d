# SPDX-License-Identifier: GPL-2.0-or-later
"""A client that asks so many times a second, however fast it is answered."""

import random
import select
import time

from ftlib import client


class Paced(client.Counter):
    """The time between two requests varies by half, so that the clients of
    several guests do not fall into step."""

    def __init__(self, address, rate, seed):
        super().__init__(address=address)
        self.rate = rate
        self.random = random.Random(seed)
        self.due = time.monotonic() + self._gap()
        self.waits = []             # (moment of the reply, milliseconds)

    def _gap(self):
        return self.random.uniform(0.5, 1.5) / self.rate

    def step(self):
        left = self.due - time.monotonic()
        if left > 0:
            select.select([], [], [], left)
        sent = time.monotonic()
        super().step()
        now = time.monotonic()
        self.waits.append((now, 1000 * (now - sent)))
        # What could not be asked in time is not made up for
        self.due = max(self.due + self._gap(), now)

    def waits_between(self, start, end):
        return [ms for at, ms in list(self.waits) if start <= at <= end]
