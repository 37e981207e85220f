#!/usr/bin/env python3
"""Keeps a database of this program's schema as data: `SCALE_BUILD=BUILD tests/e2e/save_schema.py`.

Lets the real daemons write rows of every kind, puts them as SQL into tests/data/schema/N.sql, and what every call
answers about them into N.json, with the hash of each migration and what the API has at that moment. What is there is
not written over unless `--again` is given, which is only right as long as no release has that schema."""

import base64
import hashlib
import json
import pathlib
import sqlite3
import sys
import tempfile
import time

import harness
from api import TEST_KEY, Api
from harness import DATA, KEY, PARAMS, Daemon, Submitter, callback, eventually, sample

SCHEMAS = DATA / "schema"
MIGRATIONS = DATA.parents[1] / "sql"
LIVE_KEY = "live_canary0123456789abcdef"
SAMPLES = sorted(path.stem for path in (DATA / "quickstart").glob("*.json"))  # a response of each type, and a failure
TYPES = [name.split("-", 1)[1] for name in SAMPLES if "failure" not in name]
VERDICTS = ("stored", "duplicate", "revised", "invalid", "attachment_failure", "discarded")
STATES = ("queued", "sending", "unknown", "accepted", "rejected", "canceled", "expired")
VOLATILE = {"database_bytes", "wal_bytes", "free_bytes", "disk_free_bytes", "live_today"}


# Rows of every kind.

def fill_receiver(daemon):
    """What callbacks, and administrators, leave behind."""
    daemon.post("[", status=400)
    daemon.post(sample("quickstart/1-categorization"), status=200)
    daemon.control.post("/v1/prune?older_than=0")  # the log has a gap
    for name in SAMPLES[1:]:
        daemon.post(sample(f"quickstart/{name}"), status=200)

    first = callback(id="576ba74eec471ff9b0155700")
    daemon.deliver(first)
    daemon.deliver(first)
    daemon.deliver(json.dumps(first, indent=1))
    second = callback({"category": "small"}, first["task_id"], "2016-06-24T09:10:02.798Z")
    assert daemon.deliver(second)["result"] == "revised"
    assert daemon.deliver(callback(id=first["task_id"], completed_at="2016-06-22T09:10:02.798Z"))["result"] == "duplicate"

    wrong = callback({"category": "x"}, "576ba74eec471ff9b0155701")
    daemon.post(wrong, status=422)
    daemon.post(wrong, status=422)
    daemon.post("{", status=400)
    daemon.deliver(callback(id="576ba74eec471ff9b0155702", metadata={"batch": "7", "n": 7}), path="/callback/sub-1")
    daemon.post(callback(id="576ba74eec471ff9b0155703", metadata={"batch": "ö 😀"}, instruction="Groß oder klein?\t\u2028"),
                key="test-" + KEY, headers={"X-Forwarded-For": "203.0.113.9, 192.0.2.7"}, status=200)

    late = callback(id="576ba74eec471ff9b0155704")
    daemon.post({"task_id": late["task_id"], "response": {"category": "small"}}, status=422)
    daemon.deliver(late)
    quarantined = {d["task_id"]: d["delivery"] for d in daemon.query.docs("/v1/deliveries?verdict=invalid") if d.get("task_id")}
    daemon.control.post(f"/v1/delivery/{quarantined[late['task_id']]}/retry")
    daemon.post(callback({"category": "y"}, "576ba74eec471ff9b0155705"), status=422)
    newest = daemon.query.docs("/v1/deliveries?verdict=invalid")[-1]["delivery"]
    daemon.control.post(f"/v1/delivery/{newest}/discard")

    for n, (name, path) in enumerate((("attachment-failure/valid-full", ""), ("unknown-type/valid-polygons", ""),
                                      ("transcription/warning-extra-key", "/sub-2"), ("annotation/valid-error", ""),
                                      ("envelope/valid-metadata", ""), ("envelope/valid-pending", ""))):
        body = sample(name).replace(b"576ba74eec471ff9b01557cc", b"576ba74eec471ff9b01557d%d" % n)
        daemon.post(body, path="/callback" + path, status=200)
    for n in range(40):  # more types than have a kind of their own
        daemon.deliver(callback({"x": n}, "576ba74eec471ff9b0156%03d" % n, type=f"made-up-{n}"))
    failed = json.loads(sample("quickstart/7-attachment-failure"))
    daemon.post(failed | {"error": "By its reference."}, path="/callback/sub-2", status=200)


