#!/usr/bin/env python3
"""Whether two builds answer the same: `tests/compare.py BUILD-A BUILD-B`, as the build of a release and that of today.

A's daemons, with a stand-in for the API, write a database with rows of every kind (see e2e/save_schema.py). Over a copy
of it each build is asked the same: every call of the query, control and submit sockets, with parameters right and wrong;
callbacks of all kinds; every verb of scalectl; each setting with values that are none; what the programs say of
themselves. What was answered (status, headers, bytes), exit statuses, metrics, the journal's fields and the database at
the end are compared. Time stands still, what is random is not (e2e/shim/still-shim.c), so almost nothing has to be masked:
MASKS has it all.

Printed is what differs: first what only words a text for people in another way (their texts between quotes are taken
away for that), then everything else. The exit status is 1 where there is any of the latter. --record FILE asks the build
in $SCALE_BUILD alone, which is what the two runs do.

A route or a parameter of the source of one of the builds that isn't asked for here is an error: ROUTES has them all."""

import argparse
import difflib
import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "e2e"))

# What is another one each time: ports, and what is measured.
MASKS = ((re.compile(r"(127\.0\.0\.1:|\"port\": ?)\d+"), r"\1PORT"),
         (re.compile(r"(pid|PID|process)[ =:]+\d+"), r"\1 PID"),
         (re.compile(r"^(\w*(?:seconds|bytes|cpu|threads|fds|groups?|checkpoint\w*|wal\w*)\w*(?:\{[^}]*\})?) \S+$", re.M), r"\1 N"),
         (re.compile(r"\"(\w*_bytes|duration|groups|committed|took|uptime)\": ?[\de.-]+"), r'"\1":N'),
         (re.compile(r"^(\w*(?:responses|answers|requests|commit|in_flight|sending|lists_total)\w*(?:\{[^}]*\})?) \S+$", re.M), r"\1 N"),
         (re.compile(r"(wal_bytes +|write-ahead-log: |disk: |free_bytes +)[\d.]+[KMG]?"), r"\1N"),
         (re.compile(r"\"(counted)\":\d+"), r'"\1":N'), (re.compile(r"(INSERT INTO \"delivery\" VALUES\((?:[^,]*,){9})\d+"), r"\1N"), (re.compile(r"\"in_flight\":\d"), '"in_flight":N'),
         # With jitter: what was not at a full second, when time stands still.
         (re.compile(r"\"(next_attempt_at|until)\":\"[^\"]*\.\d{6}Z"), r'"\1":"TIME'),
         (re.compile(r"token=\w+"), "token=TOKEN"), (re.compile(r"\d+(\.\d+)? (ms|s|KB|MB|GB|bytes)\b"), r"N \2"))
WORDS = re.compile(r'"(error|message|text|advice|reason|warning)": ?"((?:[^"\\]|\\.)*)"')
NEAR = ("limi=1", "foo=1", "foo", "foo=", "limit=5&limit=6")
BAD = ("", "x", "-1", "0", "1", "3", "1.5", "99999999999999999999", "a%20b", "%ff", "%00", "x" * 300)
VALUES = {
    "limit": ("100", "101", "1000", "1001"), "offset": ("5", "70"), "after": ("7", "1467000000000000.3", "-5.2", "1.2.3", "1.2.3.4"),
    "status": ("pending", "completed", "canceled", "error"), "type": ("categorization", "annotation", "made-up-3", "nothing"),
    "is_test": ("true", "false", "no"), "metadata": ("7",), "start_time": ("2016-06-25", "2016-06-25T02:18:04.248Z", "2016-13-01"),
    "end_time": ("2016-06-25", "2016-09-30T00:00:00+02:00"), "verdict": ("stored", "duplicate", "revised", "invalid",
    "attachment_failure", "discarded"), "state": ("queued", "sending", "unknown", "accepted", "rejected", "canceled", "expired"),
    "format": ("jsonl", "csv"), "after_seq": ("5", "60"), "time": ("2016-06-25",), "wait": ("61", "301"), "follow": ("false",),
    "include": ("task",), "older_than": ("4294967296", "4294967295", "86400"), "reason": ("lunch", "a%22b%0ac", "%c3%b6"),
    "since": ("2016-06-25", "2030-01-01"), "until": ("2016-06-25",)}
