"""The command line as people and scripts use it: help, filters, many at once."""

import json
import os
import pathlib
import pwd
import re
import signal
import socket
import subprocess
import tempfile

import pytest

from harness import PARAMS, SCALECTL, WAIT, callback, eventually, scalectl
from siege import metric

VERBS = [line.split("\t")[0] for line in
         subprocess.run([SCALECTL, "words"], capture_output=True, text=True).stdout.splitlines()]
STATES = ["queued", "sending", "unknown", "accepted", "rejected", "canceled", "expired"]
VERDICTS = ["stored", "duplicate", "revised", "invalid", "attachment_failure", "discarded"]


def run(*arguments, stdin=None, options=(), prefix=(), zone="UTC"):
    command = [*prefix, str(SCALECTL), *(x for o in options for x in ("-o", o)), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=WAIT,
                          env={**os.environ, "TZ": zone})


def ctl(submitter, *arguments, stdin=None):
    return run(*arguments, stdin=stdin, options=[f"submit.socket={submitter.submit.path}"])


def lines(done):
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def words(verb):
    """What completion is told: from option to the words that fit."""
    rows = [line.split("\t") for line in run("words", verb).stdout.splitlines()]
    assert all(len(row) == 4 for row in rows)
    return {row[0]: row[2].split() for row in rows}


# Help.

def test_words_are_the_verbs_of_the_help():
    assert VERBS == re.findall(r"^  ([a-z][a-z-]+)", run("--help").stdout, re.M) and len(VERBS) > 15


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("where", [["--help"], ["-h"], ["something", "--help", "--nonsense"], ["--json", "-h"]])
def test_every_verb_has_help(verb, where):
    done = run("--config=/nonexistent", verb, *where)  # also where the configuration is bad
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: scalectl {verb}")
    assert "see scalectl(1)" not in done.stdout  # an option that nothing is said about
    example = re.search(r"^example:\n((?:  .*\n)+)", done.stdout, re.M)
    assert example and f"scalectl" in example[1] and verb in example[1]
    shown = set(re.findall(r"^  (--?[a-z][a-z-]*)", done.stdout, re.M))
    assert shown == {w for w in words(verb) if w.startswith("-")}


@pytest.mark.parametrize("verb", VERBS)
def test_usage_and_options_agree(verb):
    usage = run(verb, "--help").stdout.split("\n\n")[0]
    named = set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", usage))
    known = {w for w in words(verb) if w.startswith("-")}
    assert named <= known
    assert known - named <= {"--json", "--utc", "--help", "--data", "--file"}


def test_a_double_dash_ends_options():
    assert run("task", "--", "--help").returncode != 0


# Filters.

def test_options_that_do_not_apply_name_those_that_do():
    done = run("deliveries", "--status", "completed")
    assert done.returncode == 64
    assert "no option --status" in done.stderr
    for name in ("--verdict", "--type", "--since", "--until", "--after", "-n", "--json", "--utc"):
        assert name in done.stderr


@pytest.mark.parametrize("verb, option, wanted", [
    ("tasks", "--status", ["pending", "completed", "canceled", "error"]), ("deliveries", "--verdict", VERDICTS),
    ("queue", "--state", STATES), ("export", "--status", ["pending", "completed", "canceled", "error"])])
def test_a_wrong_word_names_the_right_ones(verb, option, wanted):
    done = run(verb, option, "nonsense")
    assert done.returncode == 64 and ", ".join(wanted) in done.stderr
    assert words(verb)[option] == wanted


def test_the_daemon_knows_the_words(daemon, submitter):
    """All of them, and no others."""
    assert "by_verdict" in daemon.query.get("/v1/stats").body.decode()
    for verdict in words("deliveries")["--verdict"]:
        assert scalectl(daemon, "deliveries", "--verdict", verdict).returncode == 0
    for status in words("tasks")["--status"]:
        assert scalectl(daemon, "tasks", "--status", status).returncode == 0
    for state in words("queue")["--state"]:
        assert ctl(submitter, "queue", "list", "--state", state).returncode == 0
    for kind in words("simulate")["1"]:
        assert scalectl(daemon, "simulate", kind).returncode in (0, 1)
    for what, query in (("verdict", "deliveries"), ("status", "tasks"), ("state", "submissions")):
        error = daemon.query.get(f"/v1/{query}?{what}=nonsense", 400).json["error"]
        known = {"verdict": VERDICTS, "status": words("tasks")["--status"], "state": STATES}[what]
        assert all(word in error for word in known), error


