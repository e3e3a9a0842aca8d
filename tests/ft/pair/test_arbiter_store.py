# SPDX-License-Identifier: GPL-2.0-or-later
"""The arbiter's record in the real etcd, written by QEMU's own code.

build/obj/tests/ft/tools/store-tool is that code with a command line.
"""

import base64
import json
import socket
import subprocess
import threading

from ftlib import etcd, guest, wait
from ftlib.case import assert_equal, cases

VM = "6e7a9d5e-30f8-4f2c-9a57-2f3d6d1c8f11"
KEY = f"{etcd.PREFIX}/{VM}"
A, B = "a" * 32, "b" * 32
DEADLINE = 4000                 # ms, of one call
FIRST = f"swap 0 hostA {A}"


class Tool:
    """One host's view of the store."""

    def __init__(self, t, where, *options, timeout=DEADLINE):
        timeout = int(wait.scaled(timeout))
        self.t = t
        self.process = subprocess.Popen(
            [str(guest.BUILD / "obj/tests/ft/tools/store-tool"), where, VM,
             f"timeout={timeout}", *options], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, line, quiet=False):
        """(word, rest of the answer, milliseconds)"""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise AssertionError("store-tool died")
        micros, word, rest = answer.rstrip("\n").split(" ", 2)
        if not quiet:
            self.t.say(f"{line}: {answer.rstrip()}")
        return word, rest, int(micros) / 1000

    def expect(self, line, word, part=""):
        found, rest, ms = self.ask(line)
        assert_equal(found, word, f"the answer to {line!r} ({rest})")
        if part not in rest:
            raise AssertionError(f"the answer to {line!r} does not say "
                                 f"{part!r}: {rest}")
        return ms


class Place:
    """etcd members and the tools that use them; all end with the test."""

    def __init__(self, t, **options):
        t.skip_unless(etcd.missing() is None, etcd.missing())
        self.t = t
        self.etcd = etcd.Etcd(t.folder, **options).start()

    def access(self):
        words = []
        if self.etcd.tls_dir:
            words.append(f"tls={self.etcd.tls_dir}")
        if self.etcd.auth:
            words += [f"user={etcd.USER}", f"password={etcd.PASSWORD}"]
        return words

    def tool(self, **options):
        return Tool(self.t, self.etcd.where, *self.access(), **options)


KINDS = {"plain": {}, "tls": {"tls": True}, "auth": {"auth": True},
         "tls-auth": {"tls": True, "auth": True}}


@cases(*KINDS)
def test_claims(t, kind):
    """Two hosts: one wins, the other is told who did; etcdctl sees it."""
    place = Place(t, **KINDS[kind])
    one, two = place.tool(), place.tool()
    one.expect("read", "ok", "0 - - 0")
    one.expect(FIRST, "ok")
    one.expect(FIRST, "ok")
    two.expect(f"swap 0 hostB {B}", "lost", f"1 hostA {A} 0")
    two.expect(f"swap 1 hostB {B}", "ok")
    # what it knows is old by now
    one.expect(f"swap 1 hostA {A}", "lost", f"2 hostB {B} 0")
    two.expect(f"update 2 hostB {B} 0 2 hostB {B} 1", "ok")
    one.expect(f"swap 2 hostA {A}", "lost", f"2 hostB {B} 1")
    one.expect(f"update 2 hostB {B} 1 3 hostA {A} 0", "ok")
    two.expect("read", "ok", f"3 hostA {A} 0")
    assert_equal(json.loads(place.etcd.get(KEY)),
                 {"version": 1, "vm": VM, "generation": 3, "holder": "hostA",
                  "claim": A, "ended": False}, "the record")


def test_race(t):
    """Four hosts at once: each generation has exactly one winner."""
    place = Place(t)
    wins = []

    def race(tool, claim):
        for generation in range(25):
            word, rest, _ = tool.ask(f"swap {generation} host {claim}", True)
            wins.append((generation, word))
            if word == "unreachable":
                t.say(rest)
    racers = [threading.Thread(target=race, args=(place.tool(), c * 32))
              for c in "abcd"]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert_equal({word for _, word in wins}, {"ok", "lost"}, "answers")
    assert_equal(sorted(g for g, word in wins if word == "ok"),
                 list(range(25)), "generations won")


def test_left_alone(t):
    """What is not the record is neither used nor overwritten."""
    place = Place(t)
    place.etcd.put(KEY, "precious")
    tool = place.tool()
    tool.expect("read", "unreachable", KEY)
    tool.expect(FIRST, "unreachable", KEY)
    assert_equal(place.etcd.get(KEY), "precious", "the value")
    place.etcd.ctl("del", KEY)
    tool.expect(FIRST, "ok")


@cases("plain", "tls")
def test_wrong_password(t, kind):
    place = Place(t, auth=True, **KINDS[kind])
    tls = [f"tls={place.etcd.tls_dir}"] if place.etcd.tls_dir else []
    Tool(t, place.etcd.where, *tls, f"user={etcd.USER}",
         "password=wrong").expect(FIRST, "unreachable",
                                  f"user {etcd.USER} is not let in")
    Tool(t, place.etcd.where, *tls).expect(FIRST, "unreachable",
                                           "user name is empty")
    assert_equal(place.etcd.get(KEY), "", "the record")


def test_foreign_key(t):
    """The user's role covers the prefix only."""
    place = Place(t, auth=True)
    other = place.etcd.where.replace(etcd.PREFIX, "/other")
    Tool(t, other, *place.access()).expect(FIRST, "unreachable",
                                           "permission denied")


