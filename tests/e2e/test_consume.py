"""Acting on results: each event done at least once and in order, whatever happens to the one who does it."""

import csv
import http.server
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import pytest

from harness import SCALECTL, WAIT, callback, eventually, moved


class Consumer:
    """`scalectl consume` for a daemon, with its state in a folder of its own."""

    def __init__(self, daemon, folder, name="c"):
        self.daemon, self.folder, self.name = daemon, pathlib.Path(folder), name
        self.state = self.folder / name
        self.done = self.folder / "done"
        self.process = None

    def command(self, *arguments):
        return [str(SCALECTL), "-o", f"query.socket={self.daemon.query.path}", "consume", self.name, "--state",
                str(self.state), *map(str, arguments)]

    def run(self, *arguments, status=0, env=None):
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=WAIT,
                              env={**os.environ, **(env or {})})
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        return done

    def once(self, *arguments, **more):
        return self.run("--once", *arguments, **more)

    def start(self, *arguments):
        self.process = subprocess.Popen(self.command(*arguments), stderr=subprocess.PIPE, text=True)
        return self.process

    def end(self, number=signal.SIGTERM, status=0):
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=WAIT)
        assert self.process.returncode == status, said
        return said

    @property
    def place(self):
        return json.loads(self.state.read_text())

    @property
    def failed(self):
        path = self.folder / f"{self.name}.failed"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def note(self, script=""):
        """A command that writes the number of the event down, then does what the script says."""
        return ["--exec", "sh", "-c", f"cat >/dev/null; echo $SCALE_SEQ >>{self.done}; {script}"]

    @property
    def numbers(self):
        return [int(line) for line in self.done.read_text().split()] if self.done.exists() else []


@pytest.fixture
def consumer(daemon, tmp_path):
    consumer = Consumer(daemon, tmp_path)
    yield consumer
    if consumer.process and consumer.process.poll() is None:
        consumer.process.kill()
        consumer.process.wait(WAIT)


def deliver(daemon, n, **task):
    bodies = [callback(**task) for _ in range(n)]
    for body in bodies:
        daemon.deliver(body)
    return bodies


def test_a_command_gets_the_event_with_its_task(daemon, consumer):
    [body] = deliver(daemon, 1)
    output = consumer.folder / "out"
    consumer.once("--exec", "sh", "-c",
                  f'cat >{output}; echo "$SCALE_SEQ $SCALE_KIND $SCALE_TASK_ID $SCALE_TASK_TYPE $SCALE_ATTEMPT" >>{output}; '
                  'echo "$1 $2" >>"$0"', output, "--json", "--help")
    event, environment, arguments = output.read_text().splitlines()
    [expected] = daemon.query.lines("/v1/events?include=task")
    assert json.loads(event) == expected and expected["task"] == body["task"]
    assert environment == f"1 task.completed {body['task_id']} categorization 1"
    assert arguments == "--json --help"  # what stands behind --exec is the command's
    assert consumer.place == {"seq": 1, "time": expected["time"]}


def test_an_event_without_a_task(make_daemon, tmp_path):
    daemon = make_daemon("callback.invalid_status=200").start()
    consumer = Consumer(daemon, tmp_path)
    daemon.post(b"{}")
    consumer.once("--exec", "sh", "-euc", 'cat >/dev/null; echo "$SCALE_KIND [$SCALE_TASK_ID$SCALE_TASK_TYPE]" >>"$0"',
                  consumer.done)
    assert consumer.done.read_text() == "delivery.invalid []\n"


def test_once_goes_on_where_the_last_run_was(daemon, consumer):
    deliver(daemon, 3)
    consumer.once(*consumer.note())
    consumer.once(*consumer.note())
    deliver(daemon, 2)
    consumer.once(*consumer.note())
    assert consumer.numbers == [1, 2, 3, 4, 5]


def test_follows_until_it_is_told_to_end(daemon, consumer):
    consumer.start(*consumer.note())
    for n in range(1, 4):
        deliver(daemon, 1)
        eventually(lambda: consumer.numbers == list(range(1, n + 1)), "the event is done", lambda: consumer.numbers)
    eventually(lambda: consumer.place["seq"] == 3, "the place is saved")
    assert consumer.end() == ""
    assert consumer.place["seq"] == 3