LIST = ("start_time", "end_time", "status", "type", "is_test", "after", "limit", "offset", "metadata")
# Each route with its parameters, by socket.
ROUTES = {
    "query": {
        "GET /v1/tasks": LIST, "GET /v1/task/{id}": (), "GET /v1/task/{id}/revisions": ("after", "limit"),
        "GET /v1/task/{id}/deliveries": ("verdict", "after", "limit"), "GET /v1/deliveries": ("verdict", "after", "limit"),
        "GET /v1/delivery/{n}": (), "GET /v1/delivery/{n}/body": (), "GET /v1/submissions": ("state", "after", "limit"),
        "GET /v1/submission/{id}": (), "GET /v1/events": ("after", "time", "limit", "wait", "follow", "include"),
        "GET /v1/export": ("format", "type", "start_time", "end_time", "status", "is_test", "after_seq", "metadata"),
        "GET /v1/stats": (), "GET /v1/settings": (), "GET /metrics": (), "GET /healthz": (), "GET /readyz": ()},
    "submit": {
        "POST /v1/task/{type}": (), "POST /v1/task/{id}/cancel": (), "GET /v1/task/{id}/cancel": (), "GET /v1/tasks": LIST,
        "GET /v1/task/{id}": (), "GET /v1/submissions": ("state", "after", "limit"), "GET /v1/submission/{id}": (),
        "POST /v1/submission/{id}/retry": (), "POST /v1/submission/{id}/drop": (), "GET /v1/queue": (),
        "POST /v1/queue/hold": ("reason",), "POST /v1/queue/resume": (), "POST /v1/queue/flush": (),
        "POST /v1/reconcile": ("wait",), "GET /v1/reconcile": (), "POST /v1/backfill": ("since", "until"), "GET /v1/backfill": (),
        "GET /v1/stats": (), "GET /v1/settings": (), "GET /metrics": (), "GET /healthz": (), "GET /readyz": ()},
    "control": {
        "POST /v1/delivery/{n}/retry": (), "POST /v1/delivery/{n}/discard": (), "POST /v1/prune": ("older_than",),
        "GET /v1/backup": ()},
    "network": {"GET /healthz": ()},
}


def check_routes(source):
    """All that the tables in the source know is asked for."""
    text = "\n".join(path.read_text() for path in sorted((source / "src").rglob("*.c")) if "sandbox" not in path.parts
                     and "scalectl" not in path.parts)
    routes = {f"{method} {path}" for method, path in re.findall(r'\{ "(GET|POST)", "(/[^"]*)"', text)}
    params = set(re.findall(r'\{ "(\w+)", PARAM_[A-Z]+', text))
    known = {route for table in ROUTES.values() for route in table}
    missed = sorted(routes - known) + sorted(params - {p for table in ROUTES.values() for ps in table.values() for p in ps})
    if missed or len(routes) < 30 or len(params) < 15:
        sys.exit(f"{source} has routes or parameters that ROUTES does not, or none were found: {missed}")


# Asking.

class Recorder:
    def __init__(self, folder):
        self.folder, self.answers = folder, {}

    def mask(self, text):
        text = text.replace(str(self.folder), "/FOLDER")
        for pattern, to in MASKS:
            text = pattern.sub(to, text)
        return text

    def put(self, name, text):
        """What was said, under a name of its own."""
        name = base = name.replace(str(self.folder), "/FOLDER")
        n = 1
        while name in self.answers:
            n += 1
            name = f"{base} #{n}"
        self.answers[name] = self.mask(text)
        if len(self.answers) % 100 == 0:
            print(f"{len(self.answers)} answers", name[:80], time.strftime("%T"), file=sys.stderr, flush=True)

    def call(self, where, local, method, target, body=None, headers=None):
        shown = "" if body is None else " " + (body if isinstance(body, str) else body.decode("latin-1"))[:400]
        name = f"{where} {method} {target}{shown}{f' {headers}' if headers else ''}"
        try:
            answer = local.ask(method, target, headers, body)
        except TimeoutError:
            return self.put(name, "no answer")
        heads = "".join(f"{k}: {v}\n" for k, v in sorted(answer.headers.items()) if k not in ("Date", "Content-Length"))
        text = answer.body.decode("utf-8", "backslashreplace")
        if target == "/v1/backup" and answer.status == 200:
            text = f"({answer.body[:15]})"  # what is in it is compared at the end
        self.put(name, f"{answer.status}\n{heads}\n{text}")
        return answer

    def run(self, name, command, **more):
        run = subprocess.run(list(map(str, command)), capture_output=True, text=True, errors="backslashreplace", timeout=300,
                             stdin=None if "input" in more else subprocess.DEVNULL, **more)
        self.put(name, f"exit {run.returncode}\n{run.stdout}\n--- stderr\n{run.stderr}")
        return run


def targets(socket, ids, numbers, submissions):
    """Every route with everything that there is in its path, and what isn't."""
    for route, params in ROUTES[socket].items():
        method, path = route.split(" ")
        fill = {"{id}": submissions if "submission" in path else ids, "{n}": numbers, "{type}": ()}
        mark = next((m for m in fill if m in path), None)
        paths = [path.replace(mark, str(x)) for x in fill[mark]] if mark else [path]
        yield from ((method, p) for p in paths)
        for name in params:
            for value in (*BAD, *VALUES[name]):
                wanted = f"metadata.batch={value}" if name == "metadata" else f"{name}={value}"
                yield method, f"{paths[0]}?{wanted}"
        for query in NEAR if paths else ():
            yield method, f"{paths[0]}?{query}"
        for other in ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
            if paths and f"{other} {path}" not in ROUTES[socket]:
                yield other, paths[0]


WRONG_IDS = ("nothing", "%00", "0", "-1", "x" * 200, "576ba74eec471ff9b0159999")
LASTS = ("/v1/tasks?limit=3&status=completed&type=categorization", "/v1/tasks?metadata.batch=7&metadata.n=7",
         "/v1/tasks?metadata.=7", "/v1/tasks?metadata=7", "/", "/v1", "/v1/nothing", "/v1/tasks/", "//v1/tasks", "/v1/tasks?a&b")