def test_deliveries_are_chosen(daemon):
    for _ in range(3):
        daemon.deliver(callback())
    daemon.post("{", status=400)
    body = callback()
    body["task"].update(type="transcription", params={"attachment_type": "text", "attachment": "x",
                                                      "fields": {"title": "t"}})
    body["response"] = body["task"]["response"] = {"fields": {"title": "x"}}
    daemon.deliver(body)

    def numbers(*arguments):
        return [d["delivery"] for d in lines(scalectl(daemon, "--json", "deliveries", *arguments))]

    assert numbers() == [1, 2, 3, 4, 5]
    assert numbers("--type", "categorization") == [1, 2, 3]
    assert numbers("--type", "categorization", "-n", 2) == [1, 2]
    assert numbers("--type", "categorization", "--after", 1, "-n", 1) == [2]
    assert numbers("--type", "transcription") == [5]
    assert numbers("--since", "1h") == [1, 2, 3, 4, 5] and numbers("--until", "1h") == []
    assert numbers("--since", "2h", "--until", "now", "--verdict", "invalid") == [4]
    received = lines(scalectl(daemon, "--json", "deliveries"))[2]["received_at"]
    assert numbers("--since", received) == [3, 4, 5] and numbers("--until", received) == [1, 2, 3]
    assert [d["delivery"] for d in lines(scalectl(daemon, "--json", "quarantine", "list", "--since", "1h"))] == [4]
    assert lines(scalectl(daemon, "--json", "quarantine", "list", "--after", 4)) == []


def test_a_time_is_among_what_it_chooses_everywhere(daemon):
    """The API's end_time is the maximum value: no list leaves out what was at just that time."""
    body = callback()
    daemon.deliver(body)
    daemon.post("{", status=400)
    created = body["task"]["created_at"]
    received = lines(scalectl(daemon, "--json", "quarantine"))[0]["received_at"]
    for what, time in (("tasks", created), ("export", created), ("quarantine", received)):
        for option in ("--since", "--until"):
            assert len(lines(scalectl(daemon, "--json", what, option, time))) == 1, (what, option)


def test_filters_reach_beyond_a_page(daemon):
    for i in range(230):
        daemon.post("{" + " " * i, status=400)
    daemon.deliver(callback())
    got = lines(scalectl(daemon, "--json", "deliveries", "--type", "categorization", "-n", 1))
    assert [d["delivery"] for d in got] == [231]


@pytest.fixture
def held(make_submitter):
    submitter = make_submitter().start()
    submitter.submit.post("/v1/queue/hold")
    return submitter


def test_the_queue_is_chosen(held):
    ids = [held.add() for _ in range(3)]

    def chosen(*arguments):
        return [s["submission_id"] for s in lines(ctl(held, "--json", "queue", "list", *arguments))]

    assert sorted(chosen()) == sorted(ids)
    assert chosen("--type", "categorization", "-n", 1) == [chosen()[0]]
    assert chosen("--type", "annotation") == [] and chosen("--until", "1h") == []
    assert sorted(chosen("--since", "1h", "--state", "queued")) == sorted(ids)
    first = held.submission(ids[0])["created_at"]
    assert chosen("--until", first) == [ids[0]] and sorted(chosen("--since", first)) == sorted(ids)


@pytest.mark.parametrize("arguments", [
    ["quarantine", "retry", "--since", "1h", "1"], ["quarantine", "--dry-run"], ["quarantine", "list", "--dry-run"],
    ["quarantine", "retry"], ["queue", "drop", "--state", "queued", "x"], ["queue", "hold", "--dry-run"],
    ["queue", "show", "x", "--dry-run"], ["queue", "nonsense"], ["cancel"], ["cancel", "--dry-run"],
    ["task", "x", "--revisions", "--deliveries"]])
