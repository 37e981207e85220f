"""Objects for the tests: a daemon, raw connections to it, its local sockets, and made-up callbacks."""

import base64
import http.client
import itertools
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

from api import TEST_KEY

BUILD = pathlib.Path(os.environ.get("SCALE_BUILD", ".quickstart/build")).resolve()
CALLBACKD = BUILD / "src/callbackd/scale-callbackd"
SUBMITD = BUILD / "src/submitd/scale-submitd"
SCALECTL = BUILD / "src/scalectl/scalectl"
SANDBOX = BUILD / "src/sandbox/scale-sandbox"
DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
KEY = "made-up-key-0123456789"
PATIENCE = float(os.environ.get("PATIENCE", "1"))  # for a machine that is slower still
WAIT = 180 * PATIENCE  # seconds without any movement: only ever waited for in full when something is wrong


def task_types():
    """The types of task that the program was built with."""
    return re.findall(r"\bTYPE\((\w+)\)", (BUILD / "src/task/type-list.h").read_text())


def moved():
    """Tells whoever watches this run (../stage.py) that what a test waits for is on its way."""
    if "STAGE_RESULTS" in os.environ:
        os.utime(os.environ["STAGE_RESULTS"])


def eventually(question, what, looks=None):
    """Asks until the answer is true, and gives it back. `looks` says how what is waited for stands: as long as that
    changes, it may take as long as it takes."""
    before, since = None, time.monotonic()
    while True:
        answer = question()
        if answer:
            return answer
        look = looks() if looks else answer
        if look != before:
            before, since = look, time.monotonic()
            moved()
        assert time.monotonic() < since + WAIT, f"never happened: {what}; nothing moved for {WAIT:.0f} s, and it stands at {look!r}"
        time.sleep(0.01)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=WAIT):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(connection, method, target, body=None, headers=None):
    try:
        connection.request(method, target, body=body, headers=headers or {})
    except BrokenPipeError:  # refused before it was whole: the answer is there all the same
        pass
    response = connection.getresponse()
    return Answer(response.status, response.headers, response.read())


class Local:
    """One of the two Unix sockets."""

    def __init__(self, path):
        self.path = path

    def ask(self, method, target, headers=None, body=None):
        connection = UnixConnection(self.path)
        try:
            return ask(connection, method, target, body, headers)
        finally:
            connection.close()

    def get(self, target, status=200, headers=None):
        answer = self.ask("GET", target, headers)
        assert answer.status == status, (target, answer.status, answer.body[:500])
        return answer

    def post(self, target, status=200):
        answer = self.ask("POST", target)
        assert answer.status == status, (target, answer.status, answer.body[:500])
        return answer

    def docs(self, target):
        return self.get(target).json["docs"]

    def lines(self, target, headers=None):
        return [json.loads(line) for line in self.get(target, headers=headers).body.splitlines()]


