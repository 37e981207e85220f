"""The submitter as a service: starting, the API key, reloading, the service manager, stopping, and what stays secret."""

import os
import re
import resource
import signal
import socket
import sqlite3
import subprocess

import pytest

from api import TEST_KEY
from harness import SUBMITD, WAIT, Local, eventually
from test_service import Manager


def run(submitter, *more):
    return subprocess.run(submitter.command(*more), capture_output=True, text=True, timeout=WAIT,
                          env=submitter.environment())


def test_help_version_metrics(make_submitter):
    submitter = make_submitter()
    assert "--check-config" in run(submitter, "--help").stdout
    assert re.fullmatch(r"scale-submitd \d+\.\d+\.\d+\n", run(submitter, "--version").stdout)
    assert "scale_submitd_created_total\tcounter\t" in run(submitter, "--list-metrics").stdout
    assert run(submitter, "--check-config").returncode == 0
    assert run(submitter, "--nope").returncode == 64


@pytest.mark.parametrize("key, mode, says", [
    ("", 0o600, "there is no API key in it"),
    ("canary-without-a-kind", 0o600, "begins with live or test"),
    ("live canary", 0o600, "one line of printable ASCII"),
    (TEST_KEY, 0o644, "others can read"),
])
def test_without_a_key_it_does_not_start(make_submitter, key, mode, says):
    submitter = make_submitter()
    submitter.write_api_key(key, mode)
    done = run(submitter)
    assert done.returncode == 78 and says in done.stderr and "canary" not in done.stderr
    assert not submitter.database.exists()


def test_no_key_configured(make_submitter):
    done = run(make_submitter("api.key_file="))
    assert done.returncode == 78 and "No API key" in done.stderr


def test_a_mistake_in_the_settings_hides_none_in_the_key(make_submitter):
    done = run(make_submitter("api.max_in_flight=wide"), "--check-config")
    assert done.returncode == 78 and "max_in_flight" in done.stderr and "No API key" not in done.stderr
    done = run(make_submitter("api.max_in_flight=wide", "api.key_file=/nonexistent/key"), "--check-config")
    assert done.returncode == 78 and "max_in_flight" in done.stderr and "/nonexistent/key: No such file" in done.stderr


def test_a_key_from_a_credential(make_submitter, api, tmp_path):
    (tmp_path / "api-key").write_text(f"{TEST_KEY}\n")
    (tmp_path / "api-key").chmod(0o400)
    submitter = make_submitter(key="test_other", env={"CREDENTIALS_DIRECTORY": str(tmp_path)}).start()
    submitter.reaches(submitter.add(), "accepted")


def test_other_databases_are_refused(make_submitter):
    submitter = make_submitter()
    submitter.database.write_bytes(b"not a database" * 100)
    assert run(submitter).returncode == 78  # the unit doesn't start it again and again
    submitter.database.unlink()
    database = sqlite3.connect(submitter.database)
    database.execute("CREATE TABLE other (x)")
    database.commit()
    database.close()
    assert run(submitter).returncode == 78


def test_a_socket_in_use(make_submitter):
    first = make_submitter().start()
    second = make_submitter(f"submit.socket={first.submit.path}")
    done = run(second)
    assert done.returncode == 69 and str(first.submit.path) in done.stderr
    first.submit.get("/healthz")


def test_reload_of_a_mistake_keeps_everything(make_submitter, api, tmp_path):
    config = tmp_path / "scale.conf"
    config.write_text("[submit]\nlive_per_day = 5\n")
    submitter = make_submitter(config=config).start()
    config.write_text("[submit]\nlive_per_day = some\n")
    submitter.reload()
    assert "line 2: [submit] live_per_day = some" in submitter.log()
    config.write_text("[submit]\nlive_per_day = 7\n")
    submitter.write_api_key("nonsense-canary")
    submitter.reload()
    assert "settings and keys stay as they were" in submitter.log() and "canary" not in submitter.log()
    assert submitter.submit.get("/v1/queue").json["live_per_day"] == 5
    submitter.reaches(submitter.add(), "accepted")
    submitter.write_api_key(TEST_KEY)
    submitter.reload()
    assert submitter.submit.get("/v1/queue").json["live_per_day"] == 7
    metrics = submitter.submit.get("/metrics").body.decode()
    assert 'scale_submitd_reloads_total{result="failed"} 2\n' in metrics
    assert 'scale_submitd_reloads_total{result="done"} 1\n' in metrics


def test_notifies_the_service_manager(make_submitter, tmp_path):
    manager = Manager(tmp_path)
    submitter = make_submitter(env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "2000000"}).start()
    manager.wait_for("READY=1")
    for _ in range(3):
        manager.wait_for("WATCHDOG=1")
    submitter.submit.post("/v1/queue/hold?reason=lunch")
    assert "held: lunch" in manager.wait_for("STATUS=The queue")
    submitter.signal(signal.SIGHUP)
    manager.wait_for("RELOADING=1")
    manager.wait_for("READY=1")
    submitter.signal(signal.SIGTERM)
    manager.wait_for("STOPPING=1")
    assert submitter.wait() == 0


