"""The stand-in for the API over HTTP: curl's examples, the shapes in which clients write, and faults of answers."""

import http.client
import json
import re
import socket
import subprocess
import time

import pytest

from harness import SANDBOX, WAIT, eventually

CALLBACK = "callback_url=http://www.example.com/callback"
IMAGE = "http://www.example.com/cow.jpg"

# Each type as curl -d sends it, and what has to come out of that in `params`.
CURL = {
    "categorization": (
        [CALLBACK, "instruction=Is this company public or private?", "attachment_type=website",
         "attachment=http://www.example.com/", "categories=public", "categories=private"],
        {"attachment_type": "website", "attachment": "http://www.example.com/", "categories": ["public", "private"],
         "allow_multiple": False}),
    "comparison": (
        [CALLBACK, "instruction=The same pattern?", "attachment_type=image",
         "attachments=http://www.example.com/00/$T2eC16dHJGw~~_32.JPG", "attachments=http://www.example.com/2.jpg",
         "choices=yes", "choices=no"],
        {"attachment_type": "image", "choices": ["yes", "no"],
         "attachments": ["http://www.example.com/00/$T2eC16dHJGw~~_32.JPG", "http://www.example.com/2.jpg"]}),
    "datacollection": (
        [CALLBACK, "instruction=Find the hiring page.", "attachment_type=website",
         "attachment=https://www.example.com/", "fields[hiring_page]=Hiring Page URL"],
        {"attachment_type": "website", "attachment": "https://www.example.com/",
         "fields": {"hiring_page": "Hiring Page URL"}}),
    "annotation": (
        [CALLBACK, "instruction=Draw a box around each **baby cow** and **big cow**.", "attachment_type=image",
         f"attachment={IMAGE}", "objects_to_annotate=baby cow", "objects_to_annotate=big cow", "with_labels=true",
         "min_width=30", "min_height=30", "examples[0][correct]=true", "examples[0][image]=http://www.example.com/1.jpg",
         "examples[0][explanation]=tight", "examples[1][correct]=false",
         "examples[1][image]=http://www.example.com/2.jpg", "examples[1][explanation]=loose"],
        {"attachment_type": "image", "attachment": IMAGE, "objects_to_annotate": ["baby cow", "big cow"],
         "with_labels": True, "min_width": 30, "min_height": 30,
         "examples": [{"correct": True, "image": "http://www.example.com/1.jpg", "explanation": "tight"},
                      {"correct": False, "image": "http://www.example.com/2.jpg", "explanation": "loose"}]}),
    "transcription": (
        [CALLBACK, "instruction=Transcribe the given fields.", "attachment_type=website",
         "attachment=http://www.example.com/", "fields[title]=Title of the page", "fields[top_result]=The top result"],
        {"attachment_type": "website", "attachment": "http://www.example.com/",
         "fields": {"title": "Title of the page", "top_result": "The top result"}}),
    "audiotranscription": (
        [CALLBACK, "attachment_type=audio", "attachment=https://www.example.com/speaker-3.wav", "verbatim=false",
         "phrases=avocado", "phrases=stone"],
        {"attachment_type": "audio", "attachment": "https://www.example.com/speaker-3.wav", "verbatim": False,
         "phrases": ["avocado", "stone"]}),
}


def curl(sandbox, target, *arguments, key="test_made_up", stdin=None):
    done = subprocess.run(["curl", "-sS", f"{sandbox.url}{target}", "-u", f"{key}:", *arguments], check=True,
                          capture_output=True, text=True, timeout=WAIT, input=stdin)
    return json.loads(done.stdout)


@pytest.mark.parametrize("type", CURL)
def test_curl(sandbox, type):
    pairs, params = CURL[type]
    task = curl(sandbox, f"/task/{type}", *(x for pair in pairs for x in ("-d", pair)))
    assert task["status"] == "pending" and task["type"] == type and task["is_test"] is True
    assert task["urgency"] == "day" and task["metadata"] == {}
    assert re.fullmatch("[0-9a-f]{24}", task["task_id"])
    assert abs(int(task["task_id"][:8], 16) - time.time()) < 600
    assert {name: task["params"].get(name) for name in params} == params
    assert task["instruction"]
    assert not {"response", "completed_at", "callback_succeeded"} & set(task)

    # With a test key it is completed at once.
    done = curl(sandbox, f"/task/{task['task_id']}")
    assert done["status"] == "completed" and done["response"] and done["completed_at"] >= task["created_at"]
    error = curl(sandbox, f"/task/{task['task_id']}/cancel", "-X", "POST")
    assert error == {"status_code": 500, "error": "The task was already completed and cannot be canceled."}
    assert [doc["task_id"] for doc in curl(sandbox, f"/tasks?type={type}")["docs"]] == [task["task_id"]]


