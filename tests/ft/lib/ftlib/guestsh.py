# SPDX-License-Identifier: GPL-2.0-or-later
"""Shell commands in the guest, over its console."""


def sh(qemu, command, timeout=60):
    """Run it; what it printed.  It has to succeed."""
    console = qemu.console
    since = console.mark()
    console.send(f"run ( {command} ) 2>&1 && echo the-end-0 || echo "
                 "the-end-1")
    found = console.wait_for(r"^the-end-(\d)$", timeout, since)
    text = console.text(since)
    if found.group(1) != "0":
        raise AssertionError(f"{command!r} failed in the guest: {text}")
    return text
