# SPDX-License-Identifier: GPL-2.0-or-later
"""What valgrind's callgrind writes: instructions by function and by call.

Only what is needed of its format ("Callgrind Format Specification" in
valgrind's manual), and only the first event, which is Ir, the instructions.
"""

import pathlib
import re
from collections import Counter

NAME = re.compile(r"(c?)(fn|ob|fl|fi|fe)=(?:\((\d+)\))? ?(.*)")
COSTS = re.compile(r"[-+*0-9]")


def base(function):
    """A function's name without what a compiler adds to the parts of one."""
    return function.split(".", 1)[0]


class Profile:
    """`self_cost`: of a function alone; `calls`, `count`: by (caller,
    callee), what was executed until the callee returned, and how often it was
    called; `objects`: which file a function is in."""

    def __init__(self):
        self.self_cost = Counter()
        self.calls = Counter()
        self.count = Counter()
        self.objects = {}

    def add(self, other):
        self.self_cost.update(other.self_cost)
        self.calls.update(other.calls)
        self.count.update(other.count)
        self.objects.update(other.objects)

    def total(self):
        return sum(self.self_cost.values())

    def inclusive(self, *functions):
        """Of functions, each with what it calls; none may be called by what
        another of them calls.  Not taken from its callers: where collecting
        begins with it they are not in the file."""
        return (sum(cost for f, cost in self.self_cost.items()
                    if base(f) in functions) +
                sum(cost for (caller, callee), cost in self.calls.items()
                    if base(caller) in functions and
                    base(callee) not in functions))

    def callees(self):
        found = {}
        for caller, callee in self.calls:
            found.setdefault(caller, set()).add(callee)
        return found

    def drop_calls(self, *functions):
        """What is said of calls of these is wrong."""
        for edge in [e for e in self.calls if base(e[1]) in functions]:
            del self.calls[edge], self.count[edge]

    def within(self, *functions):
        """Those, and all that they have called."""
        callees = self.callees()
        found = {f for f in self.self_cost if base(f) in functions}
        for function in list(found):
            found |= reachable(callees, function)
        return found

    def times(self, function):
        return sum(n for (_, callee), n in self.count.items()
                   if base(callee) == function)

    def with_callees(self):
        """{function: inclusive cost}; calls that are part of a recursion do
        not count again."""
        callees = self.callees()
        reach = {f: reachable(callees, f) for f in callees}
        found = Counter(self.self_cost)
        for f in [f for f in reach if f in reach[f]]:
            found[f] = 0
        for (caller, callee), cost in self.calls.items():
            if caller not in reach[caller]:
                found[caller] += cost
            if callee in reach.get(callee, ()) and \
                    caller not in reach[callee]:
                found[callee] += cost
        return found


def reachable(callees, start):
    found, todo = set(), [start]
    while todo:
        for callee in callees.get(todo.pop(), ()):
            if callee not in found:
                found.add(callee)
                todo.append(callee)
    return found


class Reader:
    """Names are written once and numbered; the numbers stay the same in all
    parts that one process writes."""

    def __init__(self):
        self.names = {}

    def read(self, path):
        profile = Profile()
        now = {"fn": None, "ob": None}
        called = {}
        calls = None            # how often, when the next line is a call's
        for line in pathlib.Path(path).read_text().splitlines():
            found = NAME.match(line)
            if found:
                prefix, kind, number, name = found.groups()
                if kind not in now:
                    continue
                (called if prefix else now)[kind] = self.name(
                    kind, number, name)
                if kind == "fn" and not prefix:
                    profile.objects[now["fn"]] = now["ob"]
            elif line.startswith("calls="):
                calls = int(line[len("calls="):].split()[0])
            elif COSTS.match(line):
                cost = int((line.split() + ["0"])[1])
                if calls is None:
                    profile.self_cost[now["fn"]] += cost
                    continue
                pair = now["fn"], called["fn"]
                profile.calls[pair] += cost
                profile.count[pair] += calls
                profile.objects.setdefault(pair[1],
                                           called.get("ob", now["ob"]))
                called, calls = {}, None
        return profile

    def name(self, kind, number, name):
        if name:
            self.names[kind, number] = name
        return name or self.names.get((kind, number), f"{kind} {number}")