@pytest.mark.parametrize("start, expected", [("start", [1, 2, 3, 4]), ("now", [4]), ("2", [2, 3, 4]), ("4", [4])])
def test_where_a_new_name_begins(daemon, consumer, start, expected):
    deliver(daemon, 3)
    consumer.once("--from", start, *consumer.note()) if start != "4" else None
    deliver(daemon, 1)
    done = consumer.once("--from", start, *consumer.note())
    assert consumer.numbers == expected
    assert ("--from is for a new one" in done.stderr) == (start != "4")


def test_from_beyond_the_feed(daemon, consumer):
    deliver(daemon, 1)
    assert "there is no event 2 yet" in consumer.once("--from", "3", *consumer.note(), status=64).stderr
    assert not consumer.state.exists()


def test_filters(daemon, consumer):
    deliver(daemon, 1, metadata={"batch": "a", "n": 7})
    deliver(daemon, 1, metadata={"batch": "b", "n": 7, "last": True})
    deliver(daemon, 1)
    [body] = deliver(daemon, 1, metadata={"batch": "a"})
    daemon.deliver(callback({"category": "small"}, id=body["task_id"], completed_at="2016-06-24T09:10:02.798Z",
                            metadata={"batch": "a"}))
    kinds = [e["kind"] for e in daemon.query.lines("/v1/events")]
    assert kinds == ["task.completed"] * 4 + ["task.revised"]

    def chosen(name, *options):
        other = Consumer(daemon, consumer.folder, name)
        other.done = consumer.folder / f"{name}.done"
        other.once(*options, *other.note())
        assert other.place["seq"] == 5  # what was passed over is behind it too
        return other.numbers

    assert chosen("kind", "--kind", "task.revised") == [5]
    assert chosen("kinds", "--kind", "task.revised", "--kind", "task.completed") == [1, 2, 3, 4, 5]
    assert chosen("type", "--type", "annotation") == []
    assert chosen("types", "--type", "annotation", "--type", "categorization") == [1, 2, 3, 4, 5]
    assert chosen("metadata", "--metadata", "batch=a") == [1, 4, 5]
    assert chosen("number", "--metadata", "n=7", "--metadata", "batch=b") == [2]
    assert chosen("truth", "--metadata", "last=true") == [2]
    assert chosen("all", "--metadata", "batch=a", "--kind", "task.completed", "--type", "categorization") == [1, 4]


def test_all_kinds_can_be_named():
    words = subprocess.run([SCALECTL, "words", "consume"], capture_output=True, text=True, check=True).stdout
    [kinds] = [line.split("\t")[2].split() for line in words.splitlines() if line.startswith("--kind\t")]
    source = (pathlib.Path(__file__).resolve().parents[2] / "src/store/types.c").read_text()
    assert kinds == re.findall(r'\[EVENT_\w+\] = "([a-z.]+)"', source)


def test_batches(daemon, consumer):
    deliver(daemon, 5)
    consumer.once("--batch", "2", "--exec", "sh", "-c",
                  'wc -l >>"$0"; echo "$SCALE_SEQ $SCALE_COUNT ${SCALE_KIND-none}" >>"$0"', consumer.done)
    assert consumer.done.read_text().split("\n") == ["2", "2 2 none", "2", "4 2 none", "1", "5 1 none", ""]


def test_a_failure_is_tried_again_before_anything_else(daemon, consumer):
    deliver(daemon, 3)
    started = time.monotonic()
    done = consumer.once(*consumer.note('test $SCALE_SEQ != 2 -o $SCALE_ATTEMPT = 3 || exit 9'))
    assert consumer.numbers == [1, 2, 2, 2, 3]
    assert time.monotonic() - started >= 3  # a second, then two
    assert [line.split("scalectl: ")[1] for line in done.stderr.splitlines()] == [
        "event 2: the command's exit status is 9; again in 1 s", "event 2: the command's exit status is 9; again in 2 s"]


