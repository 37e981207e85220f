"""The nth call of a kind fails, for n = 1, 2, 3, ...: memory, sockets, files, descriptors, threads.

No daemon ends by a signal or hangs; no answer is wrong, it is the right one or says that there was a failure; what was
acknowledged is there after the next start, what was refused with 5xx is not; and once the failure is over everything works
again, unless the daemon had to leave, which it does with a message and a status of sysexits.h.

`--nth-rounds N` is how many n are tried for each kind (0: every one), `--nth-seed S` which; both are in what a failed test
says.
"""

import errno
import http.client
import json
import re
import time

import pytest

import nth
from harness import DATA, KEY, WAIT, UnixConnection, ask, callback, eventually, task_id
from nth import ERRORS, FOREVER, Nth
from test_faults import check

PATIENCE = 1.0  # seconds: how long a client waits while everything fails
SYSEXITS = range(64, 79)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return nth.build(tmp_path_factory.mktemp("nth"))


def annotation(id):
    text = (DATA / "annotation/valid.json").read_text()
    return text.replace(json.loads(text)["task_id"], id)


# Questions whose answer is always the same.
FIXED = ["/v1/events?after=0&limit=3&include=task", "/v1/deliveries?after=1&limit=2", "/v1/submissions", "/v1/delivery/2"]


class Gone(Exception):
    """There was no whole answer."""


def speak(connection, method, target, body=None, headers=None):
    try:
        return ask(connection, method, target, body, headers)
    except (OSError, http.client.HTTPException) as e:
        raise Gone(repr(e)) from e
    finally:
        connection.close()


class Round:
    """Some callbacks of every outcome, and some questions. Remembers what was promised."""

    def __init__(self, daemon, patience, fixed):
        self.daemon, self.patience, self.fixed = daemon, patience, fixed
        self.kept, self.refused, self.wrong, self.gave_up = {}, [], [], False

    def say(self, what, connection, status, method, target, body=None, headers=None):
        if self.gave_up:
            return None
        connection.timeout = self.patience
        try:
            answer = speak(connection, method, target, body, headers)
        except Gone as e:
            self.gave_up = "timed out" in str(e)
            if self.gave_up and self.patience == WAIT:
                self.wrong.append((what, "no answer and no end"))
            return None
        if answer.status != status and answer.status not in (500, 503):
            self.wrong.append((what, answer.status, answer.body[:300]))
        return answer

    def deliver(self, what, body, status=200, result=None, path="/callback", key=KEY):
        headers = {"Content-Type": "application/json", "scale-callback-auth": key}
        answer = self.say(what, self.daemon.connect(), status, "POST", path, body, headers)
        if answer and answer.status == 200 and result and answer.json["result"] not in result:
            self.wrong.append((what, answer.body))
        return answer

    def new(self, body):
        """A task that was not there before."""
        id = json.loads(body)["task_id"]
        answer = self.deliver(f"a callback of {id}", body, result=["stored"])
        if answer and answer.status == 200:
            self.kept[id] = json.loads(body)["task"]
        elif answer:
            self.refused.append(id)
        return id

    def get(self, target, right):
        connection = UnixConnection(self.daemon.query.path)
        answer = self.say(target, connection, 200, "GET", target)
        if answer and answer.status == 200 and not right(answer):
            self.wrong.append((target, answer.body[-300:]))

    def run(self, old):
        body = callback()
        self.new(json.dumps(body))
        self.new(annotation(task_id()))
        again = json.dumps(old)
        self.deliver("a repeated one", again, result=["duplicate"])
        other = callback(id=task_id(), response={"category": "huge"})
        self.deliver("an invalid one", json.dumps(other), status=422)
        self.deliver("what is no JSON", b"{", status=400)
        self.deliver("without a key", again, status=401, key="no-key-of-ours-0123456789")
        self.deliver("attachment", json.dumps({"error": "x", "attachments": [{"statusCode": 404, "url": "http://x.example/"}]}),
                     result=["attachment_failure", "duplicate"])
        self.get(f"/v1/task/{old['task_id']}", lambda a: a.json == old["task"])
        self.get("/v1/tasks?limit=3", lambda a: len(a.json["docs"]) == 3)
        for target in FIXED:
            self.get(target, lambda a, target=target: a.body == self.fixed.setdefault(target, a.body))
        self.get("/metrics", lambda a: a.body.endswith(b"\n") and b"scale_" in a.body)
        return self


