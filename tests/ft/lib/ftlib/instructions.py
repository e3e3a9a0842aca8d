# SPDX-License-Identifier: GPL-2.0-or-later
"""How many instructions an epoch costs the primary: its main loop, and the
thread of a vCPU that falls asleep.

The primary runs below valgrind's callgrind, its secondary as usual.  Its
guest (tests/ft/tools/answer.s) sleeps until it is asked over the serial port,
writes to some pages and answers: each question makes exactly one epoch,
which ends because the guest sleeps again, or, if it is told to run in a
circle, because it has said no more for a while.  So two epochs do the same,
and what they cost does not depend on how busy or how fast the machine is.

Counted is what runs below the functions named in ROOTS, of all that callgrind
sees: to have it look at these alone does not work in a thread that runs code
it has not seen compiled.  One file is written for each epoch, when the next cut
begins.  What the kernel does is not
counted, nor is waiting, nor what other threads do.

Two pages change with every epoch, whatever the guest is asked for: that of its
stack, and that of its disk's queue, which QEMU looks at after each drain.

The C library chooses its memcpy() by the processor; MEMCPY makes it the same
one everywhere.
"""

import json
import mmap
import os
import re
import shutil
import statistics
import subprocess
from collections import Counter

from ftlib import guest, vm, wait
from ftlib.callgrind import Profile, Reader, base
from ftlib.disks import Disk
from ftlib.pair import Pair

TOOLS = guest.ROOT / "tests" / "ft" / "tools"
COMMITTED = guest.ROOT / "docs" / "performance" / "instructions.json"
TABLE = COMMITTED.with_suffix(".md")
ACCEPT = "tests/ft/bench/instructions --update"

MEMORY = 128                    # MiB
KEYS = ("timeout=60000,interval=60000,quiet=300000,output-delay=1000000,"
        "early=off")
MEMCPY = ("GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2,-AVX_Fast_Unaligned_Load,"
          "-AVX512F,-AVX512VL,-ERMS,-FSRM")
EPOCHS = 10
WARM_UP = 2
RISE = 0.10
COMPILERS = (("clang", rb"clang version (\d+)\."),
             ("gcc", rb"GCC: \([^)]*\) (\d+)\."))
USUAL = {"optimization": "2", "c_args": [], "b_lto": False,
         "b_sanitize": "none", "b_coverage": False}
# Functions of each variant in the table
SHOWN = 8
# Of so few the waiting for a lock is a tenth
NOISE = 100

# Which must not call each other
ROOTS = ("take_cut", "ft_primary_readable")
# Of the first: where it begins a file, callgrind takes them for called by it
CALLERS = ("cut_now", "cut_here")
# Those a compiler may or may not make a part of ft_cut_take()
CUT = ("ft_cut_take", "collect", "copy_pages", "stop_vcpus", "drain_begin",
       "drain_end", "set_queueing")
PHASES = {
    "stop": "stop the vCPUs, drain the disks, resume",
    "device": "save the device state",
    "harvest": "list the dirty pages",
    "copy": "copy pages and device state; the cut itself",
    "encode": "make deltas and records",
    "send": "hand them to the socket",
    "pace": "when to cut, and the rest around the cut",
    "ack": "read and judge the answer",
    "release": "let the output go",
    "total": "",
}


class Variant:
    def __init__(self, name, code, pages, runs):
        self.name, self.code = name, code
        self.pages, self.runs = pages, runs

    def amiss(self, profile):
        """What makes that another epoch than it should be, if anything."""
        wanted = {"ft_cut_take": 1, "ft_device_save": 1,
                  "ft_page_delta": self.pages, "ft_channel_send": 1,
                  "pause_all_vcpus": int(self.runs)}
        return ", ".join(f"{function} was called {profile.times(function)} "
                         f"times instead of {times}"
                         for function, times in wanted.items()
                         if profile.times(function) != times)


VARIANTS = [
    Variant("asleep, 2 pages", 0x00, 2, False),
    Variant("asleep, 18 pages", 0x05, 18, False),
    Variant("asleep, 258 pages", 0x09, 258, False),
    Variant("running, 18 pages", 0x85, 18, True),
]