def test_give_up(daemon, consumer):
    bodies = deliver(daemon, 3)
    consumer.once("--give-up", "2", *consumer.note("test $SCALE_SEQ != 2"))
    assert consumer.numbers == [1, 2, 2, 3]
    [failed] = consumer.failed
    assert failed.pop("failure") == {"time": failed["time"], "attempts": 2, "reason": "the command's exit status is 1"} | {
        "time": json.loads((consumer.folder / "c.failed").read_text())["failure"]["time"]}
    assert failed == daemon.query.lines("/v1/events?after=1&limit=1&include=task")[0]
    assert failed["task_id"] == bodies[1]["task_id"]


def test_65_is_never(daemon, consumer):
    deliver(daemon, 3)
    consumer.once(*consumer.note("test $SCALE_SEQ = 2 || exit 65"))
    assert consumer.numbers == [1, 2, 3]
    assert [(f["seq"], f["failure"]["attempts"]) for f in consumer.failed] == [(1, 1), (3, 1)]


def test_75_is_later_and_never_given_up(daemon, consumer):
    deliver(daemon, 2)
    consumer.once("--give-up", "1", *consumer.note("test $SCALE_SEQ != 1 -o $SCALE_ATTEMPT = 3 || exit 75"))
    assert consumer.numbers == [1, 1, 1, 2]
    assert consumer.failed == []


def test_a_command_that_is_not_there_is_waited_for(daemon, consumer):
    deliver(daemon, 1)
    command = consumer.folder / "command"
    consumer.start("--give-up", "1", "--exec", command)
    assert "can't be run: No such file or directory; again in 1 s" in consumer.process.stderr.readline()
    command.write_text(f"#!/bin/sh\necho $SCALE_SEQ >>{consumer.done}\n")
    command.chmod(0o755)
    eventually(lambda: consumer.numbers == [1], "it is done")
    consumer.end()
    assert consumer.failed == []


def test_a_batch_that_is_refused_is_tried_one_by_one(daemon, consumer):
    deliver(daemon, 5)
    script = 'events=$(cat); echo $SCALE_SEQ $SCALE_COUNT >>"$0"; case "$events" in *\'"seq":3,\'*) exit 65 ;; esac'
    done = consumer.once("--batch", "4", "--exec", "sh", "-c", script, consumer.done)
    assert consumer.done.read_text().split("\n") == ["4 4", "1 1", "2 1", "3 1", "4 1", "5 1", ""]
    assert [f["seq"] for f in consumer.failed] == [3]
    assert "they are tried one by one" in done.stderr
    assert consumer.place["seq"] == 5


def test_half_a_line_of_what_failed_goes(daemon, consumer):
    deliver(daemon, 2)
    (consumer.folder / "c.failed").write_text('{"seq":0}\n{"seq":1,"ti')
    consumer.once("--exec", "sh", "-c", "exit 65")
    assert [f["seq"] for f in consumer.failed] == [0, 1, 2]


def test_one_at_a_time(daemon, consumer):
    consumer.start(*consumer.note())
    eventually(consumer.state.exists, "it has begun")
    done = consumer.once(*consumer.note(), status=75)
    assert f"another consumer c is running (process {consumer.process.pid})" in done.stderr
    Consumer(daemon, consumer.folder, "other").once(*consumer.note())
    consumer.end()


def test_a_command_of_an_earlier_run_keeps_the_lock(daemon, consumer):
    deliver(daemon, 1)
    consumer.start(*consumer.note(f"echo $$ >{consumer.folder}/pid; exec sleep 600"))
    eventually(lambda: (consumer.folder / "pid").exists() and (consumer.folder / "pid").read_text(), "it runs")
    consumer.process.kill()
    consumer.process.wait(WAIT)
    assert "a command that an earlier run" in consumer.once(*consumer.note(), status=75).stderr
    os.kill(int((consumer.folder / "pid").read_text()), signal.SIGKILL)
    consumer.once(*consumer.note())
    assert consumer.numbers == [1, 1]


