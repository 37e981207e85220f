"""Backups that are put back: by hand, in ways that go wrong, and by scalectl."""

import shutil
import sqlite3

from harness import callback


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