class Daemon:
    """A receiver in a directory of its own. `settings` are -o options; keys are lines of the file of keys."""

    def __init__(self, folder, *settings, keys=f"live {KEY}\n", config=None, env=None, unix=False, pass_fds=(),
                 prefix=()):
        self.dir = pathlib.Path(folder)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.settings, self.config, self.env = list(settings), config, env or {}
        self.pass_fds, self.prefix = pass_fds, list(prefix)
        self.database = self.dir / "scale.db"
        self.query = Local(self.dir / "q.sock")
        self.control = Local(self.dir / "c.sock")
        self.callback_socket = self.dir / "callback.sock" if unix else None
        self.log_path = self.dir / "log"
        self.local = self.query  # where it is asked about itself
        self.write_keys(keys)
        self.process, self.port = None, None

    def write_keys(self, text, mode=0o600):
        path = self.dir / "keys"
        path.write_text(text)
        path.chmod(mode)

    def command(self, *more):
        listen = f"unix:{self.callback_socket}" if self.callback_socket else "127.0.0.1:0"
        options = [f"callback.listen={listen}", f"callback.auth_keys_file={self.dir}/keys", f"store.path={self.database}",
                   f"query.socket={self.query.path}", f"control.socket={self.control.path}", "store.min_free=0",
                   *self.settings]
        config = [f"--config={self.config}"] if self.config else []
        return [str(CALLBACKD), *config, *(x for o in options for x in ("-o", o)), *more]

    def environment(self):
        return {**os.environ, "ASAN_OPTIONS": "abort_on_error=1", "TSAN_OPTIONS": "halt_on_error=1",
                "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1", **self.env}

    def launch(self, *more):
        self.log_file = open(self.log_path, "ab")
        self.log_start = self.log_path.stat().st_size
        self.process = subprocess.Popen(self.prefix + self.command(*more), stdout=self.log_file, stderr=self.log_file,
                                        env=self.environment(), pass_fds=self.pass_fds)
        return self

    def start(self, *more):
        self.launch(*more)
        eventually(lambda: "Ready." in self.new_log() or self.process.poll() is not None, "readiness")
        assert self.process.poll() is None, self.log()
        match = re.search(r"Listening on 127\.0\.0\.1:(\d+) \(callback\)", self.new_log())
        self.port = int(match[1]) if match else None
        return self

    def log(self):
        return self.log_path.read_text(errors="replace")

    def new_log(self):
        return self.log_path.read_bytes()[self.log_start:].decode(errors="replace")

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self):
        before = self.log().count("eloaded")
        self.signal(signal.SIGHUP)
        eventually(lambda: self.log().count("eloaded") > before, "a reload")

    def wait(self):
        status = self.process.wait(WAIT)
        self.log_file.close()
        self.process = None
        return status

    def stop(self):
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        self.signal(signal.SIGKILL)
        self.wait()

    # What must be 0 when nobody asks for anything.
    held = re.compile(r"^scale_\w+_(?:bodies_in_flight_bytes|commit_queue)\S* (?!0$).*$", re.M)

    def look_after(self):
        """Whatever a test did to it: one more request is taken as any other, or it is told why not, and nothing is
        held or counted for those before it."""
        if self.process.poll() is not None or not self.local.path.exists() or not self.database.exists():
            return
        settings = self.local.get("/v1/settings").json
        if not self.takes_another(settings["settings"]):
            assert self.local.ask("GET", "/readyz").status == 503, "it takes nothing, and is ready"

        def left():
            return self.held.findall(self.local.get("/metrics").body.decode())

        eventually(lambda: not left(), "nothing is held", left)

    def takes_another(self, settings):
        """An honest callback. False: not now."""
        if not self.port and not self.callback_socket:
            return True
        path = settings["callback"]["path"]
        files = [self.dir / "keys", pathlib.Path(self.env.get("CREDENTIALS_DIRECTORY", "/nowhere")) / "callback-auth-keys"]
        lines = [line.split() for file in files if file.exists() for line in file.read_text(errors="replace").splitlines()]
        keys = [words[-1] for words in lines if len(words) > 1 and words[-1].isascii()]
        small = any(s.startswith("callback.max_bod") and s[-1].isdigit() for s in self.settings)  # smaller than any
        for key in [*keys, KEY]:  # not all may be in force
            answer = self.post(callback(), path, key)
            if answer.status != 401:
                break
        assert answer.status in (200, 503) or small and answer.status == 413, ("after the test", answer.status, answer.body)
        return answer.status != 503

    def finish(self):
        log = self.log() if self.log_path.exists() else ""
        print(f"{self.log_path} ends with:\n{log[-3000:]}")  # shown where a test fails
        if self.process:
            self.look_after()
            status = self.stop()
            assert status == 0, (status, self.log()[-3000:])
        log = self.log() if self.log_path.exists() else ""
        for word in ("Sanitizer", "runtime error", "Assertion"):
            assert word not in log, log[-6000:]
        assert KEY not in log

    # Callbacks.

    def connect(self):
        if self.callback_socket:
            return UnixConnection(self.callback_socket)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)

    def raw(self):
        return Raw(self)

    def post(self, body, path="/callback", key=KEY, headers=None, status=None):
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        connection = self.connect()
        try:
            all_headers = {"Content-Type": "application/json", **({"scale-callback-auth": key} if key else {}),
                           **(headers or {})}
            answer = ask(connection, "POST", path, body, all_headers)
        finally:
            connection.close()
        if status:
            assert answer.status == status, (answer.status, answer.body)
        return answer

    def deliver(self, body, **more):
        return self.post(body, status=200, **more).json


