"""Starting, configuration, keys, reloading, the service manager, stopping."""

import os
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import pytest

from harness import CALLBACKD, KEY, WAIT, Local, callback, eventually, scalectl


def run(daemon, *more):
    return subprocess.run(daemon.command(*more), capture_output=True, text=True, timeout=WAIT, env=daemon.environment())


def test_help_version_metrics(make_daemon):
    daemon = make_daemon()
    assert "--check-config" in run(daemon, "--help").stdout
    assert re.fullmatch(r"scale-callbackd \d+\.\d+\.\d+\n", run(daemon, "--version").stdout)
    assert "scale_callbackd_deliveries_total\tcounter\t" in run(daemon, "--list-metrics").stdout
    assert run(daemon, "--nope").returncode == 64
    assert run(daemon, "argument").returncode == 64


def test_check_and_dump(make_daemon, tmp_path):
    config = tmp_path / "scale.conf"
    config.write_text("[callback]\nmax_body = 2M\n")
    (tmp_path / "scale.conf.d").mkdir()
    (tmp_path / "scale.conf.d/10-more.conf").write_text("[callback]\nstrict = yes\n")
    daemon = make_daemon(config=config)
    assert run(daemon, "--check-config").returncode == 0
    dump = run(daemon, "--dump-config")
    assert "max_body = 2M\n" in dump.stdout and "strict = yes\n" in dump.stdout and KEY not in dump.stdout
    config.write_text(dump.stdout)
    assert run(daemon, "--dump-config").stdout == dump.stdout


@pytest.mark.parametrize("text, says", [
    ("[callback]\nmax_bdy = 1M\n", "line 2: there is no setting max_bdy in [callback]; is max_body meant?"),
    ("[callback]\nmax_body = lots\n", "line 2: [callback] max_body = lots can't be read"),
    ("[callback]\nmax_connections = 0\n", "line 2: [callback] max_connections = 0 is out of range"),
])
def test_a_mistake_names_file_and_line(make_daemon, tmp_path, text, says):
    config = tmp_path / "scale.conf"
    config.write_text(text)
    daemon = make_daemon(config=config)
    for more in ("--check-config", "--log-level=info"):
        done = run(daemon, more)
        assert done.returncode == 78 and f"{config}, {says}" in done.stderr


def test_check_config_looks_at_the_database(daemon):
    """From outside: nothing is opened, and what would keep a daemon from it is said."""
    path = daemon.database
    daemon.deliver(callback())
    assert run(daemon, "--check-config").returncode == 0
    assert daemon.stop() == 0
    assert run(daemon, "--check-config").returncode == 0
    good = path.read_bytes()
    for at, there, says in ((0, b"X", "no SQLite database"), (60, b"\x7f\xff\xff\xff", "newer version"),
                            (68, b"none", "another program's"), (0, None, "no SQLite database")):
        path.write_bytes(good[:at] + there + good[at + len(there):] if there else good[:50])
        done = run(daemon, "--check-config")
        assert done.returncode == 78 and f"[store] path = {path}: " in done.stderr and says in done.stderr, done.stderr
    path.write_bytes(good)
    assert run(daemon, "--check-config").returncode == 0


def test_a_mistake_in_the_settings_hides_none_in_the_keys(make_daemon, tmp_path):
    """All in one run: the keys that the settings name are looked at, and good ones are not missed."""
    config = tmp_path / "scale.conf"
    config.write_text("[callback]\nmax_body = lots\n")
    daemon = make_daemon(config=config)
    for more in (["--check-config"], []):
        done = run(daemon, *more)
        assert done.returncode == 78 and "max_body" in done.stderr and "No callback auth key" not in done.stderr
        done = run(daemon, "-o", "callback.auth_keys_file=/nonexistent/keys", *more)
        assert done.returncode == 78 and "max_body" in done.stderr and "/nonexistent/keys: No such file" in done.stderr


@pytest.mark.parametrize("keys, mode, says", [
    ("", 0o600, "there is no key in it"),
    (f"{KEY}\n", 0o600, "line 1: expected a label and a key"),
    (f"live {KEY}\n", 0o644, "others can read"),
])
def test_without_keys_it_does_not_start(make_daemon, keys, mode, says):
    daemon = make_daemon()
    daemon.write_keys(keys, mode)
    done = run(daemon)
    assert done.returncode == 78 and says in done.stderr and KEY not in done.stderr
    assert not daemon.database.exists()