def test_what_does_not_go_together(arguments):
    done = run(*arguments)
    assert done.returncode == 64 and "usage: scalectl" in done.stderr and "--help" in done.stderr


def test_a_file_of_tasks_says_why_nobody_took_it(tmp_path):
    (tmp_path / "tasks").write_text('{"type": "categorization", "attachment": "car"}\n')
    done = run("submit", "--from", tmp_path / "tasks", options=[f"submit.socket={tmp_path}/none"])
    assert done.returncode == 69 and "nobody listens" in done.stderr and "run it again" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="nobody else can be tried without root")
def test_who_may_not_use_a_socket_is_told_what_helps():
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = f"{folder}/socket"
        os.chmod(folder, 0o755)  # everybody may go there
        listener.bind(path)
        listener.listen()
        for mode, owner, said in ((0o660, 0, "are you in the group of the socket?"), (0o600, 0, "only root may"),
                                  (0o600, 1, f"only root and {pwd.getpwuid(1).pw_name} may")):
            os.chmod(path, mode)
            os.chown(path, owner, 0)
            for arguments in (["tasks"], ["submit", "--from", "-", "--batch", "x"]):
                done = run(*arguments, stdin='{"type": "x"}\n', prefix=nobody,
                           options=[f"query.socket={path}", f"submit.socket={path}"])
                assert done.returncode == 77 and said in done.stderr, done.stderr


@pytest.mark.parametrize("arguments", [
    ["task", "x" * 9000], ["tasks", "--metadata", "k=" + "\u00e9" * 2000], ["queue", "show", "x" * 9000],
    ["submit", "x" * 9000, "-d", "a=b"], ["export", "--type", "x" * 9000]])
def test_what_is_too_long_is_no_lack_of_memory(daemon, arguments):
    done = scalectl(daemon, *arguments)
    assert done.returncode == 64 and "too long" in done.stderr and "memory" not in done.stderr


# Many at once.

def quarantined(daemon, n):
    bodies = [callback() for _ in range(n)]
    for body in bodies:
        daemon.post({"task_id": body["task_id"], "response": body["response"]}, status=422)
    return bodies


def test_ids_from_standard_input(daemon):
    bodies = quarantined(daemon, 4)
    for body in bodies[:3]:
        daemon.deliver({**body, "response": {"category": "small"},
                        "task": {**body["task"], "response": {"category": "small"}}})
    listed = scalectl(daemon, "--json", "quarantine", "list")
    assert len(lines(listed)) == 4
    dry = scalectl(daemon, "quarantine", "retry", "--dry-run", "-", stdin=listed.stdout)
    assert dry.returncode == 0 and dry.stdout.count("invalid, would be retried") == 4
    assert "4 would be retried, 0 refused" in dry.stderr
    assert len(lines(scalectl(daemon, "--json", "quarantine", "list"))) == 4  # nothing was done

    done = scalectl(daemon, "quarantine", "retry", "-", stdin="\n1\n  2\t\r\n\n{\"delivery\": 3}\n\n4")
    assert done.returncode == 1
    assert re.findall(r"^(\d): revised", done.stdout, re.M) == ["1", "2", "3"]
    assert "3 retried, 1 refused or failed, 0 not tried" in done.stderr
    assert [d["delivery"] for d in lines(scalectl(daemon, "--json", "quarantine", "list"))] == [4]

    dry = scalectl(daemon, "--json", "quarantine", "discard", "--dry-run", 1, 4, 99)
    assert dry.returncode == 1 and "99: there is none" in dry.stderr
    assert [json.loads(line) for line in dry.stdout.splitlines()] == [
        {"id": "1", "action": "discard", "now": "discarded", "would_be": "refused", "why": "it is not in the quarantine"},
        {"id": "4", "action": "discard", "now": "invalid", "would_be": "done"}]
    assert scalectl(daemon, "quarantine", "discard", "-", stdin="4\n").returncode == 0
    assert lines(scalectl(daemon, "--json", "quarantine", "list")) == []