def test_a_socket_by_name(make_submitter, tmp_path):
    passed = socket.socket(socket.AF_UNIX)
    passed.bind(str(tmp_path / "submit"))
    passed.listen()
    submitter = make_submitter()
    start = ("import os, sys\nos.dup2(int(sys.argv[1]), 3)\n"
             "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES=sys.argv[2])\n"
             "os.execv(sys.argv[3], sys.argv[3:])\n")

    def launch(name):
        return subprocess.Popen(["/usr/bin/python3", "-c", start, str(passed.fileno()), name, *submitter.command()],
                                pass_fds=[passed.fileno()], stderr=subprocess.PIPE, text=True, env=submitter.environment())

    process = launch("submit")
    try:
        assert Local(tmp_path / "submit").get("/v1/queue").json["hold"] == "running"
        assert not submitter.submit.path.exists()
    finally:
        process.terminate()
        log = process.communicate(timeout=WAIT)[1]
    assert process.returncode == 0, log
    assert f"[submit] socket = {submitter.submit.path} is not used" in log and "edit scale-submitd.socket" in log
    process = launch("query")
    assert 'named "query"' in process.communicate(timeout=WAIT)[1] and process.returncode == 78


def test_modes_of_sockets(make_submitter):
    submitter = make_submitter().start()
    assert os.stat(submitter.submit.path).st_mode & 0o777 == 0o660


def test_the_end_waits_for_what_is_in_flight(make_submitter, api):
    api.plan = lambda method, path, body: 1.0 if method == "POST" else None
    submitter = make_submitter().start()
    id = submitter.add()
    eventually(lambda: api.creates() == 1, "a request")  # "sending" is on disk before it leaves
    assert submitter.stop() == 0
    assert "did not finish in time" not in submitter.log()
    submitter.start()
    assert submitter.state(id) == "accepted" and len(api.tasks) == 1


def test_secrets_stay_secret(make_submitter, api):
    """The API key is in no log, dump, answer, database, process listing, whatever happens."""
    refused = (401, {"status_code": 401, "error": "no"})
    plans = iter([None, refused, (500, b"<html>", {}, "text/html"), "drop"])
    api.plan = lambda method, path, body: next(plans, None) if method == "POST" else None
    submitter = make_submitter("api.timeout=5s").start("--log-level=debug")
    ids = [submitter.add(attachment=str(i)) for i in range(3)]
    eventually(lambda: submitter.submit.get("/v1/queue").json["hold"] == "held_account", "the hold")
    submitter.submit.post("/v1/queue/resume")
    for id in ids:
        submitter.reaches(id, "accepted")
    submitter.reload()
    submitter.submit.post(f"/v1/task/{ids[0]}/cancel")
    pid = submitter.process.pid
    texts = [open(f"/proc/{pid}/cmdline").read(), open(f"/proc/{pid}/environ").read(),
             run(submitter, "--dump-config").stdout,
             *(submitter.submit.get(t).body.decode() for t in ("/metrics", "/v1/stats", "/v1/queue", "/v1/submissions",
                                                               f"/v1/submission/{ids[0]}", "/v1/tasks"))]
    for path in submitter.dir.glob("scale.db*"):
        texts.append(path.read_bytes().decode(errors="replace"))
    submitter.stop()
    texts += [submitter.log(), submitter.database.read_bytes().decode(errors="replace")]
    for text in texts:
        assert TEST_KEY not in text


def test_a_crash_leaves_no_core(make_submitter):
    """Also where cores are allowed: the process says that it must not be dumped."""
    pattern = open("/proc/sys/kernel/core_pattern").read().strip()
    if pattern.startswith(("|", "/")):
        pytest.skip(f"SKIPPED: cores go to {pattern!r}, not into a directory that can be looked into")
    # A sanitizer would catch the signal itself: this crash is the test's, and it is the kernel's dump that is asked about.
    submitter = make_submitter(env={f"{name}SAN_OPTIONS": "handle_segv=0:abort_on_error=1:halt_on_error=1"
                                    for name in ("A", "T", "UB")})
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    submitter.start()
    submitter.signal(signal.SIGSEGV)
    submitter.wait()
    assert not list(submitter.dir.glob("core*")) and not [f for f in os.listdir(".") if f.startswith("core")]


def test_memory_holds_one_key_only_where_it_must(make_submitter, api):
    """What was replaced by a reload is gone from memory."""
    if os.geteuid() != 0:
        pytest.skip("SKIPPED: reading another process's memory needs root")
    old = "test_the_old_canary_key_0123456789"
    api.keys.append(old)
    submitter = make_submitter(key=old).start()
    submitter.reaches(submitter.add(), "accepted")
    submitter.write_api_key(TEST_KEY)
    submitter.reload()
    submitter.reaches(submitter.add(attachment="bus"), "accepted")
    found, pid = 0, submitter.process.pid
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            start, end, mode = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line).groups()
            if "r" not in mode or "[vvar]" in line or int(end, 16) - int(start, 16) > 1 << 30:
                continue
            try:
                memory.seek(int(start, 16))
                found += memory.read(int(end, 16) - int(start, 16)).count(old.encode())
            except (OSError, ValueError, OverflowError):
                pass
    assert found == 0


def test_it_works_without_a_configuration_file(make_submitter):
    submitter = make_submitter()
    assert not any(word.startswith("--config") for word in submitter.command())
    assert SUBMITD.exists()
    submitter.start().submit.get("/readyz")
