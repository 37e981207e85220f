"""What a soak is made of: a receiver, a submitter and a stand-in for the API on one database, everybody who uses them,
paced so that the machine has time left, and what is measured meanwhile.

The sockets are the test's, passed as systemd passes them, so that a restart refuses nobody: what is sent while nobody
is there waits. Who sends keeps what was acknowledged, and sends what was not again, as Scale does."""

import hashlib
import json
import os
import pathlib
import random
import socket
import sqlite3
import threading
import time
import traceback

from harness import DATA, KEY, PARAMS, WAIT, Daemon, Sandbox, Submitter, UnixConnection, ask, callback, eventually, task_id

API_KEYS = ("live_made_up_1", "live_made_up_2")
RATE = 16  # callbacks in a second, all senders together
KEEP = 5  # seconds: how long retention keeps what no task stands on
INVALID_SIZE = 100_000
PREFILL = 250
FAULTS = {"drop_answer": 0.03, "error_after": 0.02, "error_500": 0.02, "lag": 0.2, "callback_lost": 0.05,
          "callback_duplicate": 0.05, "callback_invalid": 0.03, "callback_cut": 0.03, "callback_reorder": 0.05}
NO_FAULTS = dict.fromkeys(FAULTS, 0)
START = ("import fcntl, os, sys\n"
         "names, fds = sys.argv[1], [int(x) for x in sys.argv[2].split(',')]\n"
         "[os.dup2(fd, 3 + i) for i, fd in enumerate([fcntl.fcntl(fd, fcntl.F_DUPFD, 50) for fd in fds])]\n"
         "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=names)\n"
         "os.execv(sys.argv[3], sys.argv[3:])\n")


def passed(sockets):
    """What a Daemon needs to get them as systemd would pass them."""
    fds = [s.fileno() for s in sockets.values()]
    prefix = ["/usr/bin/python3", "-c", START, ":".join(sockets), ",".join(map(str, fds))]
    return {"prefix": prefix, "pass_fds": fds}


def unix_listener(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(path))
    s.listen(512)
    return s


def tcp_listener():
    s = socket.create_server(("127.0.0.1", 0), backlog=512)
    return s


# What is sent.

SAMPLES = [json.loads(p.read_bytes()) for p in sorted((DATA / "quickstart").glob("[1-6]-*.json"))]
ORPHAN = json.loads((DATA / "quickstart/7-attachment-failure.json").read_bytes())


def new_body(dice):
    """Any type."""
    body = json.loads(json.dumps(dice.choice(SAMPLES)))
    body["task_id"] = body["task"]["task_id"] = task_id()
    body["task"]["metadata"] = {"note": "x" * dice.randrange(1500)}
    return body


def encode(body, dice):
    """Differs in bytes, not in meaning."""
    return json.dumps(body, indent=dice.choice((None, 0, 1, 2))).encode()


LOST = ("IncompleteRead", "RemoteDisconnected", "BadStatusLine")


def lost(error):
    """It went while it was asked: no answer, no promise."""
    return isinstance(error, OSError) or any(word in repr(error) for word in LOST)


class Acknowledged:
    """What was promised: by task, and by delivery the digest of its bytes."""

    def __init__(self):
        self.lock, self.tasks, self.digests, self.counts = threading.Lock(), {}, {}, {}

    def add(self, kind, body, bytes_, answer):
        with self.lock:
            self.counts[answer["result"]] = self.counts.get(answer["result"], 0) + 1
            if kind == "orphan":
                return
            self.tasks.setdefault(body["task_id"], []).append(answer["delivery"])
            if answer["result"] in ("stored", "revised"):  # these stay; the others may be pruned
                self.digests[answer["delivery"]] = hashlib.sha256(bytes_).digest()

    def some_task(self, dice):
        with self.lock:
            return dice.choice(list(self.tasks)) if self.tasks else None