def test_certificates(t):
    """None of ours, another authority's, not etcd's name, and plain HTTP."""
    place = Place(t, tls=True)
    good = place.etcd.tls_dir
    bare = t.folder / "bare"
    bare.mkdir()
    (bare / "ca-cert.pem").write_bytes((good / "ca-cert.pem").read_bytes())
    other = etcd.Certificates(t.folder / "other", "127.0.0.1").folder
    where = place.etcd.where
    for what, options in (
            (where, [f"tls={bare}"]), (where, [f"tls={other}"]), (where, []),
            (where.replace("127.0.0.1", "localhost"), [f"tls={good}"])):
        Tool(t, what, *options).expect(FIRST, "unreachable", "2379")
    assert_equal(place.etcd.get(KEY), "", "the record")


@cases("plain", "auth")
def test_restart(t, kind):
    """A killed etcd is said to be away; back, it is used again at once."""
    place = Place(t, **KINDS[kind])
    tool = place.tool()
    tool.expect(FIRST, "ok")
    place.etcd.kill()
    tool.expect(f"swap 1 hostA {A}", "unreachable", "2379")
    place.etcd.restart()
    tool.expect(f"swap 1 hostA {A}", "ok")
    tool.expect("read", "ok", f"2 hostA {A} 0")


@cases("simple", "jwt")
def test_old_token(t, kind):
    """etcd refuses what it gave out before; nobody notices."""
    place = Place(t, auth=True, jwt=kind == "jwt")
    server, tool = place.etcd, place.tool()
    tool.expect(FIRST, "ok")
    token = server.new_token()
    # Each kind of token has its own way of being too old
    if kind == "jwt":
        server.ctl("user", "add", "another:one")
    else:
        server.ctl("user", "passwd", etcd.USER, "--interactive=false",
                   input=etcd.PASSWORD)
    key = base64.b64encode(KEY.encode()).decode()
    status, answer = server.post("/v3/kv/range", {"key": key}, token)
    t.say(f"an old token: HTTP {status}, {answer.get('error')}")
    if status == 200:
        raise AssertionError("etcd still takes the old token")
    tool.expect(f"swap 1 hostA {A}", "ok")
    tool.expect("read", "ok", f"2 hostA {A} 0")


def test_doubt(t):
    """A stopped etcd: in doubt in time, and certain when asked again."""
    place = Place(t)
    one, two = place.tool(timeout=500), place.tool()
    one.expect(FIRST, "ok")
    two.expect("read", "ok")
    place.etcd.stop_process()
    ms = one.expect(f"swap 1 hostA {A}", "unreachable", "2379")
    if ms > wait.scaled(2500):
        raise AssertionError(f"a call of 500 ms took {ms:.0f} ms")
    place.etcd.continue_process()
    # The request that nobody waits for any more may have been carried out
    wait.until("etcd answers", lambda: one.ask("read")[0] == "ok")
    one.expect(f"swap 1 hostA {A}", "ok")
    two.expect(f"swap 1 hostB {B}", "lost", f"2 hostA {A} 0")


def test_silent_dns(t):
    """A name server that says nothing does not hold up a call."""
    settings = t.folder / "resolv.conf"
    settings.write_text("nameserver 127.0.0.1\n")
    done = subprocess.run(["mount", "--bind", str(settings),
                           "/etc/resolv.conf"], capture_output=True)
    t.skip_unless(done.returncode == 0, "/etc/resolv.conf cannot be replaced")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 53))
        tool = Tool(t, "etcd://etcd.example.net:2379/ft", timeout=300)
        ms = tool.expect("read", "unreachable", "etcd.example.net")
        assert silent.recv(512, socket.MSG_DONTWAIT), "nobody asked it"
    if ms > wait.scaled(1500):
        raise AssertionError(f"a call of 300 ms took {ms:.0f} ms")


def test_cluster(t):
    """Three members: one may die, two may not, and whoever is back serves."""
    t.skip_unless(etcd.missing() is None, etcd.missing())
    members = etcd.cluster(t.folder)
    tool = Tool(t, members[0].where, timeout=10000)
    tool.expect(FIRST, "ok")
    members[0].kill()
    tool.expect(f"swap 1 hostA {A}", "ok")
    members[1].kill()
    short = Tool(t, members[0].where, timeout=1000)
    short.expect("read", "unreachable", members[2].endpoint)
    short.expect(f"swap 2 hostB {B}", "unreachable", members[2].endpoint)
    members[0].restart()
    found, _, _ = tool.ask(f"swap 2 hostA {A}")
    if found not in ("ok", "lost"):
        raise AssertionError(f"the answer is {found}")
    tool.expect("read", "ok", "3 host")


@cases("plain", "tls", "tls-auth")
def test_latency(t, kind):
    """How long a claim takes on a connection that is there."""
    tool = Place(t, **KINDS[kind]).tool()
    took = []
    for generation in range(300):
        word, rest, ms = tool.ask(f"swap {generation} hostA {A}", True)
        assert_equal(word, "ok", f"claim {generation} ({rest})")
        took.append(ms)
    first, took = took[0], sorted(took)
    t.say(f"{kind}: 300 claims, first {first:.1f} ms, p50 {took[149]:.2f}, "
          f"p99 {took[296]:.2f}, max {took[299]:.2f} ms")