@pytest.mark.parametrize("text, said", [
    ("1\nx\n", 'line 2: expected the number of a delivery, got "x"'), ("1\n{\"task_id\": \"x\"}\n", "line 2: expected an object with delivery"),
    ("1\n{\"delivery\": }\n", "line 2"), ("1\n" + "9" * 300, "line 2"), ("1\n0\n", 'got "0"'),
    ("1\n\x1b[2J\n", 'got "\ufffd[2J"')])
def test_nothing_is_done_when_one_is_no_id(daemon, text, said):
    quarantined(daemon, 1)
    done = scalectl(daemon, "quarantine", "discard", "-", stdin=text)
    assert done.returncode == 64 and said in done.stderr and "nothing was done" in done.stderr
    assert len(lines(scalectl(daemon, "--json", "quarantine", "list"))) == 1


def test_standard_input_is_bounded(daemon):
    done = scalectl(daemon, "quarantine", "discard", "-", stdin="{\"x\": \"" + "x" * (17 << 20) + "\"}\n")
    assert done.returncode == 65 and "line 1 is longer than 16 MiB" in done.stderr
    done = scalectl(daemon, "quarantine", "discard", "-", stdin="1\n" * 100_001)
    assert done.returncode == 64 and "more than 100000" in done.stderr
    done = scalectl(daemon, "quarantine", "discard", "-", stdin="")
    assert done.returncode == 0 and "nothing to do" in done.stderr


def test_an_environment_that_fails_ends_it(tmp_path):
    done = run("quarantine", "discard", "1", "2", "3", options=[f"control.socket={tmp_path}/none"])
    assert done.returncode == 69 and "0 discarded, 1 refused or failed, 2 not tried" in done.stderr


def test_queue_and_cancel_take_many(held):
    ids = [held.add() for _ in range(4)]
    listed = ctl(held, "--json", "queue", "list").stdout
    dry = ctl(held, "queue", "drop", "--dry-run", "-", stdin=listed)
    assert dry.returncode == 0 and dry.stdout.count("queued, would be dropped") == 4
    dry = ctl(held, "cancel", "--dry-run", "-", stdin=listed)
    assert dry.returncode == 0 and dry.stdout.count("queued, would be canceled") == 4
    assert {held.state(i) for i in ids} == {"queued"}

    done = ctl(held, "queue", "drop", "-", stdin="\n".join(ids[:2]))
    assert done.returncode == 0 and "2 dropped, 0 refused" in done.stderr
    assert [held.state(i) for i in ids] == ["canceled", "canceled", "queued", "queued"]
    done = ctl(held, "cancel", "-", stdin=json.dumps({"submission_id": ids[2], "task_id": "x"}))
    assert done.returncode == 0 and held.state(ids[2]) == "canceled"
    dry = ctl(held, "cancel", "--dry-run", ids[0], "f" * 32)
    assert dry.returncode == 1 and "canceled, nothing would change" in dry.stdout and "there is none" in dry.stderr
    dry = ctl(held, "cancel", "--dry-run", *ids)
    assert dry.returncode == 0 and "1 would be canceled, 3 would stay as they are, 0 refused" in dry.stderr


def test_dry_runs_know_what_is_refused(submitter):
    id = submitter.add()
    task = submitter.reaches(id, "accepted")["task_id"]
    for action in ("retry", "drop"):
        dry = ctl(submitter, "queue", action, "--dry-run", id)
        assert dry.returncode == 1 and "accepted, would not be" in dry.stdout
        assert ctl(submitter, "queue", action, id).returncode == 1
    for one in (id, task):
        dry = ctl(submitter, "cancel", "--dry-run", one)
        assert dry.returncode == 0 and "pending, would be canceled" in dry.stdout
    assert ctl(submitter, "cancel", task).returncode == 0
    assert "canceled, nothing would change" in ctl(submitter, "cancel", "--dry-run", task).stdout


