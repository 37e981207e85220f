"""An API that misbehaves, a submitter that is killed: no task is made twice, and none is forgotten."""

import json
import random
import sqlite3
import subprocess
import threading
import time

import pytest

from harness import PARAMS, SCALECTL, UnixConnection, ask, eventually

LIVE = {"key": "live_made_up"}

# About one request in ten. A 429 makes everybody wait for a second or more, so there are fewer of them.
API_FAULTS = {"drop_answer": 0.02, "error_after": 0.02, "error_500": 0.02, "html": 0.02, "error_429": 0.005, "delay": 0.02}
CALLBACK_FAULTS = {"callback_lost": 0.1, "callback_duplicate": 0.1, "callback_reorder": 0.1, "callback_cut": 0.1,
                   "callback_invalid": 0.1, "callback_delay": 0.1}


def faults(**probabilities):
    return [f"--fault={name}={p}" for name, p in probabilities.items()]


class Senders:
    """Clients that hand in each of n tasks, asking again with the same key until there is an answer."""

    def __init__(self, submitter, n, threads=8):
        self.submitter, self.ids, self.lock, self.left = submitter, {}, threading.Lock(), iter(range(n))
        self.problems = []
        self.threads = [threading.Thread(target=self.run) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def run(self):
        connection = UnixConnection(self.submitter.submit.path)
        while True:
            with self.lock:
                number = next(self.left, None)
            if number is None:
                return connection.close()
            body = json.dumps({"instruction": "Big or small?", **PARAMS, "attachment": f"car {number}"})
            headers = {"Content-Type": "application/json", "Idempotency-Key": f"task-{number}"}
            while number not in self.ids:
                try:
                    answer = ask(connection, "POST", "/v1/task/categorization", body, headers)
                except Exception:  # it was killed: no answer, no promise
                    connection.close()
                    time.sleep(0.02)
                    continue
                if answer.status == 202:
                    self.ids[number] = answer.json["submission_id"]
                elif answer.status != 503:
                    self.problems.append((answer.status, answer.body))
                    return connection.close()

    def running(self):
        return any(thread.is_alive() for thread in self.threads)

    def join(self):
        for thread in self.threads:
            thread.join()
        assert not self.problems, self.problems[0]
        return self.ids


class FromFile(threading.Thread):
    """`scalectl submit --from FILE` of n tasks, run again until all of it is in the outbox."""

    def __init__(self, submitter, path, n):
        super().__init__()
        with open(path, "w") as file:
            for number in range(n):
                task = {"type": "categorization", "instruction": "Big or small?", **PARAMS, "attachment": f"car {number}"}
                file.write(json.dumps(task) + "\n")
        self.command = [SCALECTL, "-o", f"submit.socket={submitter.submit.path}", "--json", "submit", "--from", path]
        self.out, self.done = "", None
        self.start()

    def run(self):
        while not self.done or self.done.returncode in (69, 75):  # not there, or gone before the end
            self.done = subprocess.run(self.command, capture_output=True, text=True)
            self.out += self.done.stdout

    def running(self):
        return self.is_alive()

    def ids(self):
        self.join()
        assert self.done.returncode == 0, (self.done.returncode, self.done.stderr)
        return dict(enumerate({json.loads(line)["submission_id"] for line in self.out.splitlines()}))


def by_state(submitter):
    return submitter.submit.get("/v1/queue").json["by_state"]


def settle(submitter, n):
    """Has everything looked at again and again until the API has it all."""
    def done():
        submitter.submit.post("/v1/queue/flush")
        time.sleep(0.2)
        return by_state(submitter)["accepted"] == n
    eventually(done, f"{n} accepted", lambda: by_state(submitter))


def check(submitter, sandbox, ids):
    """Once each, in the outbox, in the store and at the API."""
    n = len(ids)
    assert len(set(ids.values())) == n
    stats = sandbox.stats()
    assert (stats["tasks"], stats["duplicate_tasks"]) == (n, 0), stats
    assert by_state(submitter) == {"queued": 0, "sending": 0, "unknown": 0, "accepted": n, "rejected": 0, "canceled": 0,
                                   "expired": 0}
    database = sqlite3.connect(submitter.database)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert database.execute("SELECT count(DISTINCT task_id) FROM task").fetchone() == (n,)
    database.close()


def kill_until(submitter, dice, enough, what, looks, most=0.4):
    """Killed again and again, at any moment. How often."""
    kills = 0

    def kill():
        nonlocal kills
        time.sleep(dice.uniform(0.01, most))
        submitter.kill()
        kills += 1
        submitter.start()
        return enough()

    eventually(kill, what, looks)
    return kills


@pytest.mark.load
def test_faults_alone(make_sandbox, make_submitter):
    sandbox = make_sandbox(*faults(**API_FAULTS, lag=0.2), "--delay=500ms", "--lag=500ms", "--seed=1",
                           "--callback-url=http://127.0.0.1:9/")
    submitter = make_submitter("api.settle=1s", url=sandbox.url, **LIVE).start()
    ids = Senders(submitter, 200).join()
    settle(submitter, 200)
    check(submitter, sandbox, ids)
    metrics = submitter.submit.get("/metrics").body.decode()
    assert "scale_submitd_found_total 0\n" not in metrics and "scale_submitd_absent_total 0\n" not in metrics


@pytest.mark.load
def test_killed_while_submitting(make_sandbox, make_submitter, request):
    """Between any two steps: before the answer, while it is sent, while it is looked for."""
    rounds, dice = request.config.getoption("--kill-rounds"), random.Random(7)
    sandbox = make_sandbox(*faults(**API_FAULTS, lag=0.2), "--delay=500ms", "--lag=300ms", "--seed=2",
                           "--callback-url=http://127.0.0.1:9/")
    submitter = make_submitter("api.settle=500ms", url=sandbox.url, **LIVE).start()
    n = 40 * rounds
    senders = Senders(submitter, n)
    end = time.monotonic() + rounds
    kills = kill_until(submitter, dice, lambda: not senders.running() and time.monotonic() > end, f"{n} are handed in",
                       lambda: len(senders.ids))
    ids = senders.join()
    assert kills >= 2
    settle(submitter, n)
    check(submitter, sandbox, ids)


def test_a_request_that_is_still_on_its_way(make_sandbox, make_submitter):
    """The API takes its time, and who asked is killed and started again: what is made late is not made twice."""
    n = 8
    sandbox = make_sandbox("--fault=slow=1", "--delay=4s", "--seed=1", "--callback-url=http://127.0.0.1:9/")
    submitter = make_submitter("api.settle=1s", "api.timeout=4s", url=sandbox.url, **LIVE).start()
    ids = {number: submitter.add(attachment=f"car {number}") for number in range(n)}
    eventually(lambda: sandbox.stats()["faults"]["slow"] == n, "requests that are worked on")
    submitter.kill()
    submitter.start()
    sandbox.set_faults(slow=0)
    settle(submitter, n)
    eventually(lambda: sandbox.stats()["slow"] == 0, "what was slow is done")
    check(submitter, sandbox, ids)


def test_two_clocks(make_sandbox, make_submitter):
    """created_at lies behind Date, each time by another step, up to two hours: what was made is found, and not made twice."""
    n = 8
    sandbox = make_sandbox(*faults(drop_answer=1, clock_behind=1), "--clock-step=2h", "--seed=1",
                           "--callback-url=http://127.0.0.1:9/")
    sandbox.set_faults(drop_answer=0)
    submitter = make_submitter("api.timeout=1s", url=sandbox.url, **LIVE).start()
    first = submitter.add(attachment="car 0")
    submitter.reaches(first, "accepted")
    sandbox.set_faults(drop_answer=1)
    ids = {0: first, **{number: submitter.add(attachment=f"car {number}") for number in range(1, n)}}
    eventually(lambda: sandbox.stats()["tasks"] == n, "tasks of which nobody was told")
    sandbox.set_faults(drop_answer=0)
    settle(submitter, n)
    check(submitter, sandbox, ids)


@pytest.mark.slow
def test_ten_thousand(make_daemon, make_sandbox, make_submitter, tmp_path, request):
    """From a file, with every fault, the submitter killed every second, callbacks lost: as many tasks as there are lines,
    each with its result."""
    n = request.config.getoption("--submissions")
    daemon = make_daemon().start()
    sandbox = make_sandbox(*faults(**API_FAULTS, **CALLBACK_FAULTS, lag=0.1), "--delay=500ms", "--lag=500ms", "--seed=3",
                           "--complete-after=100ms", "--time-scale=5000")
    submitter = make_submitter(f"submit.callback_url=http://127.0.0.1:{daemon.port}/callback", "api.settle=1s",
                               "api.max_in_flight=32", url=sandbox.url, database=daemon.database, **LIVE).start()
    senders = FromFile(submitter, tmp_path / "tasks.ndjson", n)
    kills = kill_until(submitter, random.Random(7), lambda: not senders.running() and by_state(submitter)["accepted"] >= n / 2,
                       "all are handed in, and half accepted", lambda: by_state(submitter), most=1)
    ids = senders.ids()
    assert kills >= 2 and len(ids) == n
    settle(submitter, n)
    check(submitter, sandbox, ids)

    def by_status():
        return daemon.query.get("/v1/stats").json["by_status"]

    def completed():
        submitter.submit.post("/v1/reconcile?wait=60")
        return by_status().get("completed") == n

    eventually(completed, f"{n} results", by_status)
    page, seen = daemon.query.get("/v1/tasks?status=completed").json, set()
    while True:
        for task in page["docs"]:
            assert task["response"]["category"] in PARAMS["categories"]
            seen.add(task["task_id"])
        if not page["has_more"]:
            break
        page = daemon.query.get(f"/v1/tasks?status=completed&after={page['next']}").json
    assert len(seen) == n
    log = submitter.log()
    assert "has two tasks" not in log
