# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may act is what the arbiter's record says (kind file; the kinds are
test_arbiter_store's, cut links are test_partition's)."""

import contextlib
import threading

from ftlib import etcd, netns, wait
from ftlib.case import assert_equal, cases
from ftlib.qmp import QmpError
from ftlib.record import KEYS, UUID, arbitrated, asking, started
from ftlib.vm import Refused


def protect_again(pair, record, host):
    """A new secondary, which the primary finds by redialling."""
    pair.start_secondary(keys=record.keys(host))
    pair.wait_protected()


@contextlib.contextmanager
def refusal(t, text):
    """What starts in here ends by itself, and says `text`."""
    try:
        yield
    except Refused as why:
        t.say(str(why))
        if text not in str(why):
            raise AssertionError(f"it says: {why}") from None


def test_decisions_are_counted(t):
    """A start, a takeover and going on alone: one generation each."""
    pair, record = started(t)
    counter = t.counter()
    counter.wait_more(20)
    pair.secondary.kill()
    pair.wait_state("unprotected")
    counter.wait_more(20)
    assert_equal(record.read()["generation"], 2, "after the secondary's death")
    assert_equal(record.read()["holder"], "a", "holder")
    protect_again(pair, record, "b")
    moment = pair.kill_primary()
    event = t.survive(pair, moment)
    assert_equal(event.data["generation"], 3, "generation")
    assert_equal(record.read()["generation"], 3, "after the takeover")
    assert_equal(record.read()["holder"], "b", "holder")


def test_away_while_protected(t):
    """A warning and nothing else, and it goes away again."""
    pair, record = started(t)
    counter = t.counter()
    counter.wait_more(20)
    record.take_away()
    for side in (pair.primary, pair.secondary):
        side.qmp.wait_event("FT_DEGRADED", lambda d: d["active"])
        found = pair.wait_state("degraded", side)
        assert_equal([d["lack"] for d in found["degraded"]], ["arbiter"],
                     "what is missing")
    counter.wait_more(100)
    pair.wait_epochs(5)
    record.bring_back()
    for side in (pair.primary, pair.secondary):
        side.qmp.wait_event("FT_DEGRADED", lambda d: not d["active"])
        pair.wait_state("protected", side)
    t.survive(pair, pair.kill_primary())


def test_takeover_waits(t):
    """Without an answer the secondary keeps its copy and does not act."""
    pair, record = started(t)
    counter = t.counter()
    counter.wait_more(20)
    record.take_away()
    pair.wait_state("degraded", pair.secondary)
    sent = netns.packets_from(pair.secondary.tap)
    pair.kill_primary()
    pair.wait_state("taking-over", pair.secondary)
    found = asking(pair, pair.secondary)
    assert_equal(found["role"], "secondary", "role while it waits")
    assert_equal(netns.packets_from(pair.secondary.tap), sent,
                 "packets it has sent")
    record.bring_back()
    t.survive(pair)


def test_going_on_waits(t):
    """A primary that cannot tell whether its peer has taken over is mute; its
    guest is paused, and goes on once the arbiter has said so."""
    pair, record = started(t)
    counter = t.counter()
    counter.wait_more(20)
    record.take_away()
    pair.wait_state("degraded")
    pair.secondary.kill()
    pair.primary.qmp.wait_event("STOP")
    sent = netns.packets_from(pair.primary.tap)
    assert_equal(asking(pair, pair.primary)["state"], "degraded", "state")
    assert_equal(netns.packets_from(pair.primary.tap), sent,
                 "packets it sent meanwhile")
    record.bring_back()
    pair.wait_state("unprotected")
    counter.wait_more(100)
    protect_again(pair, record, "b")
    t.survive(pair, pair.kill_primary())


def test_renounced(t):
    """A peer that says END's answer needs no arbiter: ft-stop while it is
    away."""
    pair, record = started(t)
    counter = t.counter()
    counter.wait_more(20)
    record.take_away()
    pair.wait_state("degraded")
    pair.primary.command("ft-stop")
    pair.wait_state("unprotected")
    counter.wait_more(50)
    record.bring_back()
    assert_equal(record.read()["generation"], 1, "generation")


def test_stale_host_does_not_start(t):
    """After a takeover the old host is refused, unless it is forced to."""
    pair, record = started(t)
    counter = t.counter()
    counter.wait_more(20)
    pair.kill_primary()
    pair.wait_takeover()
    with refusal(t, "host b has this guest"):
        pair.start_primary(keys=record.keys("a"))
        wait.until("the stale host starts the guest",
                   lambda: not pair.primary.alive())
        raise Refused(pair.primary.said())
    assert_equal(record.read()["holder"], "b", "holder")
    counter.wait_more(50)
    t.finish_loads()
    survivor = pair.secondary
    pair.start_primary(keys=record.keys("a") + ",arbiter-force=on")
    # ... which the other one finds out, and waits for the guest to come back
    wait.until("the other one does not give the guest up",
               lambda: pair.query(survivor)["role"] == "secondary")
    pair.wait_ready()
    pair.wait_protected()


def test_switched_off(t):
    """quit with both sides up to date: the other host may start the guest."""
    pair, record = started(t)
    pair.wait_epochs(3)
    pair.primary.command("quit")
    pair.primary.wait_exit()
    pair.secondary.wait_exit()
    assert_equal(record.read()["ended"], True, "ended")
    pair.start_primary(keys=record.keys("b"))
    pair.wait_ready()
    assert_equal(record.read()["generation"], 2, "generation")
    assert_equal(record.read()["holder"], "b", "holder")


def test_only_one_side_has_it(t):
    """Refused by name when the two sides would not ask the same."""
    pair, record = arbitrated(t)
    pair.start_secondary(keys=KEYS)
    pair.start_primary(keys=record.keys("a"))
    t.say(pair.wait_reason("key arbiter"))


def test_insist(t):
    """ft-stop with force ends the wait for an arbiter that is away for good."""
    pair, record = started(t)
    counter = t.counter()
    counter.wait_more(20)
    record.take_away()
    pair.wait_state("degraded")
    pair.secondary.kill()
    pair.primary.qmp.wait_event("STOP")
    try:
        pair.primary.command("ft-stop")
        raise AssertionError("ft-stop without force did not refuse")
    except QmpError as why:
        t.say(str(why))
    pair.primary.command("ft-stop", {"force": True})
    pair.wait_state("unprotected")
    counter.wait_more(50)


def test_holder_restarts(t):
    """Both sides killed: the host that had the guest may start it again, and
    the other one may not."""
    pair, record = started(t)
    pair.wait_epochs(3)
    pair.secondary.kill()
    pair.primary.kill()
    pair.primary.wait_exit()
    with refusal(t, "host a has this guest"):
        pair.start_primary(keys=record.keys("b"))
        wait.until("it was not refused", lambda: not pair.primary.alive())
        raise Refused(pair.primary.said())
    pair.start_primary(keys=record.keys("a"))
    pair.wait_ready()
    assert_equal(record.read()["holder"], "a", "holder")


def test_restart_is_later_than_takeover(t):
    """A primary restarted at once does not reboot a guest that lives on."""
    pair, record = started(t)
    t.counter().wait_more(20)
    pair.secondary.stop_process()
    moment = pair.kill_primary()
    survivor = pair.secondary
    log = t.folder / f"{pair.next_name('primary')}.log"

    def wake_up():
        wait.until("the restarted primary does not wait",
                   lambda: log.exists() and "waiting" in log.read_text())
        survivor.continue_process()

    waker = threading.Thread(target=wake_up)
    waker.start()
    with refusal(t, "host b has this guest"):
        pair.start_primary(keys=record.keys("a"))
        wait.until("it was not refused", lambda: not pair.primary.alive())
        raise Refused(pair.primary.said())
    waker.join()
    t.survive(pair, moment)


@cases("plain", "tls-auth", "cluster")
def test_etcd(t, kind):
    """The one for production, as QEMU is told of it."""
    t.skip_unless(not etcd.missing(), etcd.missing() or "")
    secure = kind == "tls-auth"
    if kind == "cluster":
        members = etcd.cluster(t.folder)
    else:
        members = [etcd.Etcd(t.folder, tls=secure, auth=secure).start()]
    for member in members:
        t.at_end(member.end)
    server = members[0]
    keys = f"{KEYS},arbiter={server.where.replace(',', ',,')}"
    extra = ["-uuid", UUID]
    if secure:
        secret = t.folder / "password"
        secret.write_text(etcd.PASSWORD)
        extra += ["-object", f"secret,id=etcd0,file={secret}"]
        keys += (f",arbiter-tls={server.tls_dir},arbiter-user={etcd.USER},"
                 "arbiter-secret=etcd0")
    pair = t.pair(extra=tuple(extra))
    pair.start_secondary(keys=f"{keys},host=b")
    pair.start_primary(keys=f"{keys},host=a")
    pair.wait_ready()
    pair.wait_protected()
    t.counter().wait_more(50)
    if kind == "cluster":
        server.kill()
    event = t.survive(pair, pair.kill_primary())
    assert_equal(event.data["generation"], 2, "generation")
    found = pair.query(pair.secondary)["arbiter"]
    assert_equal((found["holder"], found["generation"]), ("b", 2),
                 "what the arbiter says")
    t.say(f"the claim took {found['claim-us'] / 1000:.1f} ms")


def test_switchover(t):
    """The record follows; the old primary is not taken for an impostor."""
    pair, record = started(t)
    t.counter().wait_more(20)
    pair.wait_epochs(3)
    pair.expect_takeover()
    pair.primary.command("ft-switchover")
    event = t.survive(pair)
    assert_equal(event.data["generation"], 2, "generation")
    wait.until("the record does not follow",
               lambda: record.read()["generation"] == 2)
    assert_equal(record.read()["holder"], "b", "holder")
    found = pair.wait_state("fenced")
    if "switched over" not in found["reason"]:
        raise AssertionError(f"the old primary says {found['reason']}")


def test_no_switchover_without_it(t):
    pair, record = started(t)
    record.take_away()
    pair.wait_state("degraded")
    try:
        pair.primary.command("ft-switchover")
        raise AssertionError("ft-switchover did not refuse")
    except QmpError as why:
        if "arbiter" not in str(why):
            raise AssertionError(str(why)) from None


def test_start_after_insisting(t):
    """What was said to be dead may come back as a fresh secondary."""
    pair, record = started(t)
    counter = t.counter()
    counter.wait_more(20)
    record.take_away()
    pair.wait_state("degraded")
    pair.secondary.kill()
    pair.primary.qmp.wait_event("STOP")
    pair.primary.command("ft-stop", {"force": True})
    pair.wait_state("unprotected")
    record.bring_back()
    wait.until("the record is not put right",
               lambda: record.read()["generation"] == 2)
    pair.primary.command("ft-start")
    protect_again(pair, record, "b")
    t.survive(pair, pair.kill_primary())