def test_no_key_configured(make_daemon):
    daemon = make_daemon("callback.auth_keys_file=")
    done = run(daemon)
    assert done.returncode == 78 and "No callback auth key" in done.stderr


def test_keys_from_a_credential(make_daemon, tmp_path):
    (tmp_path / "callback-auth-keys").write_text("cred other-key\n")
    (tmp_path / "callback-auth-keys").chmod(0o400)
    daemon = make_daemon(env={"CREDENTIALS_DIRECTORY": str(tmp_path)}).start()
    daemon.post(callback(), status=401)
    daemon.post(callback(), key="other-key", status=200)
    assert daemon.query.docs("/v1/deliveries")[0]["key"] == "cred"


def test_other_databases_are_refused(make_daemon):
    daemon = make_daemon()
    database = sqlite3.connect(daemon.database)
    database.execute("CREATE TABLE other (x)")
    database.commit()
    database.close()
    done = run(daemon)
    assert done.returncode == 78 and "another program" in done.stderr

    daemon.database.write_bytes(b"not a database" * 100)
    assert run(daemon).returncode == 78  # the unit doesn't start it again and again


def test_a_newer_database_is_refused(make_daemon):
    daemon = make_daemon().start()
    daemon.stop()
    database = sqlite3.connect(daemon.database)
    database.execute("PRAGMA user_version = 99")
    database.close()
    done = run(daemon)
    assert done.returncode == 78 and "newer" in done.stderr


def test_an_address_in_use(make_daemon):
    first = make_daemon().start()
    second = make_daemon(f"callback.listen=127.0.0.1:{first.port}")
    done = run(second)
    assert done.returncode == 69 and f"127.0.0.1:{first.port}" in done.stderr
    third = make_daemon(f"query.socket={first.query.path}")
    assert run(third).returncode == 69
    first.query.get("/healthz")


def test_reload_of_a_mistake_keeps_everything(make_daemon, tmp_path):
    config = tmp_path / "scale.conf"
    config.write_text("[callback]\nstrict = no\n")
    daemon = make_daemon(config=config).start()
    config.write_text("[callback]\nstrict = perhaps\n")
    daemon.reload()
    assert "line 2: [callback] strict = perhaps" in daemon.log()
    daemon.deliver(callback())
    daemon.write_keys("nonsense\n")
    config.write_text("[callback]\nstrict = yes\nlisten = 127.0.0.1:1\n")
    daemon.reload()
    daemon.deliver(callback())
    daemon.write_keys(f"live {KEY}\n")
    daemon.reload()
    daemon.deliver(callback())
    assert "scale_callbackd_reloads_total{result=\"failed\"} 2" in daemon.query.get("/metrics").body.decode()


def test_what_is_in_force(make_daemon, make_submitter, tmp_path):
    """Settings and labels as they were read last, without those of the command line, and never a key."""
    config = tmp_path / "scale.conf"
    config.write_text("[callback]\nstrict = no\n[submit]\nlive_per_day = 5\n")
    daemon = make_daemon("callback.max_body=1M", config=config).start()
    submitter = make_submitter(config=config).start()
    before = daemon.query.get("/v1/settings").json
    assert before["keys"] == {"from": f"{daemon.dir}/keys", "labels": ["live"]} and not before.get("refused")
    assert before["settings"]["callback"]["strict"] == "no" and "max_body" not in before["settings"]["callback"]
    assert set(before["settings"]) <= {"callback", "query", "control", "store"}

    config.write_text("[callback]\nstrict = perhaps\nstric = yes\n[submit]\nlive_per_day = 6\n")
    daemon.write_keys(f"live {KEY}\nlive made-up-key\n")
    daemon.reload()
    refused = daemon.query.get("/v1/settings").json
    assert [line.removeprefix(str(config)).removeprefix(str(daemon.dir)) for line in refused["refused"]] == [
        ", line 2: [callback] strict = perhaps can't be read: expected yes or no",
        ", line 3: there is no setting stric in [callback]; is strict meant?",
        "/keys, line 2: this label stands for another key already"]
    assert {k: refused[k] for k in ("since", "settings", "keys")} == {k: before[k] for k in ("since", "settings", "keys")}

    config.write_text("[callback]\nstrict = yes\n[submit]\nlive_per_day = 6\n")
    daemon.write_keys(f"live {KEY}\nnext made-up-key\n")
    daemon.reload()
    after = daemon.query.get("/v1/settings").json
    assert after["refused"] is None and after["since"] > before["since"] and after["keys"]["labels"] == ["live", "next"]
    assert after["settings"]["callback"]["strict"] == "yes"

    submitted = submitter.submit.get("/v1/settings").json
    assert submitted["settings"]["submit"]["live_per_day"] == "5" and submitted["keys"]["labels"] == ["test"]
    assert "callback" not in submitted["settings"]
    for text in (daemon.query.get("/v1/settings").body, submitter.submit.get("/v1/settings").body):
        assert KEY.encode() not in text and b"made-up-key" not in text


