"""Two processes that write to one database: what one of them commits the other one's readers hear of, and neither
starves the other."""

import json
import sqlite3
import subprocess
import threading
import time

import pytest

from harness import SCALECTL, UnixConnection, callback, eventually, scalectl


@pytest.fixture
def pair(make_daemon):
    first = make_daemon().start()
    return first, make_daemon(f"store.path={first.database}").start()


def test_the_feed_hears_of_another_process(pair):
    here, there = pair
    connection = UnixConnection(here.query.path)
    connection.request("GET", "/v1/events?follow=1")
    response = connection.getresponse()
    for n in range(1, 4):
        there.deliver(callback())
        assert json.loads(response.readline())["seq"] == n
    here.deliver(callback())
    assert json.loads(response.readline())["seq"] == 4
    connection.close()


def test_who_waits_hears_of_another_process(pair):
    here, there = pair
    for n in range(2):  # the second time the looking has to begin anew
        heard = []
        thread = threading.Thread(target=lambda: heard.extend(here.query.lines(f"/v1/events?after={n}&wait=60")))
        thread.start()
        time.sleep(0.5)
        there.deliver(callback())
        thread.join(30)
        assert [e["seq"] for e in heard] == [n + 1]


def test_both_started_at_once(make_daemon):
    first = make_daemon()
    second = make_daemon(f"store.path={first.database}")
    for daemon in (first, second):
        daemon.launch()
    for daemon in (first, second):
        eventually(lambda: "Ready." in daemon.new_log() or daemon.process.poll() is not None, "readiness")
        assert daemon.process.poll() is None, daemon.log()


@pytest.mark.load
def test_both_under_load(pair):
    answers, failures = [], []

    def send(daemon, n):
        try:
            for _ in range(n):
                answers.append(daemon.deliver(callback()))
        except Exception as error:  # said by the main thread
            failures.append(repr(error))

    threads = [threading.Thread(target=send, args=(daemon, 60)) for daemon in pair for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures, failures
    assert len(answers) == 480
    assert sorted(a["delivery"] for a in answers) == list(range(1, 481))
    for daemon in pair:
        assert [e["seq"] for e in daemon.query.lines("/v1/events?limit=1000")] == list(range(1, 481))


@pytest.mark.load
def test_one_is_killed_under_load(pair):
    here, there = pair
    acknowledged, stop = [], threading.Event()

    def send():
        while not stop.is_set():
            try:
                acknowledged.append(there.deliver(callback())["task_id"])
            except Exception:  # it was killed
                return

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    mine = []
    for n in range(60):
        mine.append(here.deliver(callback())["task_id"])
        if n == 30:
            there.kill()
    stop.set()
    for thread in threads:
        thread.join(60)
    for task_id in mine + acknowledged:
        here.query.get(f"/v1/task/{task_id}")
    with sqlite3.connect(here.database) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_submission_from_its_acceptance_to_its_callback(make_daemon, make_submitter, api):
    """Told by two processes, read at one feed; and a second task of it is said to be one."""
    receiver = make_daemon().start()
    submitter = make_submitter(database=receiver.database).start()
    connection = UnixConnection(receiver.query.path)
    connection.request("GET", "/v1/events?follow=1&include=task")
    response = connection.getresponse()

    id = submitter.add()
    event = json.loads(response.readline())
    task = api.tasks[0]
    assert [event[k] for k in ("kind", "submission", "task_id", "status")] == [
        "task.submitted", id, task["task_id"], "pending"]
    assert event["task"]["task_id"] == task["task_id"]

    receiver.deliver(callback(id=task["task_id"]))  # without a reference: the task tells
    event = json.loads(response.readline())
    assert [event[k] for k in ("kind", "submission", "status")] == ["task.completed", id, "completed"]
    connection.close()

    assert "another task" not in receiver.log()
    other = callback()
    receiver.deliver(other, path=f"/callback/{id}")
    eventually(lambda: f"Task {other['task_id']} belongs to a submission that has another task" in receiver.log(),
               "the second task is said to be one")
    assert submitter.submission(id)["task_id"] == task["task_id"]


def test_two_submitters_on_one_database(make_daemon, make_submitter, api):
    """The second would send the same tasks: it refuses to start and says who has the database. Nothing is left behind by
    the first, however it ends."""
    receiver = make_daemon().start()
    first = make_submitter(database=receiver.database).start()
    second = make_submitter(database=receiver.database)
    assert second.launch().wait() == 75
    assert f"in use by scale-submitd (pid {first.process.pid})" in second.log()
    assert "Ready." not in second.log()
    first.reaches(first.add(), "accepted")
    assert len(api.tasks) == 1

    first.kill()
    second.start()
    assert first.launch().wait() == 75
    assert second.stop() == 0
    first.start()


def test_two_submitters_on_one_database_by_a_link(make_daemon, make_submitter, api):
    """A database is one, by whatever path somebody comes to it: for the second submitter, and for a restore."""
    receiver = make_daemon().start()
    first = make_submitter(database=receiver.database).start()
    link = receiver.dir / "link.db"
    link.symlink_to(receiver.database)
    second = make_submitter(database=link)
    assert second.launch().wait() == 75
    assert f"in use by scale-submitd (pid {first.process.pid})" in second.log()
    assert first.stop() == 0 and receiver.stop() == 0

    receiver.database = link
    receiver.start()
    backup = receiver.dir / "b.db"
    assert scalectl(receiver, "backup", backup).returncode == 0
    run = subprocess.run([SCALECTL, "-o", f"store.path={link.resolve()}", "restore", backup], capture_output=True, text=True,
                         check=False)
    assert run.returncode != 0 and f"in use by scale-callbackd (pid {receiver.process.pid})" in run.stderr, run
    receiver.deliver(callback())


def test_a_submitted_task_of_which_nothing_came_yet_has_no_deliveries(make_daemon, make_submitter, api):
    """It was said not to exist, by this one call."""
    receiver = make_daemon().start()
    submitter = make_submitter(database=receiver.database).start()
    task = submitter.reaches(submitter.add(), "accepted")["task_id"]
    assert receiver.query.get(f"/v1/task/{task}/deliveries").json == {"docs": [], "has_more": False}
    receiver.query.get("/v1/task/nope/deliveries", status=404)
