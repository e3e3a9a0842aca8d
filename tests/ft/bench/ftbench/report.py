# SPDX-License-Identifier: GPL-2.0-or-later
"""Medians, spreads and ratios of the rounds, as data and as Markdown.

A ratio is taken inside each round and only then is the median formed: the
speed of a shared host changes from minute to minute, the ratio much less.
"""

import statistics

KEYS = ("rps", "p50_ms", "p99_ms")


def main_key(load):
    """What a load is judged by: requests per second, ping by its median."""
    return "p50_ms" if load == "ping" else "rps"


def spread(values):
    return {"median": statistics.median(values), "min": min(values),
            "max": max(values)}


def figures(rounds, subject, load, key):
    """The figure in each round that has one."""
    found = []
    for one in rounds:
        value = one.get(subject, {}).get("loads", {}).get(load, {}).get(key)
        if value is not None:
            found.append(value)
    return found


def ratios(rounds, load, above, below):
    key = main_key(load)
    found = []
    for one in rounds:
        pair = [figures([one], name, load, key) for name in (above, below)]
        if all(pair) and pair[1][0]:
            found.append(pair[0][0] / pair[1][0])
    return found


def summarize(rounds, subjects, loads):
    result = {"figures": {}, "ratios": {}, "pause_us": {}}
    for load in loads:
        result["figures"][load] = load_figures(rounds, subjects, load)
        result["ratios"][load] = load_ratios(rounds, subjects, load)
    for key in ("p50", "p99"):
        found = [one["protected"]["pause"][key] for one in rounds
                 if one.get("protected", {}).get("pause")]
        if found:
            result["pause_us"][key] = spread(found)
    result["load_average"] = spread([
        mine["load_average"] for one in rounds for mine in one.values()
        if "load_average" in mine] or [0.0])
    return result


def load_figures(rounds, subjects, load):
    found = {subject: {} for subject in subjects}
    for subject in subjects:
        for key in KEYS:
            values = figures(rounds, subject, load, key)
            if values:
                found[subject][key] = spread(values)
    return found


def load_ratios(rounds, subjects, load):
    found = {}
    for other in subjects:
        values = ratios(rounds, load, "protected", other)
        if values and other != "protected":
            found[other] = spread(values)
    return found


# --- Markdown ---------------------------------------------------------------

def number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def with_spread(cell):
    text = number(cell["median"])
    if cell["min"] == cell["max"]:
        return text
    return f"{text} ({number(cell['min'])}-{number(cell['max'])})"


def row(cells):
    return "| " + " | ".join(cells) + " |"


def load_row(summary, load, subjects, key):
    """One line; the ratios are those of the load's main figure."""
    cells = [load]
    unit = "/s" if key == "rps" else " ms"
    for subject in subjects:
        cell = summary["figures"].get(load, {}).get(subject, {}).get(key)
        cells.append(with_spread(cell) + unit if cell else "-")
    for other in subjects:
        if other != "protected" and key == main_key(load):
            cell = summary["ratios"].get(load, {}).get(other)
            cells.append(with_spread(cell) if cell else "-")
    return row(cells)


def table(summary, subjects, loads, heads, key=None):
    lines = [row(heads), row(["---"] * len(heads))]
    return lines + [load_row(summary, load, subjects, key or main_key(load))
                    for load in loads]


def notes(summary):
    pause, busy = summary["pause_us"], summary["load_average"]
    lines = []
    if pause:
        lines.append(f"Pause under TIME x1: p50 {with_spread(pause['p50'])} "
                     f"us, p99 {with_spread(pause['p99'])} us.")
    lines.append(f"Host's load average before each: {with_spread(busy)}.")
    lines.append("Median of the rounds (min-max); a ratio is formed in each "
                 "round.  Ping: median round trip, so a low ratio is good.")
    return lines


def markdown(summary, subjects, loads):
    ratio_heads = [f"protected / {s}" for s in subjects if s != "protected"]
    latencies = [load for load in loads if main_key(load) == "rps"]
    lines = table(summary, subjects, loads,
                  ["load", *subjects, *ratio_heads])
    for key, head in (("p50_ms", "p50 latency"), ("p99_ms", "p99 latency")):
        lines += ["", *table(summary, subjects, latencies,
                             [head, *subjects], key)]
    return "\n".join(lines + [""] + notes(summary))
