"""scalectl doctor: an installation in which all is well, and everything that it finds, provoked."""

import http.server
import json
import os
import pathlib
import shutil
import socket
import socketserver
import subprocess
import threading

import pytest

from api import TEST_KEY
from harness import KEY, WAIT, callback, eventually, scalectl


class Installation:
    """A receiver, a submitter that shares its store, and a stand-in for the API."""

    def __init__(self, receiver, submitter, options):
        self.receiver, self.submitter, self.options = receiver, submitter, options

    def run(self, *arguments, settings=()):
        options = [x for s in (*self.options, *settings) for x in ("-o", s)]
        return scalectl(self.receiver, *options, *arguments)

    def doctor(self, *arguments, settings=(), status=0):
        """From the name of each check to its findings."""
        run = self.run("--json", "doctor", *arguments, settings=settings)
        assert run.returncode == status, "\n".join([l for l in run.stdout.splitlines() if "\"ok\"" not in l]) + run.stderr
        found = {}
        for line in run.stdout.splitlines():
            finding = json.loads(line)
            assert set(finding) == {"check", "result", "message", "advice"}
            assert bool(finding["advice"]) == (finding["result"] != "ok"), finding
            found.setdefault(finding["check"], []).append(finding)
        assert (status == 1) == any(f["result"] == "failure" for fs in found.values() for f in fs)
        for check, said in found.items():  # what is well is no line beside what isn't, but of another daemon
            assert check in ("in-force", "ready") or len({f["result"] == "ok" for f in said}) == 1, (check, said)
        for secret in (KEY, TEST_KEY, "live_made_up"):
            assert secret not in run.stdout + run.stderr
        return found

    def finds(self, check, result, words, *arguments, settings=()):
        """The doctor says this of that, and what to do about it."""
        found = self.doctor(*arguments, settings=settings, status=1 if result == "failure" else 0)
        fits = [f for f in found[check] if f["result"] == result and words in f["message"]]
        assert fits, (words, found[check])
        return fits[0]


# What a machine in a container can't help: nobody there keeps the clock, and units may not be installed.
NOT_OURS = {"clock", "units"}


@pytest.fixture
def installation(tmp_path, make_daemon, make_submitter, make_sandbox):
    before = os.umask(0o007)
    try:
        store = tmp_path / "store"
        store.mkdir()
        store.chmod(0o2770)
        receiver = make_daemon("callback.trusted_proxies=127.0.0.1")
        receiver.database = store / "scale.db"
        receiver.start()
        sandbox = make_sandbox()
        url = f"http://127.0.0.1:{receiver.port}/callback"
        submitter = make_submitter(f"submit.callback_url={url}", url=sandbox.url, key="test_made_up",
                                   database=receiver.database).start()
    finally:
        os.umask(before)
    return Installation(receiver, submitter, [
        f"submit.socket={submitter.submit.path}", f"submit.callback_url={url}", f"api.key_file={submitter.dir}/api-key",
        f"api.url={sandbox.url}", "callback.trusted_proxies=127.0.0.1"])


def test_all_is_well(installation):
    found = installation.doctor()
    assert {c for c, fs in found.items() if any(f["result"] != "ok" for f in fs)} <= NOT_OURS, found
    assert len(found) == 20
    assert "1 key: live" in found["callback-keys"][0]["message"]
    assert "a test key" in found["api-key"][0]["message"]


def test_for_people_there_is_a_line_each_and_what_to_do(installation):
    installation.receiver.post("{")
    run = installation.run("doctor")
    assert run.returncode == 0
    lines = run.stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("warning  quarantine: "))
    assert lines[at + 1].startswith("         `scalectl quarantine`")
    assert any(line.startswith("ok       disk: ") for line in lines)
    assert "\x1b" not in run.stdout


def test_a_path_that_is_no_text(installation):
    """In JSON too there is a message then."""
    found = installation.finds("callback-keys", "failure", "does not exist",
                               settings=[b"callback.auth_keys_file=/nowhere/\xff".decode(errors="surrogateescape")])
    assert "\ufffd" in found["message"]


def test_a_mistake_in_the_configuration_ends_it(installation):
    found = installation.doctor(settings=["callback.max_body=much"], status=1)
    assert list(found) == ["configuration"] and "max_body" in found["configuration"][0]["message"]


