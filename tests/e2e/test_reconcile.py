"""Reconciliation and backfill: from callbacks that never came to a store that knows all the same."""

import collections
import json
import re
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest

from api import TEST_KEY
from harness import PARAMS, SCALECTL, WAIT, callback, eventually, scalectl

LIVE = {"key": "live_made_up"}


def report(submitter, what="reconcile"):
    return submitter.submit.get(f"/v1/{what}").json


def reconcile(submitter, wait=30, status=200):
    return submitter.submit.post(f"/v1/reconcile?wait={wait}", status).json


def backfill(submitter, **parameters):
    """One, to its end."""
    query = urllib.parse.urlencode(parameters)
    begun = submitter.submit.post(f"/v1/backfill?{query}", 202).json
    assert begun["state"] == "running" and begun["seen"] == 0
    look = lambda: report(submitter, "backfill")
    eventually(lambda: look()["state"] != "running", "the end of the backfill", look)
    return look()


def deliveries(daemon, **parameters):
    query = urllib.parse.urlencode({"limit": 100, **parameters})
    return daemon.query.docs(f"/v1/deliveries?{query}")


@pytest.fixture
def pair(daemon, make_sandbox, make_submitter):
    """A stand-in, and a submitter that shares the receiver's database."""
    sandbox = make_sandbox()
    submitter = make_submitter(f"submit.callback_url=http://127.0.0.1:{daemon.port}/callback", url=sandbox.url,
                               database=daemon.database, **LIVE).start()
    return sandbox, submitter


def submit(submitter, n):
    """The tasks of so many submissions, by the submission."""
    ids = [submitter.add(attachment=f"car {i}") for i in range(n)]
    return {id: submitter.reaches(id, "accepted")["task_id"] for id in ids}


def test_lost_callbacks_are_recovered(daemon, pair):
    sandbox, submitter = pair
    assert report(submitter)["state"] == "none"
    tasks = submit(submitter, 5)
    sandbox.set_faults(callback_lost=1)
    *lost, pending = tasks.items()
    for _, task in lost:
        sandbox.complete(task, {"category": "big"})

    done = reconcile(submitter)
    assert done["state"] == "done" and done["asked"] == 5 and done["recovered"] == 4 and done["pending"] == 1
    assert done["started_at"] <= done["finished_at"] and "error" not in done
    assert report(submitter) == done
    found = {d["task_id"]: d for d in deliveries(daemon) if d["source"] == "reconcile"}
    assert set(found) == {task for _, task in lost}
    for id, task in lost:
        shown = daemon.query.get(f"/v1/task/{task}").json
        assert shown["status"] == "completed" and shown["response"] == {"category": "big"}
        assert found[task]["verdict"] == "stored" and found[task]["ref"] == id
    kinds = collections.Counter(e["kind"] for e in daemon.query.lines("/v1/events"))
    assert kinds["task.completed"] == 4
    assert "no callback said so" in submitter.log() and "recovered 4 results" in submitter.log()
    metrics = submitter.submit.get("/metrics").body.decode()
    assert "scale_submitd_reconcile_recovered_total 4\n" in metrics
    assert "scale_submitd_reconciliations_total 1\n" in metrics

    # Whoever comes late, a callback or a question, brings nothing new.
    sandbox.set_faults(callback_lost=0)
    daemon.deliver(callback({"category": "big"}, found and lost[0][1]))
    again = reconcile(submitter)
    assert again["asked"] == 1 and again["recovered"] == 0
    assert not deliveries(daemon, verdict="revised")


def test_canceled_by_somebody_else(daemon, pair):
    sandbox, submitter = pair
    (task,) = submit(submitter, 1).values()
    sandbox.ask("POST", f"/v1/task/{task}/cancel", status=200)
    assert reconcile(submitter)["canceled"] == 1
    assert daemon.query.get(f"/v1/task/{task}").json["status"] == "canceled"
    assert [e["kind"] for e in daemon.query.lines("/v1/events")][-1] == "task.canceled"


