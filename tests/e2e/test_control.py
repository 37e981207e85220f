"""The control socket, and scalectl beside it."""

import datetime
import json
import os
import sqlite3
import subprocess
import time

import pytest

from harness import SCALECTL, WAIT, UnixConnection, callback, eventually, scalectl, task_types


def quarantined(daemon):
    """A response without its task, which is not known yet."""
    body = callback()
    daemon.post({"task_id": body["task_id"], "response": {"category": "small"}}, status=422)
    return body


def test_retry(daemon):
    body = quarantined(daemon)
    answer = daemon.control.post("/v1/delivery/1/retry", 422).json
    assert answer["problems"][0]["path"] == "task"
    assert len(daemon.query.docs("/v1/deliveries")) == 1

    daemon.deliver(body)
    answer = daemon.control.post("/v1/delivery/1/retry").json
    assert (answer["result"], answer["delivery"]) == ("revised", 3)
    first, _, third = daemon.query.docs("/v1/deliveries")
    assert (first["verdict"], first["superseded_by"]) == ("discarded", 3)
    assert (third["source"], third["verdict"]) == ("retry", "revised")
    assert daemon.query.get("/v1/delivery/3/body").body == daemon.query.get("/v1/delivery/1/body").body
    daemon.control.post("/v1/delivery/1/retry", 409)


def test_a_retry_is_as_old_as_what_it_tries_again(daemon):
    """Once it was dated by the retry, and an old response took the place of a newer one."""
    body = quarantined(daemon)
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    daemon.deliver(callback({"category": "big"}, id=body["task_id"], completed_at=now))
    assert daemon.control.post("/v1/delivery/1/retry").json["result"] == "revised"
    task = daemon.query.get(f"/v1/task/{body['task_id']}").json
    assert task["response"] == {"category": "big"} and task["completed_at"] == now
    old = daemon.query.docs(f"/v1/task/{body['task_id']}/revisions")[1]
    assert old["completed_at"] == daemon.query.get("/v1/delivery/1").json["received_at"]


def test_a_retry_that_comes_too_late(daemon):
    """Told 'please send it again' once, which could never help."""
    for _ in range(20):
        daemon.deliver(quarantined(daemon))
        [number] = [d["delivery"] for d in daemon.query.docs("/v1/deliveries?verdict=invalid")]
        paths = [f"/v1/delivery/{number}/{verb}" for verb in ("discard", "retry")]
        connections = [UnixConnection(daemon.control.path) for _ in paths]
        for connection, path in zip(connections, paths):
            connection.request("POST", path)
        statuses = [connection.getresponse().status for connection in connections]
        for connection in connections:
            connection.close()
        assert sorted(statuses) == [200, 409], statuses


def test_without_room_an_administrator_is_told_what_helps(make_daemon):
    """Not 'nothing was kept, please send it again': that is for a sender."""
    daemon = make_daemon().start()
    daemon.deliver(quarantined(daemon))
    daemon.stop()
    daemon.settings.append("store.min_free=1024G")
    daemon.start()
    free = os.statvfs(daemon.dir)
    if free.f_bavail * free.f_frsize >= 1 << 40:
        pytest.skip("SKIPPED: a terabyte is free here")
    for arguments in (["prune", "--older-than", "1d"], ["quarantine", "discard", 1], ["quarantine", "retry", 1]):
        done = scalectl(daemon, *arguments)
        assert done.returncode == 75 and "make room" in done.stderr and "send it" not in done.stderr


def test_discard(daemon):
    quarantined(daemon)
    assert daemon.control.post("/v1/delivery/1/discard").json == {"delivery": 1, "verdict": "discarded"}
    assert daemon.query.docs("/v1/deliveries?verdict=invalid") == []
    assert daemon.query.docs("/v1/deliveries?verdict=discarded")[0]["delivery"] == 1
    daemon.control.post("/v1/delivery/1/discard", 409)
    daemon.control.post("/v1/delivery/2/discard", 404)
    daemon.control.post("/v1/delivery/x/discard", 404)


def test_prune_leaves_what_tasks_stand_on(daemon):
    for i in range(10):
        daemon.deliver(callback())
        daemon.post("{" + " " * i, status=400)
    daemon.control.post("/v1/prune", 400)
    assert daemon.control.post("/v1/prune?older_than=3600").json["deleted"] == 0
    deleted = daemon.control.post("/v1/prune?older_than=0").json["deleted"]
    assert deleted == 9  # the newest stays, whatever it is
    assert len(daemon.query.docs("/v1/tasks")) == 10
    assert len(daemon.query.lines("/v1/events")) == 20


def test_keep_deliveries(make_daemon):
    daemon = make_daemon("store.keep_deliveries=1s").start()
    for n in range(1, 4):  # and again, with nobody who wakes it
        daemon.post("{", status=400)
        number = daemon.deliver(callback())["delivery"] - 1
        eventually(lambda: daemon.query.ask("GET", f"/v1/delivery/{number}").status == 404, "the old delivery is gone")
        assert len(daemon.query.docs("/v1/tasks")) == n


def test_backup(daemon, tmp_path):
    for _ in range(50):
        daemon.deliver(callback())
    copy = tmp_path / "copy.db"
    copy.write_bytes(daemon.control.get("/v1/backup").body)
    database = sqlite3.connect(copy)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert database.execute("SELECT count(*) FROM task").fetchone() == (50,)
    database.close()
    assert not list(daemon.dir.glob("*.backup-*"))


