"""The submit socket: tasks come in, are checked, and are in the outbox; what is in the outbox can be seen and changed."""

import json
import re
import subprocess
import threading
from urllib.parse import urlencode

import pytest

from harness import PARAMS, WAIT, UnixConnection, eventually

TASK = {"instruction": "Big or small?", **PARAMS}

# As the API's own examples are written: only the words and the address are others.
EXAMPLES = {
    "categorization": ["-d", "callback_url=http://www.example.com/callback", "-d", "instruction=Is this public or private?",
                       "-d", "attachment_type=website", "-d", "attachment=http://www.example.com/", "-d", "categories=public",
                       "-d", "categories=private"],
    "comparison": ["-d", "callback_url=http://www.example.com/callback", "-d", "instruction=Is the pattern the same?",
                   "-d", "attachment_type=image", "-d", "attachments=http://www.example.com/00/~~_32.JPG",
                   "-d", "attachments=http://www.example.com/checkered-cloth.jpg", "-d", "choices=yes", "-d", "choices=no"],
    "datacollection": ["-d", "callback_url=http://www.example.com/callback", "-d", "instruction=Find the page with jobs.",
                       "-d", "attachment_type=website", "-d", "attachment=https://www.example.com/",
                       "-d", "fields[jobs_page]=URL of the page"],
    "annotation": ["-d", "callback_url=http://www.example.com/callback",
                   "-d", "instruction=A box around each **baby cow** & **big cow**.",
                   "-d", "attachment_type=image", "-d", "attachment=http://www.example.com/v4.jpg",
                   "-d", "objects_to_annotate=baby cow", "-d", "objects_to_annotate=big cow", "-d", "with_labels=true",
                   "-d", "min_width=30", "-d", "min_height=30", "-d", "examples[0][correct]=true",
                   "-d", "examples[0][image]=http://www.example.com/a.jpg", "-d", "examples[0][explanation]=Tight",
                   "-d", "examples[1][correct]=false", "-d", "examples[1][image]=http://www.example.com/b.jpg",
                   "-d", "examples[1][explanation]=Loose"],
    "transcription": ["-d", "callback_url=http://www.example.com/callback", "-d", "instruction=Write down these fields.",
                      "-d", "attachment_type=website", "-d", "attachment=http://www.example.com/",
                      "-d", "fields[title]=Title of the page", "-d", "fields[top_result]=Title of the top result"],
    "audiotranscription": ["-d", "callback_url=http://www.example.com/callback", "-d", "attachment_type=audio",
                           "-d", "attachment=https://www.example.com/speaker-3.wav", "-d", "verbatim=false",
                           "-d", "phrases=avocado", "-d", "phrases=stone"],
}

# Of each type, what is wrong, and every path that has to be named.
WRONG = {
    "categorization": ({"attachment_type": "picture", "categories": [], "allow_multiple": "perhaps", "urgency": "now",
                        "callback_url": "nowhere", "metadata": 7},
                       {"instruction", "attachment_type", "attachment", "categories", "allow_multiple", "urgency",
                        "callback_url", "metadata"}),
    "comparison": ({"instruction": "", "attachment_type": "image", "attachments": ["no url", "http://example.com/"]},
                   {"instruction", "attachments[0]"}),
    "datacollection": ({"instruction": 5, "fields": {"a": 7}}, {"instruction", "fields.a"}),
    "annotation": ({"attachment_type": "text", "min_width": "wide", "examples": [{"correct": "maybe"}]},
                   {"attachment_type", "attachment", "objects_to_annotate", "min_width", "examples[0].correct",
                    "examples[0].image"}),
    "transcription": ({"fields": "title"}, {"instruction", "attachment", "attachment_type", "fields"}),
    "audiotranscription": ({"phrases": [1], "verbatim": 3}, {"attachment", "phrases[0]", "verbatim"}),
}