def test_the_command_that_runs_is_waited_for(daemon, consumer):
    deliver(daemon, 2)
    go = consumer.folder / "go"
    consumer.start(*consumer.note(f"until test -e {go}; do sleep 0.05; done"))
    eventually(lambda: consumer.numbers == [1], "it runs")
    consumer.process.send_signal(signal.SIGTERM)
    assert "waiting for the command to end" in consumer.process.stderr.readline()
    go.touch()
    consumer.process.communicate(timeout=WAIT)
    assert consumer.process.returncode == 0
    assert consumer.numbers == [1] and consumer.place["seq"] == 1


def test_a_second_signal_ends_the_command(daemon, consumer):
    deliver(daemon, 1)
    consumer.start(*consumer.note("sleep 600"))
    eventually(lambda: consumer.numbers == [1], "it runs")
    consumer.process.send_signal(signal.SIGINT)
    assert "waiting for the command to end" in consumer.process.stderr.readline()
    consumer.end(signal.SIGINT)
    assert consumer.place["seq"] == 0  # it is not done
    consumer.once(*consumer.note())
    assert consumer.numbers == [1, 1]


def test_a_signal_ends_the_wait_after_a_failure(daemon, consumer):
    deliver(daemon, 1)
    consumer.start(*consumer.note("exit 1"))
    assert "again in 1 s" in consumer.process.stderr.readline()
    consumer.end()
    assert consumer.place["seq"] == 0