# --- what is needed ---------------------------------------------------------

def missing():
    """Why nothing can be counted here, or None."""
    if os.uname().machine != "x86_64":
        return "its guest and its figures are for an x86-64 host"
    for tool, package in (("valgrind", "valgrind"), ("gcc", "gcc"),
                          ("as", "binutils"), ("ld", "binutils")):
        if not shutil.which(tool):
            return f"{tool} is missing (package {package})"
    return None


def said(*argv):
    done = subprocess.run(argv, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise AssertionError(f"{argv[0]}: {done.stdout}")
    return done.stdout


def compiler():
    """What has compiled the emulator, as "gcc 12", or None."""
    # The C library's start-up code was compiled by gcc in any case
    with open(guest.qemu(), "rb") as program:
        with mmap.mmap(program.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for name, said_so in COMPILERS:
                found = re.search(said_so, data)
                if found:
                    return f"{name} {found.group(1).decode()}"
    return None


def unusual():
    """What it was compiled with that `make` alone does not use."""
    built = guest.BUILD / "obj" / "meson-info" / "intro-buildoptions.json"
    found = {option["name"]: option["value"]
             for option in json.loads(built.read_text())}
    return [f"{name}={found[name]}" for name, value in USUAL.items()
            if found[name] != value]


def kind():
    """Figures of what can be compared: the compiler and QEMU's series."""
    series = re.search(r"version (\d+\.\d+)", vm.help_text("--version"))
    return ", ".join([f"QEMU {series.group(1)}",
                      compiler() or "another compiler", *unusual()])


def tools():
    """What else may change a figure a little."""
    return {"valgrind": said("valgrind", "--version").strip().split("-")[-1],
            "glibc": os.confstr("CS_GNU_LIBC_VERSION").split()[-1]}


# --- measuring --------------------------------------------------------------

class Bench:
    """A pair whose primary is counted; `make_pair` is Pair, or makes one."""

    def __init__(self, folder, make_pair=None):
        self.folder = folder
        self.parts = folder / "callgrind.out"
        sector, library = self.make_tools()
        options = dict(memory=MEMORY, keys=KEYS, boot=[],
                       disks=[Disk(folder, size=1, template=sector)])
        self.pair = (make_pair(**options) if make_pair else
                     Pair(folder, **options))
        self.valgrind = [
            "env", f"LD_PRELOAD={library}", MEMCPY, "valgrind", "--quiet",
            "--tool=callgrind", "--vgdb=no", "--fair-sched=try",
            f"--log-file={folder / 'valgrind.log'}",
            f"--callgrind-out-file={self.parts}", "--dump-line=no",
            # A compiler adds to the name of one that it makes a variant of
            f"--dump-before={ROOTS[0]}*"]
        self.reader = Reader()

    def make_tools(self):
        sector, library = self.folder / "sector", self.folder / "no-clone.so"
        compiled = self.folder / "answer.o"
        said("as", "--32", "-o", str(compiled), str(TOOLS / "answer.s"))
        said("ld", "-m", "elf_i386", "--oformat", "binary", "-Ttext", "0x7c00",
             "-o", str(sector), str(compiled))
        said("gcc", "-shared", "-fPIC", "-o", str(library),
             str(TOOLS / "no-clone.c"))
        with open(sector, "r+b") as image:
            image.truncate(1 << 20)
        return sector, library

    def start(self):
        pair = self.pair
        # An emulated emulator, also where its monitor is waited for
        wait.SCALE *= 3
        pair.enter = self.valgrind
        pair.start_primary()
        pair.enter = []
        console = pair.primary.console
        wait.on(console.changed, "the guest did not start",
                lambda: b"R" in console.data, 120)
        pair.start_secondary()
        pair.wait_protected(120)

    def ask(self, variant):
        console = self.pair.primary.console
        before = console.mark()
        console.sock.sendall(bytes([variant.code]))
        wait.on(console.changed, "the guest did not answer",
                lambda: console.mark() > before, 60)

    def part(self, number):
        return self.parts.with_name(f"{self.parts.name}.{number}")

    def newest(self):
        number = 0
        while self.part(number + 1).exists():
            number += 1
        return number

    def epochs(self, variant, count):
        """A Profile for each of `count` epochs, or fewer, when something
        came in between."""
        for _ in range(WARM_UP):
            self.ask(variant)
        # The next file is about the last of these
        first = self.newest() + 1
        for _ in range(count):
            self.ask(variant)
        found, amiss = [], ""
        for number in range(first, self.newest() + 1):
            profile = self.reader.read(self.part(number))
            profile.drop_calls(*CALLERS)
            wrong = variant.amiss(profile)
            if wrong:
                amiss = f"in {self.part(number)} {wrong}"
            else:
                found.append(profile)
        if len(found) < max(1, count // 2):
            raise AssertionError(
                f"{variant.name}: of {count} epochs only {len(found)} were "
                f"as they should be: {amiss}")
        return found


def phases(profile):
    """{phase: instructions} of one epoch."""
    for root in ROOTS:
        if not profile.inclusive(root):
            raise AssertionError(f"nothing was counted in {root}(): has it "
                                 "another name now?")
    cut = profile.inclusive("ft_cut_take")
    ship = profile.inclusive("ft_ship")
    ack = profile.inclusive("ft_primary_readable")
    in_place = profile.inclusive("ft_ship_in_place")
    found = {"stop": 0, "device": profile.inclusive("ft_device_save"),
             "harvest": profile.inclusive("ft_harvest", "ft_ram_refresh"),
             "copy": sum(cost for f, cost in profile.self_cost.items()
                         if base(f) in CUT)}
    own = next(file for f, file in profile.objects.items() if base(f) in CUT)
    for (caller, callee), cost in profile.calls.items():
        # Those into a library are memcpy(), a few the clock
        if base(caller) in CUT and base(callee) not in CUT and \
                profile.objects.get(callee) != own:
            found["copy"] += cost
    found["stop"] = cut - in_place - sum(found.values())
    found["pace"] = profile.inclusive("take_cut") - cut - ship
    found["send"] = profile.inclusive("ft_channel_send")
    found["encode"] = in_place + ship - found["send"]
    found["release"] = profile.inclusive("ft_gate_release")
    found["ack"] = ack - found["release"]
    found["total"] = cut + ship + ack + found["pace"]
    return {phase: found[phase] for phase in PHASES}


class Found:
    """Of one variant."""

    def __init__(self, profiles):
        self.each = [phases(p) for p in profiles]
        self.figures = {phase: statistics.median_low(e[phase]
                                                     for e in self.each)
                        for phase in PHASES}
        totals = [e["total"] for e in self.each]
        self.spread = (max(totals) - min(totals)) / self.figures["total"]
        self.profile = Profile()
        for profile in profiles:
            self.profile.add(profile)


def measure(bench, variants=VARIANTS, epochs=EPOCHS, say=print):
    """{variant's name: Found}"""
    bench.start()
    say("the pair is protected")
    found = {}
    for variant in variants:
        one = Found(bench.epochs(variant, epochs))
        found[variant.name] = one
        say(f"{variant.name}: {one.figures['total']} instructions an epoch, "
            f"{100 * one.spread:.2f} % between {len(one.each)} epochs")
    return found


# --- comparing --------------------------------------------------------------

def committed():
    """{kind: {"tools": ..., "figures": {variant: {phase: instructions}}}}"""
    return json.loads(COMMITTED.read_text()) if COMMITTED.exists() else {}


def changed(figures, wanted):
    """(ratio, sentence) of each figure that is off by more than RISE."""
    for variant, mine in figures.items():
        for phase, value in mine.items():
            before = wanted.get(variant, {}).get(phase)
            if before is None or \
                    abs(value - before) <= max(RISE * before, NOISE):
                continue
            ratio = value / max(before, 1)
            yield ratio, (f"{phase} ({variant}): {value} instructions an "
                          f"epoch, committed are {before} "
                          f"({100 * (ratio - 1):+.0f} %)")


def first_few(sentences, count=3):
    more = len(sentences) - count
    return "; ".join(sentences[:count] +
                     ([f"and {more} more"] if more > 0 else []))


def compare(figures, record):
    """(worse, better): a sentence each, or ""."""
    off = sorted(changed(figures, record["figures"]), reverse=True)
    worse = [text for ratio, text in off if ratio > 1]
    better = [text for ratio, text in reversed(off) if ratio < 1]
    other = [f"{tool} {version} instead of {record['tools'].get(tool)}"
             for tool, version in tools().items()
             if version != record["tools"].get(tool)]
    note = f" (measured with {', '.join(other)})" if other else ""
    if worse:
        return (f"{first_few(worse)}; allowed is {100 * RISE:.0f} % more: "
                f"make it cheaper, or accept it with {ACCEPT} and say "
                f"in the commit why{note}"), ""
    if better:
        return "", (f"cheaper: {first_few(better)}; keep that with {ACCEPT}"
                    f"{note}")
    return "", ""


# --- showing ----------------------------------------------------------------

def markdown(figures):
    rows = ["| instructions an epoch | " + " | ".join(figures) + " |",
            "| --- " + "| ---: " * len(figures) + "|"]
    for phase, meaning in PHASES.items():
        cells = [f"{one[phase]:,}".replace(",", " ")
                 for one in figures.values()]
        title = f"{phase}: {meaning}" if meaning else phase
        rows.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def write(found):
    """Make these {variant's name: Found} the committed ones of this
    compiler."""
    everything = committed()
    mine = everything.setdefault(kind(), {"figures": {}, "functions": {}})
    mine["tools"] = tools()
    for variant in VARIANTS:
        if variant.name in found:
            one = found[variant.name]
            mine["figures"][variant.name] = one.figures
            mine["functions"][variant.name] = {
                f: cost // len(one.each)
                for f, cost in one.profile.self_cost.most_common(SHOWN)}
    for part in "figures", "functions":
        mine[part] = {v.name: mine[part][v.name] for v in VARIANTS
                      if v.name in mine[part]}
    COMMITTED.write_text(json.dumps(everything, indent=2) + "\n")
    parts = ["<!-- SPDX-License-Identifier: GPL-2.0-or-later -->",
             "# Instructions an epoch",
             f"Written by `{ACCEPT}`; how it counts is in "
             "`tests/ft/lib/ftlib/instructions.py`."]
    for name, record in everything.items():
        used = ", ".join(f"{k} {v}" for k, v in record["tools"].items())
        parts += [f"## {name}", f"Counted with {used}.",
                  markdown(record["figures"]),
                  "The largest functions of one epoch, each without what it "
                  "calls:"]
        for variant, functions in record["functions"].items():
            total = record["figures"][variant]["total"]
            parts.append(f"{variant}: " + ", ".join(
                f"`{f}` {100 * cost / total:.1f} %"
                for f, cost in functions.items()) + ".")
    TABLE.write_text("\n\n".join(parts) + "\n")


def top(costs, profile, epochs, count):
    rows = ["| instructions | of all | calls | function |",
            "| ---: | ---: | ---: | --- |"]
    total = profile.total()
    calls = Counter()
    for (_, callee), times in profile.count.items():
        calls[callee] += times
    for function, cost in sorted(costs.items(),
                                 key=lambda item: -item[1])[:count]:
        rows.append(f"| {cost // epochs} | {100 * cost / total:.1f} % | "
                    f"{calls[function] // epochs} | `{function}` |")
    return rows


def by_function(name, found, count=30):
    """The profile of one variant, as Markdown; all figures are an epoch's."""
    profile, epochs = found.profile, len(found.each)
    counted = profile.within(*ROOTS)
    whole = {f: cost for f, cost in profile.with_callees().items()
             if f in counted}
    return "\n".join([
        f"## {name}: {found.figures['total']} instructions an epoch", "",
        "With what it calls (a call within a recursion does not count "
        "again):", "",
        *top(whole, profile, epochs, count), "", "By itself:", "",
        *top(profile.self_cost, profile, epochs, count), ""])