def test_what_is_overdue_is_asked_about_by_itself(make_submitter, api):
    """And only that."""
    submitter = make_submitter("reconcile.interval=200ms").start()
    later = submitter.reaches(submitter.add(urgency="immediate"), "accepted")["task_id"]
    api.offset = -2 * 3600
    due = submitter.reaches(submitter.add(urgency="immediate", attachment="bus"), "accepted")["task_id"]
    for task in api.tasks:
        api.complete(task, {"category": "small"})
    eventually(lambda: submitter.submit.get(f"/v1/task/{due}").json["status"] == "completed", "the result")
    assert "no callback said so" in submitter.log()
    rounds = submitter.submit.get("/metrics")
    asked = api.count("GET", f"/v1/task/{due}")  # a first time perhaps before it was completed
    time.sleep(0.5)
    assert api.count("GET", f"/v1/task/{due}") == asked and api.count("GET", f"/v1/task/{later}") == 0
    assert submitter.submit.get("/metrics").body != rounds.body


def test_a_reload_sets_the_interval(make_submitter, api, tmp_path):
    config = tmp_path / "scale.conf"
    config.write_text("[callback]\n")
    submitter = make_submitter(config=config)
    command = submitter.command
    submitter.command = lambda *more: drop_option(command(*more), "reconcile.interval=0")
    config.write_text("[reconcile]\ninterval = 0\n")
    submitter.start()
    api.offset = -2 * 3600
    submitter.reaches(submitter.add(urgency="immediate"), "accepted")
    time.sleep(0.3)
    assert api.count("GET", "/v1/task/") == 0
    config.write_text("[reconcile]\ninterval = 100ms\n")
    submitter.reload()
    eventually(lambda: api.count("GET", "/v1/task/") > 1, "questions")


def drop_option(command, value):
    i = command.index(value)
    return command[:i - 1] + command[i + 1:]


def test_failures_are_reported_and_passed_over(make_submitter, api):
    submitter = make_submitter().start()
    task = submitter.reaches(submitter.add(), "accepted")["task_id"]
    api.complete(api.tasks[0], {"category": "big"})
    api.plan = lambda *_: (401, {"status_code": 401, "error": "No such key."})
    failed = reconcile(submitter)
    assert failed["state"] == "failed" and "401: No such key." in failed["error"] and failed["failed"] == 1
    assert "ended early" in submitter.log()

    left = iter([(500, {"status_code": 500, "error": "?"}), (502, b"<html>", {}, "text/html"), "drop"])
    api.plan = lambda *_: next(left, None)
    assert reconcile(submitter)["recovered"] == 1
    assert submitter.submit.get(f"/v1/task/{task}").json["status"] == "completed"


def test_who_waits_and_who_joins(make_submitter, api):
    submitter = make_submitter().start()
    submitter.reaches(submitter.add(), "accepted")
    api.plan = lambda method, path, body: 1.5
    assert submitter.submit.post("/v1/reconcile", 202).json["state"] == "running"
    began = time.monotonic()
    running = reconcile(submitter, 1, 202)
    assert running["state"] == "running" and running["asked"] == 1 and time.monotonic() - began >= 0.9
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(reconcile(submitter))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [a["state"] for a in answers] == ["done"] * 5
    assert api.count("GET", "/v1/task/") == 1
    for bad in ("301", "-1", "x"):
        assert "wait" in submitter.submit.post(f"/v1/reconcile?wait={bad}", 400).json["error"]


def test_who_waits_is_answered_when_it_stops(make_submitter, api):
    submitter = make_submitter("api.timeout=2s").start()
    submitter.reaches(submitter.add(), "accepted")
    api.plan = lambda method, path, body: 5
    answers = []
    thread = threading.Thread(target=lambda: answers.append(reconcile(submitter, 60, 202)))
    thread.start()
    eventually(lambda: report(submitter)["asked"] == 1, "the question")
    assert submitter.stop() == 0
    thread.join()
    assert answers[0]["state"] in ("running", "failed")


# Backfill.

