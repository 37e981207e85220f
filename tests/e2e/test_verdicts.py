"""What becomes of a callback: stored, duplicate, revised, invalid, attachment failure."""

import json

from harness import callback, eventually, sample, scalectl, task_id

FAILURE = {"error": "One or more attachments could not be downloaded.",
           "attachments": [{"statusCode": 500, "url": "https://bucket.example.com/1.png"}]}


def verdicts(daemon):
    return [d["verdict"] for d in daemon.query.docs("/v1/deliveries")]


def kinds(daemon):
    return [e["kind"] for e in daemon.query.lines("/v1/events")]


def test_stored(daemon):
    body = callback(metadata={"order": 7})
    assert daemon.deliver(body) == {"result": "stored", "task_id": body["task_id"], "delivery": 1}
    task = daemon.query.get(f"/v1/task/{body['task_id']}").json
    assert task == body["task"]
    [delivery] = daemon.query.docs("/v1/deliveries")
    assert delivery["source"] == "callback" and delivery["key"] == "live" and delivery["remote"] == "127.0.0.1"
    assert delivery["status_code"] == 200 and delivery["revision"] == 1 and delivery["duration"] >= 0


def test_the_same_bytes_again_are_counted_once(daemon):
    body = json.dumps(callback())
    daemon.deliver(body)
    for _ in range(3):
        answer = daemon.deliver(body)
        assert (answer["result"], answer["delivery"]) == ("duplicate", 1)
    [delivery] = daemon.query.docs("/v1/deliveries")
    assert delivery["repeats"] == 3 and delivery["last_repeat_at"] > delivery["received_at"]
    assert kinds(daemon) == ["task.completed"]
    assert daemon.query.get("/v1/stats").json["by_verdict"]["duplicate"] == 3


def test_the_same_value_in_other_bytes_is_a_duplicate(daemon):
    body = callback({"category": "big", "seconds": 1})
    daemon.deliver(body)
    again = json.loads(json.dumps(body))
    again["response"] = {"seconds": 1.0, "category": "big"}
    again["task"]["response"] = again["response"]
    text = json.dumps(again, indent=1)
    answer = daemon.deliver(text)
    assert answer["result"] == "duplicate" and answer["delivery"] == 2
    assert daemon.query.get("/v1/delivery/2/body").body == text.encode()
    assert kinds(daemon) == ["task.completed"]
    assert len(daemon.query.docs(f"/v1/task/{body['task_id']}/revisions")) == 1


def test_null_for_what_is_not_there_makes_no_revision(daemon):
    """The API writes `category_id: null` beside a category without ids, at times and not at others."""
    id = task_id()
    daemon.deliver(callback({"category": "big"}, id))
    with_null = callback({"category": "big", "category_id": None}, id)
    assert daemon.deliver(with_null)["result"] == "duplicate"
    with_null["task"]["response"] = {"category": "big"}  # the same as without
    assert daemon.deliver(with_null)["result"] == "duplicate"
    # What no table knows says something else with null.
    assert daemon.deliver(callback({"category": "big", "score": None}, id))["result"] == "revised"


def with_number(id, number):
    body = json.dumps(callback({"category": "big", "seed": "NUMBER"}, id, metadata={"seed": "NUMBER"}))
    return body.replace('"NUMBER"', number)


def test_numbers_that_differ_in_one_digit_are_two_responses(daemon):
    """Also where neither 64 bits nor a double tell them apart."""
    for number, other, same in (("18446744073709551617", "18446744073709551999", "1.8446744073709551617e19"),
                                ("9007199254740993.0", "9007199254740992.0", "9007199254740993"),
                                ("1e400", "1.1e400", "10E399"), ("1e-400", "0", "0.1e-399")):
        id = task_id()
        results = [daemon.deliver(with_number(id, n))["result"] for n in (number, same, other)]
        assert results == ["stored", "duplicate", "revised"], number