def test_curl_cancels_a_live_task(sandbox):
    task = sandbox.create()
    assert "is_test" not in task
    canceled = curl(sandbox, f"/task/{task['task_id']}/cancel", "-X", "POST", key="live_made_up")
    assert canceled["status"] == "canceled" and canceled["task_id"] == task["task_id"]
    assert sandbox.get("/v1/tasks?status=canceled")["total"] == 1


def post_form(sandbox, text, type="categorization", status=200, content_type="application/x-www-form-urlencoded"):
    return sandbox.ask("POST", f"/v1/task/{type}", text.encode(), headers={"Content-Type": content_type},
                       status=status).json


BASE = f"{CALLBACK}&instruction=?&attachment_type=text&attachment=tomato"


# Shapes of forms, and the parameter that comes out.
@pytest.mark.parametrize("text, name, value", [
    ("categories=a&categories=b", "categories", ["a", "b"]),
    ("categories[]=a&categories[]=b", "categories", ["a", "b"]),
    ("categories[0]=a&categories[1]=b", "categories", ["a", "b"]),
    ("categories%5B%5D=a&categories%5B%5D=b", "categories", ["a", "b"]),
    ("categories=x", "categories", ["x"]),
    ("categories=a: b/c?*[d]", "categories", ["a: b/c?*[d]"]),
    ("categories=%C3%A9+%zz&x=\u00e9", "categories", ["\u00e9 %zz"]),
    ("categories=\u00fc", "categories", ["\u00fc"]),
    ("categories=a=b", "categories", ["a=b"]),
    ("categories=Blue&categories=Red&category_ids[1]=Blue&category_ids[2]=Red", "category_ids",
     {"1": "Blue", "2": "Red"}),
    ("categories=a&allow_multiple=true", "allow_multiple", True),
    ("categories=a&shape[round]=1", "shape", {"round": "1"}),
])
def test_forms(sandbox, text, name, value):
    assert post_form(sandbox, f"{BASE}&{text}")["params"][name] == value


def test_only_what_was_given_is_filled_in(sandbox):
    """As in the API of 2016: no min_width, no min_height."""
    task = {"callback_url": CALLBACK.removeprefix("callback_url="), "attachment": IMAGE, "objects_to_annotate": ["cow"]}
    params = sandbox.ask("POST", "/v1/task/annotation", task, status=200).json["params"]
    assert params == {"attachment": IMAGE, "attachment_type": "image", "objects_to_annotate": ["cow"], "with_labels": False}


def test_lists_of_objects_in_forms(sandbox):
    start = f"{CALLBACK}&attachment={IMAGE}&objects_to_annotate=cow&"
    wanted = [{"correct": True, "image": "http://x.example.com/1"}, {"correct": False, "image": "http://x.example.com/2"}]
    for text in ("examples[0][correct]=true&examples[0][image]=http://x.example.com/1"
                 "&examples[1][correct]=false&examples[1][image]=http://x.example.com/2",
                 "examples[][correct]=true&examples[][image]=http://x.example.com/1"
                 "&examples[][correct]=false&examples[][image]=http://x.example.com/2"):
        assert post_form(sandbox, start + text, "annotation")["params"]["examples"] == wanted


def test_json_as_clients_write_it(sandbox):
    task = sandbox.create("annotation", attachment=IMAGE, attachment_type="image", objects_to_annotate=["cow"],
                          min_width="30", with_labels="true", urgency=None, metadata={}, examples=[], categories=None,
                          color="red")
    params = task["params"]
    assert params["min_width"] == 30 and params["with_labels"] is True and params["color"] == "red"
    assert "examples" not in params and "categories" not in params
    assert task["urgency"] == "day" and task["metadata"] == {}
    # The older path, and any case of header names.
    body = json.dumps({"callback_url": "http://127.0.0.1:9/", "instruction": "?", "attachment_type": "text",
                       "attachment": "car", "categories": ["a"]}).encode()
    answer = sandbox.ask("POST", "/v1/task/categorize", body, headers={"content-TYPE": "application/json; charset=UTF-8"})
    assert answer.status == 200 and answer.json["type"] == "categorization"