def test_a_number_that_no_integer_holds(make_submitter, api):
    """One such task in the account once kept a backfill from ever getting past its page."""
    submitter = make_submitter().start()
    api.create("categorization", {"instruction": "?", **PARAMS, "metadata": {"hash": 2**64}}, False)
    api.create("categorization", {"instruction": "?", **PARAMS}, False)
    done = backfill(submitter)
    assert (done["state"], done["seen"], done["stored"]) == ("done", 2, 2)

def test_an_account_that_was_never_known(daemon, pair):
    sandbox, submitter = pair
    tasks = [sandbox.create(attachment=f"http://www.example.com/{i}")["task_id"] for i in range(230)]
    sandbox.set_faults(callback_lost=1)
    for id in tasks[:20]:
        sandbox.complete(id, {"category": "big"})
    sandbox.ask("POST", f"/v1/task/{tasks[20]}/cancel", status=200)

    done = backfill(submitter)
    assert done["state"] == "done" and done["total"] == done["seen"] == done["stored"] == 230
    assert done["pages"] == 3 and done["pending"] == 209 and done["reached_at"] <= done["started_at"]
    assert daemon.query.get("/v1/tasks?limit=1").json["total"] == 230
    assert daemon.query.get("/v1/tasks?limit=1&status=completed").json["total"] == 20
    shown = daemon.query.get(f"/v1/task/{tasks[0]}").json
    assert shown["response"] == {"category": "big"}
    there = sandbox.task(tasks[0])
    assert {k: v for k, v in shown.items() if k != "callback_succeeded"} == \
        {k: v for k, v in there.items() if k != "callback_succeeded"}
    assert {d["source"] for d in deliveries(daemon)} == {"backfill"}

    again = backfill(submitter)
    assert again["known"] == 230 and again["stored"] == again["revised"] == 0
    assert len(deliveries(daemon, after=200)) == 30

    # They are asked about from here on, as any other.
    sandbox.complete(tasks[100], {"category": "small"})
    assert reconcile(submitter)["recovered"] == 1


def test_between_two_times(pair):
    sandbox, submitter = pair
    tasks = []
    for _ in range(3):
        tasks.append(sandbox.create())
        time.sleep(0.01)
    middle = tasks[1]["created_at"]
    done = backfill(submitter, since=middle, until=middle)
    assert done["seen"] == 1 and done["since"] == done["until"] == middle
    assert submitter.submit.docs("/v1/tasks")[0]["task_id"] == tasks[1]["task_id"]
    for query, name in (("since=yesterday", "since"), ("until=x", "until"), (f"since={middle}&until=2016-01-01", "until")):
        assert name in submitter.submit.post(f"/v1/backfill?{query}", 400).json["error"]


def test_one_at_a_time(make_submitter, api):
    submitter = make_submitter().start()
    assert report(submitter, "backfill")["state"] == "none"
    api.plan = lambda method, path, body: 1
    submitter.submit.post("/v1/backfill", 202)
    assert "running" in submitter.submit.post("/v1/backfill", 409).json["error"]
    eventually(lambda: report(submitter, "backfill")["state"] == "done", "the end")
    api.plan = lambda *_: (402, {"status_code": 402, "error": "Not enabled."})
    failed = backfill(submitter)
    assert failed["state"] == "failed" and "402" in failed["error"]


def test_faults_of_the_list(daemon, pair):
    sandbox, submitter = pair
    tasks = [sandbox.create()["task_id"] for _ in range(150)]
    sandbox.set_faults(error_500=0.2, html=0.1, drop_answer=0.1)
    eventually(lambda: backfill(submitter)["state"] == "done", "a backfill that comes through")
    assert {t["task_id"] for t in daemon.query.docs("/v1/tasks?limit=100")} <= set(tasks)
    assert daemon.query.get("/v1/tasks?limit=1").json["total"] == 150


# All at once.