KEYS = [
    ("live\n", "line 1: expected a label and a key"), ("# none\n\n", "no key in"), ("a b\na c\n", "line 2: this label"),
    ("a b\nc b\n", "line 2: this key"), ("a b c\n", "line 1"), ("l/ve b\n", "line 1: a label is"),
    ("".join(f"k{n} key{n}\n" for n in range(17)), "line 17: there can be 16"), ("x" * 70000, "too large")]


@pytest.mark.parametrize("text, words", KEYS)
def test_files_of_keys(installation, text, words):
    """What the doctor calls wrong the daemon refuses too."""
    installation.receiver.write_keys(text)
    installation.finds("callback-keys", "failure", words)
    installation.receiver.signal(1)
    eventually(lambda: "Not reloaded" in installation.receiver.log(), "a refusal")


def test_keys_that_others_can_read_or_that_are_not_there(installation):
    installation.receiver.write_keys(f"live {KEY}\n", mode=0o644)
    assert "chmod" in installation.finds("callback-keys", "failure", "by others")["advice"]
    installation.receiver.write_keys(f"live {KEY}\n")
    installation.finds("callback-keys", "failure", "does not exist", settings=["callback.auth_keys_file=/nowhere/keys"])
    installation.finds("callback-keys", "failure", "not a regular file", settings=["callback.auth_keys_file=/dev/null"])
    installation.submitter.write_api_key("test_made_up", mode=0o644)
    installation.finds("api-key", "failure", "by others")


@pytest.mark.parametrize("text, words", [("made-up", "begins with"), ("", "no API key"), ("live a", "without spaces"),
                                         ("live" + "x" * 509, "longer"), ("live" + "x" * 600, "too large")])
def test_api_keys(installation, text, words):
    installation.submitter.write_api_key(text)
    installation.finds("api-key", "failure", words)


@pytest.mark.skipif(pathlib.Path("/etc/credstore/callback-auth-keys").exists(), reason="this machine has keys")
def test_no_key_is_named(installation):
    found = installation.finds("callback-keys", "warning", "where from is not to be seen",
                               settings=["callback.auth_keys_file="])
    assert "/etc/credstore/callback-auth-keys" in found["advice"]
    installation.finds("callback-keys", "failure", "does not start",
                       settings=["callback.auth_keys_file=", "query.socket=/nowhere/q"])
    installation.finds("api-key", "failure", "scale-submitd does not start",
                       settings=["api.key_file=", "submit.socket=/nowhere/s"])


def test_daemons_that_do_not_run(installation):
    installation.submitter.stop()
    installation.finds("submit-socket", "failure", "is scale-submitd running?")
    installation.receiver.stop()
    found = installation.doctor(status=1)
    for check, words in (("query-socket", "is scale-callbackd running?"), ("control-socket", "scale-callbackd"),
                         ("ready", "callbacks can be stored is not known"), ("listeners", "nobody answers"),
                         ("quarantine", "can't be had"), ("queue", "can't be looked at")):
        assert words in found[check][0]["message"] and found[check][0]["result"] != "ok", found[check]


def test_sockets_for_everybody(installation):
    for check, path in (("query-socket", installation.receiver.query.path),
                        ("control-socket", installation.receiver.control.path),
                        ("submit-socket", installation.submitter.submit.path)):
        mode = path.stat().st_mode
        path.chmod(0o666)
        assert "chmod" in installation.finds(check, "failure", "0666, so everybody")["advice"]
        path.chmod(mode)
    installation.receiver.control.path.chmod(0o660)
    installation.finds("control-socket", "failure", "0660, so its group")


def test_a_store_that_is_not_closed(installation):
    store = installation.receiver.database.parent
    for mode, result, words in ((0o2777, "failure", "everybody can put files"), (0o2775, "warning", "look into it"),
                                (0o770, "warning", "share it by its group"), (0o2750, "warning", "share it by its group")):
        store.chmod(mode)
        installation.finds("store", result, words)
    store.chmod(0o2770)
    installation.receiver.database.chmod(0o664)
    installation.finds("store", "failure", "everybody can use")
    installation.receiver.database.chmod(0o640)
    installation.finds("store", "warning", "can't write it")
    installation.receiver.database.chmod(0o660)
    wal = store / "scale.db-wal"
    wal.chmod(0o666)
    installation.finds("store", "failure", "scale.db-wal")
    wal.chmod(0o660)
    if os.getuid() == 0:
        os.chown(wal, -1, 1)
        installation.finds("store", "warning", "another group")