def fill_outbox(folder, receiver, api, clock):
    """Submissions in every state. The last one is under way when the submitter is killed."""
    api.keys = [TEST_KEY, LIVE_KEY]
    submitter = Submitter(folder, api.url, "submit.callback_url=https://hooks.example.com/callback",
                          database=receiver.database, env=clock.environment)

    # Nobody answers, then it is given up, six days later.
    clock.jump(-6 * 86400)
    api.plan = lambda method, path, body: (503, {"status_code": 503, "error": "busy"})
    submitter.start()
    expired = submitter.add(attachment="expired")
    eventually(lambda: api.requests, "a request")
    submitter.stop()
    clock.jump(0)
    submitter.start()
    submitter.reaches(expired, "expired", hurry=True)
    api.plan = lambda method, path, body: None
    submitter.submit.post("/v1/queue/hold?reason=lunch")
    submitter.submit.post("/v1/queue/resume")

    def accepted(**more):
        id = submitter.add(**more)
        return id, submitter.reaches(id, "accepted", hurry=True)["task_id"]

    def task(id):
        return next(t for t in api.tasks if t["task_id"] == id)

    id, done = accepted(attachment="done", metadata={"batch": "8"})
    receiver.deliver(api.complete(task(done), {"category": "small"}), path=f"/callback/{id}")
    accepted(attachment="pending", urgency="week")
    _, gone = accepted(attachment="canceled")
    submitter.submit.post(f"/v1/task/{gone}/cancel")
    id, _ = accepted(attachment_type="image", attachment="https://www.example.com/failed.png")
    receiver.deliver({"error": "Not there.", "attachments": [{"statusCode": 404, "url": "https://www.example.com/failed.png"}]},
                     path=f"/callback/{id}")
    _, lost = accepted(attachment="recovered")
    api.complete(task(lost), {"category": "big"})
    submitter.submit.post("/v1/reconcile?wait=60")
    api.create("categorization", PARAMS | {"metadata": {"not": "ours"}}, True)
    api.complete(api.tasks[-1], {"category": "big"})
    submitter.submit.post("/v1/backfill", 202)
    eventually(lambda: submitter.submit.get("/v1/backfill").json["state"] == "done", "the end of the backfill")
    _, wanted = accepted(attachment="to be canceled")
    api.plan = lambda method, path, body: (503, {}) if path.endswith("cancel") else None
    submitter.submit.post(f"/v1/task/{wanted}/cancel", 202)

    api.plan = lambda method, path, body: (400, {"status_code": 400, "error": "no such thing"}) if method == "POST" else None
    submitter.reaches(submitter.add(attachment="rejected"), "rejected", hurry=True)
    api.plan = lambda method, path, body: "drop before" if method == "POST" else (503, {})
    submitter.reaches(submitter.add(attachment="unknown"), "unknown", hurry=True)
    submitter.stop()

    # Another key, and one that is under way for ever; what comes behind it waits.
    submitter.write_api_key(LIVE_KEY)
    submitter.settings.append("api.timeout=10s")
    api.plan = lambda method, path, body: 300 if method == "POST" else (503, {})
    submitter.start()
    before = len(api.tasks)
    submitter.post("transcription", "attachment_type=website&attachment=http://www.example.com/&fields[title]=x&extra=1"
                   "&callback_url=http://www.example.com/callback&instruction=Go",
                   headers={"Idempotency-Key": "under-way"})
    eventually(lambda: len(api.tasks) > before, "a request that is under way")
    submitter.submit.post("/v1/queue/hold?reason=kept%20as%20data")
    submitter.post("categorization", {"instruction": "Big or small?", **PARAMS, "attachment": "queued"},
                   headers={"Idempotency-Key": "queued"})
    submitter.submit.post(f"/v1/submission/{submitter.add(attachment='dropped')}/drop")
    states = {d["state"] for d in receiver.query.docs("/v1/submissions")}
    assert states == set(STATES), states
    submitter.kill()