def test_reload_changes_limits(make_daemon, tmp_path):
    config = tmp_path / "scale.conf"
    config.write_text("")
    daemon = make_daemon(config=config).start()
    config.write_text("[callback]\nmax_body = 1K\nstrict = yes\n[store]\npath = /elsewhere\n")
    daemon.reload()
    daemon.post(callback(instruction="x" * 2000), status=413)
    daemon.deliver(callback())


def test_reload_compares_with_what_is_in_force(make_daemon, tmp_path):
    """A setting that waits for the next start is named at every reload until it is set back, and not then."""
    config = tmp_path / "scale.conf"
    config.write_text("[callback]\npath = /a\n")
    daemon = make_daemon(config=config).start()
    said = "change at the next start only: [callback] path"
    for n, path in enumerate(("/b", "/b", "/c"), 1):
        config.write_text(f"[callback]\npath = {path}\n")
        daemon.reload()
        assert daemon.log().count(said) == n
    daemon.deliver(callback(), path="/a")
    config.write_text("[callback]\npath = /a\n")
    daemon.reload()
    assert daemon.log().count(said) == 3


@pytest.mark.load
def test_rotation_of_keys_loses_no_callback(make_daemon):
    """Old, old and new, new: senders change in between, and nobody is ever refused."""
    daemon = make_daemon(keys="live old-key\n").start()
    key, stop, refused, sent = ["old-key"], threading.Event(), [], []

    def send():
        while not stop.is_set():
            answer = daemon.post(callback(), key=key[0])
            (sent if answer.status == 200 else refused).append(answer.status)

    senders = [threading.Thread(target=send) for _ in range(4)]
    for sender in senders:
        sender.start()
    eventually(lambda: len(sent) > 20, "callbacks with the old key")
    daemon.write_keys("live-old old-key\nlive new-key\n")
    daemon.reload()
    n = len(sent)
    key[0] = "new-key"
    eventually(lambda: len(sent) > n + 20, "callbacks with the new key")
    daemon.write_keys("live new-key\n")
    daemon.reload()
    n = len(sent)
    eventually(lambda: len(sent) > n + 20, "callbacks with the new key alone")
    stop.set()
    for sender in senders:
        sender.join()
    assert not refused
    assert daemon.post(callback(), key="old-key").status == 401
    assert daemon.query.get("/v1/stats").json["tasks"] == len(sent)


class Manager:
    """A service manager's side of sd_notify()."""

    def __init__(self, folder):
        self.path = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(60)

    def wait_for(self, text):
        while True:
            message = self.socket.recv(4096).decode()
            if text in message:
                return message


def test_notifies_the_service_manager(make_daemon, tmp_path):
    manager = Manager(tmp_path)
    daemon = make_daemon(env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "2000000"}).start()
    manager.wait_for("READY=1")
    for _ in range(3):
        manager.wait_for("WATCHDOG=1")
    assert "stored since the start" in manager.wait_for("STATUS=")
    daemon.signal(signal.SIGHUP)
    manager.wait_for("RELOADING=1")
    manager.wait_for("READY=1")
    daemon.signal(signal.SIGTERM)
    manager.wait_for("STOPPING=1")
    assert daemon.wait() == 0


