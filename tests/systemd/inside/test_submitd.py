"""scale-submitd as a service of a real systemd, with the stand-in for the API in the same machine, and the receiver."""

import json
import os
import pathlib
import re
import stat

import pytest

from conftest import KEY, Unit, eventually, run, running_sandbox
from harness import Local

API_KEY = pathlib.Path("/etc/credstore/api-key")
CONF = pathlib.Path("/etc/scale/scale.conf.d/test.conf")
TASK = {"instruction": "Big or small?", "attachment_type": "text", "attachment": "car", "categories": ["big", "small"]}


class Submitter(Unit):
    def __init__(self):
        super().__init__("scale-submitd.service")
        self.socket = Local("/run/scale-submitd/submit.sock")

    def submit(self, **more):
        done = run("curl", "-sS", "--unix-socket", self.socket.path, "-H", "Content-Type: application/json", "-d",
                   json.dumps({**TASK, **more}), "http://localhost/v1/task/categorization")
        return json.loads(done)

    def state(self, id):
        return self.socket.get(f"/v1/submission/{id}").json["state"]


def write_key(text):
    API_KEY.write_text(text + "\n")
    API_KEY.chmod(0o600)


@pytest.fixture(scope="module")
def sandbox():
    with running_sandbox("--callback-auth-key", KEY, "--complete-after", "100ms", "--time-scale", "10000"):
        yield


@pytest.fixture
def submitter(sandbox, receiver):
    unit = Submitter()
    CONF.write_text("[api]\nurl = http://127.0.0.1:8091/v1\ntimeout = 2s\nsettle = 1s\n"
                    "[submit]\ncallback_url = http://127.0.0.1:8090/callback\n")
    write_key("live_made_up_key_1")
    run("systemctl", "start", "scale-submitd.socket")
    unit.systemctl("reset-failed", status=None)
    unit.systemctl("start")
    yield unit
    unit.systemctl("stop")
    CONF.unlink()


def test_a_task_goes_out_and_its_result_comes_back(submitter, receiver):
    last = receiver.query.get("/v1/stats").json["last_event"]
    id = submitter.submit()["submission_id"]
    eventually(lambda: submitter.state(id) == "accepted", "acceptance")
    task = submitter.socket.get(f"/v1/submission/{id}").json["task_id"]
    eventually(lambda: receiver.query.get(f"/v1/task/{task}").json["status"] == "completed", "the result")
    assert [e["kind"] for e in receiver.query.lines(f"/v1/events?after={last}") if e["submission"] == id] == [
        "task.submitted", "task.completed"]


def test_users_and_rights(submitter):
    assert run("ps", "-o", "user:32=,group:32=", "-p", submitter.pid).split() == ["scale-submitd", "scale"]
    assert stat.S_IMODE(os.stat("/run/scale-submitd/submit.sock").st_mode) == 0o660
    nobody = ["setpriv", "--reuid=nobody", "--clear-groups", "--regid"]
    ask = ["curl", "-sS", "--unix-socket", "/run/scale-submitd/submit.sock", "http://localhost/v1/queue"]
    run(*nobody, "nogroup", *ask, status=7)
    assert '"hold"' in run(*nobody, "scale-submit", *ask)
    enter = ["nsenter", f"--target={submitter.pid}", "--mount"]
    run(*enter, "touch", "/etc/x", status=1)
    # The receiver may not read the API key, nor the submitter the callback auth keys.
    credentials = pathlib.Path("/run/credentials")
    names = {p.name: [f.name for f in p.iterdir()] for p in credentials.iterdir() if p.is_dir()}
    assert names.get("scale-submitd.service") == ["api-key"]
    assert names.get("scale-callbackd.service") == ["callback-auth-keys"]


def test_without_a_key_it_says_what_is_missing(submitter):
    submitter.systemctl("stop")
    API_KEY.unlink()
    before = submitter.cursor()
    submitter.systemctl("start", status=1)
    assert submitter.get("ExecMainStatus") == "78"
    said = [e for e in submitter.journal(before) if e.get("SYSLOG_IDENTIFIER") == "scale-submitd"]
    assert "/etc/credstore/api-key" in said[0]["MESSAGE"] and said[0]["PRIORITY"] == "3"
    assert len(said) == 2 and "`systemctl start scale-submitd`" in said[1]["MESSAGE"]
    write_key("live_made_up_key_1")


def test_a_wrong_key_holds_the_queue_until_a_reload_with_the_right_one(submitter):
    submitter.systemctl("stop")
    write_key("live_wrong_key_9")
    before = submitter.cursor()
    submitter.systemctl("start")
    id = submitter.submit()["submission_id"]
    held = eventually(lambda: [e for e in submitter.journal(before) if "queue is held" in e["MESSAGE"]], "a message")
    assert "scalectl queue resume" in run("journalctl", "-x", "-n", "30", "MESSAGE_ID=" + held[0]["MESSAGE_ID"])
    assert submitter.state(id) == "queued"
    write_key("live_made_up_key_1")
    submitter.systemctl("reload")
    eventually(lambda: submitter.state(id) == "accepted", "acceptance")
    journal = run("journalctl", "-o", "export")
    assert "live_wrong_key_9" not in journal and "live_made_up_key_1" not in journal


def test_restarts_while_submitting_lose_and_repeat_nothing(submitter):
    stats = json.loads(run("curl", "-sS", "http://127.0.0.1:8091/sandbox/stats"))
    ids = []
    for round in range(5):
        ids += [submitter.submit(metadata={"n": f"{round}-{i}"})["submission_id"] for i in range(10)]
        submitter.systemctl("restart" if round % 2 else "kill", status=None)
    eventually(lambda: all(submitter.state(id) == "accepted" for id in ids), "all accepted")
    after = json.loads(run("curl", "-sS", "http://127.0.0.1:8091/sandbox/stats"))
    assert after["tasks"] - stats["tasks"] == len(ids) == 50 and after["duplicate_tasks"] == 0


def test_status_and_watchdog(submitter):
    assert submitter.get("WatchdogUSec") == "30s"
    eventually(lambda: re.search(r"\d", submitter.get("StatusText")), "a status with counters")
