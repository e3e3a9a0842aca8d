# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/ft/bench/scale as a program: the quick form has figures of every
point, none of which is judged; and from figures that are known the page says
what follows from them."""

import json
import os
import re
import subprocess
import sys

from ftlib import guest, netns
from ftlib.case import alone, assert_equal

RUN = guest.ROOT / "tests" / "ft" / "bench" / "scale"
# Of each point, with protection and without
ABOVE_ZERO = ("epochs_s", "pause_p50", "ack_p50", "pages_p50", "sent_epoch",
              "wire_s", "cpu_vcpus", "cpu_primary", "cpu_secondary",
              "pss_primary", "pss_secondary", "plain_cpu_primary",
              "plain_pss_primary")
ABOUT = {"commit": "0", "changed": False, "qemu": "QEMU", "accelerator": "tcg",
         "cpus": 2, "cpu": "some", "memory_mib": 1024, "system": "Debian",
         "kernel": "6", "guest": []}


def scale(t, *options):
    """(exit code, what it said); it runs in this namespace."""
    with open(t.folder / "scale.log", "w+") as log:
        code = subprocess.run([sys.executable, str(RUN), *options],
                              stdin=subprocess.DEVNULL, stdout=log,
                              stderr=subprocess.STDOUT,
                              env=dict(os.environ)).returncode
        log.seek(0)
        return code, log.read()


@alone
def test_quick(t):
    netns.bridge_up()           # else skipped, as every test
    guest.bench_image()
    out = t.folder / "out"
    code, said = scale(t, "--quick", "--out", str(out))
    assert_equal(code, 0, f"exit code ({said[-300:]})")
    data = json.loads((out / "scale.json").read_text())
    assert_equal(data["complete"], True, "complete")
    found = {name: figures for sweep in ("sizes", "pairs")
             for name, figures in data["rounds"][0][sweep].items()}
    wanted = {"256 MiB, 1 vCPU", "256 MiB, 1 vCPU, busy",
              "256 MiB, 1 vCPU, idle", "2"}
    assert_equal(set(found), wanted, "the points")
    text = (out / "scale.md").read_text()
    for name, figures in found.items():
        for key in ABOVE_ZERO:
            if not figures[key] > 0:
                raise AssertionError(f"{name}: {key} is {figures[key]}")
        if not re.search(rf"^\| {re.escape(name)} \| .*\d", text, re.M):
            raise AssertionError(f"no row of {name} in {text}")
    for name in re.findall(r"\((scale-\w+\.svg)\)", text):
        if "</svg>" not in (out / name).read_text():
            raise AssertionError(f"{name} is not whole")
    if "2 pairs at once" not in (out / "rack.md").read_text():
        raise AssertionError("the page says nothing of the pairs")


def straight(a, b):
    """Figures of an epoch of so many pages, on a line."""
    def figures(pages, size, more):
        epoch = a + (b + size / 1000) * pages
        return {"pages_p50": pages, "epochs_s": 10, "pause_p50": 1,
                "epoch_primary": epoch + 1e6 * more / 10,
                "epoch_secondary": epoch / 2, "epoch_vcpus": 0,
                "more_primary": epoch * 10 / 1e6 + more,
                "more_secondary": epoch / 2 * 10 / 1e6, "more_vcpus": 0,
                "wire_s": 1e6, "ack_p50": 2 * epoch,
                "sent_epoch": 2000 + pages * (8 + size)}
    return figures


def known():
    """400 us, 2 for each page and 1 for 1000 bytes; half of it on the other
    side; 0.01 cores at any time; 2000 bytes, 8 for each page and those that
    changed."""
    of = straight(400, 2)
    pages = {f"{n} x {size}": of(n, size, 0.01)
             for n, size in ((10, 64), (1000, 64), (100, 4096), (900, 4096))}
    rates = {str(e): {"epochs_s": e, "more_primary": 0.01 + e / 1000,
                      "more_secondary": e / 2000, "wire_s": 1000 * e,
                      "more_vcpus": 0, "pages_p50": 300, "pause_p50": 1}
             for e in (10, 100)}
    pairs = {str(n): {"more": 0.02 * n ** 0.5, "machine": 0.1 + 0.1 * n,
                      "more_primary": 0.02, "more_secondary": 0.01,
                      "more_vcpus": 0.001, "epochs_s": 20, "pages_p50": 30,
                      "wire_s": 125e6, "pause_p50": 1, "plain_pss_primary": 99,
                      "pss_primary": 139, "pss_secondary": 50}
             for n in (1, 4)}
    return {"sizes": {}, "rates": rates, "pages": pages, "pairs": pairs}


def test_arithmetic(t):
    path = t.folder / "scale.json"
    path.write_text(json.dumps({
        "about": ABOUT, "options": {"seconds": 1}, "complete": True,
        "rounds": [known()]}))
    code, said = scale(t, "--from", str(path), "--hosts", "12", "--vms", "5",
                       "--link", "10")
    assert_equal(code, 0, f"exit code ({said[-300:]})")
    page = (t.folder / "rack.md").read_text()
    for wanted in (
            "an epoch | 400 + *d* (2 + 0.001 *c*) |",
            "an epoch | 200 + *d* (1 + 0.0005 *c*) |",
            "acknowledged, us | 800 + *d* (4 + 0.002 *c*) |",
            "2000 + *d* (8 + 1 *c*)", "cores | 0.01 + 0 |",
            # 5 x (0.01 + 50 x (1528 + 764) / 1e6); 5 x 50 x 134 kB
            "= 0.623 cores", "= 33.5 MB/s",
            # 5 x (0.02 + 0.01), and 12 hosts; 5 x 125 MB/s of 1187.5
            "= 0.15 cores a host", "= 1.8 cores for 60 VMs",
            "625 (52.6)", "cost 2 times what it cost alone",
            "full at some 19 pairs", "2 x 5 x 40 = 400 MiB",
            "at most 1 more on each", "0.909 on average"):
        if wanted not in " ".join(page.split()):
            raise AssertionError(f"{wanted!r} is not in {page}")