@pytest.fixture
def held(make_submitter):
    """One that sends nothing."""
    submitter = make_submitter().start()
    submitter.submit.post("/v1/queue/hold")
    return submitter


def curl(submitter, path, *arguments):
    done = subprocess.run(["curl", "-sS", "--max-time", f"{WAIT:.0f}", "--unix-socket", str(submitter.submit.path), "-w",
                           "\n%{http_code}", *arguments, f"http://localhost/v1/{path}"],
                          capture_output=True, text=True, timeout=2 * WAIT)
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


# What comes in.

@pytest.mark.parametrize("kind", EXAMPLES)
def test_curl_as_for_the_api(held, kind):
    status, answer = curl(held, f"task/{kind}", "-u", "test_any_key:", *EXAMPLES[kind])
    assert status == 202, answer
    assert (answer["type"], answer["state"], answer["attempts"]) == (kind, "queued", 0)
    assert re.fullmatch(r"[0-9a-f]{32}", answer["submission_id"])
    assert answer == held.submission(answer["submission_id"])
    assert "problems" not in answer


def test_forms_become_what_json_says(held):
    status, answer = curl(held, "task/annotation", "-u", "test_any_key:", *EXAMPLES["annotation"])
    assert status == 202
    params = answer["params"]
    assert params["objects_to_annotate"] == ["baby cow", "big cow"]
    assert (params["with_labels"], params["min_width"]) == (True, 30)
    assert params["instruction"] == "A box around each **baby cow** "  # what curl's -d sends raw ends at the &
    assert [e["correct"] for e in params["examples"]] == [True, False]


@pytest.mark.parametrize("headers", [{"Content-Type": "application/json"}, {"Content-Type": "Application/JSON; charset=utf-8"},
                                     {}])
def test_json(held, headers):
    answer = held.submit.ask("POST", "/v1/task/categorization", headers, json.dumps(TASK))
    assert answer.status == 202, answer.body
    assert answer.json["params"] == TASK


def test_a_form_without_content_type(held):
    connection = UnixConnection(held.submit.path)
    connection.putrequest("POST", "/v1/task/categorization")
    body = b"instruction=x&attachment_type=text&attachment=car&categories[]=a&categories[]=b"
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    assert answer["params"]["categories"] == ["a", "b"]


@pytest.mark.parametrize("kind", WRONG)
def test_every_problem_is_named(held, kind):
    params, wanted = WRONG[kind]
    answer = held.post(kind, params, 400).json
    assert answer["status_code"] == 400 and answer["error"]
    named = {p["path"] for p in answer["problems"] if p["severity"] == "error"}
    assert wanted <= named, (wanted - named, named)
    assert held.submit.docs("/v1/submissions") == []


def test_an_older_name_of_a_type(held):
    assert held.post("categorize", TASK).json["type"] == "categorization"


def test_an_unknown_type(held):
    answer = held.post("portrait", TASK, 404).json
    for kind in EXAMPLES:
        assert kind in answer["error"]


@pytest.mark.parametrize("kind, meant", [("transcripton", "transcription"), ("Annotation", "annotation"),
                                         ("catgorization", "categorization"), ("categorise", "categorize")])
def test_a_misspelt_type_is_told_what_was_meant(held, kind, meant):
    assert f"is {meant} meant?" in held.post(kind, TASK, 404).json["error"]


@pytest.mark.parametrize("name, value, meant", [
    ("with_label", True, "with_labels"), ("urgncy", "immediate", "urgency"), ("Urgency", "immediate", "urgency"),
    ("minWidth", 30, "min_width"), ("call_back_url", "http://www.example.com/", "callback_url"), ("meta_data", {"a": 1}, "metadata"),
])
def test_a_misspelt_parameter_is_not_sent(held, name, value, meant):
    """The API keeps what it doesn't know, and makes an ordinary task of it: that costs money."""
    task = {"attachment": "http://www.example.com/a.jpg", "objects_to_annotate": ["cow"], name: value}
    answer = held.post("annotation", task, 400).json
    assert answer["problems"] == [{"path": name, "severity": "error", "message": f"there is no such parameter: is {meant} meant?"}]
    assert held.submit.docs("/v1/submissions") == []


