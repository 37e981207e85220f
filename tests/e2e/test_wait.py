"""Waiting for tasks: by their ids, by those of submissions, by metadata."""

import json
import os
import pty
import re
import subprocess
import threading
import time

import pytest

from harness import SCALECTL, WAIT, Submitter, callback, eventually, scalectl


@pytest.fixture
def world(make_daemon, make_sandbox, tmp_path):
    """A stand-in that completes when it is told to, a receiver and a submitter."""
    sandbox = make_sandbox("--complete-after", "1h")
    daemon = make_daemon().start()
    submitter = Submitter(tmp_path / "s", sandbox.url, f"submit.callback_url=http://127.0.0.1:{daemon.port}/callback",
                          key="live_made_up", database=daemon.database).start()
    yield sandbox, daemon, submitter
    submitter.finish()


def complete(sandbox, daemon, id, n=1):
    sandbox.complete(id)
    eventually(lambda: daemon.query.get(f"/v1/task/{id}").json["status"] == "completed", "it is completed")


def in_background(daemon, *arguments):
    found = []
    thread = threading.Thread(target=lambda: found.append(scalectl(daemon, *arguments)))
    thread.start()

    def end(status):
        thread.join(WAIT)
        [done] = found
        assert done.returncode == status, (done.stdout, done.stderr)
        return done

    return end


def test_a_task_that_is_completed(daemon):
    body = callback()
    daemon.deliver(body)
    done = scalectl(daemon, "--json", "wait", body["task_id"])
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, {"completed": 1, "pending": 0, "failed": 0}, "")


def test_a_task_that_is_not_there(daemon):
    done = scalectl(daemon, "wait", "nosuch")
    assert done.returncode == 1 and "nosuch" in done.stderr and "not found" in done.stderr


def test_tasks_and_submissions(world):
    sandbox, daemon, submitter = world
    submissions = [submitter.add() for _ in range(3)]
    tasks = [submitter.reaches(s, "accepted")["task_id"] for s in submissions]
    first, second = in_background(daemon, "wait", *tasks[:2]), in_background(daemon, "wait", "--submission", *submissions)
    done = scalectl(daemon, "wait", "--timeout", "1s", *tasks)
    assert done.returncode == 75 and done.stdout == "0 completed, 3 pending, 0 failed\n"
    for task in tasks[:2]:
        complete(sandbox, daemon, task)
    assert first(0).stdout == "2 completed, 0 pending, 0 failed\n"
    sandbox.ask("POST", f"/v1/task/{tasks[2]}/cancel", status=200)
    submitter.submit.post("/v1/reconcile", status=202)
    done = second(1)
    assert done.stdout == "2 completed, 0 pending, 1 failed\n" and f"task {tasks[2]} is canceled" in done.stderr


def test_a_batch_from_the_outbox_to_the_end(world):
    sandbox, daemon, submitter = world
    submitter.submit.post("/v1/queue/hold")
    ours = [submitter.add(metadata={"batch": 7}) for _ in range(3)]
    submitter.add(metadata={"batch": 8})
    done = scalectl(daemon, "wait", "--metadata", "batch=7", "--timeout", "500ms")
    assert done.returncode == 75 and done.stdout == "0 completed, 3 pending, 0 failed\n"
    end = in_background(daemon, "wait", "--metadata", "batch=7")
    time.sleep(0.5)
    submitter.submit.post("/v1/queue/resume")
    for id in ours:
        complete(sandbox, daemon, submitter.reaches(id, "accepted")["task_id"])
    assert end(0).stdout == "3 completed, 0 pending, 0 failed\n"
    assert scalectl(daemon, "wait", "--metadata", "batch=7", "--metadata", "more=1").returncode == 1


