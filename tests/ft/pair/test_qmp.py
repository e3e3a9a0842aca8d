# SPDX-License-Identifier: GPL-2.0-or-later
"""What a manager may ask for at any moment: each command does what it says,
or is refused in one sentence and changes nothing."""

from ftlib import wait
from ftlib.case import assert_equal, cases
from ftlib.qmp import QmpError

ADDRESS = "127.0.0.1:7700"
PEER = ["-ft-peer", ADDRESS]
LISTEN = ["-ft-listen", ADDRESS]
INCOMING = "tcp:127.0.0.1:7799"
NO_SERVER = "ft.mode=none"
BAD_ADDRESSES = ("localhost", "localhost:seventy", ":7700", "", "host:0",
                 "127.0.0.1:7700,interval=5")


def refused(qemu, name, arguments, *wanted):
    """The command fails in one sentence that has every one of these."""
    try:
        qemu.command(name, arguments)
    except QmpError as why:
        text = str(why)
    else:
        raise AssertionError(f"{name} was not refused")
    for words in wanted:
        if words not in text or "\n" in text:
            raise AssertionError(f"the error of {name} does not say "
                                 f"{words!r}: {text!r}")


def monitor(qemu, line):
    return qemu.command("human-monitor-command", {"command-line": line})


def start_plain(pair):
    """A QEMU that was told nothing of fault tolerance."""
    option, pair.ft_option = pair.ft_option, lambda *args: []
    try:
        return pair.start_primary()
    finally:
        pair.ft_option = option


def status(qemu):
    return qemu.command("query-status")["status"]


def test_off(t):
    """Without either option: role none, and no peer to start with."""
    pair = t.pair()
    qemu = start_plain(pair)
    found = pair.query()
    for key, value in {"role": "none", "state": "unprotected", "epoch": 0,
                       "generation": 1, "mode": "checkpoint",
                       "held-packets": 0, "released-packets": 0}.items():
        assert_equal(found[key], value, key)
    for key in ("reason", "peer", "takeover", "sync-remaining"):
        assert_equal(found.get(key), None, key)
    refused(qemu, "ft-start", None, "peer")
    refused(qemu, "ft-stop", None, "protection is not on")
    assert_equal(pair.query(), found, "query-ft afterwards")


def test_bad_address(t):
    """Refused by name, and not remembered."""
    pair = t.pair()
    qemu = start_plain(pair)
    for address in BAD_ADDRESSES:
        refused(qemu, "ft-start", {"peer": address}, f"'{address}'")
    refused(qemu, "ft-start", None, "no peer is known")
    assert_equal(pair.query()["role"], "none", "role")
    assert_equal(status(qemu), "running", "run state")


def test_twice(t):
    """ft-start while it is on, ft-stop while it is off."""
    pair = t.pair(parameters=NO_SERVER)
    primary = pair.start_primary()
    refused(primary, "ft-start", None, "on already", "ft-stop")
    assert_equal(pair.query()["peer"], ADDRESS, "peer")
    primary.command("ft-stop")
    refused(primary, "ft-stop", None, "protection is not on")
    pair.start_secondary()
    primary.command("ft-start")
    pair.wait_protected()
    refused(primary, "ft-start", None, "on already")
    refused(primary, "ft-start", {"peer": "127.0.0.1:1"}, "on already")
    assert_equal(pair.query()["peer"], ADDRESS, "peer")
    for _ in range(3):
        primary.command("ft-stop")
        assert_equal(pair.query()["state"], "unprotected", "state")
        refused(primary, "ft-stop", None, "protection is not on")
        primary.command("ft-start")
        pair.wait_protected()
    pair.wait_epochs(3)
    pair.check_self()


@cases("waiting", "protecting")
def test_on_secondary(t, when):
    """A secondary is no primary, and nothing gets it to run by itself."""
    pair = t.pair(parameters=NO_SERVER)
    secondary = pair.start_secondary()
    if when == "protecting":
        pair.start_primary()
        pair.wait_protected()
    for arguments in (None, {"peer": "127.0.0.1:1"}):
        refused(secondary, "ft-start", arguments, "secondary", "primary")
    refused(secondary, "ft-stop", None, "protection is not on")
    refused(secondary, "migrate", {"uri": "file:" + pair.file("never")}, "")
    secondary.command("cont")
    assert_equal(secondary.command("query-status")["running"], False,
                 "running after cont")
    assert_equal(pair.query(secondary)["role"], "secondary", "role")
    if when == "waiting":
        pair.start_primary()
        pair.wait_protected()
    pair.wait_epochs(3)
    pair.check_self()


