"""scalectl doctor on a machine where everything is installed as it should be, and where something is not."""

import contextlib
import json
import os
import pathlib
import re
import shutil

import pytest

from conftest import KEY, KEYS, callback, eventually, run
from test_submitd import API_KEY, sandbox, submitter, write_key  # noqa: F401: fixtures

UNIT = pathlib.Path("/usr/lib/systemd/system/scale-submitd.service")
EDITED = pathlib.Path("/etc/scale/scale.conf.d/zz-edited.conf")
DROP_IN = pathlib.Path("/etc/systemd/system/scale-submitd.service.d/test.conf")
# Nobody keeps the clock of this machine.
NOT_OURS = {"clock"}


def doctor(*prefix, arguments=(), status=0):
    text = run(*prefix, "scalectl", "--json", "doctor", *arguments, status=status)
    found = {}
    for line in text.splitlines():
        finding = json.loads(line)
        found.setdefault(finding["check"], []).append(finding)
    assert KEY not in text and "live_made_up_key_1" not in text
    return found


def bad(found):
    return {c: [f["message"] for f in fs if f["result"] != "ok"] for c, fs in found.items()
            if c not in NOT_OURS and any(f["result"] != "ok" for f in fs)}


@pytest.fixture
def installation(receiver, submitter):  # noqa: F811
    run("systemctl", "enable", "scale-callbackd.service", "scale-submitd.service")
    for n in range(1, 1000):  # what other tests left in the quarantine
        invalid = receiver.query.docs("/v1/deliveries?verdict=invalid")
        if not invalid:
            break
        run("scalectl", "quarantine", "discard", invalid[0]["delivery"])
    receiver.systemctl("reset-failed", status=None)
    yield
    EDITED.unlink(missing_ok=True)
    run("systemctl", "disable", "scale-callbackd.service", "scale-submitd.service")


def test_all_is_well(installation):
    found = doctor()
    assert not {c: m for c, m in bad(found).items() if c != "submissions"}, bad(found)
    assert "/etc/credstore/callback-auth-keys" in found["callback-keys"][0]["message"]
    assert "/etc/credstore/api-key is closed to others and holds a live key" in found["api-key"][0]["message"]
    assert found["units"][0]["message"] == "all units are enabled, run, and are locked in"


def test_who_is_not_root_is_not_frightened(installation):
    found = doctor("setpriv", "--reuid=nobody", "--groups=scale-submit", "--regid=scale-query")
    assert not set(bad(found)) - {"units", "submissions"}, bad(found)  # there is no D-Bus on this machine
    for check in ("callback-keys", "control-socket", "store"):
        assert "as it should be" in found[check][0]["message"], found[check]
    found = doctor("setpriv", "--reuid=nobody", "--clear-groups", "--regid=nogroup")
    assert "not for you" in found["query-socket"][0]["message"] and found["query-socket"][0]["result"] == "warning"


def test_delivers_with_the_credential(installation):
    found = doctor(arguments=["--deliver"])
    assert found["delivery"][0]["result"] == "ok" and "came the whole way" in found["delivery"][0]["message"]


def test_units_that_are_not_as_they_should_be(installation):
    run("systemctl", "disable", "scale-submitd.service")
    assert "scale-submitd.socket is not enabled, so it is not there after a boot" in bad(doctor())["units"]
    run("systemctl", "enable", "scale-submitd.service")
    UNIT.touch()
    assert any("was changed since" in m for m in bad(doctor())["units"])
    DROP_IN.parent.mkdir(exist_ok=True)
    DROP_IN.write_text("[Service]\nProtectSystem=no\nNoNewPrivileges=no\n")
    try:
        run("systemctl", "daemon-reload")
        said = bad(doctor())["units"]
        assert "scale-submitd.service has ProtectSystem=no, and was made for ProtectSystem=strict" in said
    finally:
        DROP_IN.unlink()
        run("systemctl", "daemon-reload")
    assert "units" not in bad(doctor())
    run("systemctl", "stop", "scale-submitd.service", "scale-submitd.socket")
    assert "scale-submitd.socket is inactive" in bad(doctor(status=1))["units"]


