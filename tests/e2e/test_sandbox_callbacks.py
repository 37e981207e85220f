"""Callbacks of the stand-in: to a receiver of the test's own that answers as it is told, and to the real one."""

import contextlib
import http.server
import json
import threading

import pytest

from harness import KEY, eventually

SOON = ("--time-scale", "100000")  # a day of retries in a second
SUBMISSION = "0123456789abcdef0123456789abcdef"


class Receiver:
    """Keeps what comes, and answers each with the next of its statuses, the last for ever."""

    def __init__(self, *statuses):
        self.statuses, self.seen, self.cut = list(statuses) or [200], [], 0
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:
                    receiver.cut += 1
                    self.close_connection = True
                    return
                receiver.seen.append((self.path, dict(self.headers), json.loads(body)))
                status = receiver.statuses[0] if len(receiver.statuses) == 1 else receiver.statuses.pop(0)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/callback"

    @property
    def bodies(self):
        return [body for _, _, body in self.seen]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@contextlib.contextmanager
def receiver(*statuses):
    made = Receiver(*statuses)
    try:
        yield made
    finally:
        made.stop()


def through(sandbox, id):
    """Waits for callback_succeeded, and gives it back."""
    eventually(lambda: "callback_succeeded" in sandbox.task(id), "the end of a callback")
    return sandbox.task(id)["callback_succeeded"]


def finish(sandbox, **params):
    """A task that was completed."""
    id = sandbox.create(**params)["task_id"]
    sandbox.complete(id)
    return id


def test_a_callback(sandbox):
    with receiver() as r:
        id = finish(sandbox, callback_url=r.url + "?x=1", metadata={"a": "b"})
        assert through(sandbox, id) is True
        (path, headers, body), = r.seen
        assert path == "/callback?x=1" and headers["scale-callback-auth"] == KEY
        assert headers["Content-Type"] == "application/json"
        task = sandbox.task(id)
        assert body["task_id"] == id and body["response"] == task["response"]
        assert body["task"] == {k: v for k, v in task.items() if k != "callback_succeeded"}
        attempt, = sandbox.callbacks(id)
        assert attempt["status"] == 200 and attempt["attempt"] == 1 and attempt["url"] == r.url + "?x=1"
        assert attempt["error"] is None and attempt["time"]


def test_no_auth_key_no_header(make_sandbox):
    sandbox = make_sandbox(auth=None)
    with receiver() as r:
        assert through(sandbox, finish(sandbox, callback_url=r.url))
        assert "scale-callback-auth" not in r.seen[0][1]


def test_the_url_of_the_account(make_sandbox):
    with receiver() as r:
        sandbox = make_sandbox("--callback-url", r.url)
        assert through(sandbox, sandbox.create(key="test_made_up", callback_url=None)["task_id"])
        assert len(r.seen) == 1


def test_retries_until_2xx(make_sandbox):
    sandbox = make_sandbox(*SOON)
    with receiver(500, 404, 302, 204) as r:
        id = finish(sandbox, callback_url=r.url)
        assert through(sandbox, id) is True
        assert [c["status"] for c in sandbox.callbacks(id)] == [500, 404, 302, 204]
        assert [c["attempt"] for c in sandbox.callbacks(id)] == [1, 2, 3, 4]
        assert r.bodies == r.bodies[:1] * 4


def test_retries_have_an_end(make_sandbox):
    sandbox = make_sandbox(*SOON)
    with receiver(503) as r:
        id = finish(sandbox, callback_url=r.url)
        assert through(sandbox, id) is False
        assert len(r.seen) == len(sandbox.callbacks(id)) == 21
    assert sandbox.stats()["callbacks"] == 21 and sandbox.stats()["callbacks_failed"] == 1


def test_nobody_there(make_sandbox):
    sandbox = make_sandbox(*SOON)
    with receiver() as r:
        url = r.url
    id = finish(sandbox, callback_url=url)
    assert through(sandbox, id) is False
    assert all(c["status"] is None and c["error"] for c in sandbox.callbacks(id))


def test_other_hosts_are_not_called(sandbox):
    for url in ("http://www.example.com/", "http://127.0.0.1@www.example.com/", "http://127.example.com/"):
        id = finish(sandbox, callback_url=url)
        attempt = eventually(lambda: sandbox.callbacks(id), "an attempt")[0]
        assert attempt["status"] is None and "--call-anywhere" in attempt["error"]


def test_revisions(sandbox):
    with receiver() as r:
        id = sandbox.create(callback_url=r.url)["task_id"]
        for category in ("big", "small"):
            sandbox.complete(id, {"category": category})
        eventually(lambda: len(r.seen) == 2, "two callbacks")
        assert {b["response"]["category"] for b in r.bodies} == {"big", "small"}
        assert all(b["response"] == b["task"]["response"] for b in r.bodies)


def test_bad_attachments(sandbox):
    with receiver() as r:
        for form in ("bare", "envelope"):
            id = sandbox.create(callback_url=r.url)["task_id"]
            answer = sandbox.ask("POST", f"/sandbox/task/{id}/fail_attachment", {"form": form, "status_code": 403})
            assert answer.json["status"] == "error"
            assert through(sandbox, id) is True
        failed = [{"statusCode": 403, "url": "http://www.example.com/"}]
        bare, envelope = r.bodies
        assert set(bare) == {"error", "attachments"} and bare["attachments"] == failed
        assert envelope["response"]["attachments"] == failed and envelope["task"]["status"] == "error"
    answer = sandbox.ask("POST", f"/sandbox/task/{sandbox.create(attachment_type='text')['task_id']}/fail_attachment", {})
    assert answer.status == 400