class Submitter(Daemon):
    """A submitter. With `database` it shares a receiver's."""

    def __init__(self, folder, api_url, *settings, key=TEST_KEY, database=None, **more):
        super().__init__(folder, *settings, **more)
        self.api_url, self.database = api_url, pathlib.Path(database or self.database)
        self.submit = self.local = Local(self.dir / "s.sock")
        self.write_api_key(key)

    def write_api_key(self, text, mode=0o600):
        path = self.dir / "api-key"
        path.write_text(f"{text}\n")
        path.chmod(mode)

    def command(self, *more):
        options = [f"submit.socket={self.submit.path}", f"api.url={self.api_url}", f"api.key_file={self.dir}/api-key",
                   f"store.path={self.database}", "store.min_free=0", "api.timeout=2s", "api.settle=0", "reconcile.interval=0",
                   *self.settings]
        config = [f"--config={self.config}"] if self.config else []
        return [str(SUBMITD), *config, *(x for o in options for x in ("-o", o)), *more]

    def post(self, kind, body, status=202, headers=None):
        """A task; a dict goes as JSON, a text as a form."""
        form = isinstance(body, (str, bytes))
        headers = {"Content-Type": "application/x-www-form-urlencoded" if form else "application/json", **(headers or {})}
        answer = self.submit.ask("POST", f"/v1/task/{kind}", headers, body if form else json.dumps(body))
        assert answer.status == status, (answer.status, answer.body)
        return answer

    def add(self, **params):
        """A categorization task. The submission's id."""
        return self.post("categorization", {"instruction": "Big or small?", **PARAMS, **params}).json["submission_id"]

    def submission(self, id):
        return self.submit.get(f"/v1/submission/{id}").json

    def state(self, id):
        return self.submission(id)["state"]

    def reaches(self, id, state, hurry=False):
        """Waits until it is so, and gives the submission. With `hurry` nothing waits for the time of its next try."""
        def question():
            if hurry:
                self.submit.post("/v1/queue/flush")
            return self.state(id) == state

        eventually(question, f"{id} is {state}")
        return self.submission(id)

    def takes_another(self, settings):
        """An honest task, which is not sent any more. False: not now."""
        held = self.submit.ask("POST", "/v1/queue/hold?reason=the%20test%20is%20over").status
        answer = self.submit.ask("POST", "/v1/task/categorization", {"Content-Type": "application/json"},
                                 json.dumps({"instruction": "Big or small?", **PARAMS}))
        assert answer.status in (202, 503), ("after the test", answer.status, answer.body)
        return held == 200 and answer.status == 202

    def finish(self):
        super().finish()
        log = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        assert TEST_KEY not in log


class Raw:
    """A connection on which any bytes can be said."""

    def __init__(self, daemon):
        if daemon.callback_socket:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(WAIT)
            self.socket.connect(str(daemon.callback_socket))
        else:
            self.socket = socket.create_connection(("127.0.0.1", daemon.port), timeout=WAIT)

    def say(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())
        return self

    def hear(self, until=None):
        """What comes, up to `until` or the end."""
        heard = b""
        while until is None or until not in heard:
            try:
                piece = self.socket.recv(65536)
            except ConnectionResetError:
                break
            if not piece:
                break
            heard += piece
        return heard

    def close(self):
        self.socket.close()


numbers = itertools.count(1)


def task_id():
    return f"{int(time.time()):08x}{os.getpid() % 0x10000:04x}{next(numbers):012x}"


PARAMS = {"attachment_type": "text", "attachment": "car", "categories": ["big", "small"]}


