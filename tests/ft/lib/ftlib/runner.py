# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/ft/run: every test of QEMU-FT, in parallel, with one summary line.

Three kinds: a program in the build's tests/ft/unit is a GLib test, counted
by its TAP lines; scripts/check-thin, checkpatch and check-model are one test
each; every function of tests/ft/pair/test_*.py is a test with its own
process, network namespace, guest and folder of logs.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from ftlib import booted, case, database, guest, netns, wait

PYTHON = "/usr/bin/python3"
HERE = pathlib.Path(__file__).resolve().parent
PAIR = HERE.parents[1] / "pair"
TAIL = 15
HEAD = 60


class Outcome:
    def __init__(self, code, why="", seconds=0.0, counts=None, output=""):
        self.code = code
        self.why = why
        self.seconds = seconds
        # passed, failed, skipped
        self.counts = counts or ((1, 0, 0) if code == 0 else
                                 (0, 0, 1) if code == case.SKIP else
                                 (0, 1, 0))
        self.output = output


def run_limited(argv, seconds, **options):
    """(exit code or None when too slow, output); kills the whole group."""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True,
                               errors="replace", start_new_session=True,
                               **options)
    try:
        output, _ = process.communicate(timeout=wait.scaled(seconds))
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return None, output
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise


class Job:
    """One line of the report."""

    kind = ""
    alone = False

    def __init__(self, name):
        self.name = f"{self.kind}/{name}"

    def run(self):
        start = time.monotonic()
        try:
            outcome = self.perform()
        except (OSError, netns.Unavailable) as why:
            outcome = Outcome(1, str(why))
        outcome.seconds = time.monotonic() - start
        return outcome


class UnitJob(Job):
    kind = "unit"

    def __init__(self, program):
        super().__init__(program.name)
        self.program = program

    def perform(self):
        code, output = run_limited([str(self.program), "--tap", "-k"], 120,
                                   cwd=self.program.parent)
        passed = failed = skipped = 0
        for verdict, text in re.findall(r"^(ok|not ok)\b(.*)$", output, re.M):
            if re.search(r"# SKIP", text, re.I):
                skipped += 1
            elif verdict == "ok":
                passed += 1
            else:
                failed += 1
        if code and not failed:
            failed = 1              # died outside any test
        planned = re.search(r"^1\.\.(\d+)", output, re.M)
        if planned and int(planned.group(1)) > passed + failed + skipped:
            failed = max(failed, 1)
        why = f"{passed + failed + skipped} tests"
        if code is None:
            why = "took too long"
        return Outcome(1 if failed else 0, why,
                       counts=(passed, failed, skipped), output=output)


class CheckJob(Job):
    kind = "check"

    def __init__(self, script, *arguments):
        super().__init__(script.name)
        self.argv = [str(script), *arguments]

    def perform(self):
        code, output = run_limited(self.argv, 600, cwd=guest.ROOT)
        lines = output.strip().splitlines()
        why = lines[-1] if code and lines else ""
        return Outcome(1 if code is None else code, why, output=output)