class Receiver:
    """A receiver that fails as told, the promises that it made, and how it is looked after."""

    def __init__(self, make_daemon, nth_):
        self.nth, self.daemon = nth_, make_daemon(env=nth_.env).start()
        self.old, self.kept, self.left, self.fixed = callback(), {}, 0, {}
        for body in (self.old, callback(), callback()):
            self.daemon.deliver(body)

    def measure(self, kind):
        """How many calls of the kind a round makes."""
        self.nth.fail(kind, 0, FOREVER)
        assert Round(self.daemon, WAIT, self.fixed).run(self.old).wrong == []
        self.nth.off()
        return self.nth.count

    def revive(self):
        """Only where it left of its own will."""
        status = self.daemon.wait()
        assert status in SYSEXITS, (status, self.daemon.log()[-3000:])
        assert len(self.daemon.new_log().splitlines()) > 1, "it left without a word"
        self.left += 1
        self.daemon.start()

    def try_once(self, kind, error, n, times):
        self.nth.fail(kind, error, n, times)
        seen = Round(self.daemon, WAIT if times == 1 else PATIENCE, self.fixed).run(self.old)
        self.nth.off()
        if self.daemon.process.poll() is not None:
            self.revive()
        assert not seen.wrong, seen.wrong
        self.kept.update(seen.kept)
        eventually(self.stores, "callbacks are stored again")
        for id, task in seen.kept.items():
            assert self.daemon.query.get(f"/v1/task/{id}").json == task
        for id in seen.refused:
            self.daemon.query.get(f"/v1/task/{id}", status=404)

    def stores(self):
        body = callback()
        answer = self.daemon.post(body)
        assert answer.status in (200, 503), (answer.status, answer.body)
        if answer.status == 200:
            self.kept[body["task_id"]] = body["task"]
        return answer.status == 200

    def end(self):
        """After a crash everything is there."""
        self.daemon.kill()
        check(self.daemon, [(id, 1) for id in self.kept])
        self.daemon.start()
        for id, task in self.kept.items():
            assert self.daemon.query.get(f"/v1/task/{id}").json == task


def plan(config, kind, most):
    """What is tried: (n, error, times), most of them once, some for longer."""
    dice = nth.dice_of(config, kind)
    for n in nth.sample(most, config.getoption("--nth-rounds"), dice):
        yield n, dice.choice(ERRORS[kind]), dice.choice([1, 1, 1, 1, 3, FOREVER])


def told(config, kind, n, error, times):
    return f"--nth-seed {config.getoption('--nth-seed')}: {kind}, call {n}, {times} times, error {error}"


@pytest.mark.parametrize("kind", ["MEMORY", "MAP", "ACCEPT", "SOCKOPT", "RECEIVE", "SEND", "READ", "WRITE", "OPEN", "EPOLL_ADD",
                                  "EPOLL_WAIT"])
def test_the_receiver_survives_the_nth_failure(make_daemon, library, tmp_path, request, kind):
    receiver = Receiver(make_daemon, Nth(tmp_path, library))
    most = max(receiver.measure(kind), 1)
    for n, error, times in plan(request.config, kind, most):
        try:
            receiver.try_once(kind, error, n, times)
        except BaseException:
            print(told(request.config, kind, n, error, times), "of", most)
            raise
    receiver.end()


STREAMS = ["/v1/export?format=jsonl", "/v1/events?limit=1000&include=task", "/v1/tasks?limit=100",
           "/v1/deliveries?limit=100"]


