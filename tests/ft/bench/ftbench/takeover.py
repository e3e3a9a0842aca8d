# SPDX-License-Identifier: GPL-2.0-or-later
"""The death of the primary, as one client sees it that counts over one
connection.  The last load of a guest: there is no pair after it.

The moment is random: one that follows a reply at once hits a request just
underway, which is then lost in the dead process's tap, and measures how long
TCP waits before it repeats it.
"""

import random
import time

from ftbench.load import Load
from ftlib import client, wait

BEFORE, AFTER = 20, 20          # replies
WITHIN = 0.1                    # seconds after them


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
            wait.moment(random.uniform(0, WITHIN))
            moment = mode.die()
            told = time.monotonic()
            counter.wait_more(AFTER)
        finally:
            counter.stop()
        counter.check()
        return {"value": counter.outage_at(moment),
                "told_ms": 1000 * (told - moment),
                "reply_ms_before": 1000 * usual / (BEFORE - 1)}