class Soak:
    def __init__(self, folder, seconds, seed):
        self.dir, self.seconds, self.seed = pathlib.Path(folder), seconds, seed
        self.sockets = {"callback": tcp_listener(), "query": unix_listener(self.dir / "r/q.sock"),
                        "control": unix_listener(self.dir / "r/c.sock")}
        self.submit_sockets = {"submit": unix_listener(self.dir / "s/s.sock")}
        port = self.sockets["callback"].getsockname()[1]
        self.sandbox = Sandbox(self.dir / "sandbox", "--complete-after=2500ms", "--time-scale=20000", f"--seed={seed % 1000}",
                               "--lag=300ms", keys=API_KEYS)
        self.receiver = Daemon(self.dir / "r", f"store.keep_deliveries={KEEP}s", **passed(self.sockets))
        self.receiver.port = port
        self.submitter = None
        self.key, self.acknowledged, self.submissions = KEY, Acknowledged(), {}
        self.failures, self.threads, self.stop = [], [], threading.Event()
        self.readers, self.samples, self.latencies, self.recovered, self.bytes_sent = [], [], [], 0, 0
        self.events = {"restarts": 0, "reloads": 0, "rotations": 0, "exports": 0, "backups": 0, "queries": 0, "pruned": 0}

    # Its life.

    def start(self):
        self.write_keys(KEY)
        self.sandbox.start()
        self.receiver.start()
        self.submitter = Submitter(self.dir / "s", self.sandbox.url, "api.settle=1s", "reconcile.interval=0",
                                   f"submit.callback_url=http://127.0.0.1:{self.receiver.port}/callback", key=API_KEYS[0],
                                   database=self.receiver.database, **passed(self.submit_sockets)).start()
        self.prefill()
        self.sandbox.set_faults(**FAULTS)
        self.begin = time.monotonic()

    def prefill(self):
        """What page caches have to hold is there from the start, so that they are full before anything is measured."""
        dice = random.Random(self.seed)
        for _ in range(PREFILL):
            body = callback(instruction="p" * 20_000)
            self.send("new", body, encode(body, dice))
        self.receiver.query.get("/v1/export?format=jsonl")

    def finish(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(WAIT)
        for daemon in (self.submitter, self.receiver, self.sandbox):
            if daemon:
                daemon.finish()
        for s in (*self.sockets.values(), *self.submit_sockets.values()):
            s.close()

    def now(self):
        return time.monotonic() - self.begin

    def every(self, interval, action, *arguments):
        """A thread that does it at that pace; when it is late it skips, and never hurries."""
        def loop():
            next_time = time.monotonic() + interval
            try:
                while not self.stop.wait(max(0, next_time - time.monotonic())):
                    action(*arguments)
                    next_time = max(next_time + interval, time.monotonic())
            except Exception:  # said by the main thread
                self.failures.append(traceback.format_exc())

        self.run(loop)

    def run(self, function, name=None):
        thread = threading.Thread(target=function, name=name, daemon=True)
        self.threads.append(thread)
        thread.start()

    # Those who send.

    def send(self, kind, body, bytes_, want=200):
        """Until it is answered."""
        while True:
            key, answer = self.key, None
            try:
                answer = self.receiver.post(bytes_, key=key)
            except Exception as error:
                if not lost(error):
                    raise
            if answer and answer.status == want:
                break
            late = answer and answer.status == 401 and key != self.key  # it was rotated out on the way
            assert answer is None or answer.status == 503 or late, (answer.status, answer.body)
            if self.stop.wait(0.05):
                return None
        if want == 200:
            self.acknowledged.add(kind, body, bytes_, answer.json)
            self.bytes_sent += len(bytes_)
        return answer

    def sender(self, seed):
        dice, sent = random.Random(seed), []

        def send_one():
            kind = dice.choices(("new", "again", "rewritten", "revised", "invalid", "orphan"), (68, 8, 8, 6, 8, 2))[0]
            if kind == "invalid":
                body = new_body(dice) | {"response": {"x": dice.random(), "pad": "i" * INVALID_SIZE}}
                return self.send(kind, body, encode(body, dice), 422)
            if kind == "orphan":
                body = ORPHAN | {"error": f"no {dice.random()}"}
                return self.send(kind, body, encode(body, dice))
            if kind == "new" or not sent:
                body = new_body(dice)
                bytes_ = encode(body, dice)
                sent.append((body, bytes_))
                del sent[:-200]
                return self.send("new", body, bytes_)
            choices = [x for x in sent if x[0]["task"]["type"] == "categorization"] if kind == "revised" else sent
            if not choices:
                return None
            body, bytes_ = dice.choice(choices)
            if kind == "rewritten":
                bytes_ = encode(body, dice) + b" " * dice.randrange(1, 9)
            if kind == "revised":
                body = json.loads(json.dumps(body))
                body["response"] = body["task"]["response"] = {"category": dice.choice(["big", "small"])}
                body["task"]["completed_at"] = f"2026-01-01T00:00:{dice.randrange(60):02}.{dice.randrange(1000):03}Z"
                bytes_ = encode(body, dice)
            return self.send(kind, body, bytes_)

        return send_one

    def submit_one(self, dice):
        number = len(self.submissions)
        key, task = f"soak-{self.seed}-{number}", PARAMS | {"instruction": "Big or small?", "attachment": f"car {number}"}
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        while True:
            answer = self.local(self.submitter.submit, "POST", "/v1/task/categorization", headers, json.dumps(task))
            if answer:
                break
            if self.stop.wait(0.05):
                return
        assert answer.status == 202, (answer.status, answer.body)
        id = answer.json["submission_id"]
        self.submissions[id] = number
        if dice.random() < 0.1:
            again = self.local(self.submitter.submit, "GET", f"/v1/submission/{id}")
            assert again is None or again.status == 200, again.body

    # Those who ask.

    def local(self, socket_, method, target, headers=None, body=None):
        """An answer, or None when the daemon went meanwhile."""
        try:
            answer = socket_.ask(method, target, headers, body)
        except Exception as error:
            if lost(error):
                return None
            raise
        return None if answer.status == 503 else answer

    def query_one(self, dice):
        known = self.acknowledged.some_task(dice)
        target = dice.choice((f"/v1/task/{known}", f"/v1/task/{known}/revisions", f"/v1/task/{known}/deliveries",
                              f"/v1/tasks?limit=20&offset={dice.randrange(200)}", "/v1/tasks?type=annotation&status=completed",
                              "/v1/deliveries?verdict=invalid", "/v1/submissions?state=accepted&limit=20", "/v1/stats",
                              "/metrics", "/readyz"))
        answer = self.local(self.receiver.query, "GET", target)
        assert answer is None or answer.status == 200, (target, answer.status, answer.body[:300])
        self.events["queries"] += 1

    def export_one(self):
        promised = len(self.acknowledged.tasks)
        answer = self.local(self.receiver.query, "GET", "/v1/export?format=jsonl")
        if answer is not None:
            assert answer.body.count(b"\n") >= promised
            self.events["exports"] += 1

    def backup_one(self):
        answer = self.local(self.receiver.control, "GET", "/v1/backup")
        if answer is not None:
            assert answer.status == 200 and answer.body.startswith(b"SQLite format 3\0")
            self.events["backups"] += 1

    def reconcile_one(self):
        self.local(self.submitter.submit, "POST", "/v1/queue/flush")
        answer = self.local(self.submitter.submit, "POST", "/v1/reconcile?wait=20")
        if answer is not None and answer.status == 200:
            self.recovered += answer.json["recovered"]

    def prune_one(self):
        answer = self.local(self.receiver.control, "POST", f"/v1/prune?older_than={KEEP}")
        if answer is not None:
            self.events["pruned"] += answer.json["deleted"]

    # How long it takes, beside what the machine takes for the same without us: a refusal, and a sync of our own.

    def probe(self, dice, file):
        body = callback()
        bytes_ = encode(body, dice)
        before, begun = self.events["restarts"], time.perf_counter()
        refused = self.receiver.post(bytes_, key="no-such-key")
        file.write(bytes_)
        file.flush()
        os.fdatasync(file.fileno())
        middle = time.perf_counter()
        self.send("new", body, bytes_)
        done = time.perf_counter()
        assert refused.status == 401
        if before == self.events["restarts"]:
            self.latencies.append((self.now(), done - middle, middle - begun))

    def prober(self):
        dice, file = random.Random(self.seed + 1), open(self.dir / "r/probe", "ab")

        def probe():
            try:
                self.probe(dice, file)
            except Exception as error:
                if not lost(error):
                    raise

        return probe

    # What is measured.

    def measure(self):
        one = {"t": self.now(), **database_of(self.receiver.database)}
        for name in ("receiver", "submitter"):
            process = getattr(self, name).process
            if process:
                one |= {f"{name}.{k}": v for k, v in process_of(process.pid).items()}
        self.samples.append(one)

    # What is done to them.

    def write_keys(self, *keys):
        """The stand-in's key stays."""
        lines = [f"sandbox {KEY}", *(f"k{i} {key}" for i, key in enumerate(keys) if key != KEY)]
        self.receiver.write_keys("\n".join(lines) + "\n")

    def rotate(self):
        """Both keys, then the new one alone, while callbacks come in."""
        new = f"made-up-rotated-{self.events['rotations']:06}"
        self.write_keys(self.key, new)
        self.receiver.reload()
        old, self.key = self.key, new
        time.sleep(0.5)  # what was sent with the old one is there; what isn't is sent again, with the new one
        self.write_keys(new)
        self.receiver.reload()
        if old != KEY:
            assert self.receiver.post(callback(), key=old).status == 401
        self.events["rotations"] += 1
        self.events["reloads"] += 2

    def reload(self):
        self.submitter.write_api_key(API_KEYS[self.events["reloads"] % 2])
        self.submitter.reload()
        self.receiver.reload()
        self.events["reloads"] += 2

    def restart(self, number):
        """Each of the two, each way."""
        daemon = (self.receiver, self.submitter)[number % 2]
        if number // 2 % 2:
            daemon.kill()
        else:
            status = daemon.stop()
            assert status == 0, daemon.log()[-3000:]
        daemon.start()
        self.events["restarts"] += 1


def process_of(pid):
    """Its figures; nothing of one that went meanwhile."""
    try:
        rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        memory = {name.rstrip(":"): int(value) for name, value, *_ in map(str.split, rollup)}
        status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
        return {"pid": pid, "rss": memory["Rss"], "pss": memory["Pss"], "anonymous": memory["Anonymous"],
                "fds": len(os.listdir(f"/proc/{pid}/fd")), "threads": int(status["Threads"])}
    except (OSError, ValueError, KeyError):
        return {}


def database_of(path):
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    try:
        def ask_one(sql):
            return connection.execute(sql).fetchone()[0]

        wal = path.with_name(path.name + "-wal")
        return {"bytes": path.stat().st_size, "wal": wal.stat().st_size if wal.exists() else 0,
                "pages": ask_one("PRAGMA page_count") - ask_one("PRAGMA freelist_count"),
                "tasks": ask_one("SELECT sum(count) FROM tally"),
                "unneeded": ask_one("SELECT count(*) FROM delivery WHERE fingerprint IS NOT NULL")}
    finally:
        connection.close()


class Reader:
    """A reader of the feed that must see every number once, in order, whoever dies."""

    def __init__(self, soak, kind):
        self.soak, self.kind, self.seen, self.connections = soak, kind, 0, 0
        self.target = None  # once it is known where it ends
        soak.readers.append(self)
        soak.run(self.loop, "reader")

    def loop(self):
        try:
            while self.target is None or self.seen < self.target:
                try:
                    self.read()
                except Exception as error:
                    if not lost(error):
                        raise
                time.sleep(0.02)
        except Exception:
            self.soak.failures.append(f"{self.kind}: {traceback.format_exc()}")

    def take(self, event):
        assert event["seq"] == self.seen + 1, (event["seq"], self.seen)
        self.seen = event["seq"]

    def rest(self):
        """Slow: a little behind each. Stuck: for so long, now and then, that it is cut."""
        end = time.monotonic() + {"slow": 0.25, "stuck": 0 if self.seen % 150 else 40}.get(self.kind, 0)
        while self.target is None and time.monotonic() < end:
            time.sleep(min(0.25, max(0, end - time.monotonic())))

    def read(self):
        targets = {"lines": f"/v1/events?follow=1&after={self.seen}", "stream": "/v1/events",
                   "waiting": f"/v1/events?wait=2&after={self.seen}&limit=1000",
                   "slow": f"/v1/events?follow=1&include=task&after={self.seen}",
                   "stuck": f"/v1/events?follow=1&include=task&after={self.seen}"}
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(self.seen)} if self.kind == "stream" else {}
        connection = UnixConnection(self.soak.receiver.query.path, timeout=5)
        self.connections += 1
        try:
            if self.kind == "waiting":
                answer = ask(connection, "GET", targets[self.kind], headers=headers)
                for line in answer.body.splitlines():
                    self.take(json.loads(line))
                return
            connection.request("GET", targets[self.kind], headers=headers)
            response = connection.getresponse()
            while self.target is None or self.seen < self.target:
                line = response.readline()
                if not line.endswith(b"\n"):  # cut in the middle is not had
                    return
                if self.kind == "stream":
                    if not line.startswith(b"data: "):
                        continue
                    line = line.removeprefix(b"data: ")
                self.take(json.loads(line))
                self.rest()
        finally:
            connection.close()


def drain(soak):
    """To the end of everything that was begun: every submission completed, every reader at the last event."""
    soak.sandbox.set_faults(**NO_FAULTS)
    accepted = {}

    def completed():
        soak.reconcile_one()
        for id in soak.submissions:
            if id not in accepted:
                answer = soak.submitter.submission(id)
                if answer["state"] == "accepted":
                    accepted[id] = answer["task_id"]
        stats = soak.submitter.submit.get("/v1/queue").json
        pending = soak.receiver.query.get("/v1/tasks?status=pending&limit=1").json["total"]
        return len(accepted) == len(soak.submissions) and pending == 0 and stats

    eventually(completed, "every submission is accepted and completed", lambda: (len(accepted), soak.recovered))
    return accepted
