"""Behind nginx, with the location that the README shows."""

import pathlib
import re
import shutil
import socket
import subprocess

import pytest

from harness import KEY, WAIT, Daemon, callback, eventually

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture
def nginx(make_daemon, tmp_path):
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not pathlib.Path(program).exists():
        pytest.skip("SKIPPED: nginx is not installed")
    daemon = make_daemon("callback.trusted_proxies=127.0.0.1").start()
    location = re.search(r"```nginx\n(.*?)```", README.read_text(), re.S)[1]
    location = location.replace("127.0.0.1:8090", f"127.0.0.1:{daemon.port}")
    port = free_port()
    temporary = "".join(f"{what}_temp_path {tmp_path}/{what};" for what in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;\n"
        f"events {{ }}\nhttp {{ access_log off; {temporary}\n"
        f"server {{ listen 127.0.0.1:{port};\n{location} }} }}\n")
    process = subprocess.Popen([program, "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)],
                               stderr=subprocess.DEVNULL)
    front = Daemon(tmp_path / "front")
    front.port = port

    def answers():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    eventually(answers, "nginx listens")
    yield daemon, front
    process.terminate()
    process.wait(WAIT)


def test_callbacks_through_nginx(nginx):
    daemon, front = nginx
    front.deliver(callback())
    front.deliver(callback(), path="/callback/sub-1", headers={"X-Forwarded-For": "203.0.113.9"})
    front.post(callback(), key="wrong", status=401)
    front.post(callback(instruction="x" * 3_000_000), status=200)
    front.post("{", status=400)
    deliveries = daemon.query.docs("/v1/deliveries")
    # What nginx saw counts, whatever a client says of itself.
    assert [d["remote"] for d in deliveries] == ["127.0.0.1"] * 4
    assert deliveries[1]["ref"] == "sub-1"


def test_what_the_daemon_can_not_see_nginx_refuses(nginx):
    _, front = nginx
    for header in ("X: a\x00b", "X: a\r\n b", "Content-Length: 2\r\nTransfer-Encoding: chunked"):
        raw = front.raw().say(f"POST /callback HTTP/1.1\r\nHost: x\r\nscale-callback-auth: {KEY}\r\n{header}\r\n\r\n{{}}")
        assert raw.hear().startswith(b"HTTP/1.1 400 ")
        raw.close()