def test_cancel_as_clients_write_it(sandbox):
    for method, body, headers in (("POST", None, {}), ("POST", {}, {}), ("POST", {"callback_url": None}, {}),
                                  ("GET", None, {}), ("POST", b"", {"Content-Type": "application/json"})):
        id = sandbox.create()["task_id"]
        assert sandbox.ask(method, f"/v1/task/{id}/cancel", body, headers=headers, status=200).json["status"] == "canceled"
        # Only pending ones can be canceled.
        assert sandbox.ask(method, f"/v1/task/{id}/cancel", body, headers=headers).status == 500


def test_expect_100_continue(sandbox):
    text = "x" * 2_000_000
    task = curl(sandbox, "/task/categorization", "-H", "Expect: 100-continue", "-d", "@-",
                stdin=f"{BASE}&categories={text}")
    assert task["params"]["categories"] == [text]


def test_too_large(sandbox):
    answer = sandbox.ask("POST", "/v1/task/categorization", headers={"Content-Length": str(8 * 1024 * 1024 + 1)})
    assert answer.status == 413 and answer.json["error"]


def test_keys(sandbox):
    error = {"status_code": 401, "error": "Your API key does not correspond to a registered user."}
    for headers in ({}, {"Authorization": "Basic !"}, {"Authorization": "Bearer x"},
                    {"Authorization": "Basic d3Jvbmc6"}, {"Authorization": "Basic"}):
        for method, target in (("GET", "/v1/tasks"), ("POST", "/v1/task/categorization"), ("GET", "/v1/task/x"),
                               ("POST", "/v1/task/x/cancel")):
            answer = sandbox.ask(method, target, key=None, headers=headers)
            assert (answer.status, answer.json) == (401, error)
    for key in ("live_made_up", "test_made_up"):
        assert sandbox.ask("GET", "/v1/tasks", key=key).status == 200
    # A password is no matter.
    assert sandbox.ask("GET", "/v1/tasks", key="live_made_up:password").status == 200


def test_errors(sandbox):
    for method, target, status in (("GET", "/v1/task/576ba74eec471ff9b01557cc", 404), ("GET", "/v1/nothing", 404),
                                   ("GET", "/", 404), ("POST", "/v1/task/unheard-of", 404), ("PUT", "/v1/tasks", 405),
                                   ("GET", "/v1/tasks?limit=101", 400), ("GET", "/v1/task/a%2Fb", 404),
                                   ("POST", "/v1/task/categorization", 400)):
        answer = sandbox.ask(method, target)
        assert answer.status == status == answer.json["status_code"], target
        assert answer.json["error"]
    answer = post_form(sandbox, f"{CALLBACK}&attachment_type=text&attachment=x", status=400)
    assert {p["path"] for p in answer["problems"]} == {"instruction", "categories"}


def test_lists(sandbox):
    ids = [sandbox.create()["task_id"] for _ in range(5)]
    times = [sandbox.task(id)["created_at"] for id in ids]
    docs = sandbox.get("/v1/tasks")["docs"]
    assert sorted(d["task_id"] for d in docs) == sorted(ids)
    assert [d["created_at"] for d in docs] == sorted(times, reverse=True)
    page = sandbox.get("/v1/tasks?callback_url&end_time&limit=2&offset=1&start_time&status&type&unknown=1")
    assert page["docs"] == docs[1:3]
    assert {k: page[k] for k in ("total", "limit", "offset", "has_more")} == {
        "total": 5, "limit": 2, "offset": 1, "has_more": True}
    quoted = times[0].replace("Z", "%2B00%3A00").replace(":", "%3A")
    assert ids[0] in {d["task_id"] for d in sandbox.get(f"/v1/tasks?start_time={quoted}&end_time={quoted}")["docs"]}
    # A GET may carry a body.
    assert sandbox.ask("GET", "/v1/tasks", {"limit": 1}).json["total"] == 5


def test_complete_on_demand_and_after_a_while(make_sandbox):
    sandbox = make_sandbox()
    id = sandbox.create()["task_id"]
    assert sandbox.task(id)["status"] == "pending"
    assert sandbox.complete(id, {"category": "small"})["response"] == {"category": "small"}
    assert sandbox.task(id)["status"] == "completed"

    sandbox = make_sandbox("--complete-after", "100ms")
    id = sandbox.create()["task_id"]
    eventually(lambda: sandbox.task(id)["status"] == "completed", "completion by itself")


def test_callback_url_of_the_account(make_sandbox):
    sandbox = make_sandbox("--callback-url", "http://127.0.0.1:9/default")
    assert sandbox.create(callback_url=None)["callback_url"] == "http://127.0.0.1:9/default"
    assert sandbox.create(callback_url="http://127.0.0.1:9/own")["callback_url"] == "http://127.0.0.1:9/own"