def test_rights_that_are_not_as_they_should_be(installation):
    store = pathlib.Path("/var/lib/scale-callbackd")
    store.chmod(0o755)
    KEYS.chmod(0o644)
    os.chown("/run/scale-callbackd/query.sock", -1, 0)
    try:
        said = bad(doctor(status=1))
    finally:
        store.chmod(0o2770)
        KEYS.chmod(0o600)
        run("chgrp", "scale-query", "/run/scale-callbackd/query.sock")
    assert "share it by its group" in " ".join(said["store"]) and "by others" in said["callback-keys"][0]
    assert "not of the group scale-query" in said["query-socket"][0]
    assert not {"store", "callback-keys", "query-socket"} & set(bad(doctor()))


# Remedies: what the doctor prints between backticks is run as it stands, and then it has nothing to say any more.

STORE = pathlib.Path("/var/lib/scale-callbackd")
COMMAND = re.compile(r"`((?:systemctl|systemd-tmpfiles|chmod|chgrp|journalctl|scalectl|ss) [^`]*)`")


def remedies(found):
    """All commands, each once, in their order; not those in which a number has to be filled in."""
    advice = [f["advice"] for fs in found.values() for f in fs if f["result"] != "ok"]
    return list(dict.fromkeys(c for a in advice for c in COMMAND.findall(a) if not re.search(r" (N|ID)$", c)))


@contextlib.contextmanager
def drop_in(unit, text):
    path = pathlib.Path(f"/etc/systemd/system/{unit}.d/broken.conf")
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    run("systemctl", "daemon-reload")
    try:
        yield
    finally:
        path.unlink()
        run("systemctl", "daemon-reload")


@contextlib.contextmanager
def no_key():
    KEYS.unlink()
    run("systemctl", "restart", "scale-callbackd", status=1)
    try:
        yield
    finally:
        KEYS.write_text(f"live {KEY}\n")
        KEYS.chmod(0o600)


@contextlib.contextmanager
def no_api_key():
    API_KEY.unlink()
    run("systemctl", "restart", "scale-submitd", status=1)
    try:
        yield
    finally:
        write_key("live_made_up_key_1")


@contextlib.contextmanager
def too_many_starts():
    with drop_in("scale-callbackd.service", "[Unit]\nStartLimitIntervalSec=600\nStartLimitBurst=2\n"
                 "[Service]\nExecStart=\nExecStart=/bin/false\nRestartSec=10ms\n"):
        run("systemctl", "restart", "scale-callbackd", status=1)
        eventually(lambda: run("systemctl", "is-active", "scale-callbackd", status=None).strip() == "failed", "the limit")
        yield


@contextlib.contextmanager
def stopped(*units):
    run("systemctl", "stop", *units)
    yield


@contextlib.contextmanager
def disabled():
    run("systemctl", "disable", "scale-callbackd", "scale-submitd")
    yield


@contextlib.contextmanager
def changed(unit):
    pathlib.Path(f"/usr/lib/systemd/system/{unit}").touch()
    yield


@contextlib.contextmanager
def restarted():
    run("systemctl", "kill", "-s", "SEGV", "scale-callbackd")
    eventually(lambda: run("systemctl", "show", "-p", "NRestarts", "--value", "scale-callbackd").strip() == "1" and
               run("systemctl", "is-active", "scale-callbackd", status=None).strip() == "active", "a restart")
    yield


@contextlib.contextmanager
def mode(path, bits):
    pathlib.Path(path).chmod(bits)
    yield


@contextlib.contextmanager
def group(path, name):
    shutil.chown(path, group=name)
    yield


@contextlib.contextmanager
def no_store():
    run("systemctl", "stop", "scale-callbackd", "scale-submitd")
    STORE.rename(f"{STORE}.kept")
    yield


@contextlib.contextmanager
def held():
    run("scalectl", "queue", "hold")
    yield


@contextlib.contextmanager
def edited(text):
    EDITED.write_text(text)
    yield


@contextlib.contextmanager
def other_keys(text):
    KEYS.write_text(text)
    yield


@contextlib.contextmanager
def gone(path):
    text = path.read_text()
    path.unlink()
    try:
        yield
    finally:
        path.write_text(text)
        path.chmod(0o600)


@contextlib.contextmanager
def refused():
    EDITED.write_text("[callback]\nstrict = perhaps\n")
    run("systemctl", "reload", "scale-callbackd", status=1)
    EDITED.unlink()
    yield