def test_what_never_came_to_be(world):
    sandbox, daemon, submitter = world
    submitter.submit.post("/v1/queue/hold")
    given_up, other, waiting = [submitter.add(metadata={"batch": b}) for b in ("a", "b", "a")]
    submitter.submit.post(f"/v1/submission/{given_up}/drop")
    submitter.submit.post(f"/v1/submission/{other}/drop")
    end = in_background(daemon, "wait", "--metadata", "batch=a")
    time.sleep(0.5)
    submitter.submit.post(f"/v1/submission/{waiting}/drop")
    done = end(1)
    assert done.stdout == "0 completed, 0 pending, 2 failed\n"
    assert all(f"submission {id} is canceled" in done.stderr for id in (given_up, waiting)) and other not in done.stderr


def test_a_batch_that_is_none(daemon):
    daemon.deliver(callback(metadata={"batch": "a"}))
    done = scalectl(daemon, "wait", "--metadata", "batch=b")
    assert done.returncode == 1 and "no task with this metadata" in done.stderr
    assert scalectl(daemon, "wait", "--metadata", "batch=a").stdout == "1 completed, 0 pending, 0 failed\n"


def test_the_daemon_may_be_away_meanwhile(world):
    sandbox, daemon, submitter = world
    submission = submitter.add()
    task = submitter.reaches(submission, "accepted")["task_id"]
    end = in_background(daemon, "wait", task)
    time.sleep(0.5)
    port = daemon.port
    daemon.stop()
    time.sleep(1.5)
    daemon.start("-o", f"callback.listen=127.0.0.1:{port}")
    complete(sandbox, daemon, task)
    assert end(0).stdout == "1 completed, 0 pending, 0 failed\n"


def test_progress_on_a_terminal(world):
    sandbox, daemon, submitter = world
    tasks = [submitter.reaches(submitter.add(), "accepted")["task_id"] for _ in range(2)]
    main, side = pty.openpty()
    process = subprocess.Popen([str(SCALECTL), "-o", f"query.socket={daemon.query.path}", "wait", *tasks], stderr=side,
                               stdout=subprocess.PIPE, text=True)
    os.close(side)
    said = os.read(main, 4096).decode()
    complete(sandbox, daemon, tasks[0])
    while "at this rate" not in said:
        said += os.read(main, 4096).decode()
    complete(sandbox, daemon, tasks[1])
    assert process.wait(WAIT) == 0
    assert "0 completed, 2 pending, 0 failed" in said
    assert re.search(r"1 completed, 1 pending, 0 failed, about \d+ s at this rate", said)
    os.close(main)


@pytest.mark.parametrize("arguments", [[], ["--submission"], ["--metadata", "a"], ["--metadata", "a=b", "id"]])
def test_usage(daemon, arguments):
    assert scalectl(daemon, "wait", *arguments).returncode == 64


def test_how_far_a_batch_is(world):
    sandbox, daemon, submitter = world
    tasks = [submitter.reaches(submitter.add(metadata={"batch": b, "n": 1}), "accepted")["task_id"] for b in (7, 7, 8)]
    complete(sandbox, daemon, tasks[0])
    for local in (daemon.query, submitter.submit):
        stats = local.get("/v1/stats?metadata.batch=7").json
        assert stats.pop("by_status") == {"pending": 1, "completed": 1, "canceled": 0, "error": 0}
        assert stats == {"tasks": 2}
        assert local.get("/v1/stats?metadata.batch=8&metadata.n=1").json["by_status"]["pending"] == 1
        assert local.get("/v1/stats?metadata.batch=8&metadata.n=2").json["tasks"] == 0
        assert "metadata.batch" in local.get("/v1/stats?metadta.batch=8", status=400).body.decode()
        assert local.get("/v1/stats").json["tasks"] == 3
    assert json.loads(scalectl(daemon, "--json", "stats", "--metadata", "batch=7").stdout)["tasks"] == 2
    assert re.search(r"^by_status completed +1$", scalectl(daemon, "stats", "--metadata", "batch=7").stdout, re.M)
    assert scalectl(daemon, "stats", "--metadata", "batch").returncode == 64