class PairJob(Job):
    kind = "pair"

    def __init__(self, path, name, limit, logs, alone=False):
        stem = path.stem[len("test_"):].replace("_", "-")
        super().__init__(f"{stem}/{name}")
        self.path, self.test, self.limit = path, name, limit
        self.alone = alone
        self.folder = logs / re.sub(r"[^\w.-]+", "-", f"{stem}-{name}")

    def perform(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        argv = netns.command([PYTHON, "-m", "ftlib.case", str(self.path),
                              self.test, str(self.folder)])
        env = dict(os.environ, PYTHONPATH=str(HERE.parent),
                   PYTHONDONTWRITEBYTECODE="1",
                   QEMU_FT_GUEST=str(guest.image()))
        env[netns.INSIDE] = "1"
        code, output = run_limited(argv, self.limit, env=env)
        (self.folder / "test.log").write_text(output)
        if code is None:
            return Outcome(1, f"not done after {wait.scaled(self.limit):g} s",
                           output=self.logs())
        verdict = self.folder / "verdict"
        why = verdict.read_text() if verdict.exists() else "the test died"
        passed = code in (0, case.SKIP)
        return Outcome(code, why, counts=self.counts(),
                       output="" if passed else self.logs())

    def counts(self):
        """Of a test that is many (Test.count), else None."""
        path = self.folder / "counts"
        return tuple(map(int, path.read_text().split())) if path.exists() \
            else None

    def logs(self):
        """The end of every log, for the report of a failure; of evidence,
        which is long, the beginning."""
        parts = []
        for path in sorted(self.folder.iterdir()):
            if path.suffix in (".log", ".serial", ".qmp", ".evidence"):
                lines = path.read_text(errors="replace").splitlines()
                parts.append(f"--- {path.name} ({len(lines)} lines)")
                parts += (lines[:HEAD] if path.suffix == ".evidence" else
                          lines[-TAIL:])
        return "\n".join(parts + [f"--- all of it: {self.folder}"])


# --- finding ----------------------------------------------------------------

def unit_jobs():
    folder = guest.BUILD / "obj" / "tests" / "ft" / "unit"
    if not folder.is_dir():
        return []
    return [UnitJob(p) for p in sorted(folder.iterdir())
            if p.is_file() and not p.suffix and os.access(p, os.X_OK)]


def check_jobs(full):
    scripts = guest.ROOT / "scripts"
    return [CheckJob(scripts / "check-thin"),
            CheckJob(scripts / "checkpatch"),
            CheckJob(scripts / "check-model", *([] if full else ["--quick"]))]


def pair_jobs(logs, full):
    jobs = []
    for path in sorted(PAIR.glob("test_*.py")):
        for name, (function, arguments) in case.tests_in(path).items():
            if case.only_full(function, arguments) and not full:
                continue
            limit = getattr(function, "limit", case.DEFAULT_LIMIT)
            jobs.append(PairJob(path, name, limit, logs,
                                getattr(function, "alone", False)))
    return jobs


def uses(job, word):
    return isinstance(job, PairJob) and word in job.path.read_text()


# --- reporting --------------------------------------------------------------

class Report:
    def __init__(self, verbose):
        self.verbose = verbose
        self.lock = threading.Lock()
        self.counts = [0, 0, 0]

    def add(self, job, outcome):
        word = {0: "ok", case.SKIP: "skip"}.get(outcome.code, "FAIL")
        why = f"  {outcome.why}" if outcome.why else ""
        with self.lock:
            self.counts = [a + b for a, b in zip(self.counts, outcome.counts)]
            print(f"{word:4} {job.name} {outcome.seconds:.1f} s{why}")
            if outcome.output and (word == "FAIL" or self.verbose):
                for line in outcome.output.rstrip().splitlines():
                    print("    " + line)
            sys.stdout.flush()

    def summary(self):
        return "{} passed, {} failed, {} skipped".format(*self.counts)


def options():
    parser = argparse.ArgumentParser(
        prog="tests/ft/run", description="Run the tests of QEMU-FT.")
    parser.add_argument("-j", type=int, default=2, metavar="N",
                        help="how many tests at a time (default 2)")
    parser.add_argument("-k", metavar="PATTERN", default="",
                        help="only tests whose name matches this regex")
    parser.add_argument("--full", action="store_true",
                        help="the long ones too")
    parser.add_argument("--list", action="store_true",
                        help="print the names and run nothing")
    parser.add_argument("-v", action="store_true",
                        help="show the output of passed tests too")
    return parser.parse_args()


def main():
    args = options()
    os.environ.pop(netns.INSIDE, None)
    logs = guest.BUILD / "ft-logs"
    jobs = unit_jobs() + check_jobs(args.full) + pair_jobs(logs, args.full)
    jobs = [j for j in jobs if re.search(args.k, j.name)]
    if args.list:
        print("\n".join(j.name for j in jobs))
        return 0
    if not jobs:
        sys.exit(f"tests/ft/run: no test matches {args.k!r}")
    if any(isinstance(j, PairJob) for j in jobs):
        try:
            guest.qemu()
            guest.image()
            booted.prune()
            # Here, not within the time limit of whoever needs it first, and
            # while there is a network
            if any(uses(j, "database") for j in jobs) and not \
                    database.missing():
                database.files()
            if any(uses(j, "bench_image") for j in jobs):
                guest.bench_image()
        except guest.Missing as why:
            sys.exit(f"tests/ft/run: {why}")
    report = Report(args.v)
    with (tempfile.TemporaryDirectory(prefix="ft-") as scratch,
          ThreadPoolExecutor(max(1, args.j)) as pool):
        # Whatever becomes of a test, its temporary files go with this run.
        os.environ["TMPDIR"] = scratch

        def one(job):
            report.add(job, job.run())
        list(pool.map(one, [j for j in jobs if not j.alone]))
        for job in jobs:
            if job.alone:
                one(job)
    print(report.summary())
    return 1 if report.counts[1] else 0
