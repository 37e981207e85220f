"""From the outbox to the API: what each answer leads to, holds, limits, cancels."""

import json
import time

import pytest

from api import TEST_KEY
from harness import callback, eventually

LIVE_KEY = "live_canary0123456789abcdef"


def error(status, text="as told", headers=None):
    return status, {"status_code": status, "error": text}, headers or {}


def posts(plan):
    """Only for requests that create."""
    return lambda method, path, body: plan if method == "POST" and not path.endswith("/cancel") else None


def once(*plans):
    """One after the other for requests that create, then as the API does."""
    left = iter(plans)
    return lambda method, path, body: next(left, None) if method == "POST" and not path.endswith("/cancel") else None


def hold_of(submitter):
    return submitter.submit.get("/v1/queue").json


def test_accepted(submitter, api):
    id = submitter.add(metadata={"order": "7"}, callback_url="http://www.example.com/callback")
    shown = submitter.reaches(id, "accepted")
    task = api.tasks[0]
    assert shown["task_id"] == task["task_id"] and shown["is_test"] and shown["attempts"] == 1
    assert task["metadata"] == {"order": "7", "scale_submission_id": id}
    assert task["callback_url"] == "http://www.example.com/callback"
    assert submitter.submit.get(f"/v1/task/{task['task_id']}").json == task
    assert submitter.submit.docs("/v1/tasks?status=pending") == [task]
    for verb in ("retry", "drop"):
        answer = submitter.submit.post(f"/v1/submission/{id}/{verb}", 409).json
        assert "accepted" in answer["error"] and len(answer["error"]) > 60


def test_the_callback_url_carries_the_submission(make_submitter, api):
    submitter = make_submitter("submit.callback_url=https://example.com/callback").start()
    id = submitter.add(callback_url="http://other.example.com/")
    submitter.reaches(id, "accepted")
    assert api.tasks[0]["callback_url"] == f"https://example.com/callback/{id}"


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_rejected(submitter, api, status):
    api.plan = once(error(status, "Please provide an attachment."))
    id = submitter.add()
    shown = submitter.reaches(id, "rejected")
    assert shown["status_code"] == status
    assert shown["answer"] == {"status_code": status, "error": "Please provide an attachment."}
    assert "next_attempt_at" not in shown
    assert "Please provide" in shown["error"]
    submitter.submit.post(f"/v1/submission/{id}/retry")
    shown = submitter.reaches(id, "accepted")
    assert "answer" not in shown and api.submissions() == [id]


@pytest.mark.parametrize("status", [401, 402, 403, 302])
def test_an_answer_about_the_account_holds_the_queue(submitter, api, status):
    api.plan = posts(error(status, "Not enabled.", {"Location": "http://127.0.0.1:1/"}))
    ids = [submitter.add(attachment=str(i)) for i in range(3)]
    queue = eventually(lambda: hold_of(submitter)["hold"] == "held_account" and hold_of(submitter), "the hold")
    assert str(status) in queue["reason"]
    # What a redirect was the answer to may have been made, and is looked for; there is nothing of it.
    eventually(lambda: hold_of(submitter)["by_state"]["queued"] == 3, "all of them queued")
    before = api.creates()
    submitter.add(attachment="more")
    submitter.submit.post("/v1/queue/flush")
    time.sleep(0.3)
    assert api.creates() == before
    api.plan = lambda *_: None
    submitter.submit.post("/v1/queue/resume")
    for id in ids:
        submitter.reaches(id, "accepted")
    assert hold_of(submitter)["hold"] == "running" and len(set(api.submissions())) == len(api.tasks) == 4


def test_a_redirect_behind_a_task_that_was_made(make_submitter, api):
    """POST, then 303 to what was made: after the hold there is still one task."""
    submitter = make_submitter("submit.callback_url=https://example.com/callback").start()

    def plan(method, path, body):
        if method == "POST":
            api.create("categorization", body, True)
            return error(303, headers={"Location": "http://127.0.0.1:1/"})

    api.plan = plan
    id = submitter.add()
    eventually(lambda: hold_of(submitter)["hold"] == "held_account", "the hold")
    api.plan = lambda *_: None
    submitter.submit.post("/v1/queue/resume")
    submitter.reaches(id, "accepted", hurry=True)
    assert api.submissions() == [id]


def test_a_wrong_key_and_a_reload_with_a_good_one(make_submitter, api):
    submitter = make_submitter(key="test_wrong").start()
    id = submitter.add()
    eventually(lambda: hold_of(submitter)["hold"] == "held_account", "the hold")
    assert submitter.state(id) == "queued" and api.tasks == []
    submitter.write_api_key(TEST_KEY)
    submitter.reload()
    submitter.reaches(id, "accepted")
    assert hold_of(submitter)["hold"] == "running"
    assert "401" in submitter.log()