BROKEN = {
    "other settings": (lambda: edited("[callback]\nstrict = yes\n"), "in-force", "[callback] strict = no in force"),
    "another API": (lambda: edited("[api]\nurl = http://127.0.0.1:8099/v1\n"), "in-force", "the files say http://127.0.0.1:8099/v1"),
    "another label": (lambda: other_keys(f"live {KEY}\nnext another-made-up-key\n"), "in-force", "other keys in force (live)"),
    "another key": (lambda: other_keys(f"live {KEY}\n# and one day\n"), "in-force", "was changed since scale-callbackd"),
    "keys that are gone": (lambda: gone(KEYS), "in-force", "its file is gone: /etc/credstore/callback-auth-keys"),
    "an API key that is gone": (lambda: gone(API_KEY), "in-force", "its file is gone: /etc/credstore/api-key"),
    "a reload that was refused": (refused, "in-force", "strict = perhaps"),
    "no key": (no_key, "units", "scale-callbackd.service refused to start with status 78"),
    "no API key": (no_api_key, "units", "scale-submitd.service refused to start with status 78"),
    "too many starts": (too_many_starts, "units", "is not started again"),
    "a stopped service": (lambda: stopped("scale-callbackd.service"), "units", "scale-callbackd.service is inactive"),
    "a stopped socket": (lambda: stopped("scale-callbackd-query.socket"), "units", "query.socket is inactive"),
    "all stopped": (lambda: stopped("scale-callbackd.socket", "scale-submitd.socket"), "units", "socket is inactive"),
    "not enabled": (disabled, "units", "is not enabled"),
    "a changed service": (lambda: changed("scale-callbackd.service"), "units", "was changed since"),
    "a changed socket": (lambda: changed("scale-submitd.socket"), "units", "was changed since"),
    "a crash": (restarted, "units", "again 1 times"),
    "an open store": (lambda: mode(STORE, 0o2777), "store", "mode 2777"),
    "a store without its group": (lambda: mode(STORE, 0o0700), "store", "share it by its group"),
    "an open database": (lambda: mode(STORE / "scale.db", 0o666), "store", "mode 0666"),
    "a database for one alone": (lambda: mode(STORE / "scale.db", 0o600), "store", "mode 0600"),
    "a database of another group": (lambda: group(STORE / "scale.db", "root"), "store", "another group"),
    "open keys": (lambda: mode(KEYS, 0o644), "callback-keys", "by others"),
    "an open API key": (lambda: mode(API_KEY, 0o644), "api-key", "by others"),
    "an open query socket": (lambda: mode("/run/scale-callbackd/query.sock", 0o666), "query-socket", "everybody"),
    "an open control socket": (lambda: mode("/run/scale-callbackd/control.sock", 0o660), "control-socket", "its group"),
    "an open submit socket": (lambda: mode("/run/scale-submitd/submit.sock", 0o666), "submit-socket", "everybody"),
    "a socket of another group": (lambda: group("/run/scale-submitd/submit.sock", "root"), "submit-socket", "group"),
    "no store": (no_store, "store", "No such file"),
    "a held queue": (held, "queue", "is held"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_every_command_that_the_doctor_names_helps(installation, receiver, what):
    """Twice at most: a key file that a chmod has touched is one that was changed since it was read."""
    make, check, words = BROKEN[what]
    with make():
        found = doctor(status=None)
        assert any(words in f["message"] for f in found[check]), (words, found[check])
    for _ in range(2):
        commands = remedies(found)
        assert commands
        for command in commands:
            run("sh", "-c", command)
        found = doctor(status=None)
        left = {c: m for c, m in bad(found).items() if c != "submissions"}
        if set(left) != {"in-force"}:
            break
    assert not left, (commands, left)
    assert receiver.post(callback()).status == 200


def test_looking_starts_nothing(installation, receiver):
    """Also where the sockets are open, and a connection would do it."""
    def invocations():
        return {e.get("_SYSTEMD_INVOCATION_ID") for e in receiver.journal(before)
                if e.get("SYSLOG_IDENTIFIER") == "scale-callbackd"}

    KEYS.unlink()
    run("systemctl", "restart", "scale-callbackd", status=1)
    before = receiver.cursor()
    run("systemctl", "start", "scale-callbackd.socket", "scale-callbackd-query.socket", "scale-callbackd-control.socket")
    found = doctor(arguments=["--deliver"], status=1)
    assert not invocations() and receiver.get("ActiveState") == "failed"
    for check in ("query-socket", "control-socket", "ready", "listeners", "quarantine", "delivery"):
        [finding] = [f for f in found[check] if "not looked at" in f["message"]]
        assert finding["result"] == "warning" and "`units`" in finding["advice"]
    assert any("no key" in f["message"] for f in found["callback-keys"])
