"""Backups that are put back: by hand, in ways that go wrong, and by scalectl."""

import gzip
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys

import pytest

import harness
import save_schema
from harness import callback, eventually, scalectl


def whole(database):
    with sqlite3.connect(database) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_backup_beside_the_log_of_another(make_daemon):
    """A backup put in the database's place, after a kill, beside the log that is left: SQLite would make one of the two.
    Neither is touched, and the way back is named."""
    daemon = make_daemon().start()
    for _ in range(200):
        daemon.deliver(callback())
    backup = daemon.dir / "b.db"
    backup.write_bytes(daemon.control.get("/v1/backup").body)
    for _ in range(1500):
        daemon.deliver(callback())
    daemon.kill()
    shutil.copyfile(daemon.database, daemon.dir / "kept.db")
    log = daemon.dir / f"{daemon.database.name}-wal"
    assert log.stat().st_size > 0

    shutil.copyfile(backup, daemon.database)
    before = log.read_bytes()
    assert daemon.launch().wait() == 78
    assert "scale.db-wal don't belong together" in daemon.new_log() and "scalectl restore" in daemon.new_log()
    assert daemon.database.read_bytes() == backup.read_bytes() and log.read_bytes() == before

    # The database that belongs to it has everything.
    shutil.copyfile(daemon.dir / "kept.db", daemon.database)
    daemon.start()
    assert daemon.query.get("/v1/tasks?limit=1").json["total"] == 1700
    assert daemon.stop() == 0
    whole(daemon.database)


def test_a_log_of_another_program(make_daemon):
    """Somebody's shell that was killed leaves a log without a proof. It may well be the database's own, so the way to bring
    it over is named, too."""
    daemon = make_daemon().start()
    daemon.deliver(callback())
    assert daemon.stop() == 0
    write = "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA wal_autocheckpoint = 0')\n" \
            "c.execute('DELETE FROM mark'); c.commit(); os._exit(0)"
    subprocess.run([sys.executable, "-c", write, daemon.database], check=True)

    assert daemon.launch().wait() == 78
    assert f"If it does, `sqlite3 {daemon.database} 'PRAGMA wal_checkpoint'`" in daemon.new_log()
    assert "`scalectl restore FILE`" in daemon.new_log()
    with sqlite3.connect(daemon.database) as connection:
        connection.execute("PRAGMA wal_checkpoint")
    connection.close()
    daemon.start()
    assert "put back" not in daemon.new_log() and daemon.query.get("/v1/tasks").json["total"] == 1


# scalectl restore.

def back_up(daemon, name="b.db"):
    path = daemon.dir / name
    run = scalectl(daemon, "backup", path)
    assert run.returncode == 0, run.stderr
    return path


def restore(database, backup, *options, **more):
    return subprocess.run([str(harness.SCALECTL), "-o", f"store.path={database}", *options, "restore", str(backup)],
                          **({"capture_output": True, "text": True, "check": False} | more))


def beside(daemon):
    return sorted(path.name for path in daemon.database.parent.glob("scale.db*"))


def test_restore(make_daemon):
    """A backup takes the place of a database whose process was killed, and everything that was there is kept: that can be
    restored as well."""
    daemon = make_daemon().start()
    for _ in range(20):
        daemon.deliver(callback())
    backup = back_up(daemon)
    for _ in range(30):
        daemon.deliver(callback())
    daemon.kill()
    daemon.database.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(daemon.database, 12345, 54321)

    run = restore(daemon.database, backup, "--json")
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert said["database"] == str(daemon.database) and said["last_delivery"] == 20 and said["queued"] == 0
    kept = pathlib.Path(said["kept"])
    assert kept.name.startswith("scale.db.before-restore-2")
    assert beside(daemon) == ["scale.db", "scale.db-turn", kept.name, f"{kept.name}-wal"]
    now = daemon.database.stat()
    assert now.st_mode & 0o777 == 0o640 and (os.geteuid() != 0 or (now.st_uid, now.st_gid) == (12345, 54321))
    daemon.start()
    assert daemon.query.get("/v1/tasks?limit=1").json["total"] == 20
    daemon.deliver(callback())
    assert daemon.stop() == 0
    whole(daemon.database)

    run = restore(daemon.database, kept)  # with its log
    assert run.returncode == 0 and "What was there before is" in run.stdout and "up to delivery 50" in run.stdout, run
    daemon.start()
    assert daemon.query.get("/v1/tasks?limit=1").json["total"] == 50