def test_a_restart_tries_the_account_again(make_submitter, api):
    api.plan = posts(error(402))
    submitter = make_submitter().start()
    id = submitter.add()
    eventually(lambda: hold_of(submitter)["hold"] == "held_account", "the hold")
    submitter.stop()
    api.plan = lambda *_: None
    submitter.start()
    submitter.reaches(id, "accepted")


def test_retry_after_pauses_everything(submitter, api):
    api.plan = once(error(429, headers={"Retry-After": "2"}))
    first = submitter.add()
    eventually(lambda: api.creates() == 1, "the first request")
    told = time.monotonic()
    second = submitter.add(attachment="bus")
    for id in (first, second):
        submitter.reaches(id, "accepted", hurry=True)  # which what the API asked for stands above
    assert time.monotonic() - told >= 1.9
    assert sorted(api.submissions()) == sorted([first, second])


def test_retry_after_is_kept_by_all(submitter, api):
    """What a submission was told holds for cancels, reconciliation and backfill."""
    shown = submitter.reaches(submitter.add(), "accepted")
    stranger = api.create("categorization", {}, True)["task_id"]
    api.plan = once(error(429, headers={"Retry-After": "600"}))
    id = submitter.add(attachment="bus")
    eventually(lambda: submitter.submission(id).get("status_code") == 429, "the answer")
    before = len(api.requests)
    assert submitter.submit.post(f"/v1/task/{shown['task_id']}/cancel", 202).json["cancel_requested"]
    answer = submitter.submit.post(f"/v1/task/{stranger}/cancel", 503)
    assert 500 < int(answer.headers["Retry-After"]) <= 600
    assert submitter.submit.post("/v1/reconcile?wait=1", 202).json["state"] == "running"
    submitter.submit.post("/v1/backfill", 202)
    submitter.submit.post("/v1/queue/flush")
    time.sleep(0.3)
    assert len(api.requests) == before


def test_what_a_backfill_was_told_is_kept_by_the_outbox(submitter, api):
    api.plan = lambda method, path, body: error(429, headers={"Retry-After": "600"}) if method == "GET" else None
    submitter.submit.post("/v1/backfill", 202)
    eventually(lambda: submitter.submit.get("/v1/backfill").json["retries"] == 1, "the answer")
    id = submitter.add()
    time.sleep(0.3)
    assert submitter.state(id) == "queued" and api.creates() == 0 and len(api.requests) == 1


@pytest.mark.parametrize("plan", ["drop", error(500), error(502), (503, b"<html>busy</html>", {}, "text/html"), error(408),
                                  (200, b"<html>a proxy</html>", {}, "text/html"), (200, b'{"task_id": "1"', {})],
                         ids=["drop", "500", "502", "html", "408", "html 200", "cut"])
def test_an_answer_that_says_nothing(make_submitter, api, plan):
    """Whether there is a task is found out in the list; here there is one, or there is none."""
    submitter = make_submitter("submit.callback_url=https://example.com/callback").start()
    for done in (True, False):
        api.plan = once("drop before" if plan == "drop" and not done else plan)
        id = submitter.add(attachment=str(done))
        if done and plan != "drop":
            eventually(lambda: api.creates() >= 1, "the request")
        submitter.reaches(id, "accepted", hurry=True)
        assert api.submissions().count(id) == 1
    metrics = submitter.submit.get("/metrics").body.decode()
    assert "scale_submitd_unknown_total 2\n" in metrics, metrics


def test_a_timeout(make_submitter, api):
    submitter = make_submitter("api.timeout=1s").start()
    api.plan = once(3.0)
    id = submitter.add()
    submitter.reaches(id, "accepted")
    assert api.submissions() == [id]
    assert submitter.submission(id)["attempts"] == 1


def test_a_callback_that_comes_before_the_answer(make_daemon, make_submitter, api):
    """The API calls back while the request is still under way, and the answer never comes."""
    daemon = make_daemon().start()
    submitter = make_submitter("api.timeout=2s", database=daemon.database).start()
    api.plan = lambda method, path, body: (10.0 if method == "POST" else error(500))
    id = submitter.add()
    eventually(lambda: api.tasks, "the task")
    daemon.deliver(api.complete(api.tasks[0], {"category": "big"}))
    shown = submitter.reaches(id, "accepted")
    assert shown["task_id"] == api.tasks[0]["task_id"]
    assert submitter.submit.get(f"/v1/task/{shown['task_id']}").json["status"] == "completed"
    assert len(api.tasks) == 1


