# SPDX-License-Identifier: GPL-2.0-or-later
"""An epoch costs the primary no more instructions than it did when
docs/performance/instructions.json was committed, but for a tenth."""

from ftlib import instructions
from ftlib.case import limit


@limit(300)
def test_per_epoch(t):
    why = instructions.missing()
    t.skip_unless(not why, why)
    kind = instructions.kind()
    record = instructions.committed().get(kind)
    t.skip_unless(record, f"no figures are committed for {kind}; "
                  f"commit what {instructions.ACCEPT} writes")
    found = instructions.measure(instructions.Bench(t.folder, t.pair),
                                 say=t.say)
    figures = {name: one.figures for name, one in found.items()}
    t.say("\n" + instructions.markdown(figures))
    worse, t.note = instructions.compare(figures, record)
    if worse:
        raise AssertionError(worse)
