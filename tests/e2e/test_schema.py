"""Databases of every schema, as the programs of their time left them, opened by those of today: nothing is gone, and life
goes on where it stopped, in the middle of a request. tests/data/schema/README.md says how one is added."""

import json
import sqlite3
import subprocess
import time

import pytest

import save_schema as kept
from api import TEST_KEY
from harness import KEY, WAIT, Submitter, callback, eventually, scalectl

VERSIONS = sorted(int(path.stem) for path in kept.SCHEMAS.glob("*.sql"))
ALL = pytest.mark.parametrize("version", VERSIONS, ids=lambda v: f"schema-{v}")
FORMATS = {"jsonl": None, "csv": "categorization", "coco": "annotation", "srt": "audiotranscription", "vtt": "audiotranscription",
           "ctm": "audiotranscription"}


def load(version):
    return ((kept.SCHEMAS / f"{version}.sql").read_text(), json.loads((kept.SCHEMAS / f"{version}.json").read_text()))


@pytest.fixture
def receiver(tmp_path):
    daemon = kept.make_receiver(tmp_path / "receiver")
    yield daemon
    daemon.finish()


def compare(recorded, local):
    found = {target: kept.answer_of(local, target) for target in recorded}
    return [m for target in recorded for m in kept.missing(recorded[target], found[target], target + " ")]


@ALL
def test_everything_is_there(receiver, version):
    """Every field of every answer, as the program that wrote the database gave it."""
    text, was = load(version)
    kept.restore(text, receiver.database)
    receiver.start()
    assert len(was["answers"]) > 90
    assert not compare(was["answers"], receiver.query)

    tasks = [json.loads(line) for line in scalectl(receiver, "--json", "tasks", "-n", 1000).stdout.split("\n") if line]
    assert not list(kept.missing(was["answers"]["/v1/tasks"]["docs"], tasks))
    for name, kind in FORMATS.items():
        run = scalectl(receiver, "export", "--format", name, *(("--type", kind) if kind else ()),
                       *(("-o", receiver.dir / name) if name in ("srt", "vtt", "ctm") else ()))
        assert run.returncode == 0, (name, run.stderr)
        assert run.stdout or (receiver.dir / name).exists(), name

    # And it goes on: nothing that was said is said anew, what is new comes behind.
    last = was["answers"]["/v1/stats"]["last_event"]
    assert receiver.deliver(callback(id="576ba74eec471ff9b0155700"))["result"] == "duplicate"
    assert receiver.query.lines(f"/v1/events?after={last}") == []
    new = receiver.deliver(callback())
    assert new["result"] == "stored" and new["delivery"] > was["answers"]["/v1/stats"]["last_delivery"]
    assert [e["seq"] for e in receiver.query.lines("/v1/events?limit=1000")] == list(range(1, last + 2))
    assert receiver.stop() == 0
    with sqlite3.connect(receiver.database) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def submitter_of(receiver, url, clock, **more):
    return Submitter(receiver.dir / "submit", url, "submit.callback_url=https://hooks.example.com/callback", "api.settle=200ms",
                     database=receiver.database, env=clock.environment, **more)