def test_nobody_there(make_submitter, api):
    submitter = make_submitter(url="http://127.0.0.1:1/v1").start()
    id = submitter.add()
    eventually(lambda: "error" in submitter.submission(id) or "nothing answers" in submitter.log(), "a failure")
    assert submitter.state(id) == "queued"
    assert submitter.submit.post(f"/v1/submission/{id}/drop").json["state"] == "canceled"


# The cap on live tasks.

def test_live_per_day(make_submitter, api):
    api.keys.append(LIVE_KEY)
    submitter = make_submitter("submit.live_per_day=3", key=LIVE_KEY).start()
    ids = [submitter.add(attachment=str(i)) for i in range(5)]
    eventually(lambda: hold_of(submitter)["by_state"]["accepted"] == 3, "three of them")
    submitter.submit.post("/v1/queue/flush")
    time.sleep(0.3)
    queue = hold_of(submitter)
    assert (queue["live_today"], queue["live_per_day"], queue["by_state"]["queued"]) == (3, 3, 2)
    assert len(api.tasks) == 3
    submitter.stop()
    submitter.start()
    time.sleep(0.3)
    assert hold_of(submitter)["live_today"] == 3 and len(api.tasks) == 3
    assert not submitter.submission(ids[0])["is_test"]
    assert LIVE_KEY not in submitter.log()


def test_test_tasks_are_not_counted(make_submitter, api):
    submitter = make_submitter("submit.live_per_day=1").start()
    for id in [submitter.add(attachment=str(i)) for i in range(5)]:
        submitter.reaches(id, "accepted")
    assert hold_of(submitter)["live_today"] == 0


def test_what_made_no_task_is_not_counted(make_submitter, api):
    api.keys.append(LIVE_KEY)
    api.plan = once(error(400), error(400))
    submitter = make_submitter("submit.live_per_day=1", key=LIVE_KEY).start()
    for i in range(2):
        submitter.reaches(submitter.add(attachment=str(i)), "rejected")
    submitter.reaches(submitter.add(), "accepted")
    assert hold_of(submitter)["live_today"] == 1


# Cancels.

def test_cancel_of_what_is_accepted(submitter, api):
    for by in ("submission_id", "task_id"):
        shown = submitter.reaches(submitter.add(attachment=by), "accepted")
        answer = submitter.submit.post(f"/v1/task/{shown[by]}/cancel").json
        assert (answer["task_id"], answer["status"]) == (shown["task_id"], "canceled")
        assert submitter.submit.get(f"/v1/task/{shown['task_id']}").json["status"] == "canceled"
    assert api.count_cancels() == 2
    events = [e for t in submitter.submit.docs("/v1/tasks") for e in [t["status"]]]
    assert events == ["canceled", "canceled"]


@pytest.mark.parametrize("method, body", [("POST", None), ("POST", "{}"), ("POST", '{"callback_url": null}'), ("GET", None)])
def test_ways_to_ask_for_a_cancel(submitter, api, method, body):
    shown = submitter.reaches(submitter.add(), "accepted")
    answer = submitter.submit.ask(method, f"/v1/task/{shown['task_id']}/cancel", body=body)
    assert answer.status == 200 and answer.json["status"] == "canceled"


def test_cancel_of_what_is_completed(submitter, api):
    shown = submitter.reaches(submitter.add(), "accepted")
    api.complete(api.tasks[0], {"category": "big"})
    for id in (shown["submission_id"], shown["task_id"]):
        answer = submitter.submit.post(f"/v1/task/{id}/cancel", 500).json
        assert answer == {"status_code": 500, "error": "The task was already completed and cannot be canceled."}
    assert "cancel_requested" not in submitter.submission(shown["submission_id"])


@pytest.mark.parametrize("strict", ["no", "yes"])
@pytest.mark.parametrize("asked", ["to create", "to cancel"])
def test_a_result_in_an_answer_is_held_against_the_same_rules(make_submitter, api, asked, strict):
    """As strictly as one that a callback brings: here with a field that nobody asked for."""
    def plan(method, path, body):
        if method == "GET" or path.endswith("/cancel"):
            return None
        task = api.create("datacollection", body, is_test=True)
        if asked == "to create":
            complete(task)
        return 200, task

    complete = lambda task: api.complete(task, {"fields": {"page": "x", "other": "y"}})
    submitter = make_submitter(f"callback.strict={strict}").start()
    api.plan = plan
    added = submitter.post("datacollection", {"instruction": "Which page?", "attachment_type": "website", "fields": {"page": "Page"},
                                              "attachment": "http://www.example.com/"}).json["submission_id"]
    id = submitter.reaches(added, "accepted")["task_id"]
    if asked == "to cancel":
        complete(api.tasks[0])
        submitter.submit.post(f"/v1/task/{id}/cancel", 500)
    if strict == "no":
        eventually(lambda: submitter.submit.get(f"/v1/task/{id}").json["status"] == "completed", "the result")
    else:
        eventually(lambda: "is in the quarantine as delivery" in submitter.log(), "the quarantine")
        assert submitter.submit.get(f"/v1/task/{id}").json["status"] == "pending"


