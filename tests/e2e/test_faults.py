"""Killed, a full disk, a disk that fails: nothing acknowledged is lost, and nothing is half there."""

import json
import os
import pathlib
import random
import sqlite3
import subprocess
import threading
import time

import pytest

from harness import KEY, UnixConnection, ask, callback, eventually


class Load:
    """Senders that deliver as fast as they can, and remember what was acknowledged."""

    def __init__(self, daemon, n=8):
        self.daemon, self.acknowledged, self.refused = daemon, [], []
        self.stop_asked = threading.Event()
        self.threads = [threading.Thread(target=self.send, args=(seed,)) for seed in range(n)]
        for thread in self.threads:
            thread.start()

    def send(self, seed):
        dice = random.Random(seed)
        while not self.stop_asked.is_set():
            body = callback(metadata={"seed": seed}, instruction="x" * dice.randrange(2000))
            try:
                answer = self.daemon.post(body)
            except Exception:  # no answer, no promise
                time.sleep(0.005)
                continue
            if answer.status == 200:
                self.acknowledged.append((body["task_id"], answer.json["delivery"]))
            else:
                self.refused.append(answer.status)

    def stop(self):
        self.stop_asked.set()
        for thread in self.threads:
            thread.join()
        return self.acknowledged


def check(daemon, acknowledged):
    """Straight from the file: all that was promised, whole, and a sequence without gaps."""
    database = sqlite3.connect(daemon.database)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    tasks = {row[0] for row in database.execute("SELECT task_id FROM task")}
    missing = [t for t, _ in acknowledged if t not in tasks]
    assert not missing, f"{len(missing)} of {len(acknowledged)} acknowledged callbacks are not there"
    deliveries = [row[0] for row in database.execute("SELECT n FROM delivery ORDER BY n")]
    assert deliveries == list(range(1, len(deliveries) + 1))
    assert {n for _, n in acknowledged} <= set(deliveries)
    database.close()


def check_feed(daemon):
    """Every event, every task with its response, through the query socket."""
    seen, after = [], 0
    while True:
        events = daemon.query.lines(f"/v1/events?after={after}&limit=10000")
        if not events:
            break
        seen += events
        after = events[-1]["seq"]
    assert [e["seq"] for e in seen] == list(range(1, len(seen) + 1))
    stats = daemon.query.get("/v1/stats").json
    assert len({e["task_id"] for e in seen}) == stats["tasks"] == stats["by_verdict"]["stored"]
    page = daemon.query.get("/v1/tasks").json
    assert page["total"] == stats["tasks"]
    assert all(d["response"] == {"category": "big"} for d in page["docs"])


@pytest.mark.load
def test_kill_under_load(make_daemon, request):
    rounds, dice = request.config.getoption("--kill-rounds"), random.Random(7)
    daemon = make_daemon()
    acknowledged = []
    for _ in range(rounds):
        daemon.start()
        load = Load(daemon)
        time.sleep(dice.uniform(0.05, 0.5))
        daemon.kill()
        acknowledged += load.stop()
        check(daemon, acknowledged)
    assert len(acknowledged) > rounds
    daemon.start()
    check_feed(daemon)


def callbacks_in(daemon, seconds):
    """How many callbacks two senders get acknowledged."""
    load = Load(daemon, 2)
    time.sleep(seconds)
    return len(load.stop())


@pytest.mark.load
def test_long_reads_and_slow_readers_do_not_delay_callbacks(make_daemon):
    """Side by side in one run: with exports going on and readers that take nothing, callbacks come through at not
    much less than without, and the write-ahead log stays bounded."""
    daemon = make_daemon().start()
    big = "y" * 20000
    for _ in range(300):
        daemon.deliver(callback(instruction=big))

    stop = threading.Event()

    def export():
        while not stop.is_set():
            daemon.query.get("/v1/export?format=jsonl")

    slow = []
    for _ in range(5):
        connection = UnixConnection(daemon.query.path)
        connection.request("GET", "/v1/events?follow=1&include=task&after=0")
        slow.append((connection, connection.getresponse()))

    quiet = callbacks_in(daemon, 2)
    readers = [threading.Thread(target=export) for _ in range(2)]
    for reader in readers:
        reader.start()
    busy = callbacks_in(daemon, 2)
    stop.set()
    for reader in readers:
        reader.join()
    for connection, _ in slow:
        connection.close()
    # Readers, senders and the daemon share two cores: what must not happen is that callbacks stand still.
    assert busy * 20 > quiet, (busy, quiet)
    assert (daemon.dir / "scale.db-wal").stat().st_size < 80 * 1024 * 1024


