# SPDX-License-Identifier: GPL-2.0-or-later
"""One of many pairs: a guest that boots alone and is then protected and
unprotected in turn, so that each figure has one beside it to compare with."""

import time

from ftbench import agent, modes
from ftbench.scale.paced import Paced
from ftlib import netns
from ftlib.pair import PORT, Pair, plain_tap

NETWORK, MAC = "10.77.0.{}", "52:54:00:77:01:{:02x}"
FIRST = 2                       # so that number 0 has netns.GUEST
TAPS = 10                       # for each pair


class Member(modes.Checkpoint):
    """The pair with this number, from 0; agent.py reaches number 0 only."""

    def __init__(self, folder, guest, number=0, keys=""):
        folder.mkdir(parents=True)
        self.guest, self.number = guest, number
        self.pair = Pair(
            folder, memory=guest.memory, smp=guest.vcpus, keys=keys,
            mac=MAC.format(number), address=NETWORK.format(FIRST + number),
            backend=lambda n: plain_tap(TAPS * number + n))
        self.pair.port = PORT + number
        self.client = None
        self.since = 0              # events before it are not looked at

    def boot(self):
        """Begin; start() waits for it.  The primary gets its keys from the
        command line, and no peer answers yet."""
        self.pair.start_primary()
        self.pair.primary.command("ft-stop")

    def start(self):
        self.pair.wait_ready()
        self.pair.start_secondary()

    def serve(self):
        agent.serve(self.primary)

    def ask(self, rate):
        # Whoever had the address before may still be in the table
        netns.ip("neigh", "flush", "to", self.pair.address)
        self.client = Paced(self.pair.client_address(self.primary), rate,
                            self.number)
        self.client.start()

    def dirty(self, rate, pages, size=""):
        """`rate` a second of `pages` in all, from each vCPU: `size` bytes of
        each, or a few, and what is left of the time goes into arithmetic.
        The first time a page is sent whole, so there are not too many."""
        share = 256 * self.guest.vcpus
        one = (f"dirty {pages / share:g} {rate / share:g} 3600 {size} "
               "</dev/null >/dev/null 2>&1 &")
        agent.run(" ".join([one] * self.guest.vcpus), 20)

    @staticmethod
    def clean():
        """The end of dirty()."""
        agent.run("killall dirty", 20)

    def settle(self, seconds):
        """Any load, which is slower at first."""
        self.dirty(1000, 1000, 64)
        time.sleep(seconds)
        self.clean()

    def unask(self):
        """The end of ask()."""
        self.client.stop().check()
        self.client = None

    # protection

    def protect(self):
        """Begin; wait_protected() waits for it."""
        self.primary.command("ft-start")

    def wait_protected(self):
        self.pair.wait_protected(120)
        self.since = self.primary.qmp.mark()

    def unprotect(self):
        self.primary.command("ft-stop")

    def trouble(self):
        """What has happened since wait_protected() and should not have."""
        if self.client:
            self.client.check()
        self.check()                # taken over, died, not protected
        lost = self.primary.qmp.find_event(
            "FT_STATE_CHANGED", lambda d: d["state"] != "protected",
            self.since)
        if lost:
            raise modes.Failed(f"pair {self.number + 1} was given up "
                               f"meanwhile: {lost}")

    def end(self):
        if self.client:
            self.client.stopping = True     # without a word
        self.pair.end()