def test_sockets_by_name(make_daemon, tmp_path):
    """As systemd passes them: from descriptor 3 on, in any order, named."""
    tcp = socket.create_server(("127.0.0.1", 0))
    query, control = (socket.socket(socket.AF_UNIX) for _ in range(2))
    for s, name in ((query, "query"), (control, "control")):
        s.bind(str(tmp_path / name))
        s.listen()
    daemon = make_daemon()
    start = ("import os, sys\n"
             "fds = [int(x) for x in sys.argv[1:4]]\n"
             "high = [os.dup(fd) for fd in fds]\n"
             "high = [fd if fd > 10 else __import__('fcntl').fcntl(fd, 0, 20) for fd in high]\n"
             "[os.dup2(fd, 3 + i) for i, fd in enumerate(high)]\n"
             "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='3', LISTEN_FDNAMES='control:callback:query')\n"
             "os.execv(sys.argv[4], sys.argv[4:])\n")
    fds = [control.fileno(), tcp.fileno(), query.fileno()]
    process = subprocess.Popen(["/usr/bin/python3", "-c", start, *map(str, fds), *daemon.command()], pass_fds=fds,
                               stderr=subprocess.PIPE, text=True, env=daemon.environment())
    try:
        daemon.port = tcp.getsockname()[1]
        daemon.deliver(callback())
        assert Local(tmp_path / "query").get("/v1/stats").json["tasks"] == 1
        assert Local(tmp_path / "control").post("/v1/prune?older_than=0").json["deleted"] == 0
        assert not daemon.query.path.exists()
    finally:
        process.terminate()
        log = process.communicate(timeout=WAIT)[1]
    assert process.returncode == 0, log
    assert f"Listening on 127.0.0.1:{daemon.port} (callback)" in log


START_WITH_ONE = ("import os, sys\nos.dup2(int(sys.argv[1]), 3)\n"
                  "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES=sys.argv[2])\n"
                  "os.execv(sys.argv[3], sys.argv[3:])\n")


def log_with_a_socket(daemon, passed, name, *options):
    """What it says when it is started with a socket of that name, and ended."""
    command = daemon.command(*(x for o in options for x in ("-o", o)))
    process = subprocess.Popen(["/usr/bin/python3", "-c", START_WITH_ONE, str(passed.fileno()), name, *command],
                               pass_fds=[passed.fileno()], stderr=subprocess.PIPE, text=True, env=daemon.environment())
    log = ""
    while "Ready." not in log:
        line = process.stderr.readline()
        assert line, log
        log += line
    process.terminate()
    log += process.communicate(timeout=WAIT)[1]
    assert process.returncode == 0, log
    return log


@pytest.mark.parametrize("listen, warned", [
    ("127.0.0.1:8099", "[callback] listen = 127.0.0.1:8099"),
    ("127.0.0.1:{port} unix:/run/x.sock", "[callback] listen = unix:/run/x.sock"),
    ("127.0.0.1:{port}", None),
    ("", None),  # the default
])
def test_an_address_that_is_not_used_is_said(make_daemon, listen, warned):
    """Sockets are passed, so that nobody listens where the settings say: once that was not said."""
    tcp = socket.create_server(("127.0.0.1", 0))
    log = log_with_a_socket(make_daemon(), tcp, "callback", f"callback.listen={listen.format(port=tcp.getsockname()[1])}")
    lines = [line for line in log.splitlines() if "is not used" in line]
    assert len(lines) == (1 if warned else 0), log
    assert not warned or (warned in lines[0] and "systemctl edit scale-callbackd.socket" in lines[0])


@pytest.mark.parametrize("name", ["query", "control"])
def test_a_local_socket_that_is_not_used_is_said(make_daemon, tmp_path, name):
    passed = socket.socket(socket.AF_UNIX)
    passed.bind(str(tmp_path / "passed"))
    passed.listen()
    daemon = make_daemon()
    log = log_with_a_socket(daemon, passed, name, f"{name}.socket=/run/x.sock")
    assert f"[{name}] socket = /run/x.sock is not used" in log and f"systemctl edit scale-callbackd-{name}.socket" in log
    assert "is not used" not in log_with_a_socket(daemon, passed, name, f"{name}.socket={tmp_path}/passed")


def test_sockets_of_other_names_are_refused(make_daemon):
    tcp = socket.create_server(("127.0.0.1", 0))
    daemon = make_daemon()
    start = ("import os, sys\nos.dup2(int(sys.argv[1]), 3)\n"
             "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='web')\n"
             "os.execv(sys.argv[2], sys.argv[2:])\n")
    done = subprocess.run(["/usr/bin/python3", "-c", start, str(tcp.fileno()), *daemon.command()], pass_fds=[tcp.fileno()],
                          capture_output=True, text=True, timeout=WAIT, env=daemon.environment())
    assert done.returncode == 78 and 'named "web"' in done.stderr