def complete(api, id):
    """At the API, which will not cancel it any more."""
    api.complete(next(task for task in api.tasks if task["task_id"] == id), {"category": "big"})


def test_a_completed_task_is_a_no_like_any_other(submitter, api):
    tasks = [submitter.reaches(submitter.add(), "accepted")["task_id"] for _ in range(2)]
    complete(api, tasks[0])
    done = ctl(submitter, "cancel", *tasks)
    assert done.returncode == 1 and "The task was already completed" in done.stderr
    assert f"{tasks[1]}: canceled" in done.stdout and "1 canceled, 1 refused or failed, 0 not tried" in done.stderr


# What is shown.

BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"


def times_of(text):
    """What stands behind the name of a time."""
    return re.findall(r"(?:since|oldest|_at)\W+(\d.*?)\"?,?$", text, re.M)


@pytest.fixture
def both(daemon, make_submitter):
    """A receiver and a submitter whose queue is held, on one database, and a way to ask them from Berlin."""
    submitter = make_submitter(database=daemon.database).start()
    submitter.submit.post("/v1/queue/hold?reason=dentist")
    options = [f"submit.socket={submitter.submit.path}", f"query.socket={daemon.query.path}"]
    return daemon, submitter, lambda *arguments: run(*arguments, options=options, zone=BERLIN)


def test_stats_show_texts_as_texts_and_times_as_times(both):
    _, submitter, ask = both
    submitter.add()
    held = json.loads(ask("stats", "--json").stdout)["outbox"]
    text = ask("stats").stdout
    assert re.search(r"^outbox hold +held$", text, re.M) and re.search(r"^outbox reason +dentist$", text, re.M)
    assert re.search(r"^queue writable +yes$", text, re.M)
    assert len(times_of(text)) == 2
    utc = ask("stats", "--utc").stdout
    assert re.search(rf"^outbox since +{held['since'][:10]} {held['since'][11:19]}$", utc, re.M) and utc != text


def test_times_are_in_the_readers_zone_everywhere(both):
    daemon, submitter, ask = both
    body = callback(metadata={"seen_at": "2016-06-23T09:09:34.752Z"})
    daemon.deliver(body)
    id = submitter.add()
    text = ask("task", body["task_id"]).stdout
    shown = json.loads(text)
    assert shown["created_at"] == "2016-06-23T11:09:34.752+02:00"
    assert shown["completed_at"] == "2016-06-23T11:10:02.798+02:00"
    assert shown["metadata"] == body["task"]["metadata"]  # what others wrote is theirs
    for arguments in (["task", body["task_id"]], ["delivery", 1], ["queue", "show", id]):
        times = times_of(ask(*arguments).stdout.replace("seen_at", "seen"))
        assert times and all(time[-6:] in ("+01:00", "+02:00") for time in times)
        raw = json.loads(ask(*arguments, "--json").stdout)
        assert json.loads(ask(*arguments, "--utc").stdout) == raw
    assert json.loads(ask("task", body["task_id"], "--json").stdout) == body["task"]


def test_watch_says_which_submission(both, api):
    daemon, submitter, _ = both
    api.plan = lambda method, *_: (400, {"status_code": 400, "error": "No."}) if method == "POST" else None
    id = submitter.add()
    submitter.submit.post("/v1/queue/resume")
    submitter.reaches(id, "rejected")
    daemon.deliver(callback())
    events = daemon.query.lines("/v1/events")
    watch = subprocess.Popen([SCALECTL, "-o", f"query.socket={daemon.query.path}", "watch", "--after", "0"],
                             stdout=subprocess.PIPE, text=True)
    try:
        for event in events:
            line = watch.stdout.readline()
            named = event["submission"] if event["submission"] and not event["task_id"] else None
            assert f"  {event['kind']}" in line and (f"  submission {named}" in line if named else "submission " not in line)
    finally:
        watch.terminate()
        assert watch.wait(WAIT) == 0
    assert any(event["submission"] == id for event in events)


