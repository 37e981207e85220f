"""The Debian package in a booted machine: installed, upgraded with a database of the version before, removed. The
tests build on each other, in this order."""

import os
import pathlib
import shutil
import sqlite3

import pytest

from machine import KEY, Receiver, callback, eventually, run

PACKAGE = pathlib.Path("/scale-test/package.deb")
DATA = pathlib.Path(__file__).resolve().parents[2] / "data/schema"
DATABASE = pathlib.Path("/var/lib/scale-callbackd/scale.db")
UNITS = ["scale-callbackd.service", "scale-callbackd.socket", "scale-callbackd-query.socket",
         "scale-callbackd-control.socket"]


@pytest.fixture(scope="module")
def receiver():
    return Receiver()


def dpkg(*arguments):
    return run("dpkg", *arguments, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def test_install(receiver):
    said = dpkg("-i", PACKAGE)
    assert "/etc/credstore/callback-auth-keys" in said and "systemctl enable --now scale-callbackd" in said
    assert run("systemctl", "is-active", *UNITS, status=3).split() == ["inactive"] * 4  # there is no key yet
    receiver.write_keys(f"live {KEY}\n")
    run("systemctl", "enable", "--now", "scale-callbackd.service")
    assert run("systemctl", "is-active", *UNITS).split() == ["active"] * 4
    assert receiver.post(callback()).status == 200
    for page in ("scalectl.1", "scale.conf.5", "scale-promises.7", "scale-callbackd.8"):
        assert run("man", "-w", page.split(".")[-1], page.rsplit(".", 1)[0]).strip()


def newer(folder):
    """The same package with the next version's number."""
    tree = folder / "tree"
    run("dpkg-deb", "-R", PACKAGE, tree)
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace("Version: 0.1.0\n", "Version: 0.1.1\n"))
    run("dpkg-deb", "-b", tree, folder / "newer.deb")
    return folder / "newer.deb"


def make_database(script, path):
    connection = sqlite3.connect(path)
    connection.executescript(script.read_text())
    counts = [connection.execute(f"SELECT {what}").fetchone()[0] for what in (
        "count(*) FROM task", "max(n) FROM delivery", "max(seq) FROM event")]
    connection.close()
    shutil.chown(path, "scale-callbackd", "scale")
    path.chmod(0o660)
    return counts


@pytest.mark.parametrize("script", sorted(DATA.glob("*.sql")), ids=lambda p: f"schema-{p.stem}")
def test_upgrade_with_a_database_of_the_version_before(receiver, script, tmp_path):
    run("systemctl", "stop", *UNITS)
    for path in DATABASE.parent.glob("scale.db*"):
        path.unlink()
    tasks, deliveries, events = make_database(script, DATABASE)
    run("systemctl", "start", *UNITS[1:])
    dpkg("-i", newer(tmp_path))
    assert receiver.post(callback()).status == 200  # the sockets start the new program
    stats = receiver.query.get("/v1/stats").json
    assert stats["tasks"] == tasks + 1 and stats["last_delivery"] == deliveries + 1 and stats["last_event"] >= events + 1
    assert len(receiver.query.docs("/v1/tasks")) == tasks + 1
    assert receiver.query.get("/v1/task/576ba74eec471ff9b0155700").json["response"] == {"category": "small"}
    receiver.systemctl("stop")
    assert sqlite3.connect(DATABASE).execute("PRAGMA integrity_check").fetchone() == ("ok",)
    dpkg("-i", PACKAGE)  # and back, for the next one


def test_an_upgrade_restarts_what_runs(receiver, tmp_path):
    run("systemctl", "start", *UNITS)
    pid = receiver.pid
    dpkg("-i", newer(tmp_path))
    eventually(lambda: receiver.pid not in (0, pid), "another process")
    assert receiver.post(callback()).status == 200


def test_remove_leaves_what_was_acknowledged(receiver):
    dpkg("-r", "scale-callbackd")
    assert run("systemctl", "is-active", *UNITS, status=None).split() == ["inactive"] * 4
    assert not pathlib.Path("/usr/sbin/scale-callbackd").exists()
    assert DATABASE.exists() and pathlib.Path("/etc/scale/scale.conf").exists()
    said = dpkg("-P", "scale-callbackd")
    assert DATABASE.exists() and "left for you to remove" in said
    assert not pathlib.Path("/etc/scale/scale.conf").exists()
