# SPDX-License-Identifier: GPL-2.0-or-later
"""What all loads have in common."""


class Stuck(Exception):
    """The client gave up, or had nothing to tell."""


class Load:
    name = ""
    alias = ""                  # another name, for guests.py
    unit = ""
    lower = False
    needs = ()                  # names of what a mode may lack
    longer = 1.0                # than it is told to run, for the estimate
    extra_s = 0.4               # with the new session before it

    def run(self, mode, seconds):
        """{"value":, ...}; raises when there is none."""
        raise NotImplementedError


def patience(seconds):
    """When a client that was told to run for `seconds` counts as stuck; on a
    usual machine, so whoever waits stretches it (wait.scaled)."""
    return 20 + 5 * seconds
