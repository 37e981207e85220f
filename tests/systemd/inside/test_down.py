"""A daemon that refuses to start: it stays down, whoever connects, and one command brings everything back, which is
named where somebody looks."""

import contextlib
import pathlib
import re
import subprocess
import sys
import time

import pytest

from conftest import KEY, KEYS, callback, eventually, run
from test_submitd import API_KEY, submitter, sandbox, write_key  # noqa: F401: fixtures

BAD = pathlib.Path("/etc/scale/scale.conf.d/bad.conf")
SOCKETS = ["scale-callbackd.socket", "scale-callbackd-query.socket", "scale-callbackd-control.socket"]

# Connects to these addresses, again and again.
CLIENT = """
import socket, sys, time
while True:
    for place in sys.argv[1:]:
        s = socket.socket(socket.AF_UNIX if place[0] == "/" else socket.AF_INET)
        s.settimeout(5)
        try:
            s.connect(place if place[0] == "/" else ("127.0.0.1", int(place)))
            s.sendall(b"GET /healthz HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
            s.recv(100)
        except OSError:
            pass
        finally:
            s.close()
            time.sleep(0.01)
"""


@contextlib.contextmanager
def clients(*places):
    processes = [subprocess.Popen([sys.executable, "-c", CLIENT, place]) for place in places for _ in range(2)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def starts(unit, since):
    """How often the service manager started the program: each time has an id of its own."""
    return len({e["_SYSTEMD_INVOCATION_ID"] for e in unit.journal(since) if "_SYSTEMD_INVOCATION_ID" in e
                and e.get("SYSLOG_IDENTIFIER") == unit.name.removesuffix(".service")})


def remedy(text, unit):
    """The command that a message names, to be run as it stands."""
    return re.search(rf"`(systemctl [^`]*{unit}[^`]*)`", text)[1]


def refuses(unit, places, break_it, mend_it):
    """What it said, from the moment on that it should not start any more, with clients all the while."""
    unit.systemctl("stop")
    break_it()
    before = unit.cursor()
    with clients(*places):
        try:
            eventually(lambda: unit.get("ActiveState") == "failed", "a service that failed")
            time.sleep(2)  # in which it was started 80 times
            assert starts(unit, before) == 1, starts(unit, before)
            assert unit.get("ActiveState") == "failed" and unit.get("Result") == "exit-code"
            said = [e["MESSAGE"] for e in unit.journal(before)]
            commands = {remedy(unit.get("StatusText"), unit.name.removesuffix(".service")),
                        remedy(said[-1] if "`" in said[-1] else "\n".join(said), unit.name.removesuffix(".service"))}
            assert len(commands) == 1
        finally:
            mend_it()
        [command] = commands
        run("sh", "-c", command)
        assert unit.get("ActiveState") == "active"
    return said


def break_settings():
    BAD.write_text("[store]\nmin_fre = 1M\n")


@pytest.mark.parametrize("kind", ["a key", "settings", "a database"])
def test_a_receiver_that_refuses_stays_down_and_one_command_brings_it_back(receiver, kind):
    database = pathlib.Path("/var/lib/scale-callbackd/scale.db")
    breaks = {
        "a key": (KEYS.unlink, lambda: receiver.write_keys(f"live {KEY}\n")),
        "settings": (break_settings, BAD.unlink),
        "a database": (lambda: database.rename(f"{database}.kept") and database.mkdir(),
                       lambda: database.rmdir() or pathlib.Path(f"{database}.kept").rename(database)),
    }
    said = refuses(receiver, ["8090", "/run/scale-callbackd/query.sock", "/run/scale-callbackd/control.sock"],
                   *breaks[kind])
    assert any({"a key": "/etc/credstore/callback-auth-keys", "settings": "bad.conf, line 2",
                "a database": str(database)}[kind] in m for m in said), said
    assert run("systemctl", "is-active", *SOCKETS).split() == ["active"] * 3
    assert receiver.post(callback()).status == 200 and receiver.query.get("/healthz").status == 200


def test_a_submitter_that_refuses_stays_down_and_one_command_brings_it_back(submitter):  # noqa: F811
    refuses(submitter, ["/run/scale-submitd/submit.sock"], API_KEY.unlink, lambda: write_key("live_made_up_key_1"))
    assert submitter.socket.get("/v1/queue").status == 200


def test_a_socket_that_somebody_added_starts_it_neither(receiver):
    unit = pathlib.Path("/etc/systemd/system/more.socket")
    unit.write_text("[Socket]\nListenStream=127.0.0.1:8099\nFileDescriptorName=callback\nService=scale-callbackd.service\n")
    try:
        receiver.systemctl("stop")
        run("systemctl", "start", "more.socket")
        KEYS.unlink()
        before = receiver.cursor()
        with clients("8099"):
            eventually(lambda: receiver.get("ActiveState") == "failed", "a service that failed")
            eventually(lambda: run("systemctl", "is-active", "more.socket", status=None).strip() == "inactive", "the end")
            time.sleep(1)  # in which it was started five times
        assert starts(receiver, before) == 1
    finally:
        receiver.write_keys(f"live {KEY}\n")
        run("systemctl", "stop", "more.socket")
        unit.unlink()
        run("systemctl", "daemon-reload")


def test_nobody_waits_for_who_stays_down(receiver):
    """A connection is refused at once, so that the proxy answers at once: Scale tries again."""
    receiver.systemctl("stop")
    KEYS.unlink()
    try:
        receiver.systemctl("start", status=1)
        with pytest.raises(ConnectionRefusedError):
            receiver.post(callback())
        assert receiver.get("ActiveState") == "failed"
    finally:
        receiver.write_keys(f"live {KEY}\n")


def test_a_crash_at_every_start_is_tried_for_ever_and_slowly(receiver):
    """Nobody has to know of reset-failed: when what makes it crash is gone, it comes back by itself."""
    drop_in = pathlib.Path("/etc/systemd/system/scale-callbackd.service.d/crash.conf")
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text("[Service]\nExecStart=\nExecStart=/bin/sh -c 'echo crashing; kill -SEGV $$$$'\nRestartSec=100ms\n")
    run("systemctl", "daemon-reload")
    before = receiver.cursor()
    try:
        with clients("8090", "/run/scale-callbackd/query.sock"):
            receiver.systemctl("restart", status=1)
            eventually(lambda: int(receiver.get("NRestarts")) > 15, "restarts")
            crashes = sum("crashing" in e["MESSAGE"] for e in receiver.journal(before))
            assert crashes <= int(receiver.get("NRestarts")) + 2
    finally:
        drop_in.unlink()
        run("systemctl", "daemon-reload")
    eventually(lambda: receiver.get("ActiveState") == "active", "the service, by itself")
    assert receiver.post(callback()).status == 200