@pytest.mark.parametrize("kind", ["MEMORY", "READ"])
@pytest.mark.parametrize("target", STREAMS)
def test_a_stream_is_whole_or_it_is_cut(make_daemon, library, tmp_path, request, kind, target):
    """It takes many looks into the database, more than fits into a cache; whichever fails, what looks whole is whole."""
    receiver = Receiver(make_daemon, Nth(tmp_path, library))
    for n in range(120):
        receiver.daemon.deliver(callback(instruction=f"Big or small? {n}" + "x" * 30000))
    right = receiver.daemon.query.get(target).body
    receiver.nth.fail(kind, 0, FOREVER)
    receiver.daemon.query.get(target)
    most = max(receiver.nth.count, 1)
    for n, _, times in plan(request.config, kind, most):
        receiver.nth.fail(kind, errno.ENOMEM if kind == "MEMORY" else errno.EIO, n, times)
        try:
            answer = speak(UnixConnection(receiver.daemon.query.path, PATIENCE if times == FOREVER else WAIT), "GET", target)
            assert answer.status in (500, 503) or answer.body == right, told(request.config, kind, n, "", times)
        except Gone as e:
            assert "timed out" not in str(e) or times == FOREVER, told(request.config, kind, n, "", times)
        receiver.nth.off()
        if receiver.daemon.process.poll() is not None:
            receiver.revive()
    assert receiver.daemon.query.get(target).body == right


# Starting.

def starts_or_says_why(daemon, shim, kind, error, n):
    shim.fail(kind, error, n)
    daemon.launch()
    eventually(lambda: "Ready." in daemon.new_log() or daemon.process.poll() is not None, "it starts or leaves")
    shim.off()
    if daemon.process.poll() is None:
        assert daemon.stop() == 0
        return
    status = daemon.wait()
    assert status in SYSEXITS, (status, daemon.new_log())
    assert re.search(r"^<[0-3]>\S+", daemon.new_log(), re.M), f"it left with {status} and without a word"


def start_again_and_again(daemon, shim, request, kind):
    shim.fail(kind, 0, FOREVER)
    daemon.start()
    assert daemon.stop() == 0
    most = shim.count
    dice = nth.dice_of(request.config, "start", kind)
    for n in nth.sample(most, request.config.getoption("--nth-rounds"), dice):
        error = dice.choice([e for e in ERRORS[kind] if e])
        try:
            starts_or_says_why(daemon, shim, kind, error, n)
        except BaseException:
            print(told(request.config, kind, n, error, 1), "of", most)
            raise
    shim.off()
    daemon.start()
    assert daemon.stop() == 0


STARTING = ["MEMORY", "MAP", "SOCKET", "BIND", "SOCKOPT", "READ", "OPEN", "DESCRIPTOR", "EPOLL_ADD", "THREAD"]


@pytest.mark.parametrize("kind", STARTING)
def test_the_receiver_starts_or_says_why_not(make_daemon, library, tmp_path, request, kind):
    shim = Nth(tmp_path, library)
    start_again_and_again(make_daemon(env=shim.env), shim, request, kind)


@pytest.mark.parametrize("kind", STARTING)
def test_the_submitter_starts_or_says_why_not(make_submitter, library, tmp_path, request, kind):
    shim = Nth(tmp_path, library)
    start_again_and_again(make_submitter(env=shim.env), shim, request, kind)


# The submitter.