def test_a_misspelt_required_parameter(held):
    task = {k: v for k, v in TASK.items() if k != "categories"} | {"catgories": ["big", "small"]}
    problems = {p["path"]: p["message"] for p in held.post("categorization", task, 400).json["problems"]}
    assert set(problems) == {"categories", "catgories"} and problems["catgories"].endswith("is categories meant?")
    status, answer = curl(held, "task/annotation", *EXAMPLES["annotation"], "-d", "examples[0][explnation]=x")
    assert status == 400 and [p["path"] for p in answer["problems"]] == ["examples[0].explnation"]


def test_other_unknown_parameters_are_kept_with_a_warning(held):
    more = {"unique_id": "a7", "tags": ["x"], "project": "p", "verbatim": True, "choices": ["a"], "attachments": ["a"]}
    answer = held.post("categorization", {**TASK, **more, "urgncy": None, "with_label": ""}).json
    assert {p["path"]: p["severity"] for p in answer["problems"]} == {name: "warning" for name in more}
    assert {name: answer["params"][name] for name in more} == more
    by_path = {p["path"]: p["message"] for p in answer["problems"]}
    assert by_path["verbatim"] == "is a parameter of audiotranscription and not of this type; it is sent as it is"


@pytest.mark.parametrize("method, target, meant", [
    ("POST", "/v1/task/categorization?urgency=week", "none"), ("GET", "/v1/tasks?staus=pending", "status"),
    ("POST", "/v1/queue/hold?raeson=x", "reason"), ("POST", "/v1/reconcile?wiat=1", "wait"),
    ("POST", "/v1/backfill?sinc=2020-01-01", "since"), ("GET", "/v1/submissions?sate=queued", "state"),
    ("POST", "/v1/submission/x/drop?x=1", "none"), ("GET", "/v1/queue?x=1", "none"),
])
def test_an_unknown_query_parameter(held, method, target, meant):
    body = json.dumps(TASK) if "task/" in target else None
    answer = held.submit.ask(method, target, {"Content-Type": "application/json"}, body)
    assert answer.status == 400 and meant in answer.json["error"], answer.body
    assert held.submit.docs("/v1/submissions") == []


@pytest.mark.parametrize("headers", [{"Content-Type": "multipart/form-data; boundary=x"}, {"Content-Type": "text/plain"},
                                     {"Content-Type": "application/json", "Content-Encoding": "gzip"}])
def test_other_content(held, headers):
    answer = held.submit.ask("POST", "/v1/task/categorization", headers, json.dumps(TASK))
    assert answer.status == 415 and answer.json["status_code"] == 415


@pytest.mark.parametrize("body", ["", "{", "[]", '{"a":1,"a":2}', "nonsense", b'{"a":"\xff"}', "{" * 100_000])
def test_bodies_that_are_no_task(held, body):
    answer = held.submit.ask("POST", "/v1/task/categorization", {"Content-Type": "application/json"}, body)
    assert answer.status == 400 and answer.json["problems"]


def test_a_body_that_is_too_large(held):
    answer = held.submit.ask("POST", "/v1/task/categorization", {}, "x" * (1024 * 1024 + 1))
    assert answer.status == 413
    held.post("categorization", {**TASK, "attachment": "x" * 1_000_000})


def test_the_submission_id_is_not_for_others(held):
    answer = held.post("categorization", {**TASK, "metadata": {"scale_submission_id": "mine"}}, 400).json
    assert [p["path"] for p in answer["problems"]] == ["metadata.scale_submission_id"]