def test_migrate_to_secondary(t):
    """Nothing but its primary may fill a secondary."""
    pair = t.pair(parameters=NO_SERVER)
    secondary = pair.start_secondary()
    refused(secondary, "migrate-incoming", {"uri": INCOMING}, "")
    t.check()


def test_started_at_run_time(t):
    """ft-start on a guest that runs already protects it all the same."""
    pair = t.pair(keys="timeout=2000")
    primary = start_plain(pair)
    pair.wait_ready()
    counter = t.counter()
    counter.wait_more(20)
    pair.start_secondary()
    primary.command("ft-start", {"peer": ADDRESS})
    pair.wait_protected()
    assert_equal(pair.query()["peer"], ADDRESS, "peer")
    counter.wait_more(20)
    pair.wait_epochs(5)
    t.survive(pair, pair.kill_primary())


def test_migration(t):
    """migrate and savevm are refused while protected, not after ft-stop."""
    pair = t.pair(parameters=NO_SERVER)
    pair.start_secondary()
    primary = pair.start_primary()
    pair.wait_protected()
    target = {"uri": "file:" + pair.file("state")}
    refused(primary, "migrate", target, "fault tolerance", "ft-stop")
    said = monitor(primary, "savevm now")
    if "ft-stop" not in said or len(said.splitlines()) != 1:
        raise AssertionError(f"savevm says {said!r}")
    assert_equal(pair.query()["state"], "protected", "state")
    assert_equal(status(primary), "running", "run state")
    pair.wait_epochs(3)
    primary.command("ft-stop")
    primary.command("migrate", target)
    wait.until("the migration never completes", lambda: primary.command(
        "query-migrate").get("status") == "completed")
    no_takeover(t, pair)


def no_takeover(t, pair):
    assert_equal(pair.query(pair.secondary)["role"], "secondary", "role")
    t.check()


def test_migrated_and_protected(t):
    """After a migration that failed the guest can be protected again."""
    pair = t.pair(parameters=NO_SERVER)
    primary = start_plain(pair)
    primary.command("migrate", {"uri": "tcp:127.0.0.1:1"})
    wait.until("the migration never fails", lambda: primary.command(
        "query-migrate").get("status") == "failed")
    pair.start_secondary()
    primary.command("ft-start", {"peer": ADDRESS})
    pair.wait_protected()
    pair.wait_epochs(3)


def test_start_while_migrating(t):
    """ft-start during a migration is refused and can be given later."""
    pair = t.pair(parameters=NO_SERVER)
    primary = start_plain(pair)
    pair.start_secondary()
    primary.command("migrate-set-parameters", {"max-bandwidth": 1})
    primary.command("migrate", {"uri": "file:" + pair.file("state")})
    wait.until("the migration never begins", lambda: primary.command(
        "query-migrate").get("status") == "active")
    for _ in range(2):
        refused(primary, "ft-start", {"peer": ADDRESS}, "migration")
    assert_equal(pair.query()["role"], "none", "role")
    primary.command("migrate_cancel")
    wait.until("the migration is never cancelled", lambda: primary.command(
        "query-migrate").get("status") == "cancelled")
    primary.command("ft-start", {"peer": ADDRESS})
    pair.wait_protected()


def test_info(t):
    """info ft has what query-ft has, in words."""
    pair = t.pair(parameters=NO_SERVER)
    pair.start_secondary()
    pair.start_primary()
    pair.wait_protected()
    pair.wait_epochs(3)
    wanted = {pair.primary: ("primary, protected", ADDRESS, "generation 1",
                             "epoch", "pause", "ack latency", "dirty pages",
                             "held", "released", "cuts", "self-check"),
              pair.secondary: ("secondary, protected", "generation 1",
                               "epoch", "self-check")}
    for qemu, words in wanted.items():
        said = monitor(qemu, "info ft")
        t.say(said)
        for word in words:
            if word not in said:
                raise AssertionError(f"info ft of the {qemu.name} does not "
                                     f"say {word!r}: {said!r}")


def test_paused(t):
    """A guest that was stopped is stopped on the other side, until cont."""
    pair = t.pair().start()
    counter = t.counter()
    counter.wait_more(20)
    pair.primary.command("stop")
    pair.wait_epochs(3)         # the last of them says that it stands
    pair.check_self()
    pair.kill_primary()
    pair.wait_takeover()
    survivor = pair.secondary
    assert_equal(status(survivor), "paused", "the survivor's run state")
    assert_equal(pair.query(survivor)["role"], "primary", "role")
    replies = counter.count
    survivor.command("cont")
    counter.wait_more(50)
    t.say(f"{counter.count - replies} replies since cont")
    t.finish_loads()
    pair.check_self(survivor)