def test_cancel_that_was_done_and_answered_500(submitter, api):
    """What the API canceled before it broke is canceled here as well."""
    def plan(method, path, body):
        if not path.endswith("/cancel"):
            return None
        api.tasks[0]["status"] = "canceled"
        return error(500, "Something went wrong.")

    shown = submitter.reaches(submitter.add(), "accepted")
    api.plan = plan
    answer = submitter.submit.post(f"/v1/task/{shown['task_id']}/cancel").json
    assert (answer["task_id"], answer["status"]) == (shown["task_id"], "canceled")
    assert submitter.submit.get(f"/v1/task/{shown['task_id']}").json["status"] == "canceled"
    assert "cancel_requested" not in submitter.submission(shown["submission_id"])


def test_cancel_that_was_answered_500_and_not_done(submitter, api):
    """The wish is remembered, whether the task can be looked at or not; nobody's task is for its owner to come again."""
    api.plan = lambda method, path, body: error(500, "Something went wrong.") if path.endswith("/cancel") else None
    stranger = api.create("categorization", {}, True)["task_id"]
    shown = submitter.reaches(submitter.add(), "accepted")
    assert submitter.submit.post(f"/v1/task/{shown['task_id']}/cancel", 202).json["cancel_requested"]
    answer = submitter.submit.post(f"/v1/task/{stranger}/cancel", 503)
    assert int(answer.headers["Retry-After"]) > 0 and "pending" in answer.json["error"]

    shown = submitter.reaches(submitter.add(attachment="bus"), "accepted")
    api.plan = lambda method, path, body: error(500) if path.startswith("/v1/task/") else None
    assert submitter.submit.post(f"/v1/task/{shown['task_id']}/cancel", 202).json["cancel_requested"]
    api.plan = lambda *_: None
    submitter.stop()
    submitter.start()
    eventually(lambda: api.tasks[2]["status"] == "canceled", "the cancel")


def test_cancel_of_a_task_that_is_not_there(submitter, api):
    answer = submitter.submit.post("/v1/task/576ba74eec471ff9b01557cc/cancel", 404).json
    assert answer == {"status_code": 404, "error": "Task not found"}


@pytest.mark.parametrize("plan", ["drop before", error(429), error(401), (502, b"<html>", {}, "text/html")],
                         ids=["drop", "429", "401", "502"])
def test_cancel_when_the_api_says_nothing(submitter, api, plan):
    shown = submitter.reaches(submitter.add(), "accepted")
    api.plan = lambda method, path, body: plan if path.endswith("/cancel") else None
    answer = submitter.submit.post(f"/v1/task/{shown['task_id']}/cancel", 202).json
    assert answer["cancel_requested"] and answer["state"] == "accepted"
    answer = submitter.submit.post("/v1/task/576ba74eec471ff9b01557cc/cancel", 503)
    assert int(answer.headers["Retry-After"]) > 0 and "576ba74eec471ff9b01557cc" in answer.json["error"]
    api.plan = lambda *_: None
    submitter.stop()
    submitter.start()
    eventually(lambda: api.tasks[0]["status"] == "canceled", "the cancel")
    eventually(lambda: submitter.submit.get(f"/v1/task/{shown['task_id']}").json["status"] == "canceled", "that it is known")


def test_cancel_with_a_bad_key_holds_the_queue(submitter, api):
    """Once only the wishes that the outbox came upon by itself did that: a client's cancel was told and the queue went on."""
    shown = submitter.reaches(submitter.add(), "accepted")
    api.plan = lambda method, path, body: error(401, "Who?") if path.endswith("/cancel") else None
    assert submitter.submit.post(f"/v1/task/{shown['task_id']}/cancel", 202).json["cancel_requested"]
    eventually(lambda: hold_of(submitter)["hold"] == "held_account", "the hold")
    assert "Who?" in hold_of(submitter)["reason"]
    api.plan = lambda *_: None
    submitter.submit.post("/v1/queue/resume")
    eventually(lambda: submitter.submit.get(f"/v1/task/{shown['task_id']}").json["status"] == "canceled", "the cancel")