def read_only(recorder, socket, local, ids, numbers, submissions):
    for method, target in targets(socket, [*ids, *WRONG_IDS], [*numbers, *WRONG_IDS], [*submissions, *WRONG_IDS]):
        path = target.split("?")[0]
        wait = "follow=1" in target or "wait=3" in target or "wait=1" in target
        if not wait and (method == "GET" or f"{method} {path}" not in ROUTES[socket]) and not path.endswith("cancel"):
            recorder.call(socket, local, method, target)
    for target in LASTS:
        recorder.call(socket, local, "GET", target)


def walk(recorder, local, target, limit):
    """All pages, by the cursor."""
    after = ""
    while True:
        page = recorder.call("pages", local, "GET", f"{target}limit={limit}{after}").json
        if not page["has_more"]:
            return
        after = f"&after={page['next']}"


def follow(recorder, local, target, headers, lines):
    """So many lines of a stream that does not end."""
    import harness

    connection = harness.UnixConnection(local.path)
    connection.request("GET", target, headers=headers)
    answer = connection.getresponse()
    recorder.put(f"stream {target} {headers}", f"{answer.status}\n" + b"".join(answer.readline() for _ in range(lines)).decode())
    connection.close()


def feed(recorder, query, last):
    for after in (0, last - 3, last, last + 5):
        recorder.call("feed", query, "GET", f"/v1/events?after={after}&limit=1000&include=task")
        recorder.call("feed", query, "GET", f"/v1/events?after={after}&wait=1")
    event = query.lines(f"/v1/events?after={last - 1}")[0]
    recorder.call("feed", query, "GET", f"/v1/events?after={last}&time={event['time']}")
    recorder.call("feed", query, "GET", f"/v1/events?after={last}&time=2016-01-01")
    follow(recorder, query, f"/v1/events?after={last - 5}&follow=1", {}, 5)
    sse = {"Accept": "text/event-stream"}
    follow(recorder, query, f"/v1/events?after={last - 5}&follow=1", sse, 15)
    follow(recorder, query, "/v1/events?follow=1", {**sse, "Last-Event-ID": f"{last - 3}@{event['time']}"}, 3)
    for id in ("x", "5@x", f"{last}@2016-01-01", ""):
        recorder.call("feed", query, "GET", "/v1/events?limit=5", headers={**sse, "Last-Event-ID": id})


