# SPDX-License-Identifier: GPL-2.0-or-later
"""What a test file uses, and the program that runs ONE test.

A test is a function test_*(t); @cases makes several of one:

    @cases("sent", "send-half")
    def test_killed_at(t, point): ...

`t` makes pairs and loads, and cleans them up whatever happens.
    python3 -m ftlib.case FILE NAME FOLDER
runs one in this process, which is in a network namespace of its own.  Exit
code 0: passed, 77: skipped, 1: failed; FOLDER/verdict says why in a sentence.
"""

import importlib.util
import pathlib
import sys
import time
import traceback

from ftlib import booted, client, guest, netns, vm
from ftlib.pair import Pair
from ftlib.wait import Timeout

SKIP = 77
DEFAULT_LIMIT = 150


class Skip(Exception):
    """Why the test cannot run here."""


def cases(*arguments):
    def mark(function):
        function.cases = arguments
        return function
    return mark


def full(function):
    """Only in `make check-full`."""
    function.full = True
    return function


def long(*arguments):
    """Of the cases, those only in `make check-full`."""
    def mark(function):
        function.long = arguments
        return function
    return mark


def only_full(function, arguments):
    """Is the test, or this case of it, only in `make check-full`?"""
    return getattr(function, "full", False) or (
        arguments and arguments[0] in getattr(function, "long", ()))


def alone(function):
    """Nothing else runs beside it: it measures what others would disturb."""
    function.alone = True
    return function


def limit(seconds):
    def mark(function):
        function.limit = seconds
        return function
    return mark


class Test:
    """Handed to each test function."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.pairs = []
        self.loads = []
        self.last = []
        self.note = ""          # shown behind the name when it has passed
        self.started = time.monotonic()

    def at_end(self, function):
        """Called when no QEMU is left, whatever happens."""
        self.last.append(function)

    def say(self, text):
        print(f"{time.monotonic() - self.started:7.2f} {text}", flush=True)

    def skip(self, why):
        raise Skip(why)

    def skip_unless(self, condition, why):
        if not condition:
            raise Skip(why)

    def pair(self, kind=Pair, **options):
        pair = kind(self.folder, **options)
        self.pairs.append(pair)
        return pair

    def load(self, load):
        load.start()
        self.loads.append(load)
        return load

    def counter(self, **options):
        return self.load(client.Counter(**options))

    def count(self, passed, failed):
        """This test is many; the summary counts each."""
        (self.folder / "counts").write_text(f"{passed} {failed} 0")

    def check(self):
        """No load saw anything wrong, no QEMU did what it must not do."""
        for load in self.loads:
            load.check()
        for pair in self.pairs:
            pair.check()

    def finish_loads(self):
        for load in self.loads:
            load.stop()
        self.check()

    def survive(self, pair, moment=None, replies=100):
        """After the primary's death: the takeover, and nobody noticed.

        The loads go on for `replies` more replies on the new side, then every
        one of them reports, and the self-checks are looked at.
        """
        event = pair.taken_over() or pair.wait_takeover()
        survivor = pair.secondary
        for load in self.loads:
            load.wait_more(replies)
        if moment and self.loads:
            self.say(f"outage {self.loads[0].outage_at(moment):.0f} ms")
        self.finish_loads()
        assert_equal(pair.query(survivor)["role"], "primary", "new role")
        assert_equal(survivor.command("query-status")["status"], "running",
                     "the survivor's run state")
        if "self-check" in pair.keys:
            pair.check_self(survivor)
        return event

    def end(self):
        for load in self.loads:
            load.stopping = True
        for pair in self.pairs:
            pair.end()
        for function in self.last:
            function()


def assert_equal(found, wanted, what):
    if found != wanted:
        raise AssertionError(f"{what} is {found!r}, not {wanted!r}")


def require_netdev(kind):
    """Skip unless QEMU was built with this -netdev."""
    if kind not in vm.help_text("-netdev", "help").split():
        raise Skip(f"this QEMU has no -netdev {kind}")


# --- finding and running ----------------------------------------------------

def load_file(path):
    spec = importlib.util.spec_from_file_location(pathlib.Path(path).stem,
                                                  path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tests_in(path):
    """{name: (function, arguments)} of a test file, in file order."""
    found = {}
    for name, function in vars(load_file(path)).items():
        if not name.startswith("test_") or not callable(function):
            continue
        short = name[len("test_"):].replace("_", "-")
        if not hasattr(function, "cases"):
            found[short] = (function, ())
        for case in getattr(function, "cases", ()):
            found[f"{short}[{case}]"] = (function, (case,))
    return found


def perform(function, arguments, folder):
    """(exit code, one sentence)"""
    test = Test(folder)
    booted.wanted = True
    try:
        netns.up()
        function(test, *arguments)
        test.finish_loads()
        return 0, test.note
    except (Skip, netns.Unavailable) as why:
        return SKIP, str(why)
    except guest.Missing as why:
        return 1, str(why)
    except Exception as why:        # any other is a failure of the test
        traceback.print_exc()
        first = forbidden(test)
        text = str(why) or type(why).__name__
        if not isinstance(why, (AssertionError, Timeout, vm.Refused)):
            text = f"{type(why).__name__}: {text}"
        return 1, first or text
    finally:
        test.end()


def forbidden(test):
    """What a load or a QEMU saw often explains why a wait gave up."""
    try:
        test.check()
    except AssertionError as why:
        return str(why)
    return ""


def main(path, name, folder):
    function, arguments = tests_in(path)[name]
    code, text = perform(function, arguments, folder)
    pathlib.Path(folder, "verdict").write_text(text)
    print({0: "passed", SKIP: "skipped"}.get(code, "FAILED"), text)
    sys.stdout.flush()
    sys.exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