@pytest.mark.parametrize("version", [v for v in VERSIONS if v >= 2], ids=lambda v: f"schema-{v}")
def test_the_outbox_goes_on(receiver, api, tmp_path, version):
    """It was killed in the middle of a request that made a task. At the time that it was then, and with the API as it
    was then: each submission is where it was, and each that waits gets its one task."""
    text, was = load(version)
    kept.restore(text, receiver.database)
    receiver.start()
    clock = kept.Clock(tmp_path)
    api.keys, api.tasks, api.offset = [TEST_KEY, kept.LIVE_KEY], was["api_tasks"], was["saved_at"] + 60 - time.time()
    api.date_offset = api.offset
    clock.jump(api.offset)
    before = {d["submission_id"]: d for d in was["answers"]["/v1/submissions?limit=100"]["docs"]}
    [under_way] = [id for id, d in before.items() if d["state"] == "sending"]
    assert under_way in api.submissions()

    # Nobody answers yet: all as it was, but that who was asked about is not known.
    api.plan = lambda method, path, body: (503, {"status_code": 503, "error": "busy"})
    submitter = submitter_of(receiver, api.url, clock, key=kept.LIVE_KEY).start()
    try:
        eventually(lambda: submitter.state(under_way) == "unknown", "what was under way is unknown")
        after = {id: submitter.submission(id) for id in before}
        # From 3 on a database says that it was put back: what was queued in it may have been sent since.
        doubted = [id for id, d in before.items() if version >= 3 and d["state"] == "queued"]
        assert {submitter.state(id) for id in doubted} <= {"unknown"}
        for id in (under_way, *doubted):
            before[id] = {k: v for k, v in before[id].items() if k not in ("changed_at", "next_attempt_at", "state")}
        assert not list(kept.missing(before, after))
        queue = submitter.submit.get("/v1/queue").json
        assert queue["hold"] == "held" and queue["reason"] == "kept as data" and queue["live_today"] == 1 + len(doubted)

        submitter.stop()  # what it backs off from is forgotten
        api.plan = lambda method, path, body: None
        submitter.start()
        submitter.submit.post("/v1/queue/resume")
        waiting = [id for id, d in before.items() if d.get("state", "sending") in ("queued", "sending", "unknown")]
        # Each kind of key sees its own; who asks with one leaves what was sent with the other alone.
        for id in [id for id in waiting if not before[id]["is_test"]]:
            submitter.reaches(id, "accepted", hurry=True)
        submitter.write_api_key(TEST_KEY)
        submitter.reload()
        for id in waiting:
            submitter.reaches(id, "accepted", hurry=True)
        sent = api.submissions()
        assert {id: sent.count(id) for id in waiting} == dict.fromkeys(waiting, 1)
        assert len(set(sent)) == len(sent)
        canceled = next(d["task_id"] for d in before.values() if d.get("cancel_requested"))
        eventually(lambda: submitter.submit.get(f"/v1/task/{canceled}").json["status"] == "canceled", "what was to be canceled")
    finally:
        submitter.finish()


@ALL
def test_both_daemons_open_it_at_once(receiver, tmp_path, version):
    """After an upgrade neither waits for the other."""
    text, was = load(version)
    kept.restore(text, receiver.database)
    clock = kept.Clock(tmp_path)
    clock.jump(was["saved_at"] + 60 - time.time())
    submitter = submitter_of(receiver, "http://127.0.0.1:9/v1", clock)
    try:
        for daemon in (receiver, submitter):
            daemon.launch()
        for daemon in (receiver, submitter):
            eventually(lambda: "Ready." in daemon.new_log() or daemon.process.poll() is not None, "readiness")
            assert daemon.process.poll() is None, daemon.log()
        tasks = was["answers"]["/v1/tasks"]["total"]
        assert receiver.query.get("/v1/stats").json["tasks"] == submitter.submit.get("/v1/tasks").json["total"] == tasks
    finally:
        submitter.finish()


def test_a_newer_one_is_refused_by_both_and_left_as_it_is(receiver):
    text, _ = load(VERSIONS[-1])
    kept.restore(text.replace(f"user_version = {VERSIONS[-1]};", f"user_version = {VERSIONS[-1] + 1};"), receiver.database)
    before = receiver.database.read_bytes()
    submitter = Submitter(receiver.dir / "submit", "http://127.0.0.1:9/v1", database=receiver.database)
    for daemon in (receiver, submitter):
        done = subprocess.run(daemon.command(), capture_output=True, text=True, timeout=WAIT, env=daemon.environment())
        assert done.returncode == 78 and "newer" in done.stderr, done.stderr
    assert receiver.database.read_bytes() == before


@ALL
def test_what_was_kept_holds_no_key(version):
    text, was = load(version)
    for secret in (KEY, TEST_KEY, kept.LIVE_KEY):
        assert secret not in text and secret.encode().hex() not in text and secret not in json.dumps(was)