@pytest.mark.load
def test_the_write_ahead_log_is_bounded(make_daemon):
    daemon = make_daemon().start()
    text = "z" * 100_000
    for _ in range(1200):
        daemon.deliver(callback(instruction=text))
    assert daemon.database.stat().st_size > 80 * 1024 * 1024
    assert (daemon.dir / "scale.db-wal").stat().st_size < 80 * 1024 * 1024


# A full disk.

@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True)
    if done.returncode != 0:
        pytest.skip("SKIPPED: a small disk can't be mounted here (root is needed)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_503_and_recovers_by_itself(make_daemon, small_disk):
    daemon = make_daemon(f"store.path={small_disk}/scale.db").start()
    daemon.database = small_disk / "scale.db"
    body, acknowledged, status = callback(), 0, 200
    daemon.deliver(body)
    while status == 200:
        status = daemon.post(callback(instruction="x" * 100_000)).status
        acknowledged += status == 200
        assert acknowledged < 200
    assert status == 503
    answer = daemon.post(callback(), status=503)
    assert int(answer.headers["Retry-After"]) > 0

    assert daemon.query.get(f"/v1/task/{body['task_id']}").json == body["task"]
    assert daemon.query.get("/v1/stats").json["tasks"] == acknowledged + 1
    daemon.query.get("/readyz", status=503)
    connection = daemon.connect()
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 503

    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    eventually(lambda: daemon.query.ask("GET", "/readyz").status == 200, "the daemon finds out that there is room")
    daemon.deliver(callback())
    assert daemon.query.get("/v1/stats").json["tasks"] == acknowledged + 2
    assert daemon.stop() == 0
    database = sqlite3.connect(daemon.database)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


def test_min_free_keeps_room_for_others(make_daemon):
    daemon = make_daemon("store.min_free=1000000G".replace("1000000G", "1024G")).start()
    free = os.statvfs(daemon.dir)
    if free.f_bavail * free.f_frsize >= 1 << 40:
        pytest.skip("SKIPPED: a terabyte is free here")
    daemon.post(callback(), status=503)
    daemon.query.get("/readyz", status=503)


# A disk that fails.

SHIM = pathlib.Path(__file__).parent / "shim/fsync-shim.c"


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    library = tmp_path_factory.mktemp("shim") / "fsync-shim.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(library), str(SHIM), "-ldl"], check=True)
    return library


def test_a_failed_sync_is_fatal(make_daemon, shim, tmp_path):
    """Nobody is told 200, who asked is told 503, and the daemon leaves with 74 for a start afresh."""
    trigger = tmp_path / "fail"
    preload = {"LD_PRELOAD": str(shim), "FSYNC_FAILS": str(trigger), "ASAN_OPTIONS": "verify_asan_link_order=0:abort_on_error=1"}
    daemon = make_daemon(env=preload).start()
    acknowledged = []
    for _ in range(5):
        acknowledged.append(daemon.deliver(callback()))
    bodies = [callback() for _ in range(8)]
    connections = [daemon.connect() for _ in bodies]
    for connection in connections:
        assert ask(connection, "GET", "/healthz").status == 200
    trigger.touch()
    for connection, body in zip(connections, bodies):
        connection.request("POST", "/callback", json.dumps(body), {"scale-callback-auth": KEY})
    assert [connection.getresponse().status for connection in connections] == [503] * len(bodies)
    for connection in connections:
        connection.close()
    assert daemon.wait() == 74
    assert "A sync to the disk failed" in daemon.log()
    trigger.unlink()

    daemon.start()
    assert 5 <= daemon.query.get("/v1/stats").json["tasks"] <= 5 + len(bodies)
    for body in bodies:
        daemon.deliver(body)
    assert daemon.query.get("/v1/stats").json["tasks"] == 5 + len(bodies)