def test_a_store_that_is_not_there(installation, tmp_path):
    def settings(path):
        return [f"store.path={path}"]

    installation.finds("store", "failure", "No such file", settings=settings("/nowhere/scale.db"))
    installation.finds("disk", "failure", "can't be looked at", settings=settings("/nowhere/scale.db"))
    installation.finds("store", "failure", "there is no database", settings=settings(tmp_path / "other.db"))
    (tmp_path / "folder.db").mkdir()
    installation.finds("store", "failure", "not a regular file", settings=settings(tmp_path / "folder.db"))


def test_room_on_the_disk(installation):
    free = shutil.disk_usage(installation.receiver.database.parent).free
    assert "20 tries" in installation.finds("disk", "failure", "min_free", settings=[f"store.min_free={free * 2}"])["advice"]
    installation.finds("disk", "warning", "min_free", settings=[f"store.min_free={free // 3}"])


def test_callbacks_that_can_not_be_stored(installation):
    if shutil.disk_usage(installation.receiver.database.parent).free > 1 << 40:
        pytest.skip("SKIPPED: there is more room on this disk than [store] min_free can ask for")
    installation.receiver.stop()
    installation.receiver.settings += ["store.min_free=1024G", f"callback.listen=127.0.0.1:{installation.receiver.port}"]
    installation.receiver.start()
    assert "making room" in installation.finds("ready", "failure", "callbacks can't be stored")["advice"]
    installation.finds("listeners", "failure", "can't be stored")


def test_listeners(installation):
    installation.finds("listeners", "failure", "nobody answers", settings=["callback.listen=127.0.0.1:9"])
    sandbox = next(o for o in installation.options if o.startswith("api.url=")).split("/")[2]
    installation.finds("listeners", "failure", "not what scale-callbackd says", settings=[f"callback.listen={sandbox}"])


def test_callback_urls(installation):
    far = "api.url=https://api.example.com/v1"
    installation.finds("callback-url", "warning", "not set", settings=["submit.callback_url="])
    installation.finds("callback-url", "failure", "only this host", settings=[far])
    installation.finds("callback-url", "failure", "travel", settings=[far, "submit.callback_url=http://hooks.example.com/c"])
    found = installation.doctor(settings=[far, "submit.callback_url=https://hooks.example.com/c"])
    assert found["callback-url"][0]["result"] == "ok"
    for url in ("https://localhost.example.com/c", "https://127.example.com/c"):
        assert installation.doctor(settings=[far, f"submit.callback_url={url}"])["callback-url"][0]["result"] == "ok"


def test_the_quarantine(installation):
    installation.receiver.post("{")
    assert "retry" in installation.finds("quarantine", "warning", "in the quarantine: 1")["advice"]


def test_a_queue_that_is_held(installation):
    installation.submitter.submit.post("/v1/queue/hold?reason=holidays")
    assert "resume" in installation.finds("queue", "warning", ": holidays")["advice"]


def test_without_a_submitter_nothing_of_it_is_looked_at(daemon):
    run = scalectl(daemon, "-o", "submit.socket=/nowhere/s", "--json", "doctor")
    found = {f["check"]: f for f in map(json.loads, run.stdout.splitlines())}
    assert run.returncode == 0, run.stdout
    for check in ("api-key", "submit-socket", "callback-url", "queue", "submissions", "live-tasks"):
        assert found[check]["message"] == "nothing is submitted from here"


class Canned:
    """A socket with made-up answers, for what a real daemon takes days to come to."""

    def __init__(self, path, answers):
        self.path = path

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                status, body = answers.get(self.path, (404, {}))
                body = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def address_string(self):
                return "local"

            def log_message(self, *_):
                pass

        self.server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
        self.server.daemon_threads = True
        os.chmod(path, 0o660)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def canned(tmp_path):
    made = []

    def make(answers):
        made.append(Canned(tmp_path / f"canned{len(made)}", {"/healthz": (200, {}), "/readyz": (200, {}), **answers}))
        return made[-1].path

    yield make
    for server in made:
        server.close()