def test_watch_begins_with_what_comes(daemon):
    daemon.deliver(callback())
    watch = subprocess.Popen([SCALECTL, "-o", f"query.socket={daemon.query.path}", "--json", "watch"],
                             stdout=subprocess.PIPE, text=True)
    try:
        eventually(lambda: metric(daemon.query, "scale_callbackd_event_readers") == 1, "it watches")
        body = callback()
        daemon.deliver(body)
        assert json.loads(watch.stdout.readline())["task_id"] == body["task_id"]
    finally:
        watch.terminate()
        assert watch.wait(WAIT) == 0


def test_simulate_says_by_its_status_whether_it_was_taken(daemon, tmp_path):
    done = scalectl(daemon, "simulate", "comparison")
    assert done.returncode == 0 and done.stdout.startswith("stored: ")
    wrong = tmp_path / "wrong"
    wrong.write_text("live another-made-up-key\n")
    wrong.chmod(0o600)
    done = scalectl(daemon, "simulate", "comparison", "--key-file", str(wrong))
    assert done.returncode == 77 and not done.stdout and done.stderr
    done = scalectl(daemon, "simulate", "comparison", "--to", "http://127.0.0.1:1/callback")
    assert done.returncode == 69 and not done.stdout and done.stderr
    assert daemon.query.get("/v1/tasks").json["total"] == 1


@pytest.mark.parametrize("answer, status, known", [
    ((404, {"status_code": 404, "error": "Task not found"}), 1, True),
    (None, 1, False),  # a 500: the task was completed
    ("drop", 75, False),
])
def test_cancel_claims_only_what_is_known(submitter, api, answer, status, known):
    """Of a 500 it was said that nothing was changed."""
    api.plan = lambda method, path, body: answer if path.endswith("/cancel") else None
    task = submitter.reaches(submitter.add(), "accepted")["task_id"]
    complete(api, task)
    done = ctl(submitter, "cancel", "58a6363baa9d139b20a42600" if answer == "drop" else task)
    assert done.returncode == status, done.stderr
    assert ("nothing was changed" in done.stderr) == known
    assert ("whether anything was changed is not known" in done.stderr) != known


# Tasks that came before.

def no_good(method, path, body):
    """An API that has no use for any task."""
    return (400, {"status_code": 400, "error": "The attachment is empty."}) if method == "POST" else None


def write_tasks(path, *attachments):
    path.write_text("".join(json.dumps({"type": "categorization", "instruction": "Big?", **PARAMS, "attachment": a}) + "\n"
                            for a in attachments))
    return path


def test_warnings_about_parameters_are_told(submitter, tmp_path):
    assert ctl(submitter, "queue", "hold").returncode == 0
    path = tmp_path / "tasks.ndjson"
    path.write_text("".join(json.dumps({"type": "categorization", "instruction": "Big?", **PARAMS, **more}) + "\n"
                            for more in ({}, {"team": "a"}, {"urgncy": "week"})))
    done = ctl(submitter, "submit", "--from", path)
    assert done.returncode == 65 and "2 in the outbox, 1 refused" in done.stdout, done.stdout
    assert "line 1:" not in done.stderr and "line 2: taken, but look at this:" in done.stderr, done.stderr
    assert "team: no such parameter is known; it is sent as it is" in done.stderr
    assert "is urgency meant?" in done.stderr

    done = ctl(submitter, "submit", "categorization", "-d", "instruction=Big?", "-d", "attachment_type=text", "-d", "attachment=car",
               "-d", "categories=a", "-d", "categories=b", "-d", "team=a")
    assert done.returncode == 0 and "team: no such parameter is known" in done.stderr, done.stderr