def test_while_callbacks_come_for_the_same_tasks(daemon, pair):
    """Each result once, whoever brings it."""
    sandbox, submitter = pair
    tasks = list(submit(submitter, 60).values())
    tasks += [sandbox.create(callback_url=f"http://127.0.0.1:{daemon.port}/callback")["task_id"] for _ in range(60)]
    sandbox.set_faults(callback_lost=0.3, callback_duplicate=0.3, callback_delay=0.3)
    done = threading.Event()

    def complete():
        for id in tasks:
            sandbox.complete(id, {"category": "big"})
        done.set()

    thread = threading.Thread(target=complete)
    thread.start()
    while not done.is_set():
        reconcile(submitter)
        backfill(submitter)
    thread.join()
    backfill(submitter)
    reconcile(submitter)
    assert report(submitter)["state"] == report(submitter, "backfill")["state"] == "done"

    assert daemon.query.get("/v1/tasks?limit=1&status=completed").json["total"] == len(tasks)
    assert not deliveries(daemon, verdict="revised") and not deliveries(daemon, verdict="invalid")
    for id in tasks:
        assert len(daemon.query.docs(f"/v1/task/{id}/revisions")) == 1
    kinds = collections.Counter(e["kind"] for e in daemon.query.lines("/v1/events?limit=1000"))
    assert kinds["task.completed"] == len(tasks) and kinds["task.revised"] == 0


def test_killed_in_the_middle(daemon, pair):
    sandbox, submitter = pair
    tasks = list(submit(submitter, 60).values())
    sandbox.set_faults(callback_lost=1)
    for id in tasks:
        sandbox.complete(id, {"category": "big"})
    for _ in range(3):
        submitter.submit.post("/v1/reconcile", 202)
        submitter.submit.post("/v1/backfill", 202)
        time.sleep(0.01)
        submitter.kill()
        submitter.start()
    assert reconcile(submitter)["state"] == "done"
    assert daemon.query.get("/v1/tasks?limit=1&status=completed").json["total"] == len(tasks)
    for id in tasks:
        assert len(daemon.query.docs(f"/v1/task/{id}/revisions")) == 1


def test_no_key_in_what_is_said(make_submitter, api):
    submitter = make_submitter().start()
    submitter.reaches(submitter.add(), "accepted")
    api.plan = lambda *_: "drop before"
    assert TEST_KEY not in json.dumps(backfill_start_and_look(submitter)) and TEST_KEY not in submitter.log()


def backfill_start_and_look(submitter):
    submitter.submit.post("/v1/backfill", 202)
    eventually(lambda: report(submitter, "backfill")["retries"] >= 1, "a failure")
    return report(submitter, "backfill")


def test_from_the_command_line(daemon, pair):
    sandbox, submitter = pair
    id = sandbox.create()["task_id"]

    def ctl(*arguments):
        return scalectl(daemon, "-o", f"submit.socket={submitter.submit.path}", *arguments)

    done = ctl("--json", "backfill")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["stored"] == 1
    sandbox.set_faults(callback_lost=1)
    sandbox.complete(id)
    done = ctl("reconcile")
    assert done.returncode == 0 and "recovered" in done.stdout, done.stderr
    assert daemon.query.get(f"/v1/task/{id}").json["status"] == "completed"


def test_a_backfill_goes_on_where_it_was(make_submitter, api):
    """The submitter is killed again and again, after as many pages as it takes to get to the next: no page that was
    stored is asked for a second time, and a single call brings in everything."""
    for hour in range(1000):
        api.offset = 3600 * (hour - 1000)
        api.create("categorization", {"instruction": "Big or small?", **PARAMS}, True)
    api.offset = 0
    submitter = make_submitter().start()
    api.plan = lambda method, path, body: 0.3 if path == "/v1/tasks" else None
    command = [SCALECTL, "-o", f"submit.socket={submitter.submit.path}", "--json", "backfill"]
    done = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    kills = 0

    def kill():
        nonlocal kills
        before = report(submitter, "backfill")["pages"]
        eventually(lambda: report(submitter, "backfill")["pages"] >= before + 2 or done.poll() is not None, "two more pages",
                   lambda: report(submitter, "backfill"))
        time.sleep(0.25)  # scalectl has looked
        submitter.kill()
        kills += 1
        submitter.start()
        eventually(lambda: report(submitter, "backfill")["state"] != "none" or done.poll() is not None, "another one")
        return done.poll() is not None or kills == 3

    eventually(kill, "it was killed three times")
    out, err = done.communicate(timeout=WAIT)
    assert done.returncode == 0, err
    assert json.loads(out)["state"] == "done" and err.count("the backfill goes on at") == kills
    assert submitter.submit.get("/v1/tasks?limit=1").json["total"] == 1000
    assert api.count("GET", "/v1/tasks") <= 10 + 3 * kills + 2, api.count("GET", "/v1/tasks")