@pytest.mark.load
def test_sigterm_under_load_loses_nothing_acknowledged(make_daemon):
    daemon = make_daemon().start()
    acknowledged, stop = [], threading.Event()

    def send():
        while not stop.is_set():
            body = callback()
            try:
                if daemon.post(body).status == 200:
                    acknowledged.append(body["task_id"])
            except OSError:
                pass
            except Exception:  # an answer cut short is no acknowledgement
                pass

    senders = [threading.Thread(target=send) for _ in range(8)]
    for sender in senders:
        sender.start()
    eventually(lambda: len(acknowledged) > 100, "some load")
    assert daemon.stop() == 0
    stop.set()
    for sender in senders:
        sender.join()
    assert not (daemon.dir / "scale.db-wal").exists()
    database = sqlite3.connect(daemon.database)
    stored = {row[0] for row in database.execute("SELECT task_id FROM task")}
    database.close()
    assert set(acknowledged) <= stored


def test_who_says_nothing_does_not_hold_up_the_end(make_daemon):
    daemon = make_daemon("callback.header_timeout=10m", "callback.idle_timeout=10m").start()
    silent = [daemon.raw() for _ in range(20)]
    idle = daemon.connect()
    idle.request("GET", "/healthz")
    idle.getresponse().read()
    assert daemon.stop() == 0
    assert "did not finish in time" not in daemon.log()
    for raw in silent:
        raw.close()


def test_secrets_stay_secret(make_daemon):
    """A key that is configured and one that is guessed are in no log, no dump, no database, no process listing."""
    daemon = make_daemon().start("--log-level=debug")
    daemon.deliver(callback())
    daemon.post(callback(), key="guessed-key-9876543210", status=401)
    daemon.post("{", status=400)
    scalectl(daemon, "simulate", "annotation")
    listing = open(f"/proc/{daemon.process.pid}/cmdline").read() + open(f"/proc/{daemon.process.pid}/environ").read()
    texts = [listing, daemon.log(), run(daemon, "--dump-config").stdout,
             *(daemon.query.get(t).body.decode() for t in ("/metrics", "/v1/stats", "/v1/deliveries", "/v1/events"))]
    daemon.stop()
    texts.append(daemon.database.read_bytes().decode(errors="replace"))
    for text in texts:
        assert KEY not in text and "guessed-key-9876543210" not in text


def test_memory_holds_no_key(make_daemon):
    if os.geteuid() != 0:
        pytest.skip("SKIPPED: reading another process's memory needs root")
    daemon = make_daemon().start()
    daemon.reload()
    found, pid = 0, daemon.process.pid
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            start, end, mode = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line).groups()
            if "r" not in mode or "[vvar]" in line or int(end, 16) - int(start, 16) > 1 << 30:
                continue
            try:
                memory.seek(int(start, 16))
                found += memory.read(int(end, 16) - int(start, 16)).count(KEY.encode())
            except (OSError, ValueError, OverflowError):
                pass
    assert found == 0


@pytest.mark.parametrize("prefix, looks", [("/usr", True), ("/usr/local", True), ("/opt/x", False)])
def test_who_installs_where_systemd_does_not_look_is_told_what_to_do(tmp_path, prefix, looks):
    top = pathlib.Path(__file__).resolve().parents[2]
    env = {**os.environ, "DESTDIR": str(tmp_path / "root")}
    said = subprocess.run(["meson", "setup", tmp_path / "build", top, f"--prefix={prefix}"], check=True, capture_output=True,
                          text=True).stdout
    subprocess.run(["meson", "install", "-C", tmp_path / "build", "--no-rebuild", "--tags", "systemd"], check=True,
                   capture_output=True, env=env)
    units = tmp_path / f"root{prefix}/lib/systemd/system"
    assert f"ExecStart={prefix}/sbin/scale-callbackd" in (units / "scale-callbackd.service").read_text()
    assert (f"systemctl link {prefix}/lib/systemd/system/scale-*" in said) != looks
    for path in re.findall(rf"{prefix}/lib/\S+", said.partition("as root:")[2]):
        assert list((tmp_path / "root").glob(path.lstrip("/"))), f"{path} was not installed"
