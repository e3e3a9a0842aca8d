# SPDX-License-Identifier: GPL-2.0-or-later
"""The death of the primary, as one client sees it that counts over one
connection.  The last load of a guest: there is no pair after it."""

import time

from ftbench.load import Load
from ftlib import client

BEFORE, AFTER = 20, 20          # replies


class Takeover(Load):
    name = "takeover"
    unit = "ms"
    lower = True
    needs = ("secondary",)

    def run(self, mode, seconds):
        counter = client.Counter()
        counter.start()
        try:
            counter.wait_more(BEFORE)
            usual = counter.times[-1] - counter.times[-BEFORE]
            moment = mode.die()
            told = time.monotonic()
            counter.wait_more(AFTER)
        finally:
            counter.stop()
        counter.check()
        return {"value": counter.outage_at(moment),
                "told_ms": 1000 * (told - moment),
                "reply_ms_before": 1000 * usual / (BEFORE - 1)}