def test_restore_is_the_way_out_of_a_foreign_log(make_daemon):
    daemon = make_daemon().start()
    daemon.deliver(callback())
    backup = back_up(daemon)
    for _ in range(5):
        daemon.deliver(callback())
    daemon.kill()
    shutil.copyfile(backup, daemon.database)
    assert daemon.launch().wait() == 78
    assert restore(daemon.database, backup).returncode == 0
    daemon.start()
    assert daemon.query.get("/v1/tasks?limit=1").json["total"] == 1


def test_restore_where_there_was_nothing(make_daemon):
    first = make_daemon().start()
    first.deliver(callback())
    backup = back_up(first)
    second = make_daemon()
    second.dir.mkdir(exist_ok=True)
    with open(backup, "rb") as stdin:
        run = restore(second.database, "-", stdin=stdin)
    assert run.returncode == 0 and "before" not in run.stdout, run
    second.start()
    assert second.query.get("/v1/tasks?limit=1").json["total"] == 1


def test_restore_refuses_while_a_daemon_has_the_database(make_daemon, make_submitter):
    receiver = make_daemon().start()
    receiver.deliver(callback())
    backup = back_up(receiver)
    before = receiver.database.stat().st_ino
    run = restore(receiver.database, backup)
    assert run.returncode == 75 and f"in use by scale-callbackd (pid {receiver.process.pid})" in run.stderr, run
    submitter = make_submitter(database=receiver.database).start()
    assert receiver.stop() == 0
    run = restore(receiver.database, backup)
    assert run.returncode == 75 and f"in use by scale-submitd (pid {submitter.process.pid})" in run.stderr, run
    assert receiver.database.stat().st_ino == before and not list(receiver.dir.glob("*restore*"))


def of_another_program(path):
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE x (y)")


def of_a_newer_version(path):
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-8192])


def damaged(path):
    """In the middle of a table; its first page is as it was."""
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle:middle + 4096] = b"\xa5" * 4096
    path.write_bytes(data)


def not_a_database(path):
    path.write_bytes(gzip.compress(path.read_bytes()))


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [of_another_program, of_a_newer_version, cut_short, damaged, not_a_database, empty],
                         ids=lambda spoil: spoil.__name__)
def test_restore_looks_first(make_daemon, spoil):
    """What can't be used is found out before anything is touched."""
    daemon = make_daemon().start()
    for _ in range(100):
        daemon.deliver(callback())
    backup = back_up(daemon)
    assert daemon.stop() == 0
    before, there = daemon.database.read_bytes(), beside(daemon)
    spoil(backup)
    run = restore(daemon.database, backup)
    assert run.returncode == 65 and "nothing was restored" in run.stderr and str(backup) in run.stderr, run
    assert daemon.database.read_bytes() == before and beside(daemon) == there
    daemon.start()


def test_restore_brings_an_older_schema_up(make_daemon):
    daemon = make_daemon()
    daemon.dir.mkdir(exist_ok=True)
    old = daemon.dir / "old.db"
    save_schema.restore((save_schema.SCHEMAS / "2.sql").read_text(), old)
    run = restore(daemon.database, old)
    assert run.returncode == 0 and "may have been sent since" in run.stdout, run
    daemon.start()
    assert daemon.query.get("/v1/tasks?limit=1").json["total"] > 5


NO_LEAK_CHECK = {"ASAN_OPTIONS": "detect_leaks=0"}  # it can't look for leaks of who is traced


def eventually_ready(daemon):
    eventually(lambda: "Ready." in daemon.new_log() or daemon.process.poll() is not None, "readiness")
    return daemon.process.poll() is None