def test_where_a_backfill_was_is_said(make_submitter, api):
    """For who calls it again."""
    for hour in range(300):
        api.offset = 3600 * (hour - 300)
        api.create("categorization", {"instruction": "Big or small?", **PARAMS}, True)
    submitter = make_submitter().start()
    pages = iter([None, (402, {"status_code": 402, "error": "Not enabled."})])
    api.plan = lambda method, path, body: next(pages, None)
    command = [SCALECTL, "-o", f"submit.socket={submitter.submit.path}", "--json", "backfill"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT)
    assert done.returncode == 75 and "all that is newer is in" in done.stderr, done.stderr
    again = re.search(r"scalectl backfill (--until \S+)`", done.stderr)[1].split()
    done = subprocess.run([*command, *again], capture_output=True, text=True, timeout=WAIT)
    assert done.returncode == 0 and json.loads(done.stdout)["seen"] <= 202, done.stdout + done.stderr
    assert submitter.submit.get("/v1/tasks?limit=1").json["total"] == 300


def submit_socket(folder, answers):
    """A submitter's socket that gives these reports, one a request, the last of them for ever. Its path."""
    path = folder / "fake.sock"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    reports = iter(answers)

    def serve():
        report = None
        while True:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                report = next(reports, report)
                body = json.dumps(report).encode()
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                                   b"Content-Length: %d\r\n\r\n" % len(body) + body)

    threading.Thread(target=serve, daemon=True).start()
    return path


NONE = {"state": "none", "asked": 0, "seen": 0}
FIRST = {"state": "running", "started_at": "2026-01-01T00:00:00.000Z", "asked": 1, "seen": 1}
SECOND = {**FIRST, "started_at": "2026-01-01T00:05:00.000Z"}
THIRD = {**FIRST, "started_at": "2026-01-01T00:06:00.000Z"}


@pytest.mark.parametrize("verb, answers, status", [
    ("backfill", [FIRST, NONE], 75),
    ("reconcile", [FIRST, NONE], 75),
    ("backfill", [FIRST, SECOND, {**SECOND, "state": "done"}], 75),
    ("backfill", [FIRST, {**SECOND, "state": "done"}], 75),
    ("reconcile", [FIRST, SECOND, THIRD, {**THIRD, "state": "done"}], 75),
    ("reconcile", [FIRST, SECOND, {**SECOND, "state": "done"}], 0),  # one of the interval's was before it
    ("backfill", [FIRST, FIRST, {**FIRST, "state": "done"}], 0),
    ("backfill", [FIRST, {**FIRST, "state": "failed", "error": "The API is gone."}], 75),
])
def test_a_round_that_is_not_the_one_that_was_begun(tmp_path, verb, answers, status):
    """The submitter was restarted: once zeros were shown, with 0."""
    done = subprocess.run([SCALECTL, "-o", f"submit.socket={submit_socket(tmp_path, answers)}", verb],
                          capture_output=True, text=True, timeout=WAIT)
    assert done.returncode == status, (done.stdout, done.stderr)
    if status == 0:
        assert not done.stderr and done.stdout.startswith("state")
    elif answers[-1].get("error"):
        assert "The API is gone." in done.stderr and f"run `scalectl {verb}` again" in done.stderr
    else:
        assert not done.stdout and "restarted" in done.stderr and f"run `scalectl {verb}` again" in done.stderr
