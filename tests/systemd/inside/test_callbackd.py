"""scale-callbackd as a service of a real systemd."""

import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import threading
import time

from conftest import KEY, KEYS, WAIT, UnixConnection, callback, eventually, run


def test_starts_is_ready_and_stores(receiver):
    assert receiver.get("ActiveState") == "active" and receiver.get("SubState") == "running"
    body = callback()
    assert receiver.post(body).status == 200
    assert receiver.query.get(f"/v1/task/{body['task_id']}").json["status"] == "completed"
    eventually(lambda: re.fullmatch(r"Storing callbacks; \d+ stored since the start, \d+ waiting, \d+ connections\.",
                                    receiver.get("StatusText")), "a status with counters")


def test_users_modes_and_rights(receiver):
    user = run("ps", "-o", "user:32=,group:32=", "-p", receiver.pid).split()
    assert user == ["scale-callbackd", "scale"]
    database = pathlib.Path("/var/lib/scale-callbackd/scale.db").stat()
    assert stat.S_IMODE(database.st_mode) == 0o660
    assert stat.S_IMODE(os.stat("/var/lib/scale-callbackd").st_mode) == 0o2770
    assert stat.S_IMODE(os.stat("/run/scale-callbackd/query.sock").st_mode) == 0o660
    assert stat.S_IMODE(os.stat("/run/scale-callbackd/control.sock").st_mode) == 0o600
    assert run("stat", "-c", "%G", "/run/scale-callbackd/query.sock").strip() == "scale-query"
    nobody = ["setpriv", "--reuid=nobody", "--clear-groups", "--regid"]
    ask = ["curl", "-sS", "--unix-socket", "/run/scale-callbackd/query.sock", "http://localhost/v1/stats"]
    run(*nobody, "nogroup", *ask, status=7)
    assert "by_status" in run(*nobody, "scale-query", *ask)


def test_without_a_key_it_says_what_is_missing(receiver):
    receiver.systemctl("stop")
    KEYS.unlink()
    before = receiver.cursor()
    receiver.systemctl("start", status=1)
    assert receiver.get("Result") == "exit-code" and receiver.get("ExecMainStatus") == "78"
    said = [e for e in receiver.journal(before) if e.get("SYSLOG_IDENTIFIER") == "scale-callbackd"]
    assert [e["PRIORITY"] for e in said] == ["3", "3"] and "`systemctl start scale-callbackd`" in said[1]["MESSAGE"]
    assert "/etc/credstore/callback-auth-keys" in said[0]["MESSAGE"] and "label key" in said[0]["MESSAGE"]
    time.sleep(1.5)
    assert receiver.get("NRestarts") == "0"  # nobody but an administrator can mend it
    assert "credstore" in run("journalctl", "-x", "-o", "short", "-n", "40", "MESSAGE_ID=" + said[0]["MESSAGE_ID"])


def test_security_is_at_most_what_was_promised():
    for unit in ("scale-callbackd.service", "scale-submitd.service"):
        line = run("systemd-analyze", "security", "--no-pager", unit, status=None).strip().splitlines()[-1]
        assert float(re.search(r": (\d+\.\d+) ", line)[1]) <= 1.2, line