def test_what_is_ignored_ends_nothing(daemon, consumer):
    """As under nohup."""
    consumer.process = subprocess.Popen(["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *consumer.command(*consumer.note())],
                                        stderr=subprocess.PIPE, text=True)
    for n in (1, 2):
        deliver(daemon, 1)
        eventually(lambda: consumer.numbers == list(range(1, n + 1)), "it is done")
        eventually(lambda: consumer.place["seq"] == n, "and saved")
        consumer.process.send_signal(signal.SIGHUP)
    consumer.end()


def test_the_daemon_may_be_away(daemon, consumer):
    deliver(daemon, 1)
    consumer.start(*consumer.note())
    eventually(lambda: consumer.numbers == [1], "the first is done")
    daemon.stop()
    assert "going on behind event 1 once it is back" in consumer.process.stderr.readline()
    daemon.start()
    deliver(daemon, 1)
    eventually(lambda: consumer.numbers == [1, 2], "the second is done", lambda: consumer.numbers)
    consumer.end()


@pytest.mark.parametrize("start", ["start", "now"])
def test_the_daemon_may_come_later(make_daemon, tmp_path, start):
    daemon = make_daemon()
    consumer = Consumer(daemon, tmp_path)
    consumer.start("--from", start, *consumer.note())
    if start == "now":
        assert "once it is back" in consumer.process.stderr.readline()
    daemon.start()
    eventually(consumer.state.exists, "it has begun")
    deliver(daemon, 1)
    eventually(lambda: consumer.numbers == [1], "it is done")
    consumer.end()


def test_once_does_not_wait_for_the_daemon(make_daemon, tmp_path):
    consumer = Consumer(make_daemon(), tmp_path)
    assert "nobody listens" in consumer.once(*consumer.note(), status=69).stderr


def test_a_consumer_notices_that_the_feed_was_turned_back(make_daemon, tmp_path):
    daemon = make_daemon().start()
    consumer = Consumer(daemon, tmp_path)
    deliver(daemon, 3)
    daemon.stop()
    before = {p.name: p.read_bytes() for p in daemon.dir.glob("scale.db*")}
    daemon.start()
    deliver(daemon, 2)
    consumer.once(*consumer.note())
    daemon.stop()
    for path in daemon.dir.glob("scale.db*"):
        path.unlink()
    for name, content in before.items():
        (daemon.dir / name).write_bytes(content)
    daemon.start()

    for n in (0, 1, 1):  # event 5 is gone, then another one
        deliver(daemon, n)
        done = consumer.once(*consumer.note(), status=1)
        assert "the database was turned back" in done.stderr and "With --accept-rewind" in done.stderr
    consumer.start(*consumer.note())
    assert consumer.process.wait(WAIT) == 1
    assert consumer.numbers == [1, 2, 3, 4, 5] and consumer.place["seq"] == 5

    done = consumer.once("--accept-rewind", *consumer.note())
    assert "goes on behind event 3" in done.stderr
    assert consumer.numbers == [1, 2, 3, 4, 5, 4, 5]
    deliver(daemon, 1)
    consumer.once(*consumer.note())
    assert consumer.numbers[7:] == [6]


def test_the_place_that_cannot_be_written_is_tried_again(daemon, consumer):
    deliver(daemon, 2)
    consumer.once("--from", "now", *consumer.note())
    deliver(daemon, 2)
    obstacle = consumer.folder / "c.new"
    obstacle.mkdir()
    consumer.start(*consumer.note())
    assert "can't be written: Is a directory; again in 1 s" in consumer.process.stderr.readline()
    assert consumer.numbers == [3]  # the next is not begun
    obstacle.rmdir()
    eventually(lambda: consumer.numbers == [3, 4], "the other is done")
    eventually(lambda: consumer.place["seq"] == 4, "and saved")
    consumer.end()


def test_the_state_that_is_none(daemon, consumer):
    consumer.state.write_text("17\n")
    assert "does not say where a consumer is" in consumer.once(*consumer.note(), status=65).stderr
    assert consumer.state.read_text() == "17\n"


@pytest.mark.parametrize("variables, place", [
    ({"STATE_DIRECTORY": "{}/unit:{}/other", "XDG_STATE_HOME": "{}/xdg"}, "unit/c"),
    ({"XDG_STATE_HOME": "{}/xdg", "HOME": "{}/home"}, "xdg/scale/consumers/c"),
    ({"HOME": "{}/home"}, "home/.local/state/scale/consumers/c"),
])
def test_where_the_state_is(daemon, tmp_path, variables, place):
    command = [str(SCALECTL), "-o", f"query.socket={daemon.query.path}", "consume", "c", "--once", "--exec", "true"]
    env = {"PATH": os.environ["PATH"]} | {name: value.format(tmp_path, tmp_path) for name, value in variables.items()}
    subprocess.run(command, env=env, check=True, timeout=WAIT)
    assert json.loads((tmp_path / place).read_text()) == {"seq": 0, "time": None}
    assert (tmp_path / place).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("arguments, says", [
    (["--exec"], "--exec needs a value"),
    ([], "usage"),
    (["--to", "http://127.0.0.1/", "--exec", "true"], "usage"),
    (["--to", "http://example.com/"], "on this machine"),
    (["--to", "http://localhost.example.com/"], "on this machine"),
    (["--to", "ftp://localhost/"], "on this machine"),
    (["--batch", "0", "--exec", "true"], "expected a number"),
    (["--from", "yesterday", "--exec", "true"], "expected start, now or the number"),
    (["--kind", "task.done", "--exec", "true"], "task.completed"),
    (["--metadata", "a", "--exec", "true"], "KEY=VALUE"),
    (["more", "--exec", "true"], "usage"),
])
def test_mistakes(consumer, arguments, says):
    assert says in consumer.run(*arguments, status=64).stderr


@pytest.mark.parametrize("name", ["", "a/b", "..", "-", "a.failed", "x" * 65])
def test_names(daemon, tmp_path, name):
    consumer = Consumer(daemon, tmp_path)
    consumer.name = name
    consumer.run("--exec", "true", status=64)


# Requests.


class Listener:
    def __init__(self):
        self.requests, self.answers = [], []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append((self.path, self.headers["Content-Type"], body))
                self.send_response(outer.answers.pop(0) if outer.answers else 204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}/hook?a=b"


@pytest.fixture
def listener():
    listener = Listener()
    yield listener
    listener.server.shutdown()
    listener.server.server_close()


def test_a_url_is_told(daemon, consumer, listener):
    deliver(daemon, 2)
    listener.answers = [500, 201]
    done = consumer.once("--to", listener.url)
    events = daemon.query.lines("/v1/events?include=task")
    assert [(p, t, json.loads(b)) for p, t, b in listener.requests] == [
        ("/hook?a=b", "application/json", e) for e in (events[0], *events)]
    assert "event 1: the answer's status is 500; again in 1 s" in done.stderr
    assert consumer.place["seq"] == 2


def test_a_url_is_told_of_many(daemon, consumer, listener):
    deliver(daemon, 3)
    consumer.once("--batch", "2", "--to", listener.url)
    assert [(t, b.count(b"\n")) for _, t, b in listener.requests] == [("application/x-ndjson", 2),
                                                                      ("application/x-ndjson", 1)]


def test_a_url_that_is_busy_is_no_failure(daemon, consumer, listener):
    deliver(daemon, 2)
    listener.answers = [503, 400, 200]
    consumer.once("--give-up", "1", "--to", listener.url)
    assert [f["seq"] for f in consumer.failed] == [1] and consumer.failed[0]["failure"]["attempts"] == 2
    assert len(listener.requests) == 3


def test_nobody_at_the_url_is_no_failure(daemon, consumer, listener):
    deliver(daemon, 1)
    listener.server.shutdown()
    listener.server.server_close()
    consumer.start("--give-up", "1", "--to", listener.url)
    assert "no answer: " in consumer.process.stderr.readline()
    consumer.end()
    assert consumer.failed == []


# The examples of the manual.


def example(name):
    """The options and the script of a consumer, as scalectl(1) shows them."""
    page = (pathlib.Path(__file__).resolve().parents[2] / "man/scalectl.1").read_text()
    blocks = {}
    for file, text in re.findall(r"^\.Pa /etc/scale/consumers/(\S+) :\n\.Bd -literal.*\n((?:.*\n)*?)\.Ed$", page, re.M):
        blocks[file] = text.replace(r"\e", "\\")
    variables = dict(line.split("=", 1) for line in blocks[f"{name}.conf"].splitlines())
    return variables.pop("OPTIONS").split(), variables, blocks[name]


def run_example(consumer, name, **more):
    options, variables, script = example(name)
    command = consumer.folder / f"{name}.sh"
    command.write_text(script)
    command.chmod(0o755)
    consumer.once(*options, "--exec", command, env=variables | {"STATE_DIRECTORY": str(consumer.folder)} | more)


@pytest.fixture
def postgres(tmp_path):
    """A PostgreSQL of its own; the variables that lead to it."""
    programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs or not shutil.which("psql"):
        pytest.skip("there is no PostgreSQL")
    bin, folder = programs[-1].parent, pathlib.Path(tempfile.mkdtemp(prefix="consume-", dir="/tmp"))
    who = []
    if os.geteuid() == 0:  # as which it does not run
        shutil.chown(folder, "postgres")
        who = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    subprocess.run([*who, bin / "initdb", "-D", folder / "data", "-U", "scale-consumer", "-A", "trust", "-N"], check=True,
                   capture_output=True)
    server = subprocess.Popen([*who, bin / "postgres", "-D", folder / "data", "-k", folder, "-c", "listen_addresses="],
                              stderr=subprocess.DEVNULL)
    variables = {"PGHOST": str(folder), "PGUSER": "scale-consumer"}

    def sql(text, database="orders"):
        return subprocess.run(["psql", "-qXAt", "-d", database, "-c", text], env={**os.environ, **variables},
                              capture_output=True, text=True)

    eventually(lambda: sql("CREATE DATABASE orders", "postgres").returncode == 0, "PostgreSQL runs")
    yield variables, sql
    server.send_signal(signal.SIGINT)
    server.wait(WAIT)
    shutil.rmtree(folder)


def test_example_into_a_table(daemon, consumer, postgres):
    variables, sql = postgres
    page = (pathlib.Path(__file__).resolve().parents[2] / "man/scalectl.1").read_text()
    assert sql(re.search(r"CREATE TABLE result \(.*\)", page)[0]).returncode == 0
    bodies = deliver(daemon, 150)
    hostile = callback({"fields": {"it's": 'a "quoted", \\back\\slashed\n✓ answer'}}, type="datacollection",
                       params={"fields": {"it's": "?"}, "attachment": "x", "attachment_type": "text", "instruction": "?"})
    daemon.deliver(hostile)
    daemon.deliver(callback({"category": "small"}, id=bodies[0]["task_id"], completed_at="2016-06-24T09:10:02.798Z"))
    for _ in range(2):  # all of it twice
        run_example(consumer, "results", **variables)
        stored = {i: json.loads(r) for i, r in (line.split("|", 1) for line in sql(
            "SELECT task_id, response FROM result").stdout.splitlines())}
        expected = {b["task_id"]: b["task"]["response"] for b in (*bodies, hostile)}
        assert stored == expected | {bodies[0]["task_id"]: {"category": "small"}}
        consumer.state.unlink()


def test_example_to_a_chat(daemon, consumer, listener):
    [body] = deliver(daemon, 1)
    run_example(consumer, "chat", CHAT_URL=listener.url)  # from now on
    daemon.deliver(callback({"category": "small"}, id=body["task_id"], completed_at="2016-06-24T09:10:02.798Z"))
    run_example(consumer, "chat", CHAT_URL=listener.url)
    [(_, kind, text)] = listener.requests
    assert kind == "application/json"
    assert json.loads(text) == {"text": f'task.revised: task {body["task_id"]}, {{"category":"small"}}'}


def test_example_lines_of_a_file(daemon, consumer):
    bodies = deliver(daemon, 3)
    daemon.deliver(callback(type="comparison", response={"choice": "a"}, params={"choices": ["a", "b"]}))
    for _ in range(2):
        run_example(consumer, "csv")
        rows = list(csv.reader((consumer.folder / "results.csv").open()))
        assert rows == [[str(n + 1), b["task_id"], b["task"]["response"]["category"]] for n, b in enumerate(bodies)]
        consumer.state.write_text(json.dumps(daemon.query.lines("/v1/events?after=1")[0]))  # as if it had been killed


# Killed.


def test_killed_at_any_moment(daemon, consumer):
    """At least once and in order; and of what was done before a kill, at most the last comes again."""
    rounds, dice = 100, random.Random(20161128)
    stop = threading.Event()
    log = consumer.folder / "log"
    log.touch()

    def feed():
        delivered = 0
        while not stop.is_set():
            if delivered < 5 or delivered - consumer.place["seq"] < 5:  # there is always something to do
                deliver(daemon, 1)
                delivered += 1
            time.sleep(0.01)

    # Each line is one write: "begin N", then "end N"; and one in 29 fails once.
    script = 'cat >/dev/null; echo "begin $SCALE_SEQ" >>"$0"; test $((SCALE_SEQ % 29)) != 0 -o -e "$0.$SCALE_SEQ" || ' \
             '{ : >"$0.$SCALE_SEQ"; exit 1; }; echo "end $SCALE_SEQ" >>"$0"'
    consumer.once("--exec", "false")
    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        for _ in range(rounds):
            consumer.start("--exec", "sh", "-c", script, log)
            time.sleep(dice.expovariate(1 / 0.08) if dice.random() < 0.9 else 1.2)
            consumer.process.kill()
            consumer.process.wait(WAIT)  # its command may still run, and is waited for by nobody
            consumer.process.stderr.close()
            moved()
    finally:
        stop.set()
        feeder.join()
    eventually(lambda: subprocess.run(consumer.command("--once", "--exec", "sh", "-c", script, log),
                                      capture_output=True).returncode != 75, "the last command has ended")

    total = daemon.query.get("/v1/stats").json["last_event"]
    assert consumer.place["seq"] == total
    done, begun, again = 0, 0, 0
    for line in log.read_text().splitlines():
        word, number = line.split()
        number = int(number)
        if word == "begin":
            assert begun in (0, number) or begun == done, f"{number} was begun before {begun} was done"
            assert number in (done, done + 1), f"{number} was begun behind {done}"
            again += number == done
            begun = number
        else:
            assert number == begun and number in (done, done + 1)
            done = number
    assert done == total and total > 50
    assert again <= rounds