def test_numbers_come_back_with_their_digits(daemon):
    numbers = ["18446744073709551617", "9007199254740993.0", "1e400", "-1E-400", "0.1000000000000000055511151231257827"]
    for number in numbers:
        id = task_id()
        daemon.deliver(with_number(id, number))
        answers = [daemon.query.get(target).body.decode()
                   for target in (f"/v1/task/{id}", "/v1/tasks?limit=1&metadata.seed=" + number,
                                  f"/v1/task/{id}/revisions", "/v1/export?format=jsonl")]
        answers.append(scalectl(daemon, "export", "--task", id).stdout)
        answers.append(scalectl(daemon, "--json", "task", id).stdout)
        for answer in answers:
            assert f'"seed":{number}' in answer.replace('": ', '":'), (number, answer)


def test_half_a_character_is_stored_with_a_warning(daemon):
    """JavaScript counts an emoji as two, and cuts texts between them."""
    body = callback({"category": "big", "note": "nice \ud83d"})
    text = json.dumps(body)
    assert "\\ud83d" in text
    assert daemon.deliver(text)["result"] == "stored"
    [delivery] = daemon.query.docs("/v1/deliveries")
    [problem] = delivery["problems"]
    assert problem["severity"] == "warning" and "\\ud83d in line 1" in problem["message"]
    assert daemon.query.get("/v1/delivery/1/body").body == text.encode()
    assert daemon.query.get(f"/v1/task/{body['task_id']}").json["response"]["note"] == "nice \ufffd"


def test_another_response_is_a_revision(daemon):
    id = task_id()
    daemon.deliver(callback({"category": "big"}, id, "2016-06-23T09:10:00Z"))
    answer = daemon.deliver(callback({"category": "small"}, id, "2016-06-23T09:11:00Z"))
    assert answer["result"] == "revised"
    assert daemon.query.get(f"/v1/task/{id}").json["response"] == {"category": "small"}
    first, second = daemon.query.docs(f"/v1/task/{id}/revisions")
    assert (first["revision"], first["current"], first["response"]) == (1, False, {"category": "big"})
    assert (second["revision"], second["current"], second["response"]) == (2, True, {"category": "small"})
    assert kinds(daemon) == ["task.completed", "task.revised"]

    # An older one is a duplicate of either, and changes nothing.
    assert daemon.deliver(callback({"category": "big"}, id, "2016-06-23T09:12:00Z"))["result"] == "duplicate"
    assert daemon.query.get(f"/v1/task/{id}").json["response"] == {"category": "small"}


def test_the_newest_by_completed_at_is_the_current_one(daemon):
    id = task_id()
    daemon.deliver(callback({"category": "small"}, id, "2016-06-23T09:11:00Z"))
    assert daemon.deliver(callback({"category": "big"}, id, "2016-06-23T09:10:00Z"))["result"] == "revised"
    task = daemon.query.get(f"/v1/task/{id}").json
    assert task["response"] == {"category": "small"} and task["completed_at"] == "2016-06-23T09:11:00Z"
    assert [r["current"] for r in daemon.query.docs(f"/v1/task/{id}/revisions")] == [True, False]


def test_canceled_after_completed_is_one_rule(daemon, make_submitter, api):
    """Whatever brings it: the status is canceled, the response stays, an event tells it, and a late callback of before
    turns nothing back."""
    submitter = make_submitter(database=daemon.database).start()

    def completed():
        id = submitter.add()
        task_id = submitter.reaches(id, "accepted")["task_id"]
        [task] = [t for t in api.tasks if t["task_id"] == task_id]
        daemon.deliver(api.complete(task, {"category": "big"}), path=f"/callback/{id}")
        return task, daemon.query.lines("/v1/events")[-1]["seq"]

    def callback_of(task, **more):
        return {"task_id": task["task_id"], "response": task["response"], "task": {**task, **more}}

    def by_callback(task):
        assert daemon.deliver(callback_of(task, status="canceled"))["result"] == "duplicate"

    def by_callback_with_another_response(task):
        task["response"] = {"category": "small"}
        assert daemon.deliver(callback_of(task, status="canceled"))["result"] == "revised"

    def by_cancel(task):
        answer = {**task, "status": "canceled"}
        api.plan = lambda method, path, body: (200, answer) if path.endswith("/cancel") else None
        assert submitter.submit.post(f"/v1/task/{task['task_id']}/cancel").json["status"] == "canceled"

    def by_cancel_without_the_response(task):
        by_cancel({k: v for k, v in task.items() if k not in ("response", "completed_at")})

    def by_backfill(task):
        task["status"] = "canceled"
        submitter.submit.post("/v1/backfill", 202)
        eventually(lambda: submitter.submit.get("/v1/backfill").json["state"] != "running", "the end of the backfill")

    for way in (by_callback, by_callback_with_another_response, by_cancel, by_cancel_without_the_response, by_backfill):
        task, seq = completed()
        way(task)
        id, response = task["task_id"], task["response"]
        for late in (None, callback_of(task, status="completed"), callback_of(task, status="completed", urgency="week")):
            if late:
                assert daemon.deliver(late)["result"] == "duplicate", way
            shown = daemon.query.get(f"/v1/task/{id}").json
            assert (shown["status"], shown["response"]) == ("canceled", response), way
        told = [e["kind"] for e in daemon.query.lines(f"/v1/events?after={seq}") if e["task_id"] == id]
        assert told == ["task.revised"] * (way is by_callback_with_another_response) + ["task.canceled"], way