def test_a_callback_url_that_is_replaced_is_said(make_submitter):
    submitter = make_submitter("submit.callback_url=https://example.com/callback").start()
    submitter.submit.post("/v1/queue/hold")
    answer = submitter.post("categorization", {**TASK, "callback_url": "http://other.example.com/"}).json
    assert [(p["path"], p["severity"]) for p in answer["problems"]] == [("callback_url", "warning")]
    assert "problems" not in submitter.post("categorization", TASK).json
    assert "[submit] callback_url is not set" not in submitter.log()


def test_without_callback_url_there_is_a_warning(held):
    assert "[submit] callback_url is not set" in held.log()


def test_methods_and_paths(held):
    answer = held.submit.ask("PUT", "/v1/task/categorization")
    assert answer.status == 405
    assert {m.strip() for m in answer.headers["Allow"].split(",")} == {"POST", "GET", "HEAD"}
    assert held.submit.ask("POST", "/v1/nothing").status == 404
    assert held.submit.ask("HEAD", "/v1/task/x/cancel").status == 405


# The same again.

def test_idempotency(held):
    first = held.post("categorization", TASK, headers={"Idempotency-Key": "order-1"})
    assert "Idempotency-Replayed" not in first.headers
    again = held.post("categorization", dict(reversed(TASK.items())), headers={"Idempotency-Key": "order-1"})
    assert again.headers["Idempotency-Replayed"] == "true" and again.json == first.json
    form = "instruction=Big+or+small%3F&attachment_type=text&attachment=car&categories=big&categories=small"
    assert held.post("categorization", form, headers={"Idempotency-Key": "order-1"}).json == first.json
    other = held.post("categorization", {**TASK, "attachment": "bus"}, 409, {"Idempotency-Key": "order-1"})
    assert first.json["submission_id"] in other.json["error"]
    assert first.json["idempotency_key"] == "order-1"
    second = held.post("categorization", TASK, headers={"Idempotency-Key": "order-2"})
    assert second.json["submission_id"] != first.json["submission_id"]
    assert held.add() != held.add()
    metrics = held.submit.get("/metrics").body.decode()
    assert "scale_submitd_replayed_total 2\n" in metrics and "scale_submitd_conflicts_total 1\n" in metrics


@pytest.mark.parametrize("key", ["", " ", "with space", "x" * 256, "\xe4"])
def test_bad_keys(held, key):
    answer = held.post("categorization", TASK, 400, {"Idempotency-Key": key})
    assert answer.json["problems"][0]["path"] == "Idempotency-Key"


def test_the_longest_key(held):
    held.post("categorization", TASK, headers={"Idempotency-Key": "x" * 255})