class Clock:
    """The time of day of whoever gets its environment."""

    def __init__(self, folder):
        shim = pathlib.Path(harness.__file__).parent / "shim/clock-shim.c"
        library, self.file = folder / "clock-shim.so", folder / "jump"
        harness.subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", str(library), str(shim), "-ldl"], check=True)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_JUMPS": str(self.file),
                            "ASAN_OPTIONS": "verify_asan_link_order=0:abort_on_error=1"}
        self.jump(0)

    def jump(self, seconds):
        self.file.write_text(f"{int(seconds)}\n")


# SQL.

def dump(path):
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        lines = list(connection.iterdump())
        marks = [f"PRAGMA {name} = {connection.execute(f'PRAGMA {name}').fetchone()[0]};"
                 for name in ("application_id", "user_version")]
        return "\n".join([*lines, *marks]) + "\n"
    finally:
        connection.close()


def restore(text, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.executescript(text)
    connection.close()


# What every call answers.

def strip(value):
    """Without what depends on the machine."""
    if isinstance(value, dict):
        return {k: strip(v) for k, v in value.items() if k not in VOLATILE}
    return [strip(v) for v in value] if isinstance(value, list) else value


def all_pages(local, target, limit):
    docs, after = [], ""
    while True:
        page = local.get(f"{target}{'&' if '?' in target else '?'}limit={limit}{after}").json
        docs += page["docs"]
        if not page["has_more"]:
            return docs
        after = f"&after={page['next']}"


def targets_of(query):
    """Every call that the query socket has, about everything that there is."""
    tasks = [d["task_id"] for d in all_pages(query, "/v1/tasks", 7)]
    deliveries = [d["delivery"] for d in all_pages(query, "/v1/deliveries", 7)]
    for id in tasks:
        yield from (f"/v1/task/{id}", f"/v1/task/{id}/revisions", f"/v1/task/{id}/deliveries")
    for n in deliveries:
        yield from (f"/v1/delivery/{n}", f"/v1/delivery/{n}/body")
    yield "/v1/tasks"
    for restriction in (*(f"type={t}" for t in TYPES), "status=pending", "status=completed", "status=canceled", "is_test=true",
                        "metadata.batch=7", "metadata.batch=8", "start_time=2016-06-25&end_time=2016-09-30"):
        yield f"/v1/tasks?{restriction}"
    yield "/v1/deliveries?limit=100"
    for verdict in VERDICTS:
        yield f"/v1/deliveries?verdict={verdict}&limit=100"
    yield from ("/v1/events?limit=1000", "/v1/events?limit=1000&include=task", "/v1/export?format=jsonl", "/v1/stats")
    if query.ask("GET", "/v1/submissions").status == 200:
        yield "/v1/submissions?limit=100"
        for state in STATES:
            yield f"/v1/submissions?state={state}&limit=100"
        for doc in all_pages(query, "/v1/submissions", 5):
            yield f"/v1/submission/{doc['submission_id']}"


def answer_of(local, target):
    body = local.get(target).body
    if target.endswith("/body"):
        return base64.b64encode(body).decode()
    if target.startswith(("/v1/events", "/v1/export")):
        return [strip(json.loads(line)) for line in body.splitlines()]
    return strip(json.loads(body))


def answers_of(query):
    return {target: answer_of(query, target) for target in targets_of(query)}


def missing(recorded, found, path=""):
    """What was recorded and is not so any more. More members than there were are no loss."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        for name, value in recorded.items():
            if name not in found:
                yield f"{path}.{name} is gone"
            else:
                yield from missing(value, found[name], f"{path}.{name}")
    elif isinstance(recorded, list) and isinstance(found, list):
        if len(recorded) != len(found):
            yield f"{path} has {len(found)} of {len(recorded)}"
        for i, (a, b) in enumerate(zip(recorded, found)):
            yield from missing(a, b, f"{path}[{i}]")
    elif recorded != found:
        yield f"{path} is {found!r}, was {recorded!r}"


# Saving.

def make_receiver(folder, *settings):
    return Daemon(folder, "callback.trusted_proxies=127.0.0.1 192.0.2.0/24", *settings, keys=f"live {KEY}\ntest test-{KEY}\n")


def write(folder):
    """A database as this program leaves it, as SQL, and what the API has."""
    receiver, api = make_receiver(folder / "first").start(), Api()
    try:
        fill_receiver(receiver)
        if harness.SUBMITD.exists():
            fill_outbox(folder / "submit", receiver, api, Clock(folder))
        (folder / "backup.db").write_bytes(receiver.control.get("/v1/backup").body)  # which says that it is a copy
    finally:
        api.plan = lambda method, path, body: None
        receiver.finish()
        api.close()
    return dump(folder / "backup.db"), api.tasks


def record(folder, text):
    """What it answers about a database that was kept."""
    receiver = make_receiver(folder / "second")
    restore(text, receiver.database)
    receiver.start()
    try:
        answers = answers_of(receiver.query)
    finally:
        receiver.finish()
    check_variety(answers)
    return answers


def check_variety(answers):
    """There is one of each. Without a submitter there are no submissions."""
    submitter = harness.SUBMITD.exists()
    events, deliveries = answers["/v1/events?limit=1000"], answers["/v1/deliveries?limit=100"]["docs"]
    assert {d["verdict"] for d in deliveries} == set(VERDICTS)
    assert {d["source"] for d in deliveries} == {"callback", "retry"} | ({"reconcile", "backfill"} if submitter else set())
    assert {e["kind"] for e in events} >= {"task.completed", "task.revised", "attachment.failed", "delivery.invalid"}
    if submitter:
        assert {e["kind"] for e in events} >= {"task.submitted", "task.canceled", "submission.rejected", "submission.expired",
                                               "queue.held", "queue.resumed"}
    assert {d["type"] for d in answers["/v1/tasks"]["docs"]} >= set(TYPES)
    assert any("repeats" in d for d in deliveries) and any("superseded_by" in d for d in deliveries)
    assert any("problems" in d and d["verdict"] == "stored" for d in deliveries) and any("unchecked" in d for d in deliveries)


def hashes(version):
    files = sorted(MIGRATIONS.glob("[0-9]*.sql"))[:version]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def lines_of(kept):
    """JSON with a line for each task and each answer, so that what changes can be read."""
    def write_json(value):
        return json.dumps(value, ensure_ascii=False)

    def block(name, inner, brackets):
        return f"{write_json(name)}: {brackets[0]}\n" + ",\n".join(f"  {line}" for line in inner) + f"\n{brackets[1]}"

    parts = [f"{write_json(name)}: {write_json(kept[name])}" for name in ("schema", "migrations", "saved_at")]
    parts.append(block("api_tasks", map(write_json, kept["api_tasks"]), "[]"))
    parts.append(block("answers", (f"{write_json(k)}: {write_json(v)}" for k, v in kept["answers"].items()), "{}"))
    return "{\n" + ",\n".join(parts) + "\n}\n"


def save(again):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        text, tasks = write(folder)
        version = int(text.rsplit("user_version = ", 1)[1].rstrip(";\n"))
        script, answers = SCHEMAS / f"{version}.sql", SCHEMAS / f"{version}.json"
        if script.exists() and not again:
            sys.exit(f"{script} is there already: what was kept stays as it is")
        kept = {"schema": version, "migrations": hashes(version), "saved_at": int(time.time()), "api_tasks": tasks,
                "answers": record(folder, text)}
        script.write_text(text)
        answers.write_text(lines_of(kept))
        print(f"{script}, {answers}: {len(kept['answers'])} answers")


if __name__ == "__main__":
    save(sys.argv[1:] == ["--again"])
