"""Objects for tests that run in a booted machine: units, the journal, the receiver behind its sockets."""

import contextlib
import http.client
import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "e2e"))

from harness import KEY, WAIT, Local, UnixConnection, ask, callback, eventually  # noqa: E402

KEYS = pathlib.Path("/etc/credstore/callback-auth-keys")
BUILD = pathlib.Path(os.environ["SCALE_BUILD"])


def run(*command, status=0, **more):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=WAIT, **more)
    assert status is None or done.returncode == status, (command, done.returncode, done.stdout, done.stderr)
    return done.stdout


@contextlib.contextmanager
def running_sandbox(*options):
    """The stand-in for the API, on a port that settings here know."""
    process = subprocess.Popen([BUILD / "src/sandbox/scale-sandbox", "--listen", "127.0.0.1:8091", "--api-key",
                                "live_made_up_key_1", *options], stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "Ready." in line:
            break
    try:
        yield
    finally:
        process.terminate()
        process.wait(WAIT)


class Unit:
    def __init__(self, name):
        self.name = name

    def get(self, property):
        return run("systemctl", "show", "-p", property, "--value", self.name).strip()

    @property
    def pid(self):
        return int(self.get("MainPID"))

    def systemctl(self, verb, status=0):
        return run("systemctl", verb, self.name, status=status)

    def journal(self, since=None, *filters):
        """What the unit said: a list of entries with their fields."""
        run("journalctl", "--sync")
        more = [f"--after-cursor={since}"] if since else []
        lines = run("journalctl", "-o", "json", "-u", self.name, *more, *filters, status=None)
        return [json.loads(line) for line in lines.splitlines()]

    def cursor(self):
        run("journalctl", "--sync")
        lines = run("journalctl", "-n", "1", "-o", "json")
        return json.loads(lines.splitlines()[-1])["__CURSOR"]


class Receiver(Unit):
    def __init__(self):
        super().__init__("scale-callbackd.service")
        self.query = Local("/run/scale-callbackd/query.sock")
        self.control = Local("/run/scale-callbackd/control.sock")

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", 8090, timeout=WAIT)

    def post(self, body, key=KEY, connection=None):
        return ask(connection or self.connect(), "POST", "/callback", json.dumps(body),
                   {"scale-callback-auth": key, "Content-Type": "application/json"})

    def write_keys(self, text):
        KEYS.write_text(text)
        KEYS.chmod(0o600)


@pytest.fixture(scope="session", autouse=True)
def accounts():
    run("systemd-sysusers")
    run("systemd-tmpfiles", "--create", "/usr/lib/tmpfiles.d/scale.conf")
    run("journalctl", "--update-catalog")
    run("systemctl", "daemon-reload")


@pytest.fixture
def receiver():
    """The receiver with its sockets and one key, running."""
    unit = Receiver()
    unit.write_keys(f"live {KEY}\n")
    run("systemctl", "start", "scale-callbackd.socket", "scale-callbackd-query.socket",
        "scale-callbackd-control.socket")
    unit.systemctl("reset-failed", status=None)
    unit.systemctl("start")
    yield unit
    unit.systemctl("stop")