def test_the_same_key_at_the_same_time(held):
    """Twenty at once: one submission."""
    answers = []

    def send():
        answers.append(held.post("categorization", TASK, headers={"Idempotency-Key": "race"}))

    threads = [threading.Thread(target=send) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({a.json["submission_id"] for a in answers}) == 1 and len(answers) == 20
    assert sum(a.headers["Idempotency-Replayed"] == "true" for a in answers) == 19
    assert len(held.submit.docs("/v1/submissions")) == 1


# What can be seen.

def test_lists_and_pages(held):
    ids = [held.add(attachment=str(i)) for i in range(250)]
    seen, after = [], 0
    while True:
        page = held.submit.get(f"/v1/submissions?after={after}&limit=100").json
        seen += page["docs"]
        if not page["has_more"]:
            assert "next" not in page
            break
        after = page["next"]
    assert [s["submission_id"] for s in seen] == ids
    assert ids == sorted(ids, key=lambda id: id[:12])
    assert all("params" not in s for s in seen)
    assert len(held.submit.docs("/v1/submissions?state=queued&limit=10")) == 10
    newest = held.submit.docs("/v1/submissions?state=queued&limit=10&order=newest")
    assert [s["submission_id"] for s in newest] == ids[:-11:-1] and all("params" not in s for s in newest)
    assert newest[0]["instruction"] == TASK["instruction"]
    assert held.submit.docs("/v1/submissions?state=accepted") == []
    for bad in ("state=pending", "after=x", "limit=0", "limit=101"):
        answer = held.submit.get(f"/v1/submissions?{bad}", 400).json
        assert answer["problems"][0]["path"] == bad.split("=")[0]
    held.submit.get("/v1/submissions?state=&after=&limit=")
    held.submit.get("/v1/submission/nope", 404)
    held.submit.get("/v1/submission/" + "0" * 32, 404)


def test_what_a_submission_shows(held):
    shown = held.submission(held.add())
    assert set(shown) == {"submission_id", "type", "state", "is_test", "created_at", "changed_at", "next_attempt_at",
                          "expires_at", "attempts", "params", "waiting"}
    assert shown["waiting"]["cause"] == "held"
    assert shown["params"] == TASK


def test_the_queue(held):
    queue = held.submit.get("/v1/queue").json
    assert (queue["hold"], queue["live_today"], queue["in_flight"]) == ("held", 0, 0)
    assert queue["since"] and "reason" not in queue and "oldest" not in queue and "live_per_day" not in queue
    id = held.add()
    queue = held.submit.get("/v1/queue").json
    assert queue["by_state"] == {"queued": 1, "sending": 0, "unknown": 0, "accepted": 0, "rejected": 0, "canceled": 0,
                                 "expired": 0}
    assert queue["oldest"] == held.submission(id)["created_at"]
    held.submit.post("/v1/queue/hold?reason=too%20much")
    assert held.submit.get("/v1/queue").json["reason"] == "too much"
    for wrong in ("x" * 300, "a%ff", "a%00"):
        assert held.submit.post(f"/v1/queue/hold?reason={wrong}", 400).json["problems"][0]["path"] == "reason"
    assert held.submit.post("/v1/queue/flush").json["flushed"] == 1


def test_a_hold_lasts(held):
    held.submit.post("/v1/queue/hold?reason=weekend")
    id = held.add()
    held.stop()
    held.start()
    queue = held.submit.get("/v1/queue").json
    assert (queue["hold"], queue["reason"]) == ("held", "weekend")
    held.reload()
    assert held.state(id) == "queued" and held.submit.get("/v1/queue").json["hold"] == "held"


def test_figures(held):
    held.add()
    stats = held.submit.get("/v1/stats").json
    assert stats["outbox"]["by_state"]["queued"] == 1 and stats["outbox"]["hold"] == "held" and stats["tasks"] == 0
    metrics = held.submit.get("/metrics").body.decode()
    assert 'scale_submitd_submissions{state="queued"} 1\n' in metrics
    assert 'scale_submitd_queue_held{by="administrator"} 1\n' in metrics
    assert 'scale_submitd_submitted_total{type="categorization"} 1\n' in metrics
    held.submit.get("/healthz")
    held.submit.get("/readyz")


# What can be changed.

def test_drop(held):
    id = held.add()
    assert held.submit.post(f"/v1/submission/{id}/drop").json["state"] == "canceled"
    assert held.submit.post(f"/v1/submission/{id}/drop").json["state"] == "canceled"
    held.submit.post("/v1/submission/nope/drop", 404)
    assert held.submit.get("/v1/queue").json["by_state"]["canceled"] == 1


def test_retry_of_what_was_dropped(held, api):
    id = held.add()
    held.submit.post(f"/v1/submission/{id}/drop")
    assert held.submit.post(f"/v1/submission/{id}/retry").json["state"] == "queued"
    assert held.submit.post(f"/v1/submission/{id}/retry").json["state"] == "queued"
    held.submit.post("/v1/submission/nope/retry", 404)
    held.submit.post("/v1/queue/resume")
    held.reaches(id, "accepted")
    assert api.submissions() == [id]


def test_cancel_of_what_is_queued(held, api):
    id = held.add()
    assert held.submit.post(f"/v1/task/{id}/cancel").json["state"] == "canceled"
    assert held.submit.post(f"/v1/task/{id}/cancel").json["state"] == "canceled"
    held.submit.post("/v1/queue/resume")
    other = held.add()
    held.reaches(other, "accepted")
    assert api.submissions() == [other] and api.count_cancels() == 0


WITH_NUL = {**TASK, "callback_url": "http://www.example.com/", "instruction": "big\0small", "color": "a\0b"}


@pytest.mark.parametrize("body", [WITH_NUL, urlencode(WITH_NUL, doseq=True)], ids=["json", "form"])
def test_a_nul_in_a_task_gets_to_the_api(make_submitter, make_sandbox, body):
    """Once a form with one was acknowledged and could never be sent, while the same as JSON was refused."""
    sandbox = make_sandbox()
    submitter = make_submitter(url=sandbox.url, key="live_made_up").start()
    id = submitter.post("categorization", body).json["submission_id"]
    eventually(lambda: submitter.submission(id)["state"] == "accepted", "accepted")
    [task] = sandbox.get("/v1/tasks")["docs"]
    assert (task["instruction"], task["params"]["color"]) == ("big\0small", "a\0b")


def test_a_nul_in_the_name_of_a_parameter(held):
    """Once `urgency%00x` was taken for the urgency."""
    answer = held.post("categorization", urlencode({**TASK, "urgency\0x": "week"}, doseq=True))
    params = held.submission(answer.json["submission_id"])["params"]
    assert "urgency" not in params and params["urgency%00x"] == "week"
    held.submit.get("/v1/submissions?state%00x=accepted", 400)


@pytest.mark.parametrize("id", ["a%2Fb", "..", "a%20b", "x" * 129, "%00"])
def test_cancel_of_nonsense(held, api, id):
    assert held.submit.ask("POST", f"/v1/task/{id}/cancel").status in (400, 404)
    assert api.requests == [] or all("cancel" not in path for _, path, _ in api.requests)


def test_the_receiver_shows_the_outbox(make_daemon, make_submitter):
    daemon = make_daemon().start()
    submitter = make_submitter(database=daemon.database).start()
    submitter.submit.post("/v1/queue/hold?reason=noon")
    id = submitter.add()
    submitter.add()
    shown, listed = submitter.submission(id), submitter.submit.get("/v1/submissions?limit=1").json
    for one in (shown, listed["docs"][0]):
        assert one.pop("waiting")["text"].endswith("noon")  # what it waits for is known to the submitter alone
    assert daemon.query.get(f"/v1/submission/{id}").json == shown
    assert daemon.query.get("/v1/submissions?limit=1").json == listed
    assert daemon.query.get("/v1/submissions?state=late", 400).json["problems"][0]["path"] == "state"
    stats = daemon.query.get("/v1/stats").json["outbox"]
    assert (stats["hold"], stats["reason"], stats["by_state"]["queued"]) == ("held", "noon", 2)
    metrics = daemon.query.get("/metrics").body.decode()
    assert 'scale_callbackd_submissions{state="queued"} 2\n' in metrics
    assert 'scale_callbackd_queue_held{by="administrator"} 1\n' in metrics
    assert "scale_callbackd_live_tasks_today 0\n" in metrics


def test_sigterm_loses_nothing_that_was_answered(make_submitter):
    submitter = make_submitter().start()
    submitter.submit.post("/v1/queue/hold")
    answered, stop = [], threading.Event()

    def send():
        while not stop.is_set():
            try:
                answered.append(submitter.add())
            except Exception:  # no answer, no promise
                pass

    senders = [threading.Thread(target=send) for _ in range(4)]
    for sender in senders:
        sender.start()
    eventually(lambda: len(answered) > 100, "some load")
    assert submitter.stop() == 0
    stop.set()
    for sender in senders:
        sender.join()
    submitter.start()
    for id in answered:
        assert submitter.state(id) == "queued"