def test_a_restore_that_is_killed_at_any_moment(make_daemon, tmp_path):
    """Then there is the old database, or the new one, or a sentence that says to do it again; and what was left is cleaned
    up."""
    assert shutil.which("strace"), "strace is missing"
    daemon = make_daemon().start()
    daemon.deliver(callback())
    backup = back_up(daemon)
    for _ in range(5):
        daemon.deliver(callback())
    daemon.kill()
    start = tmp_path / "start"
    start.mkdir()
    for path in daemon.dir.glob("scale.db*"):
        shutil.copy2(path, start)

    calls = "link,linkat,rename,renameat,unlink,unlinkat,fsync,fdatasync,openat,pwrite64,fchmod"
    outcomes = set()
    for nth in range(1, 400):
        for path in daemon.dir.glob("scale.db*"):
            path.unlink()
        for path in start.iterdir():
            shutil.copy2(path, daemon.dir)
        run = subprocess.run(["strace", "-f", "-o", "/dev/null", "-e", f"trace={calls}", "-e",
                              f"inject={calls}:signal=KILL:when={nth}", str(harness.SCALECTL), "-o",
                              f"store.path={daemon.database}", "restore", str(backup)],
                             capture_output=True, text=True, check=False, env=daemon.environment() | NO_LEAK_CHECK)
        if daemon.launch() and not eventually_ready(daemon):
            assert daemon.wait() == 78 and "scalectl restore" in daemon.new_log()
            outcomes.add("refused")
            assert restore(daemon.database, backup).returncode == 0
            daemon.start()
        total = daemon.query.get("/v1/tasks?limit=1").json["total"]
        outcomes.add(total)
        assert total in (1, 6)
        assert not [p for p in daemon.dir.glob("scale.db.restore-*")]
        assert daemon.stop() == 0
        whole(daemon.database)
        if run.returncode == 0:
            break
    assert run.returncode == 0 and outcomes == {1, 6, "refused"}


# The queue.

def turn_back(receiver, backup):
    run = restore(receiver.database, backup)
    assert run.returncode == 0 and "3 submissions" in run.stdout, run


def copy_over(receiver, backup):
    for left in ("-wal", "-shm"):
        receiver.database.with_name(receiver.database.name + left).unlink(missing_ok=True)
    shutil.copyfile(backup, receiver.database)


def tasks_of(sandbox):
    """The submissions whose tasks the API has, once for each task."""
    return sorted(doc["metadata"]["scale_submission_id"] for doc in sandbox.get("/v1/tasks")["docs"])


@pytest.mark.parametrize("orderly", [True, False], ids=["after_an_end", "after_a_kill"])
@pytest.mark.parametrize("put_back", [turn_back, copy_over], ids=lambda way: way.__name__)
def test_a_queue_that_is_put_back_is_sent_once(make_daemon, make_submitter, make_sandbox, put_back, orderly):
    """What was queued in the backup may have been sent since: it is unknown first, and found in the API's list. What never
    was sent is sent once."""
    receiver, sandbox = make_daemon().start(), make_sandbox("--callback-url=http://127.0.0.1:9/")
    submitter = make_submitter(url=sandbox.url, database=receiver.database, key="live_made_up").start()
    submitter.submit.post("/v1/queue/hold")
    sent = [submitter.add(attachment=f"car {n}") for n in range(2)]
    unsent = submitter.add(attachment="never sent")
    backup = back_up(receiver)
    submitter.submit.post(f"/v1/submission/{unsent}/drop")
    submitter.submit.post("/v1/queue/resume")
    for id in sent:
        submitter.reaches(id, "accepted")
    lost = submitter.add(attachment="after the backup")
    submitter.reaches(lost, "accepted")
    for daemon in (submitter, receiver):
        if orderly:
            assert daemon.stop() == 0
        else:
            daemon.kill()

    put_back(receiver, backup)
    sandbox.set_faults(error_500=1)  # so that nothing can be found
    receiver.start()
    submitter.start()
    eventually(lambda: {submitter.state(id) for id in (*sent, unsent)} == {"unknown"}, "all are unknown")
    assert "3 submissions that were queued in it may have been sent since" in submitter.new_log()
    submitter.submit.get(f"/v1/submission/{lost}", status=404)
    eventually(lambda: "can't be listed, 3 submissions stay unknown" in submitter.new_log(), "a list that failed")
    assert {submitter.state(id) for id in (*sent, unsent)} == {"unknown"}

    assert submitter.stop() == 0  # it would ask again in a while only
    sandbox.set_faults(error_500=0)
    submitter.start()
    for id in sent:
        submitter.reaches(id, "accepted")
    submitter.reaches(unsent, "queued")  # as the backup was made while the queue was held
    assert tasks_of(sandbox) == sorted([*sent, lost])
    submitter.submit.post("/v1/queue/resume")
    submitter.reaches(unsent, "accepted")
    assert tasks_of(sandbox) == sorted([*sent, unsent, lost])
    assert sandbox.stats()["duplicate_tasks"] == 0