# Faults of answers.


def test_drop_answer(make_sandbox):
    sandbox = make_sandbox("--fault", "drop_answer=1")
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        sandbox.create()
    assert sandbox.stats()["tasks"] == 1


def test_errors_before_and_after(sandbox):
    for fault, status, tasks in (("error_500", 500, 0), ("error_429", 429, 0), ("error_after", 500, 1)):
        sandbox.set_faults(**{fault: 1})
        before = sandbox.stats()["tasks"]
        answer = sandbox.ask("POST", "/v1/task/categorization", {
            "callback_url": "http://127.0.0.1:9/", "instruction": "?", "attachment_type": "text", "attachment": "x",
            "categories": ["a"]})
        assert answer.status == status and answer.json["error"] and sandbox.stats()["tasks"] == before + tasks
        assert ("Retry-After" in answer.headers) == (fault == "error_429")
        sandbox.set_faults(**{fault: 0})
    assert sandbox.ask("GET", "/v1/tasks").status == 200


def test_html(make_sandbox):
    answer = make_sandbox("--fault", "html=1").ask("GET", "/v1/tasks")
    assert answer.status == 502 and answer.headers["Content-Type"] == "text/html" and b"<html>" in answer.body


def test_delay(make_sandbox):
    sandbox = make_sandbox("--fault", "delay=1", "--delay", "1s", "--seed", "1")
    for _ in range(3):
        sandbox.create()
    assert sandbox.stats()["tasks"] == 3 and sandbox.stats()["faults"]["delay"] == 3
    # Somebody who doesn't wait for it.
    with socket.create_connection(("127.0.0.1", sandbox.port)) as connection:
        connection.sendall(b"GET /v1/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Basic bGl2ZV9tYWRlX3VwOg==\r\n\r\n")
        eventually(lambda: sandbox.stats()["faults"]["delay"] == 4, "a request")


def test_lag(make_sandbox):
    sandbox = make_sandbox("--fault", "lag=1", "--lag", "1h")
    id = sandbox.create()["task_id"]
    assert sandbox.task(id)["task_id"] == id and sandbox.get("/v1/tasks")["total"] == 0


def test_a_seed_means_one_course(make_sandbox):
    def course(seed):
        sandbox = make_sandbox("--fault", "error_500=0.5", "--seed", seed)
        return [sandbox.ask("GET", "/v1/tasks").status for _ in range(40)]
    first = course(7)
    assert first == course(7) != course(8) and {200, 500} == set(first)


def test_duplicates_are_counted(sandbox):
    for _ in range(2):
        sandbox.create(metadata={"scale_submission_id": "0123456789abcdef0123456789abcdef"})
    sandbox.create(callback_url="http://127.0.0.1:9/callback/0123456789abcdef0123456789abcdef")
    sandbox.create()
    stats = sandbox.stats()
    assert stats["tasks"] == 4 and stats["duplicate_tasks"] == 2


@pytest.mark.parametrize("arguments, words", [
    (["--listen", "0.0.0.0:0"], "this host alone"), (["--listen", "[::]:0"], "this host alone"),
    (["--listen", "localhost"], "this host alone"), (["--fault", "nonsense=1"], "name of a fault"),
    (["--fault", "lag=1.5"], "probability"), (["--fault", "lag=nan"], "NAME=PROBABILITY"), (["--fault", "lag"], "NAME"),
    (["--time-scale", "0"], "number"), (["--complete-after", "5"], "duration"), (["--seed", "x"], "number"),
    (["--api-key", ""], "key"), (["--callback-url", "x"], "URL"), (["--log-level", "x"], "debug"), (["x"], "arguments"),
])
def test_bad_command_lines(arguments, words):
    done = subprocess.run([str(SANDBOX), *arguments], capture_output=True, text=True, timeout=WAIT)
    assert done.returncode == 64 and words in done.stderr


def test_unix_socket(tmp_path):
    process = subprocess.Popen([str(SANDBOX), "--listen", f"unix:{tmp_path}/s"], stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: (tmp_path / "s").exists(), "a socket")
        done = subprocess.run(["curl", "-sS", "--unix-socket", f"{tmp_path}/s", "-u", "test_sandbox:", "--retry", "9",
                               "--retry-all-errors", "http://x/v1/tasks"], capture_output=True, check=True, timeout=WAIT)
        assert json.loads(done.stdout)["total"] == 0
    finally:
        process.terminate()
        assert process.wait(WAIT) == 0