class Sender:
    """A submitter that fails as told. What it took with 202 is at the API once in the end, and not twice."""

    def __init__(self, make_submitter, shim):
        self.shim, self.submitter, self.taken = shim, make_submitter(env=shim.env).start(), []

    def hand_in(self, patience):
        for i in range(2):
            body = json.dumps({"instruction": "Big or small?", "attachment_type": "text", "attachment": f"ant {i}",
                               "categories": ["big", "small"]})
            try:
                answer = speak(UnixConnection(self.submitter.submit.path, patience), "POST", "/v1/task/categorization", body,
                               {"Content-Type": "application/json"})
            except Gone as e:
                assert "timed out" not in str(e) or patience < WAIT, "no answer and no end"
                continue
            assert answer.status in (202, 500, 503), (answer.status, answer.body)
            if answer.status == 202:
                self.taken.append(answer.json["submission_id"])

    def is_accepted(self, id):
        answer = self.submitter.submit.ask("POST", "/v1/queue/flush")
        assert answer.status in (200, 503), (answer.status, answer.body)
        return self.submitter.state(id) == "accepted"

    def settle(self, api):
        for id in self.taken:
            eventually(lambda: self.is_accepted(id), f"{id} is accepted")
        sent = api.submissions()
        assert all(sent.count(id) == 1 for id in self.taken), "not once"
        assert len(sent) == len(set(sent)), "twice"

    def try_once(self, api, kind, error, n, times):
        self.shim.fail(kind, error, n, times)
        self.hand_in(WAIT if times == 1 else PATIENCE)
        time.sleep(0.05)
        self.shim.off()
        if self.submitter.process.poll() is not None:
            status = self.submitter.wait()
            assert status in SYSEXITS, (status, self.submitter.log()[-3000:])
            self.submitter.start()
        self.settle(api)


@pytest.mark.parametrize("kind", ["MEMORY", "SOCKET", "CONNECT", "RECEIVE", "SEND", "SOCKOPT", "EPOLL_ADD", "DESCRIPTOR"])
def test_the_submitter_survives_the_nth_failure(make_submitter, api, library, tmp_path, request, kind):
    sender = Sender(make_submitter, Nth(tmp_path, library))
    sender.hand_in(WAIT)
    sender.settle(api)
    sender.shim.fail(kind, 0, FOREVER)
    sender.hand_in(WAIT)
    sender.settle(api)
    most = max(sender.shim.count, 1)
    for n, error, times in plan(request.config, kind, most):
        try:
            sender.try_once(api, kind, error, n, times)
        except BaseException:
            print(told(request.config, kind, n, error, times), "of", most)
            raise


# What was found.

def test_reads_work_again_after_memory_ran_out(make_daemon, library, tmp_path):
    """A transaction that could not be ended stayed open, and every later read failed."""
    receiver = Receiver(make_daemon, Nth(tmp_path, library))
    target = f"/v1/task/{receiver.old['task_id']}"
    receiver.nth.fail("MEMORY", 0, FOREVER)
    receiver.daemon.query.get(target)
    most = receiver.nth.count
    for n in range(1, most + 1):
        receiver.nth.fail("MEMORY", ERRORS["MEMORY"][0], n, FOREVER)
        try:
            speak(UnixConnection(receiver.daemon.query.path, PATIENCE), "GET", target)
        except Gone:
            pass
        receiver.nth.off()
        assert receiver.daemon.query.get(target).json == receiver.old["task"]


def test_no_request_waits_for_an_answer_that_cannot_be_made(make_daemon, library, tmp_path):
    """After the commit there was no memory for the answer, and the sender never heard of it."""
    receiver = Receiver(make_daemon, Nth(tmp_path, library))
    receiver.nth.fail("MEMORY", 0, FOREVER)
    receiver.daemon.deliver(callback())
    most, unanswered = receiver.nth.count, 0
    for n in range(most - 20, most + 1):
        body = callback()
        receiver.nth.fail("MEMORY", ERRORS["MEMORY"][0], n)
        try:
            assert receiver.daemon.post(body).status in (200, 500, 503)
        except (OSError, http.client.HTTPException) as e:
            assert "timed out" not in str(e)
            unanswered += 1
        receiver.nth.off()
        eventually(lambda: receiver.daemon.post(body).status == 200, "it is taken when it comes again")
    assert unanswered > 0
