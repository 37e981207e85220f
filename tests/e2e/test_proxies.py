"""Behind each of the proxies that conf/ has an example for, over TCP and over a Unix socket, with TLS outside."""

import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import threading

import pytest

from harness import KEY, WAIT, Raw, ask, callback, eventually, sample

CONF = pathlib.Path(__file__).resolve().parents[2] / "conf"
CLIENT = "127.0.0.2"  # where the tests' requests come from: an address that no proxy has
SAMPLES = sorted(p.stem for p in (CONF.parent / "tests/data/quickstart").glob("[1-6]-*.json"))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=hooks.example.com", "-addext", "subjectAltName=DNS:hooks.example.com",
                    "-keyout", folder / "key", "-out", folder / "crt"], check=True, capture_output=True)
    (folder / "pem").write_bytes((folder / "crt").read_bytes() + (folder / "key").read_bytes())
    return folder


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def put(text, *pairs):
    """Replaces what an example has for somebody's installation; each has to be there."""
    for pattern, value in pairs:
        text, n = re.subn(pattern, lambda _: value, text, flags=re.M)
        assert n > 0, pattern
    return text


class Nginx:
    example, program = "nginx.conf", "nginx"

    def configure(self, folder, text, tls, port, upstream):
        if upstream.startswith("unix:"):
            text = put(text, (r"^    server 127\.0\.0\.1:8090;", ""), (r"# server unix:\S+;", f"server {upstream};"))
        else:
            text = put(text, (r"server 127\.0\.0\.1:8090;", f"server {upstream};"))
        text = put(text, (r"listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"), (r"/etc/ssl/\S+\.crt", f"{tls}/crt"),
                   (r"/etc/ssl/\S+\.key", f"{tls}/key"))
        temporary = "".join(f"{what}_temp_path {folder}/{what};" for what in
                            ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "conf").write_text(
            f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;\n"
            f"events {{ worker_connections 4096; }}\nhttp {{ access_log off; {temporary}\n{text}\n}}\n")
        return ["-c", str(folder / "conf"), "-p", str(folder)]


class Caddy:
    example, program = "Caddyfile", "caddy"

    def configure(self, folder, text, tls, port, upstream):
        address = upstream.replace("unix:", "unix/", 1)
        text = put(text, (r"^hooks\.example\.com \{", f"https://hooks.example.com:{port} {{\n\tbind 127.0.0.1\n"
                          f"\ttls {tls}/crt {tls}/key"),
                   (r"reverse_proxy 127\.0\.0\.1:8090", f"reverse_proxy {address}"))
        (folder / "conf").write_text("{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}\n" + text)
        return ["run", "--config", str(folder / "conf"), "--adapter", "caddyfile"]


class HAProxy:
    example, program = "haproxy.cfg", "haproxy"

    def configure(self, folder, text, tls, port, upstream):
        address = upstream.replace("unix:", "unix@", 1)
        text = put(text, (r"bind :443 ssl crt \S+", f"bind 127.0.0.1:{port} ssl crt {tls}/pem"),
                   (r"server receiver 127\.0\.0\.1:8090", f"server receiver {address}"))
        (folder / "conf").write_text(text)
        return ["-db", "-f", str(folder / "conf")]


class Front:
    """A running proxy, as its clients see it."""

    def __init__(self, port):
        self.port = port
        self.tls = ssl.create_default_context()
        self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE

    def socket(self):
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=WAIT, source_address=(CLIENT, 0))
        return self.tls.wrap_socket(raw, server_hostname="hooks.example.com")

    def connect(self):
        connection = http.client.HTTPConnection("hooks.example.com", self.port, timeout=WAIT)
        connection.sock = self.socket()
        return connection

    def post(self, body, key=KEY, path="/callback", connection=None, **headers):
        data = body if isinstance(body, bytes) or hasattr(body, "__next__") else json.dumps(body)
        connection = connection or self.connect()
        return ask(connection, "POST", path, data,
                   {"scale-callback-auth": key, "Content-Type": "application/json", **headers})

    def say(self, data):
        raw = Raw.__new__(Raw)
        raw.socket = self.socket()
        return raw.say(data)