QUEUE = {"hold": "running", "by_state": {}, "live_today": 0}
OLD = "2016-06-23T09:10:02.798Z"
QUEUES = [
    ("queue", "failure", "since 2016-06-23 09:10:02: 402", {"hold": "held_account", "since": OLD, "reason": "402"}),
    ("queue", "warning", "is held since 2016-06-23 09:10:02", {"hold": "held", "since": OLD}),
    ("queue", "failure", "what is queued waits: no name", {"waiting": {"severity": "error", "text": "no name", "help": "see"}}),
    ("queue", "warning", "what is queued waits: the cap", {"waiting": {"severity": "warning", "text": "the cap", "help": "see"}}),
    ("queue", "ok", "something waits: its turn", {"waiting": {"severity": "info", "text": "its turn"}}),
    ("queue", "failure", "does not understand", {"hold": "upside down"}),
    ("submissions", "warning", "not known whether they have a task: 3", {"by_state": {"unknown": 3}}),
    ("submissions", "warning", "rejected: 2", {"by_state": {"rejected": 2}}),
    ("submissions", "warning", "given up", {"by_state": {"expired": 1}}),
    ("submissions", "warning", "waits since 2016-06-23 09:10:02", {"oldest": OLD}),
    ("live-tasks", "warning", "live tasks today: 100, which is all", {"live_today": 100, "live_per_day": 100}),
    ("live-tasks", "ok", "live tasks today: 99 of 100", {"live_today": 99, "live_per_day": 100}),
]


@pytest.mark.parametrize("check, result, words, more", QUEUES)
def test_queues(installation, canned, check, result, words, more):
    path = canned({"/v1/queue": (200, {**QUEUE, **more})})
    settings = [f"submit.socket={path}"]
    found = installation.doctor("--utc", settings=settings, status=1 if result == "failure" else 0)
    assert any(f["result"] == result and words in f["message"] for f in found[check]), found[check]


def test_queues_that_are_none(installation, canned):
    for answers in ({"/v1/queue": (503, {})}, {"/v1/queue": (200, [])}, {"/v1/queue": (200, {})}):
        found = installation.doctor(settings=[f"submit.socket={canned(answers)}"],
                                    status=0 if answers["/v1/queue"][0] == 503 else 1)
        assert found["queue"][0]["result"] != "ok"


def test_figures_of_a_receiver(installation, canned):
    stats = {"disk": {"wal_bytes": 300 << 20}, "by_verdict": {"invalid": 0}, "last_delivery": 7}
    path = canned({"/v1/stats": (200, stats), "/v1/delivery/7": (200, {"received_at": "2999-01-01T00:00:00Z"})})
    settings = [f"query.socket={path}"]
    assert "backup" in installation.finds("write-ahead-log", "warning", "300.0M", settings=settings)["advice"]
    installation.finds("clock", "warning", "from the future", settings=settings)


def test_a_socket_of_somebody_else(installation, canned):
    path = canned({"/healthz": (404, {})})
    installation.finds("query-socket", "failure", "status 404", settings=[f"query.socket={path}"])


# The whole way.

def test_delivers_to_the_receiver(installation):
    found = installation.doctor("--deliver")["delivery"][0]
    assert found["result"] == "ok" and "is delivery 1, from 127.0.0.1, without a proxy" in found["message"]
    delivery = installation.receiver.query.get("/v1/delivery/1").json
    assert delivery["verdict"] == "stored" and installation.receiver.query.docs("/v1/tasks?is_test=true")
    assert installation.doctor()["delivery"][0]["message"].startswith("nothing was delivered")


def test_where_it_can_not_deliver(installation):
    url = f"http://127.0.0.1:{installation.receiver.port}"
    for where, words, advice in (("http://127.0.0.1:9/callback", "nothing could be delivered", "the proxy runs"),
                                 ("http://nowhere.invalid/callback", "nothing could be delivered", "DNS"),
                                 ("ftp://example.com/", "nothing could be delivered", "https://"),
                                 (f"{url}/other", "status 404", "[callback] path"),
                                 (url.replace("http:", "https:"), "nothing could be delivered", "TLS")):
        found = installation.finds("delivery", "failure", words, "--through", where)
        assert advice in found["advice"], found


def test_the_wrong_key(installation, tmp_path):
    keys = tmp_path / "other-keys"
    keys.write_text("live another-made-up-key\n")
    keys.chmod(0o600)
    assert "scale-callback-auth" in installation.finds("delivery", "failure", "status 401", "--deliver", "--key-file",
                                                       keys)["advice"]
    installation.finds("delivery", "failure", "no key to show", "--deliver", "--key-file", tmp_path / "none")


def test_somebody_else_takes_it(installation, make_daemon, tmp_path):
    other = make_daemon().start()
    installation.finds("delivery", "failure", "was not stored here", "--through",
                       f"http://127.0.0.1:{other.port}/callback")