def test_without_task_the_stored_one_is_asked(daemon):
    body = callback()
    bare = {"task_id": body["task_id"], "response": {"category": "small"}}
    assert daemon.post(bare, status=422).json["problems"][0]["path"] == "task"
    daemon.deliver(body)
    assert daemon.deliver(bare)["result"] == "revised"
    task = daemon.query.get(f"/v1/task/{body['task_id']}").json
    assert task["response"] == {"category": "small"} and task["params"] == body["task"]["params"]
    assert daemon.post({**bare, "response": {"category": "huge"}}, status=422)


def test_an_invalid_body_that_comes_twenty_times_is_one_row(daemon):
    body = callback({"category": "huge"})
    for _ in range(20):
        daemon.post(body, status=422)
    [delivery] = daemon.query.docs("/v1/deliveries?verdict=invalid")
    assert delivery["repeats"] == 19 and delivery["task_id"] == body["task_id"]
    assert kinds(daemon) == ["delivery.invalid"]
    assert daemon.query.docs(f"/v1/task/{body['task_id']}/deliveries")[0]["delivery"] == 1


def test_invalid_status_200(make_daemon):
    daemon = make_daemon("callback.invalid_status=200").start()
    for body in (callback({"category": "huge"}), "{"):
        answer = daemon.deliver(body)
        assert answer["result"] == "invalid" and answer["problems"]
    assert verdicts(daemon) == ["invalid", "invalid"]


def test_warnings_are_kept_and_strict_makes_them_errors(make_daemon):
    body = sample("transcription/warning-extra-key")
    daemon = make_daemon().start()
    daemon.deliver(body)
    assert [p["severity"] for p in daemon.query.docs("/v1/deliveries")[0]["problems"]] == ["warning"]
    strict = make_daemon("callback.strict=yes").start()
    assert strict.post(body, status=422).json["problems"][0]["severity"] == "error"


def test_attachment_failure_without_a_task(daemon):
    answer = daemon.deliver(FAILURE)
    assert answer == {"result": "attachment_failure", "task_id": None, "delivery": 1}
    assert verdicts(daemon) == ["attachment_failure"]
    [event] = daemon.query.lines("/v1/events")
    assert event["kind"] == "attachment.failed" and event["task_id"] is None


def test_attachment_failure_tied_by_reference(daemon):
    body = callback()
    daemon.deliver(body, path="/callback/sub-1")
    assert daemon.query.docs("/v1/deliveries")[0]["ref"] == "sub-1"
    daemon.deliver(FAILURE, path="/callback/sub-1")
    assert daemon.query.lines("/v1/events")[1]["task_id"] == body["task_id"]
    assert daemon.query.get(f"/v1/task/{body['task_id']}").json["response"] == {"category": "big"}
    daemon.deliver(FAILURE, path="/callback/sub-2")
    assert daemon.query.lines("/v1/events")[2]["task_id"] is None


def test_attachment_failure_in_a_full_envelope(daemon):
    body = callback(FAILURE, status="error")
    assert daemon.deliver(body)["result"] == "attachment_failure"
    assert daemon.query.get(f"/v1/task/{body['task_id']}").json["status"] == "error"
    assert daemon.query.docs("/v1/tasks?status=error")[0]["task_id"] == body["task_id"]
    # The result may come all the same.
    assert daemon.deliver(callback({"category": "big"}, body["task_id"]))["result"] == "stored"
    task = daemon.query.get(f"/v1/task/{body['task_id']}").json
    assert (task["status"], task["response"]) == ("completed", {"category": "big"})