def test_a_file_again_says_what_is_never_sent(submitter, api, tmp_path):
    """Once it said that all was in the outbox, and 0, although every task had been rejected."""
    path = write_tasks(tmp_path / "tasks.ndjson", "car", "bus")
    api.plan = no_good
    assert ctl(submitter, "queue", "hold").returncode == 0
    done = ctl(submitter, "submit", "--from", path)
    assert done.returncode == 0 and "2 in the outbox, 0 refused\n" in done.stdout
    assert ctl(submitter, "queue", "resume").returncode == 0
    ids = [doc["submission_id"] for doc in submitter.submit.docs("/v1/submissions")]
    for id in ids:
        submitter.reaches(id, "rejected")

    write_tasks(path, "car", "bus", "tram")
    api.plan = lambda method, path, body: None
    done = ctl(submitter, "submit", "--from", path)
    assert done.returncode == 65 and "1 in the outbox, 0 refused, 2 that will not be sent" in done.stdout, done.stdout
    assert "line 1: submission" in done.stderr and "line 2:" in done.stderr and "line 3:" not in done.stderr
    assert done.stderr.count("The attachment is empty.") == 2 and "scalectl queue retry" in done.stderr
    done = ctl(submitter, "--json", "submit", "--from", path)
    assert done.returncode == 65 and len(done.stdout.splitlines()) == 3 and "scalectl queue retry" in done.stderr

    for id in ids:
        assert ctl(submitter, "queue", "retry", id).returncode == 0
        submitter.reaches(id, "accepted")
    done = ctl(submitter, "submit", "--from", path)
    assert done.returncode == 0 and "3 in the outbox (3 of them before), 0 refused\n" in done.stdout, done.stdout


def test_a_key_again_says_what_is_never_sent(submitter, api):
    submit = ["submit", "categorization", "-d", "instruction=Big?", "-d", "attachment_type=text", "-d", "attachment=car",
              "-d", "categories=big", "--idempotency-key", "order-7"]
    api.plan = no_good
    assert ctl(submitter, *submit).returncode in (0, 65)
    [doc] = submitter.submit.docs("/v1/submissions")
    submitter.reaches(doc["submission_id"], "rejected")
    done = ctl(submitter, *submit)
    assert done.returncode == 65 and done.stdout == f"{doc['submission_id']}: rejected, it came before\n", done.stdout
    assert "The attachment is empty." in done.stderr and "scalectl queue retry" in done.stderr


def test_a_file_again_after_a_drop(held, tmp_path):
    path = write_tasks(tmp_path / "tasks.ndjson", "car")
    assert ctl(held, "submit", "--from", path).returncode == 0
    done = ctl(held, "submit", "--from", path)
    assert done.returncode == 0 and "1 in the outbox (1 of them before), 0 refused" in done.stdout
    [doc] = held.submit.docs("/v1/submissions")
    assert ctl(held, "queue", "drop", doc["submission_id"]).returncode == 0
    done = ctl(held, "submit", "--from", path)
    assert done.returncode == 65 and "0 in the outbox, 0 refused, 1 that will not be sent" in done.stdout


# What daemons answer.

def test_a_nul_in_an_error_is_no_reason_to_doubt_who_answers(submitter, api):
    """The API's words, handed on. Once they were said to come from something else than the daemon."""
    task = submitter.reaches(submitter.add(), "accepted")["task_id"]
    complete(api, task)
    api.plan = lambda method, path, body: (500, {"status_code": 500, "error": "Completed\0 by now"}) \
        if path.endswith("/cancel") else None
    done = ctl(submitter, "cancel", task)
    assert done.returncode == 1 and "Completed" in done.stderr and "not from the daemon" not in done.stderr, done.stderr


def test_a_backup_that_is_killed_leaves_nothing(tmp_path):
    folder = tmp_path / "backups"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "c.sock"))
        listener.listen()
        backup = subprocess.Popen([SCALECTL, "-o", f"control.socket={tmp_path}/c.sock", "backup", folder / "b.db"])
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nSQLit\r\n")
            files = pathlib.Path(f"/proc/{backup.pid}/fd")
            eventually(lambda: any(os.path.realpath(f).startswith(f"{folder}/") for f in files.iterdir()), "it writes")
            backup.kill()
            assert backup.wait(WAIT) == -signal.SIGKILL
    assert list(folder.iterdir()) == []