def test_the_sandbox_holds(receiver):
    """It can reach no network, and write nowhere but beside its database."""
    enter = ["nsenter", f"--target={receiver.pid}", "--mount", "--net"]
    assert run(*enter, "ip", "-o", "link").count("\n") == 1  # only a loopback of its own
    run(*enter, "touch", "/etc/x", status=1)
    run(*enter, "touch", "/var/lib/x", status=1)
    run(*enter, "touch", "/var/lib/scale-callbackd/x")
    run(*enter, "rm", "/var/lib/scale-callbackd/x")
    limits = pathlib.Path(f"/proc/{receiver.pid}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)


def test_reload_takes_new_keys_without_dropping_a_connection(receiver):
    pid, connection, before = receiver.pid, receiver.connect(), receiver.cursor()
    assert receiver.post(callback(), connection=connection).status == 200
    receiver.write_keys(f"live {KEY}\nnext another-made-up-key-123\n")
    receiver.systemctl("reload")
    eventually(lambda: any("Reloaded" in e["MESSAGE"] for e in receiver.journal(before)),
               "a reload, and not " + str([e["MESSAGE"] for e in receiver.journal(before)]))
    eventually(lambda: receiver.post(callback(), key="another-made-up-key-123", connection=receiver.connect()).status
               == 200, "the new key")
    assert receiver.post(callback(), connection=connection).status == 200
    assert receiver.pid == pid


def test_reload_of_a_bad_file_changes_nothing(receiver):
    conf = pathlib.Path("/etc/scale/scale.conf.d/bad.conf")
    conf.write_text("[callback]\nmax_bdy = 1M\n")
    before = receiver.cursor()
    receiver.systemctl("reload", status=1)
    try:
        refused = [e for e in receiver.journal(before) if "Not reloaded" in e["MESSAGE"]]
        assert "bad.conf, line 2" in refused[0]["MESSAGE"] and refused[0]["PRIORITY"] == "3"
        assert receiver.post(callback()).status == 200
        assert receiver.get("ActiveState") == "active"
    finally:
        conf.unlink()


class Load:
    """Connections that deliver without a pause, each callback once; what was acknowledged and what went wrong."""

    def __init__(self, receiver, connections):
        self.receiver, self.stop = receiver, threading.Event()
        self.acknowledged, self.wrong = [], []
        self.threads = [threading.Thread(target=self.deliver) for _ in range(connections)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def deliver(self):
        connection = self.receiver.connect()
        while not self.stop.is_set():
            body = callback()
            try:
                answer = self.receiver.post(body, connection=connection)
                (self.acknowledged if answer.status == 200 else self.wrong).append(body["task_id"])
                if answer.headers.get("Connection", "").lower() == "close":
                    connection.close()
            except Exception as e:  # refused, reset, cut: that is what must not happen
                self.wrong.append(repr(e))
                connection.close()
                connection = self.receiver.connect()


def test_twenty_restarts_under_load_refuse_and_lose_nothing(receiver):
    pids = set()
    with Load(receiver, 64) as load:
        for _ in range(20):
            count = len(load.acknowledged)
            receiver.systemctl("restart")
            pids.add(receiver.pid)
            eventually(lambda: len(load.acknowledged) > count + 64, "deliveries after the restart")
    assert len(pids) == 20
    assert not load.wrong, (len(load.wrong), load.wrong[:5])
    stored = set()
    page = receiver.query.get("/v1/export?format=jsonl").body
    for line in page.splitlines():
        stored.add(re.search(rb'"task_id": ?"([0-9a-f]+)"', line)[1].decode())
    assert set(load.acknowledged) <= stored


def test_connections_wait_while_it_is_stopped(receiver):
    receiver.systemctl("stop")
    assert receiver.post(callback()).status == 200  # the socket starts it
    assert receiver.get("ActiveState") == "active"


CONF = pathlib.Path(__file__).resolve().parents[3] / "conf"
EXAMPLES = ("nginx.conf", "Caddyfile", "haproxy.cfg")


def drop_in_of(example):
    """The drop-in that an example shows, for a Unix socket between the proxy and the receiver."""
    lines = [line.strip(" \t#") for line in (CONF / example).read_text().splitlines()]
    start = lines.index("[Socket]")
    return "".join(line + "\n" for line in lines[start:start + 3])


def test_the_socket_of_the_proxies_examples(receiver):
    """A setting that says where has no effect with the units, and that is said; the drop-in has."""
    units = ["scale-callbackd.service", "scale-callbackd.socket"]
    setting = pathlib.Path("/etc/scale/scale.conf.d/listen.conf")
    drop_in = pathlib.Path("/etc/systemd/system/scale-callbackd.socket.d/override.conf")
    path = "/run/scale-callbackd/callback.sock"
    try:
        setting.write_text(f"[callback]\nlisten = unix:{path}\n")
        before = receiver.cursor()
        run("systemctl", "restart", *units)
        assert not os.path.exists(path) and receiver.post(callback()).status == 200
        [said] = [e["MESSAGE"] for e in receiver.journal(before) if "is not used" in e["MESSAGE"]]
        assert "systemctl edit scale-callbackd.socket" in said

        [text] = {drop_in_of(example) for example in EXAMPLES}
        drop_in.parent.mkdir(parents=True)
        drop_in.write_text(text)
        run("systemctl", "daemon-reload")
        before = receiver.cursor()
        run("systemctl", "restart", *units)
        assert receiver.post(callback(), connection=UnixConnection(path)).status == 200
        run("setpriv", "--reuid=nobody", "--clear-groups", "--regid=nogroup", "curl", "-fsS", "--unix-socket", path,
            "http://localhost/healthz")
        assert not [e for e in receiver.journal(before) if "is not used" in e["MESSAGE"]]
    finally:
        setting.unlink()
        shutil.rmtree(drop_in.parent, ignore_errors=True)
        run("systemctl", "daemon-reload")
        run("systemctl", "restart", *units)


# Stops one thread where it is, as a disk that never answers would; until it is killed.
FREEZE = """
import ctypes, os, sys
libc, tid = ctypes.CDLL(None, use_errno=True), int(sys.argv[1])
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
SEIZE, INTERRUPT, WALL = 0x4206, 0x4207, 0x40000000
for request in SEIZE, INTERRUPT:
    assert libc.ptrace(request, tid, None, None) == 0, os.strerror(ctypes.get_errno())
while os.WIFSTOPPED(os.waitpid(tid, WALL)[1]):
    pass
"""


def test_a_hung_commit_thread_is_caught_by_the_watchdog(receiver):
    drop_in = pathlib.Path("/etc/systemd/system/scale-callbackd.service.d")
    drop_in.mkdir(parents=True)
    (drop_in / "fast.conf").write_text("[Service]\nWatchdogSec=2\n")
    run("systemctl", "daemon-reload")
    try:
        receiver.systemctl("restart")
        pid, before = receiver.pid, receiver.cursor()
        tid = next(int(t.name) for t in pathlib.Path(f"/proc/{pid}/task").iterdir()
                   if (t / "comm").read_text().strip() == "commit")
        tracer = subprocess.Popen([sys.executable, "-c", FREEZE, str(tid)])
        eventually(lambda: receiver.pid not in (0, pid) and receiver.get("ActiveState") == "active", "another process")
        assert any("atchdog" in e["MESSAGE"] for e in receiver.journal(before))
        assert receiver.post(callback()).status == 200
        assert tracer.wait(WAIT) == 0
    finally:
        (drop_in / "fast.conf").unlink()
        drop_in.rmdir()
        run("systemctl", "daemon-reload")


def test_the_journal_has_fields_and_explanations(receiver):
    before = receiver.cursor()
    body = callback(response={"category": "neither"})
    answer = receiver.post(body)
    assert answer.status == 422
    entry = eventually(lambda: [e for e in receiver.journal(before) if e.get("TASK_ID") == body["task_id"]],
                       "an entry with the task's id")[0]
    assert entry["VERDICT"] == "invalid" and entry["STATUS_CODE"] == "422" and entry["TASK_TYPE"] == "categorization"
    assert entry["REMOTE_ADDRESS"] == "127.0.0.1" and entry["KEY_LABEL"] == "live" and entry["PRIORITY"] == "4"
    assert int(entry["DURATION_USEC"]) > 0 and int(entry["DELIVERY"]) > 0
    text = run("journalctl", "-x", "-n", "20", f"MESSAGE_ID={entry['MESSAGE_ID']}")
    assert "put into quarantine" in text and f"scalectl delivery {entry['DELIVERY']}" in text


def test_unauthenticated_requests_are_one_line(receiver):
    receiver.systemctl("restart")
    before = receiver.cursor()
    for _ in range(50):
        assert receiver.post(callback(), key="wrong").status == 401
    refused = [e for e in receiver.journal(before) if e.get("REMOTE_ADDRESS") and "valid key" in e["MESSAGE"]]
    assert len(refused) == 1 and refused[0]["PRIORITY"] == "4"


def test_secrets_are_in_no_journal_and_no_environment(receiver):
    receiver.post(callback())
    everything = run("journalctl", "-o", "export")
    assert KEY not in everything
    for name in ("environ", "cmdline"):
        assert KEY.encode() not in pathlib.Path(f"/proc/{receiver.pid}/{name}").read_bytes()
