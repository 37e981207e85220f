"""Every command of scale-tutorial(7), in its order, on a booted machine; and what has to be there at the end."""

import json
import pathlib
import re
import shutil
import sqlite3
import subprocess

import pytest

from conftest import WAIT, run

PAGE = (pathlib.Path(__file__).resolve().parents[3] / "man/scale-tutorial.7").read_text()
LEFT = ["/etc/scale/scale.conf.d/here.conf", "/etc/scale/scale.conf.d/sandbox.conf", "/etc/nginx/conf.d/scale.conf",
        "/etc/credstore/callback-auth-keys", "/etc/credstore/api-key"]


def commands(page):
    """Of all displays: from a line with a number sign to the next, with what mdoc escapes as it is typed."""
    found = []
    for display in re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", page, re.M | re.S):
        text = display.replace("\\e", "\\").replace("\\&", "")
        assert text.startswith("# "), text
        found += [c.rstrip("\n") for c in re.split(r"^# ", text, flags=re.M)[1:]]
    return found


@pytest.fixture
def machine():
    for program in ("nginx", "openssl", "curl", "update-ca-certificates"):
        assert shutil.which(program), f"{program} is missing"
    yield
    run("systemctl", "disable", "--now", "scale-callbackd.service", "scale-submitd.service", "nginx.service",
        status=None)
    for path in LEFT:
        pathlib.Path(path).unlink(missing_ok=True)


def follow(page):
    """What each command said."""
    said = []
    for command in commands(page):
        done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True,
                              timeout=WAIT, stdin=subprocess.DEVNULL)
        journal = run("journalctl", "-n", "30", "--no-pager", status=None) if done.returncode else ""
        assert done.returncode == 0, f"# {command}\n{done.stdout}{done.stderr}\n{journal}"
        said.append((command, done.stdout + done.stderr))
    return said


def output(said, command):
    return [text for one, text in said if one.startswith(command)]


def test_every_command_of_the_tutorial(machine):
    said = follow(PAGE)
    assert len(said) > 30

    assert "ok       callback-keys" in output(said, "scalectl doctor")[0]
    assert "stored" in output(said, "scalectl simulate")[0]
    watched = output(said, "timeout")[0]
    assert "task.submitted" in watched and "task.completed" in watched
    assert "completed" in output(said, "scalectl tasks --metadata batch=7")[0]
    assert '"status_code":422' in output(said, "curl")[0].replace(" ", "")
    assert "invalid" in output(said, "scalectl quarantine")[0]
    dry, done = output(said, "scalectl --json quarantine list")
    assert "would be discarded" in dry and "discarded" in done and "would" not in done

    boxes = json.loads(pathlib.Path("/root/boxes.json").read_text())
    assert "cow" in {c["name"] for c in boxes["categories"]} and boxes["annotations"] and boxes["images"]
    assert any(i["coco_url"].endswith("cows.jpg") if "coco_url" in i else "cows.jpg" in json.dumps(i)
               for i in boxes["images"])
    copy = sqlite3.connect("/var/backups/scale.db")
    assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    copy.close()
    assert "What was there before is" in output(said, "scalectl restore")[0]
    assert list(pathlib.Path("/var/lib/scale-callbackd").glob("scale.db.before-restore-*"))
    secret = run("journalctl", "-u", "scale-callbackd", "-u", "scale-submitd", "-o", "export")
    assert "made-up-callback-key" not in secret and "live_made_up_api_key" not in secret


def test_a_command_that_fails_is_noticed():
    with pytest.raises(AssertionError, match="# false"):
        follow(".Bd -literal\n# true\n# echo x |\n    grep -q x\n# false\n.Ed\n")
    assert commands(".Bd -literal -offset indent\n# a \\e\n  b\n# c <<'END'\nd\nEND\n.Ed\n") == \
        ["a \\\n  b", "c <<'END'\nd\nEND"]