def test_one_backup_at_a_time(daemon):
    for _ in range(30):
        daemon.deliver(callback(instruction="x" * 200_000))
    connection = UnixConnection(daemon.control.path)
    connection.request("GET", "/v1/backup")
    response = connection.getresponse()  # more than fits into the socket: it goes on while it is read
    daemon.control.get("/v1/backup", status=409)
    assert len(response.read()) > 6_000_000
    connection.close()
    eventually(lambda: daemon.control.ask("GET", "/v1/backup").status == 200, "the next backup")


# scalectl.

def test_scalectl_lists(daemon):
    body = callback()
    daemon.deliver(body)
    daemon.post("{", status=400)
    run = scalectl(daemon, "tasks")
    assert run.returncode == 0 and body["task_id"] in run.stdout and "TASK" in run.stdout
    run = scalectl(daemon, "--json", "tasks")
    assert [json.loads(line) for line in run.stdout.splitlines()] == [body["task"]]
    assert json.loads(scalectl(daemon, "task", body["task_id"], "--json").stdout) == body["task"]
    assert json.loads(scalectl(daemon, "task", body["task_id"]).stdout) == body["task"]
    assert "current" in scalectl(daemon, "task", body["task_id"], "--revisions").stdout
    assert "stored" in scalectl(daemon, "task", body["task_id"], "--deliveries").stdout
    assert "invalid" in scalectl(daemon, "quarantine").stdout
    assert scalectl(daemon, "delivery", 2, "--raw").stdout == "{"
    assert "stored" in scalectl(daemon, "stats").stdout
    assert scalectl(daemon, "task", "nope").returncode == 1


def test_scalectl_pages_through_everything(daemon):
    for _ in range(230):
        daemon.deliver(callback())
    assert len(scalectl(daemon, "--json", "tasks", "-n", 1000).stdout.splitlines()) == 230
    assert len(scalectl(daemon, "--json", "tasks", "-n", 150).stdout.splitlines()) == 150
    assert len(scalectl(daemon, "--json", "deliveries").stdout.splitlines()) == 230


def test_scalectl_changes(daemon, tmp_path):
    daemon.post("{", status=400)
    daemon.post("[", status=400)
    run = scalectl(daemon, "quarantine", "retry", 1, 2)
    assert run.returncode == 1 and run.stderr.count("still not valid") == 2
    assert scalectl(daemon, "quarantine", "discard", 1).stdout == "1: discarded\n"
    said = scalectl(daemon, "prune", "--older-than", "1d")
    assert said.stdout == "0 deliveries deleted\n"
    assert "nothing is known to be that old" in said.stderr
    assert scalectl(daemon, "prune", "--older-than", "0s").stderr == ""
    copy = tmp_path / "copy.db"
    assert scalectl(daemon, "backup", copy).returncode == 0
    assert sqlite3.connect(copy).execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    out = tmp_path / "tasks.jsonl"
    daemon.deliver(callback())
    assert scalectl(daemon, "export", "-o", out).returncode == 0
    assert len(out.read_text().splitlines()) == 1
    assert scalectl(daemon, "export", "--format", "xml").returncode == 64


def test_scalectl_simulate_and_doctor(daemon):
    for kind in task_types():
        assert scalectl(daemon, "simulate", kind).stdout.startswith("stored: ")
    assert scalectl(daemon, "simulate", "attachment_failure").stdout.startswith("attachment_failure: ")
    assert scalectl(daemon, "simulate", "nonsense").returncode == 64
    assert len(daemon.query.docs("/v1/tasks?is_test=true")) == len(task_types())
    run = scalectl(daemon, "doctor")
    assert run.returncode == 0 and "failure" not in run.stdout
    assert scalectl(daemon, "check-config").returncode == 0
    daemon.stop()
    run = scalectl(daemon, "doctor")
    assert run.returncode == 1 and "is scale-callbackd running" in run.stdout
    assert scalectl(daemon, "tasks").returncode == 69


def test_scalectl_watch_survives_a_restart(make_daemon):
    daemon = make_daemon().start()
    options = ["-o", f"query.socket={daemon.query.path}", "-o", f"control.socket={daemon.control.path}"]
    watch = subprocess.Popen([str(SCALECTL), *options, "--json", "watch", "--after", "0"], stdout=subprocess.PIPE, text=True)
    try:
        for n in range(1, 4):
            daemon.deliver(callback())
            assert json.loads(watch.stdout.readline())["seq"] == n
        daemon.stop()
        daemon.start()
        for n in range(4, 7):
            daemon.deliver(callback())
            assert json.loads(watch.stdout.readline())["seq"] == n
    finally:
        watch.terminate()
        assert watch.wait(WAIT) == 0


def test_nothing_of_a_response_reaches_a_terminal_raw(daemon):
    daemon.deliver(callback({"category": "\x1b[31mred"}, type="odd", metadata={"x": "\x1b]0;title\x07"}))
    daemon.post('{"a":"\x1b[2J"}', status=400)
    for arguments in (["tasks"], ["deliveries"], ["task", daemon.query.docs("/v1/tasks")[0]["task_id"]], ["delivery", 2]):
        assert "\x1b" not in scalectl(daemon, *arguments).stdout