class Receiver:
    """A receiver whose listening socket outlives it, as with a service manager."""

    START = ("import os, sys\nos.dup2(int(sys.argv[1]), 3)\n"
             "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='callback')\n"
             "os.execv(sys.argv[2], sys.argv[2:])\n")

    def __init__(self, daemon, unix):
        self.daemon = daemon
        if unix:
            path = str(daemon.dir / "callback.sock")
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
            self.upstream = f"unix:{path}"
        else:
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.upstream = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.listener.listen(1024)
        daemon.prefix = ["/usr/bin/python3", "-c", self.START, str(self.listener.fileno())]
        daemon.pass_fds = (self.listener.fileno(),)
        daemon.start()


@pytest.fixture(params=[(p, unix) for p in (Nginx, Caddy, HAProxy) for unix in (False, True)],
                ids=lambda x: f"{x[0].program}-{'unix' if x[1] else 'tcp'}")
def proxy(request, make_daemon, certificate, tmp_path):
    kind, unix = request.param[0](), request.param[1]
    program = shutil.which(kind.program, path=os.environ["PATH"] + ":/usr/sbin")
    if not program:
        pytest.skip(f"SKIPPED: {kind.program} is not installed")
    receiver = Receiver(make_daemon(f"callback.trusted_proxies={'unix' if unix else '127.0.0.1'}"), unix)
    folder = tmp_path / "proxy"
    folder.mkdir()
    port = free_port()
    command = kind.configure(folder, (CONF / kind.example).read_text(), certificate, port, receiver.upstream)
    with open(folder / "output", "wb") as output:
        process = subprocess.Popen([program, *command], stdout=output, stderr=output,
                                   env={**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder)})

    def answers():
        assert process.poll() is None, (folder / "output").read_text()[-3000:]
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    eventually(answers, f"{kind.program} listens")
    yield receiver.daemon, Front(port)
    process.terminate()
    process.wait(WAIT)
    receiver.listener.close()


def test_callbacks_of_each_type_with_the_clients_address(proxy):
    daemon, front = proxy
    for name in SAMPLES:
        assert front.post(sample(f"quickstart/{name}")).status == 200, name
    assert front.post(callback(), path="/callback/submission-1").status == 200
    deliveries = daemon.query.docs("/v1/deliveries")
    assert len(deliveries) == len(SAMPLES) + 1 == 7
    assert {d["remote"] for d in deliveries} == {CLIENT}
    assert deliveries[-1]["ref"] == "submission-1"


def test_a_client_can_not_choose_its_address(proxy):
    daemon, front = proxy
    assert front.post(callback(), **{"X-Forwarded-For": "203.0.113.9"}).status == 200
    assert daemon.query.docs("/v1/deliveries")[0]["remote"] == CLIENT


def test_large_and_chunked_bodies(proxy):
    daemon, front = proxy
    large = callback(instruction="x" * 2_000_000)
    assert front.post(large).status == 200
    assert len(daemon.query.get("/v1/delivery/1/body").body) == len(json.dumps(large))
    body = json.dumps(callback(instruction="y" * 300_000)).encode()
    assert front.post(iter([body[:10], body[10:200_000], body[200_000:]])).status == 200
    try:
        status = front.post(callback(instruction="z" * 9_000_000)).status
    except (ConnectionError, ssl.SSLError):  # refused while we were still sending
        status = 413
    assert status == 413
    assert len(daemon.query.docs("/v1/deliveries")) == 2


