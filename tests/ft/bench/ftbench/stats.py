# SPDX-License-Identifier: GPL-2.0-or-later
"""Medians, spreads and ratios of the rounds, as data.

A ratio is taken inside each round and only then is the median formed: the
speed of a shared host changes from minute to minute, the ratio much less.
"""

import statistics

# (what it is called in a summary, path in a load's figures)
COSTS = [(f"{what} {side}", (what, side))
         for what in ("cpu", "rss_mib") for side in ("primary", "secondary")]
COSTS += [("wire_bytes_s", ("wire_bytes_s",)), ("epochs_s", ("epochs_s",))]
COSTS += [(f"{what} {share}", (what, share))
          for what in ("pause", "ack", "pages", "epoch_bytes")
          for share in ("p50", "p99", "max")]
EXTRAS = [(key, (key,)) for key in ("p50_ms", "p99_ms", "mean_ms",
                                    "dirtied_mib_s", "told_ms")]


def spread(values):
    return {"median": statistics.median(values), "min": min(values),
            "max": max(values), "rounds": len(values)}


def told(values, form="{:.0f}"):
    """The same as text: median (min-max)."""
    middle = form.format(statistics.median(values))
    return f"{middle} ({form.format(min(values))}-{form.format(max(values))})"


def figures(one, guest, mode, load):
    """Of one round; {} when there are none."""
    return one.get(guest, {}).get(mode, {}).get("loads", {}).get(load, {})


def at(found, path):
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def column(rounds, guest, mode, load, path):
    values = [at(figures(one, guest, mode, load), path) for one in rounds]
    return [v for v in values if v is not None]


def ratios(rounds, guest, load, pair, lower):
    """The speed of the first of `pair` by that of the second, each round."""
    found = []
    for one in rounds:
        above, below = (figures(one, guest, mode, load).get("value")
                        for mode in pair)
        if above and below:
            found.append(below / above if lower else above / below)
    return found


def reasons(rounds, guest, mode, load):
    """What is instead of figures: {"absent":} or {"error":, "failed":}."""
    found = [figures(one, guest, mode, load) for one in rounds]
    errors = [f["error"] for f in found if "error" in f]
    if errors:
        return {"error": errors[0], "failed": len(errors)}
    absent = [f["absent"] for f in found if "absent" in f]
    return {"absent": absent[0]} if absent else {}


def of_load(rounds, guest, mode, load):
    found = reasons(rounds, guest, mode, load)
    for name, path in [("value", ("value",))] + COSTS + EXTRAS:
        values = column(rounds, guest, mode, load, path)
        if values:
            found[name] = spread(values)
    return found


def summarize(rounds, plan, modes, pairs):
    """{guest: {load: {"unit", "lower", "modes", "ratios"}}}; `plan` is
    [(guest's name, [load])]."""
    result = {}
    for guest, loads in plan:
        rows = result[guest] = {}
        for load in loads:
            row = rows[load.name] = {"unit": load.unit, "lower": load.lower}
            row["modes"] = {mode: of_load(rounds, guest, mode, load.name)
                            for mode in modes}
            row["ratios"] = {}
            for pair in pairs:
                values = ratios(rounds, guest, load.name, pair, load.lower)
                if values:
                    row["ratios"]["/".join(pair)] = spread(values)
    return result
