"""scalectl doctor on a machine where everything is installed as it should be, and where something is not."""

import json
import os
import pathlib

import pytest

from conftest import KEY, KEYS, run
from test_submitd import sandbox, submitter  # noqa: F401: fixtures

UNIT = pathlib.Path("/usr/lib/systemd/system/scale-submitd.service")
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
