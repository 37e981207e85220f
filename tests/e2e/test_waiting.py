"""Whatever a submission waits for is told, in the queue, in STATUS= and by scalectl doctor, and each cause in its own
words."""

import json
import os
import socket
import subprocess

import pytest

from api import TEST_KEY
from harness import SCALECTL, WAIT, eventually
from test_service import Manager

LIVE_KEY = "live_canary0123456789abcdef"


@pytest.fixture
def nobody():
    """A port on which nothing listens, as long as the test lasts."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        yield s.getsockname()[1]


def error(status, headers=None):
    return lambda method, path, body: (status, {"status_code": status, "error": "as told"}, headers or {})


# The cause; where the API should be; what it answers; more settings; what is said, and what helps.
CAUSES = {
    "name": ("http://name.invalid/v1", None, [], "does not resolve: name.invalid", "DNS"),
    "refused": ("http://127.0.0.1:{nobody}/v1", None, [], "nothing answers where the API should be", "[api] url"),
    "tls": ("https://127.0.0.1:{port}/v1", None, [], "can't be trusted to be itself", "certificates"),
    "no_answer": (None, lambda method, path, body: "drop before", [], "no answer", "asked again by itself"),
    "failing": (None, error(503), [], "the API answered 503: as told", "status"),
    "retry_after": (None, error(429, {"Retry-After": "600"}), [], "left alone for a while", "[api] rate"),
    "held_account": (None, error(402), [], "the API refuses the account: the API answered 402", "resume"),
    "live_per_day": (None, None, ["submit.live_per_day=0"], "[submit] live_per_day", "midnight"),
}


def run_scalectl(submitter, *arguments):
    options = [f"submit.socket={submitter.submit.path}", f"store.path={submitter.database}", f"api.key_file={submitter.dir}/api-key"]
    return subprocess.run([str(SCALECTL), *(x for o in options for x in ("-o", o)), *arguments], capture_output=True, text=True,
                          timeout=WAIT, env={**os.environ, "TZ": "UTC"})


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_is_told_everywhere(make_submitter, api, nobody, tmp_path, cause):
    url, plan, settings, words, help = CAUSES[cause]
    api.plan = plan or api.plan
    api.keys.append(LIVE_KEY)
    manager = Manager(tmp_path)
    if url:
        settings = [*settings, "api.url=" + url.format(nobody=nobody, port=api.url.split(":")[2].split("/")[0])]
    submitter = make_submitter(*settings, key=LIVE_KEY if cause == "live_per_day" else TEST_KEY,
                               env={"NOTIFY_SOCKET": manager.path}).start()
    id = submitter.add()

    def waiting():
        return submitter.submit.get("/v1/queue").json.get("waiting")

    if cause == "failing":  # the first put-offs are of no length, and while it is asked nothing waits
        eventually(lambda: len(api.requests) >= 3, "it is put off for longer", looks=lambda: len(api.requests))
    told = eventually(lambda: (w := waiting()) and w["cause"] == cause and w, f"the queue waits: {cause}")
    assert words in told["text"] and help in told["help"] and told["severity"] != "info"
    # While it is sent once more it doesn't wait.
    shown = eventually(lambda: (s := submitter.submission(id)).get("waiting") and s, "it waits again")
    assert (shown["state"], shown["waiting"]["cause"], shown["waiting"]["text"]) in (
        ("queued", cause, told["text"]), ("unknown", cause, told["text"]))
    assert submitter.submit.docs("/v1/submissions")[0]["waiting"]["text"] == told["text"]
    queue = submitter.submit.get("/v1/queue").json
    if "until" in queue["waiting"]:
        assert queue["waiting"]["until"] <= queue["next_attempt_at"]

    run = run_scalectl(submitter, "queue")
    assert words.split(":")[0] in run.stdout + run.stderr
    found = [f for f in map(json.loads, run_scalectl(submitter, "--json", "doctor").stdout.splitlines()) if f["check"] == "queue"]
    assert [f["result"] for f in found] in (["failure"], ["warning"]), found
    assert words.rsplit(": ", 1)[-1] in found[0]["message"] and help in found[0]["advice"], found
    status = "STATUS=The queue is held: " if cause == "held_account" else "STATUS=1 queued" if shown["state"] == "queued" else "STATUS=0 queued"
    assert words.rsplit(": ", 1)[-1] in manager.wait_for(status)


def test_what_fails_waits_for_its_next_try(make_submitter, api):
    """One that failed for itself waits for itself: nothing is wrong with the queue."""
    submitter = make_submitter().start()
    submitter.reaches(submitter.add(attachment="first"), "accepted")
    failed = []

    def plan(method, path, body):
        if method == "POST" and not failed:
            failed.append(path)
            return 429, {"status_code": 429, "error": "not you"}, {"Retry-After": "1"}
        return None

    api.plan = plan
    id = submitter.add(attachment="second")
    eventually(lambda: (submitter.submission(id).get("waiting") or {}).get("cause") == "backoff", "it is to be tried again")
    shown = submitter.submission(id)["waiting"]
    assert "not you" in shown["text"] and shown["until"] == submitter.submission(id)["next_attempt_at"]


def test_a_cancel_with_the_api_down_says_so(make_submitter, api):
    """Also of a task that is completed here, for which no wish can be written down."""
    submitter = make_submitter().start()
    task = submitter.reaches(submitter.add(), "accepted")["task_id"]
    api.complete(next(t for t in api.tasks if t["task_id"] == task), {"category": "big"})
    submitter.submit.post("/v1/backfill", 202)
    eventually(lambda: submitter.submit.get(f"/v1/task/{task}").json["status"] == "completed", "it is completed here")
    api.plan = lambda method, path, body: "drop before"
    asked = len(api.requests)
    answer = submitter.submit.post(f"/v1/task/{task}/cancel", 503)
    assert f"Task {task} can't be canceled now: no answer" in answer.json["error"], answer.json
    assert "disk" not in answer.json["error"] and int(answer.headers["Retry-After"]) > 0
    assert len(api.requests) == asked + 1