def callbacks(recorder, receiver):
    """All samples, and what is refused before anybody looks at the body."""
    import harness
    from harness import DATA, KEY

    def post(name, body, path="/callback", **headers):
        heads = {"Content-Type": "application/json", "scale-callback-auth": KEY, **{k.replace("_", "-"): v for k, v in headers.items()}}
        connection = receiver.connect()
        method = heads.pop("method", "POST")
        answer = harness.ask(connection, method, path, body, {k: v for k, v in heads.items() if v is not None})
        connection.close()
        kept = "".join(f"{k}: {v}\n" for k, v in sorted(answer.headers.items()) if k not in ("Date", "Content-Length"))
        recorder.put(f"callback {name}", f"{answer.status}\n{kept}\n{answer.body.decode(errors='backslashreplace')}")

    samples = [path for path in sorted(DATA.rglob("*.json")) if "problems" not in path.name
               and path.parent.name not in ("schema", "json", "prometheus")]
    for n, path in enumerate(samples):
        body = path.read_bytes().replace(b"576ba74eec471ff9b01557cc", b"576ba74eec471ff9b02%05d" % n)
        post(f"{path.parent.name}/{path.stem}", body)
        post(f"{path.parent.name}/{path.stem} by reference", body, f"/callback/sub-{n}")
    whole = json.dumps(harness.callback(id="576ba74eec471ff9b0300000"))
    for name, change in {"no key": {"scale_callback_auth": None}, "wrong key": {"scale_callback_auth": "no"},
                         "blanks": {"scale_callback_auth": f" {KEY} "}, "text": {"Content_Type": "text/plain"},
                         "no type": {"Content_Type": None}, "charset": {"Content_Type": "application/json; charset=utf-8"},
                         "gzip": {"Content_Encoding": "gzip"}, "expect": {"Expect": "200-ok"}, "too long": {"Content_Length": "99999999"}}.items():
        post(name, whole, **change)
    for method in ("GET", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH"):
        post(method, None, method=method)
        post(f"{method} /healthz", None, "/healthz", method=method)
    for path in ("/", "/callback/", "/callback/sub-1/", "/callback/a/b", "/callback/" + "x" * 300, "/callback/%00", "/Callback",
                 "/callback?x=1", "/healthz/", "/healthz?x"):
        post(f"to {path}", whole, path)
    for body in ("", "[]", "{}", "{", "null", '{"a":1,"a":2}', "[" * 5000, '{"task_id":7}', b"\xff", '{"task_id":"x","response":{}}',
                 '{"task_id":"' + "x" * 2000 + '","response":{}}'):
        post(f"body {body[:40]!r}", body)
    for raw in ("GET / HTTP/1.1\r\n\r\n", "POST /callback HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
                "POST /callback HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "nonsense\r\n\r\n",
                "GET /healthz HTTP/1.0\r\n\r\n", "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nA: " + "x" * 40000 + "\r\n\r\n"):
        connection = receiver.raw().say(raw)
        try:
            connection.socket.shutdown(1)
        except OSError:  # refused already
            pass
        text = connection.hear().decode(errors="backslashreplace")
        recorder.put(f"raw {raw[:80]!r}", re.sub(r"Date: .*", "", text))
        connection.close()


def control(recorder, receiver, numbers):
    for n in [*numbers, *WRONG_IDS]:
        recorder.call("control", receiver.control, "POST", f"/v1/delivery/{n}/retry")
        if str(n)[-1] in "x379":
            recorder.call("control", receiver.control, "POST", f"/v1/delivery/{n}/discard")
            recorder.call("control", receiver.control, "POST", f"/v1/delivery/{n}/retry")
    for value in (*BAD, *VALUES["older_than"]):
        if value not in ("0", "1", "3"):
            recorder.call("control", receiver.control, "POST", f"/v1/prune?older_than={value}")
    for target in ("/v1/prune", "/v1/prune?older=1", "/v1/delivery/1", "/v1/nothing", "/"):
        recorder.call("control", receiver.control, "POST", target)
    for method in ("GET", "PUT", "DELETE"):
        recorder.call("control", receiver.control, method, "/v1/prune")
        recorder.call("control", receiver.control, method, "/v1/delivery/1/retry")
    recorder.call("control", receiver.control, "GET", "/v1/backup")


def tasks_to_submit():
    """A right one of each type, as the API's own examples have them."""
    from harness import DATA

    for path in sorted((DATA / "quickstart").glob("[1-6]-*.json")):
        task = json.loads(path.read_bytes())["task"]
        yield task["type"], {**task["params"], "instruction": task["instruction"], "urgency": task["urgency"],
                             "callback_url": "http://www.example.com/callback"}


def submit(recorder, submitter):
    """Parameters right and wrong, while the queue is held."""
    json_head, form_head = {"Content-Type": "application/json"}, {"Content-Type": "application/x-www-form-urlencoded"}

    def post(kind, body, headers=json_head):
        return recorder.call("submit", submitter.submit, "POST", f"/v1/task/{kind}",
                             body if isinstance(body, (str, bytes)) else json.dumps(body), headers)

    recorder.call("submit", submitter.submit, "POST", "/v1/queue/hold?reason=compared")
    for kind, task in tasks_to_submit():
        post(kind, task)
        for name in task:
            for value in (None, 7, -1.5, "", "x", True, [], ["a", "a"], {}, {"a": 1}, {"a": "b"}):
                post(kind, {**task, name: value})
            post(kind, {k: v for k, v in task.items() if k != name})
        for name, value in (("urgenci", "day"), ("metadata", {"a": {"b": "c"}}), ("metadata", "x"), ("metadata", {"scale_submission_id": "x"}),
                            ("something_else", 1), ("with_labels", True), ("allow_multiple", "true"), ("min_width", "wide"),
                            ("examples", [{"correct": True}]), ("callback_url", "ftp://x"), ("urgency", "now")):
            post(kind, {**task, name: value})
        form = urllib.parse.urlencode([(k, v) for k, v in task.items() if isinstance(v, str)], safe="")
        post(kind, form, form_head)
        post(kind, form + "".join(f"&{k}={x}" for k, v in task.items() if isinstance(v, list) for x in v)
             + "".join(f"&{k}[{a}]={b}" for k, v in task.items() if isinstance(v, dict) for a, b in v.items()), form_head)
        for body in ("", "x", "a=%", "&&", "a[b=c", "a[0]=1&a[b]=2", "examples[0][correct]=true&examples[1][x]=y", form + "&urgency=day&urgency=week"):
            post(kind, body, form_head)
    for body in ("", "[]", "{", "null", '{"a":1,"a":2}', b"\xff", "[" * 5000):
        post("categorization", body)
    for kind in ("nothing", "categorisation", "%00", "x" * 200):
        post(kind, {})
    _, task = next(tasks_to_submit())
    for headers in ({}, {"Content-Type": "text/plain"}, {**json_head, "Content-Encoding": "gzip"}, {**json_head, "Idempotency-Key": ""},
                    {**json_head, "Idempotency-Key": "x" * 300}, {**json_head, "Idempotency-Key": "one"},
                    {**json_head, "Idempotency-Key": "one"}):
        post("categorization", task, headers)
    post("categorization", {**task, "instruction": "Another."}, {**json_head, "Idempotency-Key": "one"})


def outcomes(recorder, submitter, api, query):
    """One submission for each way in which the API can answer; then what is known of it."""
    import harness

    plans = {"400": (400, {"status_code": 400, "error": "No."}), "401": (401, {"status_code": 401, "error": "Who?"}), "402": (402, {}),
             "403": (403, {}), "404": (404, {"error": "Not there."}), "409": (409, {}), "422": (422, {"x": 1}),
             "429": (429, {}, {"Retry-After": "1"}), "500": (500, {}), "503": (503, {}, {"Retry-After": "2"}),
             "html": (200, b"<html>", {}, "text/html"), "html 400": (400, b"<html>", {}, "text/html"), "204": (204, b""), "301": (301, {}, {"Location": "/"}),
             "200 empty": (200, {}), "200 list": (200, []), "200 other": (200, {"task_id": 7}), "drop": "drop", "drop before": "drop before"}
    for name, plan in plans.items():
        before = len(api.requests)
        api.plan = lambda method, path, body, plan=plan: plan if method == "POST" and "cancel" not in path else None
        id = submitter.add(attachment=f"answered {name}")
        harness.eventually(lambda: len(api.requests) > before and submitter.state(id) not in ("queued", "sending")
                           or "last_error" in submitter.submission(id) or submitter.submission(id).get("attempts"), f"an answer: {name}")
        settle(submitter, api)
        recorder.call(f"after {name}", submitter.submit, "GET", f"/v1/submission/{id}")
        recorder.call(f"after {name}", submitter.submit, "GET", "/v1/queue")
        recorder.call(f"after {name}", submitter.submit, "GET", "/readyz")
        api.plan = lambda method, path, body: None
        recorder.call(f"after {name}", submitter.submit, "POST", "/v1/queue/resume")
        recorder.call(f"after {name}", submitter.submit, "POST", "/v1/queue/flush")
        settle(submitter, api)
        recorder.call(f"in the end {name}", submitter.submit, "GET", f"/v1/submission/{id}")
    settle(submitter, api)


def settle(submitter, api):
    """Until nothing has moved for a while."""
    since, seen = time.monotonic(), None
    while time.monotonic() < since + 1:
        queue = submitter.submit.get("/v1/queue").json
        look = len(api.requests), queue["by_state"]
        if look != seen or queue["in_flight"] > 0 or queue["by_state"]["sending"] > 0:
            since, seen = time.monotonic(), look
        time.sleep(0.02)


def writes(recorder, submitter, receiver, api, ids, submissions):
    local = submitter.submit

    def call(method, target):
        return recorder.call("submit", local, method, target)

    for id in [*submissions, *WRONG_IDS]:
        for verb in ("retry", "drop"):
            call("POST", f"/v1/submission/{id}/{verb}")
        call("POST", f"/v1/task/{id}/cancel")
        settle(submitter, api) if id in submissions else None
    for id in [*ids[:12], *WRONG_IDS]:
        call("GET", f"/v1/task/{id}/cancel")
        settle(submitter, api)
    for value in (*BAD, *VALUES["reason"]):
        call("POST", f"/v1/queue/hold?reason={value}")
        call("GET", "/v1/queue")
    for target in ("/v1/queue/hold", "/v1/queue/hold?why=x", "/v1/queue/resume", "/v1/queue/resume", "/v1/queue/flush", "/v1/queue/other"):
        call("POST", target)
        settle(submitter, api)
    for task in [t for t in api.tasks if t["status"] == "pending"][:10]:
        api.complete(task, {"category": "small"} if task["type"] == "categorization" else {"x": 1})
    for value in (*BAD, *VALUES["wait"]):
        if value not in ("1", "3", "0", "61"):
            call("POST", f"/v1/reconcile?wait={value}")
    for target in ("/v1/reconcile?wait=60", "/v1/reconcile?wait=60", "/v1/reconcile?foo=1"):
        call("POST", target)
    call("GET", "/v1/reconcile")
    for name in ("since", "until"):
        for value in (*BAD, *VALUES[name], "2030-01-01&until=2016-01-01"):
            call("POST", f"/v1/backfill?{name}={value}")
            settle_backfill(recorder, submitter)


def settle_backfill(recorder, submitter):
    import harness

    harness.eventually(lambda: submitter.submit.get("/v1/backfill").json["state"] != "running", "the end of the backfill")
    recorder.call("submit", submitter.submit, "GET", "/v1/backfill")


def command_line(recorder, receiver, submitter, ids, numbers, submissions):
    import harness

    options = [f"query.socket={receiver.query.path}", f"control.socket={receiver.control.path}", f"submit.socket={submitter.submit.path}",
               f"callback.auth_keys_file={receiver.dir}/keys", f"store.path={receiver.database}", f"callback.listen=127.0.0.1:{receiver.port}",
               f"api.url={submitter.api_url}", f"api.key_file={submitter.dir}/api-key"]
    out = recorder.folder / "out"
    out.mkdir()
    verbs = [["tasks"], ["tasks", "--status", "pending"], ["tasks", "--status", "x"], ["tasks", "--type", "x"], ["tasks", "-n", "3"],
             ["tasks", "-n", "0"], ["tasks", "-n", "x"], ["tasks", "--since", "x"], ["tasks", "--since", "2016-06-25", "--until", "2016-07-01"],
             ["tasks", "--metadata", "batch=7"], ["tasks", "--metadata", "batch"], ["tasks", "x"], ["tasks", "--foo"],
             *(["task", id] for id in (*ids[:8], "x", "")), *(["task", id, "--revisions"] for id in (*ids[:8], "x")),
             *(["task", id, "--deliveries"] for id in (*ids[:8], "x")), ["task"], ["task", "a", "b"], ["stats"], ["stats", "x"],
             ["deliveries"], ["deliveries", "--verdict", "invalid"], ["deliveries", "--verdict", "x"], ["deliveries", "--type", "comparison"],
             ["deliveries", "--since", "2016"], ["deliveries", "--after", "9", "-n", "4"], *(["delivery", n] for n in (*numbers[:9], "x", "0", "9999")),
             ["delivery", numbers[0], "--raw"], ["delivery"], ["quarantine"], ["quarantine", "list"], ["quarantine", "list", "-n", "1"],
             ["quarantine", "retry", "--dry-run", *map(str, numbers[:9])], ["quarantine", "discard", "--dry-run", "9999", "x"], ["quarantine", "retry"],
             ["quarantine", "retry", numbers[-1]], ["quarantine", "discard", "9999"], ["quarantine", "foo"], ["queue"], ["queue", "list"],
             ["queue", "list", "--state", "accepted"], ["queue", "list", "--state", "x"], ["queue", "list", "-n", "2"],
             *(["queue", "show", s] for s in (*submissions[:9], "x")), ["queue", "hold", "a reason"], ["queue", "list"], ["queue", "resume"],
             ["queue", "flush"], ["queue", "retry", "--dry-run", *submissions[:5]], ["queue", "drop", "--dry-run", *submissions[:5]],
             ["queue", "drop", "x"], ["queue", "retry", "x"], ["queue", "drop"], ["queue", "foo"], ["cancel"], ["cancel", "x"],
             ["cancel", "--dry-run", *ids[:5]], ["cancel", *ids[:2]], ["submit"], ["submit", "categorization"], ["submit", "foo", "-d", "a=b"],
             ["submit", "categorization", "-d", "x"], ["submit", "categorization", "-d", "instruction=x", "-d", "attachment_type=text", "-d",
              "attachment=ant", "-d", "categories=a", "-d", "categories=b"], ["submit", "annotation", "-d", "min_width=wide"],
             ["submit", "categorization", "-f", "/nothing"], ["reconcile"], ["reconcile", "x"], ["backfill"], ["backfill", "--since", "x"],
             *(["simulate", kind] for kind, _ in tasks_to_submit()), ["simulate"], ["simulate", "foo"], ["simulate", "comparison", "--to", "http://127.0.0.1:1/x"],
             *(["export", "--format", f, *more] for f in ("jsonl", "csv", "coco", "yolo", "voc", "srt", "vtt", "ctm", "manifest", "x")
               for more in ([], ["-o", out / f], ["--type", "annotation", "-o", out / f"{f}-a"], ["--type", "audiotranscription", "-o", out / f"{f}-b"],
                            ["--strict", "--status", "completed"], ["--metadata", "batch=7", "--verbose"])),
             ["export"], ["export", "--task", ids[0]], ["prune"], ["prune", "--older-than", "x"], ["prune", "--older-than", "20000d"],
             ["backup"], ["backup", out / "backup"], ["backup", out / "backup"], ["restore"], ["restore", "/nothing"], ["check-config"],
             ["check-config", "x"], ["doctor"], ["doctor", "--foo"], ["view", "--port", "x"], ["watch", "--after", "x"], ["wait"], ["foo"], [],
             ["help"], ["--help"], ["--version"], ["--foo"]]
    for verb in verbs:
        for json_option in ([], ["--json"]):
            name = f"scalectl {' '.join(map(str, [*json_option, *verb]))}"
            env = {**os.environ, **receiver.env, "TZ": "UTC", "HOME": str(recorder.folder), "COLUMNS": "120"}
            recorder.run(name, [harness.SCALECTL, *(x for o in options for x in ("-o", o)), *json_option, *verb], env=env)
            if verb[:1] == ["cancel"] or verb[:2] == ["queue", "resume"]:
                time.sleep(0.5)
    for verb in sorted({str(v[0]) for v in verbs if v and v[0] not in ("foo",)}):
        recorder.run(f"scalectl {verb} --help", [harness.SCALECTL, verb, "--help"])
        nowhere = [f"{n}.socket=/nowhere/{n}" for n in ("query", "control", "submit")]
        recorder.run(f"scalectl {verb}, nobody there", ["timeout", "20", harness.SCALECTL, *(x for o in nowhere for x in ("-o", o)), verb])
    for path in sorted(out.rglob("*")):
        if path.is_file() and path.name != "backup":
            recorder.put(f"exported {path.relative_to(out)}", path.read_bytes().decode("utf-8", "backslashreplace"))


def settings(recorder, receiver, submitter):
    """Each setting with values that are none; what the programs say of themselves."""
    import harness

    for program, daemon in ((harness.CALLBACKD, receiver), (harness.SUBMITD, submitter)):
        name, base = program.name, daemon.command()
        for option in ("--dump-config", "--check-config", "--list-metrics", "--help", "--version", "--foo", "--config=/nothing", "--log-level=x"):
            recorder.run(f"{name} {option}", [*base, option])
            recorder.run(f"{name} {option}, without settings", [program, option])
        section = ""
        for line in subprocess.run([str(program), "--dump-config"], capture_output=True, text=True, check=True).stdout.splitlines():
            section = line.strip("[]") if line.startswith("[") else section
            key = f"{section}.{line.split(' = ')[0]}" if " = " in line else None
            for value in ("", "wide", "-1", "0", "1", "5s", "8K", "99999999999999999999", "yes", "1d 2h", "/x y", "unix:", "http://x", "::1") if key else ():
                recorder.run(f"{name} -o {key}={value}", [*base, "-o", f"{key}={value}", "--check-config"])
                recorder.run(f"{name} dumps {key}={value}", [*base, "-o", f"{key}={value}", "--dump-config"])
        for text in ("", "[foo]\nx = 1\n", "[callback]\nfoo = 1\n", "x = 1\n", "[callback\n", "[callback]\nmax_body = 1\nmax_body = wide\n",
                     "[store]\npath = relative\n", "[api]\nurl = http://example.com\n"):
            (recorder.folder / "scale.conf").write_text(text)
            recorder.run(f"{name} with {text!r}", [program, f"--config={recorder.folder}/scale.conf", "--check-config"])
    recorder.run("scale-sandbox --help", [harness.SANDBOX, "--help"])
    for options in (["--foo"], ["--fault", "x=1"], ["--fault", "lag"], ["--delay", "x"], ["--listen", "0.0.0.0:1"], ["--seed", "x"]):
        recorder.run(f"scale-sandbox {options}", [harness.SANDBOX, *options])


def journal(recorder, path):
    """The fields that came with each kind of event."""
    kinds = {}
    for line in path.read_text(errors="backslashreplace").splitlines():
        fields = dict(part.split("=", 1) for part in line.split("\t") if "=" in part)
        key = (fields.get("SYSLOG_IDENTIFIER"), fields.get("MESSAGE_ID"), fields.get("PRIORITY"))
        kinds.setdefault(key, set()).update(fields)
    for (program, id, priority), names in kinds.items():
        if id:
            recorder.put(f"journal of {program}, message {id}, priority {priority}", " ".join(sorted(names)))


def run_in_journal(daemon, journal_file):
    """Started with standard error as a stream of the journal."""
    for path in (daemon.dir / "keys", daemon.dir / "api-key"):
        if path.exists():
            os.utime(path, (0, 0))  # long before the time that stands still
    daemon.log_path.touch()
    stat = daemon.log_path.stat()
    daemon.env |= {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}", "STILL_JOURNAL": str(journal_file)}
    return daemon.start()


def record(folder, database, api_tasks, now):
    """All of it, of the build in $SCALE_BUILD."""
    import harness
    import save_schema
    from api import Api

    recorder = Recorder(folder)
    shim = folder / "still-shim.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-D_FORTIFY_SOURCE=0", "-o", shim, HERE / "e2e/shim/still-shim.c", "-ldl"], check=True)
    env = {"LD_PRELOAD": str(shim), "STILL_TIME": str(now)}
    receiver = save_schema.make_receiver(folder / "receiver")
    receiver.env = dict(env)
    save_schema.restore(database, receiver.database)
    api = Api(keys=[harness.TEST_KEY, save_schema.LIVE_KEY])
    api.tasks, api.now = api_tasks, lambda: time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(now))
    api.date_offset = now - time.time()
    create = api.create

    def create_still(*arguments):
        """With an id that doesn't depend on which of two came first."""
        task = create(*arguments)
        task["task_id"] = f"{now:08x}{hashlib.sha256(task['metadata']['scale_submission_id'].encode()).hexdigest()[:16]}"
        return task

    api.create = create_still
    run_in_journal(receiver, folder / "journal")
    submitter = harness.Submitter(folder / "submitter", api.url, "submit.callback_url=https://hooks.example.com/callback",
                                  "api.max_in_flight=1", database=receiver.database, env=dict(env), key=save_schema.LIVE_KEY)
    try:
        ids = [d["task_id"] for d in save_schema.all_pages(receiver.query, "/v1/tasks", 100)]
        numbers = [d["delivery"] for d in save_schema.all_pages(receiver.query, "/v1/deliveries", 100)]
        submissions = [d["submission_id"] for d in save_schema.all_pages(receiver.query, "/v1/submissions", 100)]
        last = receiver.query.get("/v1/stats").json["last_event"]
        read_only(recorder, "query", receiver.query, ids, numbers, submissions)
        for target in ("/v1/tasks?", "/v1/deliveries?", "/v1/submissions?", "/v1/tasks?type=categorization&"):
            for limit in (1, 7):
                walk(recorder, receiver.query, target, limit)
        feed(recorder, receiver.query, last)
        api.plan = lambda method, path, body: (503, {})
        run_in_journal(submitter, folder / "journal")
        submitter.submit.post("/v1/queue/hold?reason=compared")
        settle(submitter, api)
        read_only(recorder, "submit", submitter.submit, ids, numbers, submissions)
        api.plan = lambda method, path, body: None
        settle(submitter, api)
        submit(recorder, submitter)
        submitter.submit.post("/v1/queue/flush")
        submitter.submit.post("/v1/queue/resume")
        harness.eventually(lambda: not submitter.submit.docs("/v1/submissions?state=queued"), "that all is sent", lambda: len(api.requests))
        settle(submitter, api)
        outcomes(recorder, submitter, api, receiver.query)
        writes(recorder, submitter, receiver, api, ids, submissions)
        callbacks(recorder, receiver)
        control(recorder, receiver, numbers)
        command_line(recorder, receiver, submitter, ids, numbers, submissions)
        settings(recorder, receiver, submitter)
        settle(submitter, api)
        last = receiver.query.get("/v1/stats").json["last_event"]
        for target in ("/v1/tasks?", "/v1/deliveries?", "/v1/submissions?"):
            walk(recorder, receiver.query, target, 100)
        for after in range(0, last, 500):
            recorder.call("in the end", receiver.query, "GET", f"/v1/events?after={after}&limit=500")
        for local in (receiver.query, submitter.submit):
            for target in ("/v1/stats", "/metrics", "/v1/settings"):
                recorder.call(f"in the end, {local.path.name}", local, "GET", target)
    finally:
        api.plan = lambda method, path, body: None
        for daemon in (submitter, receiver):
            if daemon.process:
                daemon.signal(signal.SIGTERM)
                try:
                    recorder.put(f"exit status of {daemon.dir.name}", str(daemon.wait()))
                except subprocess.TimeoutExpired:
                    recorder.put(f"exit status of {daemon.dir.name}", "does not stop")
                    daemon.kill()
        api.close()
    journal(recorder, folder / "journal")
    for line in save_schema.dump(receiver.database).splitlines():
        if not line.startswith(('INSERT INTO "mark"', 'INSERT INTO "running_time"', 'INSERT INTO "chain"')):  # clocks, chance
            recorder.put("row " + line[:60], line)
    recorder.put("requests to the API", "\n".join(f"{m} {p} {json.dumps(b)}" for m, p, b in api.requests))
    return recorder.answers


