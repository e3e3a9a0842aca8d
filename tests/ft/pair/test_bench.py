# SPDX-License-Identifier: GPL-2.0-or-later
"""`make bench` as a program: the quick form gives a figure for every load in
every mode, and what fails or is interrupted is told.  No figure is judged."""

import json
import os
import re
import signal
import subprocess
import sys

from ftlib import database, guest, netns, wait
from ftlib.case import assert_equal, limit

RUN = guest.ROOT / "tests" / "ft" / "bench" / "run"
PLOTS = {"speed", "guests", "pause", "wire", "memory", "outage"}


def bench(t, *options, path=""):
    """It runs in this namespace, with its own guest."""
    netns.bridge_up()           # else skipped, as every test
    guest.bench_image()
    env = dict(os.environ, PATH=f"{path}:{os.environ['PATH']}")
    with open(t.folder / "bench.log", "w") as log:
        return subprocess.Popen(
            [sys.executable, str(RUN), "--out", str(t.folder / "out"),
             *options], stdin=subprocess.DEVNULL, stdout=log,
            stderr=subprocess.STDOUT, env=env)


def result(t):
    return json.loads((t.folder / "out" / "bench.json").read_text())


def report(t):
    return (t.folder / "out" / "bench.md").read_text()


def every_load(data):
    """(guest, mode, load, figures) of all rounds."""
    for one in data["rounds"]:
        for where, modes in one.items():
            for mode, boot in modes.items():
                for load, figures in boot["loads"].items():
                    yield where, mode, load, figures


def check_figures(data):
    """As many as the plan has, each above zero or absent with a reason."""
    count = 0
    for where, mode, load, figures in every_load(data):
        name = f"{where}, {mode}, {load}"
        if "absent" in figures:
            if mode == "checkpoint":
                raise AssertionError(f"{name}: {figures['absent']}")
            continue
        count += 1
        if not figures.get("value", 0) > 0:
            raise AssertionError(f"{name}: {figures}")
        if mode != "unprotected" and load != "takeover":
            for figure in (figures["wire_bytes_s"],
                           figures["rss_mib"]["secondary"]):
                if not figure > 0:
                    raise AssertionError(f"{name}: {figures}")
        if mode == "checkpoint" and load != "takeover" and not (
                figures["pause"]["p50"] and figures["ack"]["p50"]):
            raise AssertionError(f"{name}: no pauses: {figures}")
    return count


def planned(*options):
    """{"GUEST/LOAD": [modes]} as --list prints them."""
    said = subprocess.run([sys.executable, str(RUN), "--list", *options],
                          text=True, stdout=subprocess.PIPE, check=True).stdout
    return {name: modes.split(", ") for name, modes in
            re.findall(r"^([^#].*): (.*)$", said, re.M)}


def check_report(t, data):
    text = report(t)
    for where, loads in data["summary"].items():
        for load in loads:
            if not re.search(rf"^\| {re.escape(load)} \| .*\d", text, re.M):
                raise AssertionError(f"no row of {load} in {text}")
    drawn = {p.stem[len("bench-"):] for p in (t.folder / "out").glob("*.svg")}
    assert_equal(drawn, PLOTS, "what was drawn")
    for name in drawn:
        path = t.folder / "out" / f"bench-{name}.svg"
        if "</svg>" not in path.read_text() or f"({path.name})" not in text:
            raise AssertionError(f"{path.name} is not whole or not shown")


@limit(900)
def test_quick(t):
    options = ["--quick", "--seconds", "0.8"]
    if database.missing():
        options += ["--only", "^(?!.*disk)"]
    process = bench(t, *options)
    code = process.wait()
    log = (t.folder / "bench.log").read_text()
    if code:
        raise AssertionError(f"exit code {code}: " + "; ".join(
            re.findall(r"^failed: .*|^bench: .*", log, re.M)))
    data = result(t)
    assert_equal(data["complete"], True, "complete")
    wanted = sum(len(modes) for modes in planned(*options).values())
    assert_equal(check_figures(data), wanted, "number of figures")
    check_report(t, data)


def test_a_load_that_fails(t):
    """It is told why, the other loads go on, and the exit code says so."""
    fake = t.folder / "bin"
    fake.mkdir()
    (fake / "iperf3").write_text("#!/bin/sh\necho no luck >&2\nexit 3\n")
    (fake / "iperf3").chmod(0o755)
    process = bench(t, "--quick", "--seconds", "0.3", "--modes",
                    "unprotected", "--only",
                    "256 MiB, 1 vCPU/(iperf3 to|SET x20)", path=fake)
    assert_equal(process.wait(), 1, "exit code")
    found = {load: figures for _, _, load, figures in every_load(result(t))}
    assert_equal("no luck" in found["iperf3 to guest"].get("error", ""), True,
                 "the reason in the file")
    if not found["SET x20"].get("value"):
        raise AssertionError(f"no figure beside a failure: {found}")
    if "failed: no luck" not in report(t).replace("iperf3 ", ""):
        raise AssertionError(f"no reason in the report: {report(t)}")


def test_interrupted(t):
    """What was measured before is kept and reported."""
    process = bench(t, "--quick", "--rounds", "50", "--seconds", "0.3",
                    "--modes", "unprotected", "--only",
                    "256 MiB, 1 vCPU/(ping|SET x20)")
    path = t.folder / "out" / "bench.json"
    wait.until("no first round", lambda: process.poll() is not None or
               path.exists(), 90, 0.1)
    process.send_signal(signal.SIGTERM)
    assert_equal(process.wait(), 130, "exit code")
    data = result(t)
    assert_equal(data["complete"], False, "complete")
    if check_figures(data) < 2 or "interrupted" not in report(t):
        raise AssertionError(f"not kept: {data['rounds']}; {report(t)}")