def test_cancel_while_it_is_sent(submitter, api):
    api.plan = posts(1.0)
    id = submitter.add()
    eventually(lambda: submitter.state(id) == "sending", "a request")
    answer = submitter.submit.post(f"/v1/task/{id}/cancel", 202).json
    assert answer["cancel_requested"]
    drop = submitter.submit.post(f"/v1/submission/{id}/drop", 409).json
    assert "under way" in drop["error"]
    submitter.submit.post(f"/v1/submission/{id}/retry", 409)
    eventually(lambda: api.tasks and api.tasks[0]["status"] == "canceled", "the cancel at the API")
    assert len(api.tasks) == 1


def test_cancel_while_it_is_unknown(submitter, api):
    """There is no task: then none is made."""
    api.plan = lambda method, path, body: "drop before" if method == "POST" else error(500) if api.creates() else None
    id = submitter.add()
    submitter.reaches(id, "unknown")
    drop = submitter.submit.post(f"/v1/submission/{id}/drop", 409).json
    assert "may have a task" in drop["error"]
    assert submitter.submit.post(f"/v1/task/{id}/cancel", 202).json["state"] == "unknown"
    api.plan = lambda method, path, body: error(500) if method == "POST" else None
    submitter.submit.post(f"/v1/submission/{id}/retry")
    submitter.reaches(id, "canceled")
    assert api.tasks == [] and api.creates() == 1


def test_the_result_comes_by_the_receiver(make_daemon, make_submitter, api):
    """The whole way: submitted here, answered there, one store."""
    daemon = make_daemon().start()
    submitter = make_submitter("submit.callback_url=http://www.example.com/callback", database=daemon.database).start()
    id = submitter.add()
    shown = submitter.reaches(id, "accepted")
    body = api.complete(api.tasks[0], {"category": "small"})
    daemon.deliver(body, path=f"/callback/{id}")
    for local in (daemon.query, submitter.submit):
        task = local.get(f"/v1/task/{shown['task_id']}").json
        assert (task["status"], task["response"]) == ("completed", {"category": "small"})
    kinds = [e["kind"] for e in daemon.query.lines("/v1/events")]
    assert kinds == ["task.submitted", "task.completed"]
    daemon.deliver(callback())
    assert len(submitter.submit.docs("/v1/tasks")) == 2


def test_a_failed_attachment_finds_its_submission(make_daemon, make_submitter, api):
    daemon = make_daemon().start()
    submitter = make_submitter(database=daemon.database).start()
    id = submitter.add(attachment_type="image", attachment="http://www.example.com/x.png")
    submitter.reaches(id, "accepted")
    daemon.deliver({"error": "One attachment could not be fetched.",
                    "attachments": [{"statusCode": 500, "url": "http://www.example.com/x.png"}]})
    events = daemon.query.lines("/v1/events")
    assert [(e["kind"], e.get("submission")) for e in events][-1] == ("attachment.failed", id)


def test_a_key_of_the_other_kind(make_submitter, api):
    """What was sent with a test key, and is unknown, is not looked for with a live one, which sees other tasks."""
    api.keys.append(LIVE_KEY)
    submitter = make_submitter().start()
    api.plan = lambda method, path, body: "drop" if method == "POST" else error(500)
    id = submitter.add()
    eventually(lambda: api.tasks, "the task")
    submitter.reaches(id, "unknown")
    submitter.write_api_key(LIVE_KEY)
    submitter.reload()
    # A question asked with the test key just before may still be answered: only then may lists tell what there is.
    api.plan = lambda method, path, body: error(500) if method == "GET" else None
    other = submitter.reaches(submitter.add(attachment="bus"), "accepted", hurry=True)
    api.plan = lambda *_: None
    submitter.reaches(submitter.add(attachment="cow"), "accepted", hurry=True)
    assert not other["is_test"] and submitter.state(id) == "unknown"
    submitter.write_api_key(TEST_KEY)
    submitter.reload()
    assert submitter.reaches(id, "accepted", hurry=True)["is_test"]
    assert len(api.tasks) == 3


def test_many_at_once(make_submitter, api):
    submitter = make_submitter("api.max_in_flight=4").start()
    ids = [submitter.add(attachment=str(i)) for i in range(300)]
    eventually(lambda: hold_of(submitter)["by_state"]["accepted"] == 300, "all of them")
    assert sorted(api.submissions()) == sorted(ids)
    assert submitter.submit.get("/v1/tasks").json["total"] == 300
    assert json.loads(submitter.submit.get("/v1/stats").body)["outbox"]["by_state"]["accepted"] == 300
