"""scale-consumer@.service: a command that acts on results, confined, in a real systemd."""

import json
import os
import pathlib
import re
import time

import pytest

from conftest import Unit, callback, eventually, run

COMMANDS = pathlib.Path("/etc/scale/consumers")
STATE = pathlib.Path("/var/lib/scale-consumer/orders")


@pytest.fixture
def consumer(receiver):
    """Writes down the number of each event, and what the script says besides."""
    unit = Unit("scale-consumer@orders.service")

    def write(script="", options="--kind task.completed", more=""):
        (COMMANDS / "orders").write_text(f"#!/bin/sh -eu\ncat >/dev/null\necho $SCALE_SEQ >>$STATE_DIRECTORY/done\n{script}\n")
        (COMMANDS / "orders").chmod(0o755)
        (COMMANDS / "orders.conf").write_text(f"OPTIONS={options}\n{more}")
        (COMMANDS / "orders.conf").chmod(0o600)

    unit.write = write
    unit.start = lambda: unit.systemctl("start")
    unit.done = lambda: [int(n) for n in (STATE / "done").read_text().split()] if (STATE / "done").exists() else []
    unit.place = lambda: json.loads((STATE / "orders").read_text())["seq"]
    write()
    yield unit
    unit.systemctl("stop")
    unit.systemctl("reset-failed", status=None)
    for path in (*COMMANDS.iterdir(), *STATE.glob("*")):
        path.unlink()


def newest(receiver):
    return receiver.query.get("/v1/stats").json["last_event"]


def test_it_acts_on_results(receiver, consumer):
    consumer.write('echo "$SECRET" >&2', more="SECRET=made-up\n")
    consumer.start()
    for _ in range(3):
        assert receiver.post(callback()).status == 200
    eventually(lambda: consumer.done()[-1:] == [newest(receiver)] and consumer.place() == newest(receiver), "all are done")
    assert run("ps", "-o", "user:32=,group:32=", "-p", consumer.pid).split() == ["scale-consumer"] * 2
    assert "made-up" in [e["MESSAGE"] for e in consumer.journal()]
    before = consumer.done()
    consumer.systemctl("restart")
    receiver.systemctl("restart")  # it goes on by itself
    assert receiver.post(callback()).status == 200
    eventually(lambda: consumer.done() == [*before, newest(receiver)], "the next one alone", consumer.done)


def test_a_stop_waits_for_the_command(receiver, consumer):
    consumer.write("sleep 2; echo whole >>$STATE_DIRECTORY/log", "--from now")
    consumer.start()
    eventually(lambda: (STATE / "orders").exists(), "it has begun")
    assert receiver.post(callback()).status == 200
    eventually(consumer.done, "the command runs")
    consumer.systemctl("stop")
    assert (STATE / "log").read_text() == "whole\n" and consumer.place() == newest(receiver)
    assert consumer.get("Result") == "success"


def test_killed_it_comes_back(receiver, consumer):
    consumer.write("test $SCALE_ATTEMPT != 1 || sleep 600", "--from now")
    consumer.start()
    eventually(lambda: (STATE / "orders").exists(), "it has begun")
    assert receiver.post(callback()).status == 200
    eventually(consumer.done, "the command runs")
    consumer.write(options="--from now")
    run("kill", "-KILL", consumer.pid)
    eventually(lambda: consumer.place() == newest(receiver), "the event is done")
    assert consumer.done() == [newest(receiver)] * 2 and consumer.get("NRestarts") == "1"


def test_what_only_somebody_can_mend_stays_down(receiver, consumer):
    consumer.write(options="--kind task.done")
    consumer.start()
    eventually(lambda: consumer.get("ActiveState") == "failed", "it gives up")
    time.sleep(1.5)
    assert consumer.get("ExecMainStatus") == "64" and consumer.get("NRestarts") == "0"
    assert any("task.completed" in e["MESSAGE"] for e in consumer.journal())
    (COMMANDS / "orders").unlink()
    consumer.systemctl("start", status=1)  # no command, no start


def test_it_is_confined(receiver, consumer):
    line = run("systemd-analyze", "security", "--no-pager", consumer.name, status=None).strip().splitlines()[-1]
    assert float(re.search(r": (\d+\.\d+) ", line)[1]) <= 1.2, line
    consumer.start()
    eventually(lambda: (STATE / "orders").exists(), "it has begun")
    assert (os.stat(STATE).st_mode & 0o777, os.stat(STATE / "orders").st_mode & 0o777) == (0o700, 0o600)
    enter = ["nsenter", f"--target={consumer.pid}", "--mount"]
    run(*enter, "touch", "/var/lib/scale-callbackd/x", status=1)
    run(*enter, "touch", "/srv/x", status=1)
    run(*enter, "touch", STATE / "x")
    assert run("setpriv", "--reuid=scale-consumer", "--regid=scale-consumer", "--init-groups", "curl", "-sS", "--unix-socket",
               "/run/scale-callbackd/query.sock", "http://localhost/healthz")
    run("setpriv", "--reuid=scale-consumer", "--regid=scale-consumer", "--init-groups", "curl", "-sS", "--unix-socket",
        "/run/scale-callbackd/control.sock", "http://localhost/v1/backup", status=7)