def test_arguments(installation):
    assert installation.run("doctor", "--deliver", "--through", "http://x/").returncode == 64
    assert installation.run("doctor", "--deliver", settings=["submit.callback_url="]).returncode == 78
    assert installation.run("doctor", "more").returncode == 64


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture
def proxy(installation, tmp_path):
    """nginx in front of the receiver, with the lines that are given, with or without TLS. Its port."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not pathlib.Path(program).exists():
        pytest.skip("SKIPPED: nginx is not installed")
    processes = []

    def start(lines, certificate=None):
        folder, port = tmp_path / f"nginx{len(processes)}", free_port()
        folder.mkdir()
        temporary = "".join(f"{what}_temp_path {folder}/{what};" for what in
                            ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        tls = (f"listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}.pem; ssl_certificate_key {certificate}.key;"
               if certificate else f"listen 127.0.0.1:{port};")
        (folder / "nginx.conf").write_text(
            f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n"
            f"events {{ }}\nhttp {{ access_log off; {temporary}\nserver {{ {tls} location / {{ {lines} }} }} }}\n")
        processes.append(subprocess.Popen([program, "-c", str(folder / "nginx.conf"), "-p", str(folder)],
                                          stderr=subprocess.DEVNULL))

        def answers():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", port)) == 0

        eventually(answers, "nginx listens")
        return port

    yield start
    for process in processes:
        process.terminate()
        process.wait(WAIT)


FORWARD = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"


def test_through_a_proxy(installation, proxy):
    port = proxy(f"proxy_pass http://127.0.0.1:{installation.receiver.port}; {FORWARD}")
    url = f"http://127.0.0.1:{port}/callback"
    found = installation.doctor("--through", url)["delivery"][0]
    assert found["result"] == "ok" and "without a proxy" not in found["message"]
    found = installation.finds("delivery", "warning", "is the proxy's", "--through", url,
                               settings=["callback.trusted_proxies="])
    assert "trusted_proxies" in found["advice"]


def test_a_proxy_that_keeps_the_client_to_itself(installation, proxy):
    """As by a name that is not this host's alone: it is trusted and says nothing."""
    port = proxy(f"proxy_pass http://127.0.0.1:{installation.receiver.port};")
    name = socket.gethostname()
    try:
        here = socket.gethostbyname(name) == "127.0.0.1" or socket.gethostbyname(name).startswith("127.")
    except OSError:
        here = False
    if not here:
        pytest.skip("SKIPPED: the name of this host is not on loopback")
    found = installation.finds("delivery", "warning", "of a trusted proxy", "--through", f"http://{name}:{port}/callback")
    assert "X-Forwarded-For" in found["advice"]


@pytest.mark.parametrize("lines, status, advice", [
    ("proxy_pass http://127.0.0.1:9;", 502, "listeners"),
    ("return 301 https://example.com/;", 301, "Scale is not to be sent elsewhere"),
    ("deny all;", 403, "does not let it through"),
    ("client_max_body_size 10; proxy_pass http://127.0.0.1:9;", 413, "client_max_body_size"),
    ("return 418;", 418, "not scale-callbackd"),
    ("proxy_pass http://127.0.0.1:{port}; proxy_set_header scale-callback-auth '';", 401, "scale-callback-auth"),
])
def test_what_a_proxy_answers(installation, proxy, lines, status, advice):
    port = proxy(lines.replace("{port}", str(installation.receiver.port)))
    found = installation.finds("delivery", "failure", f"status {status}", "--through", f"http://127.0.0.1:{port}/callback")
    assert advice in found["advice"], found


def test_an_answer_of_200_is_not_enough(installation, proxy):
    port = proxy("return 200 'thank you';")
    installation.finds("delivery", "failure", "not as scale-callbackd", "--through", f"http://127.0.0.1:{port}/callback")


def test_a_certificate_that_nobody_signed(installation, proxy, tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2", "-keyout",
                    tmp_path / "own.key", "-out", tmp_path / "own.pem"], check=True, capture_output=True)
    port = proxy(f"proxy_pass http://127.0.0.1:{installation.receiver.port}; {FORWARD}", certificate=tmp_path / "own")
    found = installation.finds("delivery", "failure", "self-signed", "--through", f"https://127.0.0.1:{port}/callback")
    assert "authority" in found["advice"]