def test_wrong_keys_and_other_paths(proxy):
    daemon, front = proxy
    assert front.post(callback(), key="wrong").status == 401
    assert front.post(callback(), path="/other").status == 404
    assert front.post(callback(), path="/healthz").status in (404, 405)
    assert front.post(callback(response={"category": "neither"})).status == 422
    assert [d["verdict"] for d in daemon.query.docs("/v1/deliveries")] == ["invalid"]


def request_bytes(body, *framing):
    head = ["POST /callback HTTP/1.1", "Host: hooks.example.com", f"scale-callback-auth: {KEY}",
            "Content-Type: application/json", *framing]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize("attack", ["two lengths", "both framings", "bad chunk", "bare line feed in a header",
                                    "bare line feeds in chunks"])
def test_smuggling(proxy, attack):
    """A second request hidden in the first, in each way that two readers could tell them apart differently."""
    daemon, front = proxy
    outer, hidden = callback(), callback()
    body = json.dumps(outer).encode()
    inner = request_bytes(json.dumps(hidden).encode(), f"Content-Length: {len(json.dumps(hidden))}")
    both = body + inner
    data = {
        "two lengths": request_bytes(both, f"Content-Length: {len(body)}", f"Content-Length: {len(both)}"),
        "both framings": request_bytes(b"0\r\n\r\n" + inner, f"Content-Length: {len(inner) + 5}",
                                       "Transfer-Encoding: chunked"),
        "bad chunk": request_bytes(b"%xg\r\n%s\r\n0\r\n\r\n" % (len(body), body) + inner, "Transfer-Encoding: chunked"),
        "bare line feed in a header": request_bytes(body, f"Content-Length: {len(body)}", "X: a\nTransfer-Encoding: chunked"),
        # Whoever takes a bare line feed for a line's end sees the end of the body before the hidden request.
        "bare line feeds in chunks": request_bytes(b"%x;\nxx\r\n%s\r\n0\n\n" % (len(body), body) + inner,
                                                   "Transfer-Encoding: chunked"),
    }[attack]
    answers = re.findall(rb"HTTP/1\.1 (\d{3}) ", hear_all(front.say(data).socket))
    assert front.post(callback()).status == 200  # it goes on
    deliveries = daemon.query.docs("/v1/deliveries")[:-1]
    # Proxy and receiver agree on what a request is: nothing is stored that was not answered as one of its own.
    assert len(deliveries) <= len([a for a in answers if a != b"413"]), (answers, deliveries)
    if len(answers) == 1:
        assert hidden["task_id"] not in {d.get("task_id") for d in deliveries}


def hear_all(connection):
    """What comes until the end, or until nothing more does."""
    heard = b""
    connection.settimeout(3)
    try:
        while piece := connection.recv(65536):
            heard += piece
    except (TimeoutError, ssl.SSLError, ConnectionError):
        pass
    connection.close()
    return heard


def test_restarts_under_load_behind_it(proxy):
    daemon, front = proxy
    acknowledged, wrong, stop = [], [], threading.Event()

    def send():
        connection = front.connect()
        while not stop.is_set():
            body = callback()
            try:
                answer = front.post(body, connection=connection)
                (acknowledged if answer.status == 200 else wrong).append((body["task_id"], answer.status))
                if answer.headers.get("Connection", "").lower() == "close":
                    connection = front.connect()
            except Exception as e:
                wrong.append(repr(e))
                connection = front.connect()

    senders = [threading.Thread(target=send) for _ in range(16)]
    for sender in senders:
        sender.start()
    try:
        for _ in range(3):
            count = len(acknowledged)
            eventually(lambda: len(acknowledged) > count + 50, "deliveries")
            assert daemon.stop() == 0
            daemon.start()
        count = len(acknowledged)
        eventually(lambda: len(acknowledged) > count + 50, "deliveries")
    finally:
        stop.set()
        for sender in senders:
            sender.join()
    assert not wrong, (len(wrong), wrong[:5])
    for id, _ in acknowledged:
        daemon.query.get(f"/v1/task/{id}")