# Faults.


def test_lost(make_sandbox):
    sandbox = make_sandbox(*SOON, "--fault", "callback_lost=1")
    with receiver() as r:
        id = finish(sandbox, callback_url=r.url)
        assert through(sandbox, id) is False and not r.seen
        assert "callback_lost" in sandbox.callbacks(id)[0]["error"]


def test_duplicate(make_sandbox):
    sandbox = make_sandbox("--fault", "callback_duplicate=1")
    with receiver() as r:
        finish(sandbox, callback_url=r.url)
        eventually(lambda: len(r.seen) == 2, "two callbacks")
        assert r.bodies[0] == r.bodies[1]


def test_reorder(sandbox):
    with receiver() as r:
        sandbox.set_faults(callback_reorder=1)
        first = finish(sandbox, callback_url=r.url)
        sandbox.set_faults(callback_reorder=0)
        second = finish(sandbox, callback_url=r.url)
        assert through(sandbox, first) and through(sandbox, second)
        assert [body["task_id"] for body in r.bodies] == [second, first]


def test_delayed(make_sandbox):
    sandbox = make_sandbox("--fault", "callback_delay=1", "--delay", "50ms")
    with receiver() as r:
        assert through(sandbox, finish(sandbox, callback_url=r.url)) and len(r.seen) == 1


def test_cut(make_sandbox):
    sandbox = make_sandbox(*SOON, "--fault", "callback_cut=1")
    with receiver() as r:
        id = finish(sandbox, callback_url=r.url)
        assert through(sandbox, id) is True
        eventually(lambda: r.cut == 1, "a cut body")
        assert len(r.seen) == 1 and [c["status"] for c in sandbox.callbacks(id)] == [None, 200]


def test_invalid(make_sandbox):
    sandbox = make_sandbox(*SOON, "--fault", "callback_invalid=1")
    with receiver(422, 200) as r:
        id = finish(sandbox, callback_url=r.url)
        assert through(sandbox, id) is True
        wrong, right = r.bodies
        assert wrong["response"] != right["response"] == sandbox.task(id)["response"]


# The real receiver.

TYPES = {
    "categorization": {"allow_multiple": True},
    "comparison": {"attachments": ["http://www.example.com/1"], "choices": ["yes", "no"], "fields": {"a": "b"}},
    "datacollection": {"fields": {"page": "Page"}},
    "annotation": {"attachment_type": "image", "objects_to_annotate": ["cow"], "with_labels": True, "min_width": 30},
    "transcription": {"fields": {"title": "Title", "top": "Top"}},
    "audiotranscription": {"attachment_type": "audio", "phrases": ["avocado"]},
}


def test_every_type_is_taken_without_a_warning(make_daemon, make_sandbox):
    daemon = make_daemon("callback.strict=yes").start()
    sandbox = make_sandbox()
    url = f"http://127.0.0.1:{daemon.port}/callback"
    ids = [sandbox.create(type, key="test_made_up", callback_url=url, **params)["task_id"]
           for type, params in TYPES.items()]
    assert all([through(sandbox, id) for id in ids])
    for id in ids:
        assert daemon.query.get(f"/v1/task/{id}").json["response"] == sandbox.task(id)["response"]
    assert all(d["verdict"] == "stored" for d in daemon.query.docs("/v1/deliveries"))


@pytest.mark.parametrize("fault, verdicts", [
    ("callback_duplicate", {"stored"}),
    ("callback_cut", {"stored"}),
    ("callback_invalid", {"invalid", "stored"}),
    ("callback_delay", {"stored"}),
    ("attachment_failure", {"attachment_failure"}),
])
def test_the_receiver_bears(make_daemon, make_sandbox, fault, verdicts):
    daemon = make_daemon().start()
    sandbox = make_sandbox(*SOON, "--fault", f"{fault}=1", "--delay", "20ms")
    id = sandbox.create(key="test_made_up", callback_url=f"http://127.0.0.1:{daemon.port}/callback/{SUBMISSION}")["task_id"]
    assert through(sandbox, id) is True
    assert eventually(lambda: verdicts == {d["verdict"] for d in daemon.query.docs("/v1/deliveries")}, "the verdicts")
    if fault == "callback_duplicate":
        eventually(lambda: [c["status"] for c in sandbox.callbacks(id)] == [200, 200], "the duplicate")
    if fault != "attachment_failure":
        assert daemon.query.get(f"/v1/task/{id}").json["status"] == "completed"


def test_the_receiver_sees_revisions(make_daemon, sandbox):
    daemon = make_daemon().start()
    id = sandbox.create(callback_url=f"http://127.0.0.1:{daemon.port}/callback")["task_id"]
    sandbox.complete(id, {"category": "big"})
    assert through(sandbox, id) is True
    sandbox.complete(id, {"category": "small"})
    assert through(sandbox, id) is True
    eventually(lambda: daemon.query.get(f"/v1/task/{id}").json["response"] == {"category": "small"}, "the revision")
    assert len(daemon.query.docs(f"/v1/task/{id}/revisions")) == 2


def test_the_receiver_refuses_another_key(make_daemon, make_sandbox):
    daemon = make_daemon().start()
    sandbox = make_sandbox(*SOON, auth="another-made-up-key")
    id = finish(sandbox, callback_url=f"http://127.0.0.1:{daemon.port}/callback")
    assert through(sandbox, id) is False
    assert {c["status"] for c in sandbox.callbacks(id)} == {401}
