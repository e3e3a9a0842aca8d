# SPDX-License-Identifier: GPL-2.0-or-later
"""What a QEMU was doing whose guest does not get on: written down before the
test ends it."""

import json
import shutil
import subprocess

from ftlib.qmp import Gone, QmpError
from ftlib.wait import Timeout

COMMANDS = ("query-status", "query-ft", "query-cpus-fast", "query-block")
MONITOR = ("info registers -a", "info ft", "info irq", "info pic",
           "info network")
PATIENCE = 5                    # seconds for an answer
DEBUGGER = 60                   # seconds for the debugger


def answers(qemu):
    """Twice, so that it can be seen what moves."""
    asked = [(name, None) for name in COMMANDS]
    asked += [("human-monitor-command", {"command-line": line})
              for line in MONITOR]
    for name, arguments in 2 * asked:
        title = arguments["command-line"] if arguments else name
        try:
            said = qemu.qmp.command(name, arguments, PATIENCE)
        except (Gone, QmpError) as why:
            said = str(why)
        except Timeout:
            # Later answers would be taken for this one
            yield title, "no answer: the main loop does not turn"
            return
        yield title, said if isinstance(said, str) else json.dumps(said,
                                                                   indent=1)


def backtraces(qemu):
    if not shutil.which("gdb"):
        return "there is no gdb"
    try:
        done = subprocess.run(
            ["gdb", "-p", str(qemu.process.pid), "-batch", "-ex",
             "set debuginfod enabled off", "-ex", "thread apply all bt"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace",
            timeout=DEBUGGER)
        return done.stdout
    except subprocess.TimeoutExpired:
        return f"gdb was not done after {DEBUGGER} s"


def gather(qemu, peers=()):
    """Write it to NAME.evidence, of its peers, too; the gist of it for the
    failure's text."""
    for peer in peers:
        # A debugger may stop a primary for too long: not what went wrong
        peer.qmp.permit("FT_FAILOVER")
        gather(peer)
    if not qemu.alive():
        return f"{qemu.name} is gone"
    path = qemu.folder / f"{qemu.name}.evidence"
    found = {}
    with open(path, "w") as out:
        for title, text in answers(qemu):
            found[title] = text
            print(f"=== {title}\n{text}", file=out, flush=True)
        print(f"=== threads\n{backtraces(qemu)}", file=out)
    gist = [" ".join(found[title].split()) for title in
            ("query-status", "info ft") if title in found]
    return f"{qemu.name}: {'; '.join(gist)[:400]}; more in {path}"