def callback(response=None, id=None, completed_at="2016-06-23T09:10:02.798Z", **task):
    """A callback of a categorization task; keyword arguments are members of the task."""
    id = id or task_id()
    response = {"category": "big"} if response is None else response
    return {"task_id": id, "response": response,
            "task": {"task_id": id, "type": "categorization", "status": "completed", "response": response,
                     "created_at": "2016-06-23T09:09:34.752Z", "completed_at": completed_at, "params": PARAMS,
                     "instruction": "Big or small?", "urgency": "day", "metadata": {}, **task}}


def sample(name):
    return (DATA / f"{name}.json").read_bytes()


def scalectl(daemon, *arguments, stdin=None):
    """Runs scalectl against a daemon. The finished process."""
    options = [f"query.socket={daemon.query.path}", f"control.socket={daemon.control.path}",
               f"callback.auth_keys_file={daemon.dir}/keys", f"store.path={daemon.database}", "store.min_free=0",
               f"callback.listen=127.0.0.1:{daemon.port}"]
    return subprocess.run([str(SCALECTL), *(x for o in options for x in ("-o", o)), *map(str, arguments)],
                          capture_output=True, text=True, input=stdin, timeout=WAIT, env={**os.environ, "TZ": "UTC"})


class Sandbox:
    """The stand-in for the API. `options` are those of its command line."""

    def __init__(self, folder, *options, keys=("test_made_up", "live_made_up"), auth=KEY):
        self.dir = pathlib.Path(folder)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.options, self.keys, self.auth = list(map(str, options)), keys, auth
        self.log_path = self.dir / "sandbox.log"
        self.process, self.port = None, None

    def start(self):
        keys = [f"--api-key={key}" for key in self.keys]
        auth = [f"--callback-auth-key={self.auth}"] if self.auth else []
        self.log_file = open(self.log_path, "wb")
        self.process = subprocess.Popen([str(SANDBOX), "--listen=127.0.0.1:0", *keys, *auth, *self.options],
                                        stdout=self.log_file, stderr=self.log_file)
        eventually(lambda: "Ready." in self.log() or self.process.poll() is not None, "readiness of the sandbox")
        assert self.process.poll() is None, self.log()
        self.port = int(re.search(r"Listening on 127\.0\.0\.1:(\d+)", self.log())[1])
        return self

    def log(self):
        return self.log_path.read_text(errors="replace")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def ask(self, method, target, body=None, key="live_made_up", headers=None, status=None):
        """A dict is sent as JSON, anything else as it is."""
        headers = dict(headers or {})
        if isinstance(body, dict):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        if key is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        try:
            answer = ask(connection, method, target, body, headers)
        finally:
            connection.close()
        if status:
            assert answer.status == status, (answer.status, answer.body)
        return answer

    def get(self, target, **more):
        return self.ask("GET", target, status=200, **more).json

    def create(self, type="categorization", key="live_made_up", **params):
        """A task; what is not given is made up."""
        params = {"callback_url": "http://127.0.0.1:9/callback", "instruction": "Big or small?",
                  "attachment_type": "website", "attachment": "http://www.example.com/", "categories": ["big", "small"],
                  **params}
        return self.ask("POST", f"/v1/task/{type}", params, key=key, status=200).json

    def complete(self, id, response=None):
        body = {"response": response} if response else {}
        return self.ask("POST", f"/sandbox/task/{id}/complete", body, status=200).json

    def task(self, id):
        return self.get(f"/v1/task/{id}")

    def stats(self):
        return self.get("/sandbox/stats", key=None)

    def callbacks(self, id=None):
        docs = self.get("/sandbox/callbacks", key=None)["docs"]
        return [doc for doc in docs if id in (None, doc["task_id"])]

    def set_faults(self, **faults):
        return self.ask("POST", "/sandbox/faults", faults, key=None, status=200).json

    def finish(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(WAIT) == 0, self.log()[-3000:]
            self.process = None
            self.log_file.close()
        for word in ("Sanitizer", "runtime error", "Assertion"):
            assert word not in self.log(), self.log()[-6000:]
