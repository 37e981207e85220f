"""The commands of the README, in its order, on a booted machine on which the build is installed: from the accounts on."""

import json
import pathlib
import re
import subprocess

import pytest

from conftest import WAIT, callback, eventually, run, running_sandbox
from test_submitd import CONF

README = (pathlib.Path(__file__).resolve().parents[3] / "README.md").read_text()
# These come before this machine is booted, or take the place of each other.
BEFORE = ("apt ", "    libsystemd-dev", "meson ", "conf/debian/build ")
LEFT = [str(CONF), "/etc/scale/scale.conf.d/proxy.conf", "/etc/scale/scale.conf.d/submit.conf", "/etc/credstore/callback-auth-keys",
        "/etc/credstore/api-key"]


def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## )", README, re.M | re.S)[1]


def commands(title):
    lines = "".join(re.findall(r"```sh\n(.*?)```", section(title), re.S)).splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(BEFORE))


def follow(title, folder, *pairs):
    """What they said, all together; a pair is what the README has for something that is not there, and something."""
    script = commands(title)
    for old, new in pairs:
        assert old in script, old
        script = script.replace(old, new)
    done = subprocess.run(["bash", "-e", "-o", "pipefail"], input=script, capture_output=True, text=True, timeout=WAIT,
                          cwd=folder)
    assert done.returncode == 0, (script, done.stdout, done.stderr)
    return done.stdout


def write_settings(title):
    """The files of settings that a section names, and what it says is in them."""
    found = re.findall(r"`(/etc/scale/scale\.conf\.d/\w+\.conf)`[^`]*```ini\n(.*?)```", section(title), re.S)
    for path, text in found:
        pathlib.Path(path).write_text(text)
    return len(found)


@pytest.fixture
def sandbox():
    """An API where nothing is completed."""
    with running_sandbox("--complete-after", "1h"):
        yield


@pytest.fixture
def folder(tmp_path, sandbox):
    """What somebody has who reads it: keys, and tasks; and this machine, instead of the network."""
    CONF.write_text("[api]\nurl = http://127.0.0.1:8091/v1\ntimeout = 2s\nsettle = 1s\n")
    (tmp_path / "keys").write_text("live made-up-callback-key\n")
    (tmp_path / "key").write_text("live_made_up_key_1\n")
    task = {"type": "categorization", "instruction": "Big or small?", "attachment_type": "text", "attachment": "car",
            "categories": ["big", "small"]}
    (tmp_path / "tasks.ndjson").write_text(json.dumps(task) + "\n")
    yield tmp_path
    run("systemctl", "disable", "--now", "scale-callbackd.service", "scale-submitd.service", status=None)
    for path in LEFT:
        pathlib.Path(path).unlink(missing_ok=True)


def test_every_command_of_the_readme(folder):
    said = follow("Install it", folder)
    assert "failure" not in said and "callback-keys" in said
    assert write_settings("Put it behind nginx") == 1 and write_settings("Submit tasks") == 1
    run("systemctl", "reload", "scale-callbackd", "scale-submitd")

    run("scalectl", "submit", "categorization", "-d", "instruction=x", "-d", "attachment_type=text", "-d", "attachment=x",
        "-d", "categories=x")
    tasks = []
    eventually(lambda: tasks.extend(run("scalectl", "--json", "tasks").splitlines()) or tasks, "a task")
    task = json.loads(tasks[0])
    said = follow("Submit tasks", folder, ("576ba74eec471ff9b01557cc", task["task_id"]))
    assert f"{task['task_id']}: canceled" in said and "1 in the outbox, 0 refused" in said and "state        done" in said

    wrong = callback(response={"category": "neither"})
    run("curl", "-sS", "-H", "scale-callback-auth: made-up-callback-key", "-H", "Content-Type: application/json",
        "http://127.0.0.1:8090/callback", "-d", json.dumps(wrong))
    [delivery] = [json.loads(line) for line in run("scalectl", "--json", "quarantine").splitlines()]
    said = follow("Ask it", folder, ("576ba74eec471ff9b01557cc", task["task_id"]),
                  ("/17/", f"/{delivery['delivery']}/"))
    assert json.dumps(wrong) in said and "scale_callbackd_" in said and '"kind":"task.' in said
    assert "ot found" not in said
    run("scalectl", "quarantine", "retry", delivery["delivery"], status=1)