def test_a_bare_attachment_failure_says_the_same_as_one_in_an_envelope(daemon, make_submitter):
    """Once it is tied, by the reference or by the URL: the answer, the log, the delivery, the task."""
    submitter = make_submitter(database=daemon.database).start()
    enveloped = callback(FAILURE, status="error")
    ways = [(f"/callback/{task_id()}", enveloped, enveloped["task_id"])]
    for path, number in (("/callback/{}", 1), ("/callback", 2)):
        url = f"https://bucket.example.com/{number}.png"
        bare = {**FAILURE, "attachments": [{"statusCode": 500, "url": url}]}
        id = submitter.add(attachment_type="image", attachment=url)
        ways.append((path.format(id), bare, submitter.reaches(id, "accepted")["task_id"]))

    for n, (path, body, id) in enumerate(ways, 1):
        assert daemon.deliver(body, path=path) == {"result": "attachment_failure", "task_id": id, "delivery": n}
        assert f"Delivery {n}: attachment_failure, task {id}," in daemon.log()
        delivery = daemon.query.get(f"/v1/delivery/{n}").json
        assert (delivery["task_id"], delivery["type"]) == (id, "categorization")
        task = daemon.query.get(f"/v1/task/{id}").json
        assert (task["status"], task["response"]) == ("error", body.get("response", body))
        assert daemon.deliver(body, path=path) == {"result": "duplicate", "task_id": id, "delivery": n}

    # Why there is no response stays, whatever is pruned, until there is one.
    daemon.control.post("/v1/prune?older_than=0")
    for path, body, id in ways:
        assert daemon.query.get(f"/v1/task/{id}").json["response"] == body.get("response", body)
        assert daemon.deliver(callback(id=id), path=path)["result"] == "stored"
        assert daemon.query.get(f"/v1/task/{id}").json["response"] == {"category": "big"}


def test_an_error_is_a_response_where_the_type_says_so(daemon):
    """Without attachments it is no failure to fetch one, whatever the task's status says."""
    for kind in ("4-annotation", "6-audiotranscription"):
        body = json.loads(sample(f"quickstart/{kind}"))
        first, id, other = body["response"], body["task_id"], task_id()
        daemon.deliver(body)
        body["response"] = body["task"]["response"] = {"error": "The file is empty."}
        body["task"]["status"] = "error"
        assert daemon.deliver(body)["result"] == "revised"
        assert daemon.deliver({**body, "task_id": other, "task": {**body["task"], "task_id": other}})["result"] == "stored"
        assert kinds(daemon)[-3:] == ["task.completed", "task.revised", "task.completed"]
        task = daemon.query.get(f"/v1/task/{other}").json
        assert (task["status"], task["response"]) == ("error", {"error": "The file is empty."})
        assert [r["response"] for r in daemon.query.docs(f"/v1/task/{id}/revisions")] == [first, body["response"]]


def test_unknown_types_are_kept_unchecked(daemon):
    body = callback({"polygons": [[1, 2]]}, type="polygonannotation")
    assert daemon.deliver(body)["result"] == "stored"
    assert daemon.query.docs("/v1/deliveries")[0]["unchecked"] is True
    assert daemon.query.docs("/v1/tasks?type=polygonannotation")[0]["task_id"] == body["task_id"]


def test_every_sample_of_the_quickstart(daemon):
    import harness
    for path in sorted((harness.DATA / "quickstart").glob("*.json")):
        assert daemon.deliver(path.read_bytes())["result"] in ("stored", "attachment_failure")
    stats = daemon.query.get("/v1/stats").json
    assert stats["tasks"] == 6 and len(stats["by_type"]) == 6


def test_a_time_beyond_the_year_9999_does_not_bring_it_down(daemon):
    """It was stored once, and asking for it ended the daemon."""
    body = callback(completed_at="9999-12-31T23:59:59-23:59", created_at="9999-12-31T23:59:59-23:59")
    assert daemon.deliver(body)["result"] == "stored"
    for target in ("/v1/tasks", f"/v1/task/{body['task_id']}", f"/v1/task/{body['task_id']}/revisions", "/v1/events?include=task"):
        daemon.query.get(target)