# Comparing.

def compare(a, b):
    """What differs in words alone, and what else does."""
    words, others = [], []
    for name in [*a, *(n for n in b if n not in a)]:
        was, now = a.get(name), b.get(name)
        if was == now:
            continue
        difference = "\n".join(difflib.unified_diff((was or "(nothing)").splitlines(), (now or "(nothing)").splitlines(), "A", "B", "", "", 0, ""))
        if was and now and without_words(name, was) == without_words(name, now):
            words.append((name, difference))
        else:
            others.append((name, difference))
    return words, others


def without_words(name, text):
    """Texts for people away: members of JSON, and of programs what goes to standard error, and help."""
    if "exit " in text[:5]:
        return text.split("\n")[0] if "--json" not in name else WORDS.sub("", text.split("--- stderr")[0])
    if "/metrics" in name:
        return re.sub(r"^# HELP .*$", "", text, flags=re.M)
    return WORDS.sub("", text)


def record_build(build, out, recorded, folder):
    folder.mkdir()
    return subprocess.Popen([sys.executable, __file__, "--record", out, "--database", recorded, "--folder", folder],
                            env={**os.environ, "SCALE_BUILD": str(build)})


def source_of(build):
    return pathlib.Path(json.loads((build / "meson-info/meson-info.json").read_text())["directories"]["source"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("builds", nargs="*", type=pathlib.Path, metavar="BUILD")
    parser.add_argument("--record", type=pathlib.Path)
    parser.add_argument("--database", type=pathlib.Path)
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("--keep", type=pathlib.Path, help="what was answered is left in this folder")
    options = parser.parse_args()
    if options.record:
        kept = json.loads(options.database.read_text())
        options.record.write_text(json.dumps(record(options.folder, kept["database"], kept["api_tasks"], kept["now"])))
        return 0
    if len(options.builds) != 2:
        parser.error("expected two folders of builds")
    builds = [build.resolve() for build in options.builds]
    for build in builds:
        check_routes(source_of(build))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        recorded, answers = folder / "recorded.json", []
        make = ("import sys, json, time, pathlib; sys.path.insert(0, sys.argv[1]); import save_schema; (pathlib.Path(sys.argv[2]) / 'w').mkdir(); "
                "text, tasks = save_schema.write(pathlib.Path(sys.argv[2]) / 'w'); pathlib.Path(sys.argv[3]).write_text("
                "json.dumps({'database': text, 'api_tasks': tasks, 'now': int(time.time()) + 60}))")
        subprocess.run([sys.executable, "-c", make, HERE / "e2e", folder, recorded], env={**os.environ, "SCALE_BUILD": str(builds[0])}, check=True)
        # Side by side.
        running = [record_build(build, folder / f"{name}.json", recorded, folder / name) for name, build in zip("AB", builds)]
        if any([process.wait() != 0 for process in running]):
            sys.exit("one of them was not recorded to its end")
        for name in "AB":
            answers.append(json.loads((folder / f"{name}.json").read_text()))
            if options.keep:
                options.keep.mkdir(exist_ok=True)
                (options.keep / f"{name}.json").write_text(json.dumps(answers[-1], indent=1))
    words, others = compare(*answers)
    for title, found in (("In words alone", words), ("Otherwise", others)):
        print(f"== {title}: {len(found)} of {len(answers[0])}")
        for name, difference in found:
            print(f"\n-- {name[:200]}\n{difference[:3000]}")
    print(f"\n{len(answers[0])} answers, {len(words)} differ in words alone, {len(others)} otherwise")
    return 1 if others else 0


if __name__ == "__main__":
    sys.exit(main())
