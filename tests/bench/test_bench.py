"""The benchmark works: each measurement for a moment, and its own check of what was acknowledged against what was stored,
which has to find what is missing. No figure fails a test.

SCALE_BUILD=build python3 -m pytest tests/bench"""

import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import bodies  # noqa: E402
import measurements  # noqa: E402
import report  # noqa: E402
import rows  # noqa: E402
from peers import Express, ExpressSample  # noqa: E402
from servers import Bare, Receiver, harness, lost_in  # noqa: E402


@pytest.fixture
def bench(tmp_path):
    made = rows.Bench(tmp_path, seconds=0.4, warmup=0.1, rounds=1, connections=[16], tasks=1200, submissions=100)
    yield made
    made.clean()


def rows_in(measured):
    """Everything with a name, however deep."""
    if isinstance(measured, dict):
        if "name" in measured:
            yield measured
        measured = list(measured.values())
    if isinstance(measured, list):
        for one in measured:
            yield from rows_in(one)


@pytest.mark.parametrize("name", measurements.ALL)
def test_every_measurement_works(bench, name):
    measured, lines = measurements.ALL[name][0](bench)
    assert lines and json.loads(json.dumps(measured))
    for row in rows_in(measured):
        if row.get("missing"):
            print(row["name"], row["missing"])
        elif row["name"] == ExpressSample.name:
            assert row["lost"] == row["acknowledged"] > 0
        else:
            assert row["rate"] > 0, row
            assert not row.get("lost"), row


def test_a_server_that_acknowledges_and_drops_is_found(bench, tmp_path):
    class Forgetful(Bare):
        """Says that it has stored everything, as the receiver would."""

        def launch(self):
            self.empty = Receiver().start(self.folder / "empty")
            self.empty.stop()
            super().launch()

        def lost(self, ids):
            return self.empty.lost(ids)

    row = rows.measure(bench, Forgetful("drop"), 16)
    assert row["lost"] == row["acknowledged"] > 0


def test_a_single_lost_callback_is_found(bench):
    server = Receiver()
    row = rows.measure(bench, server, 4, keep=True)
    ids = rows.acknowledged_in(server.folder / "acknowledged")
    assert row["lost"] == 0 and len(ids) == row["acknowledged"]
    db = sqlite3.connect(server.database)
    with db:
        db.execute("DELETE FROM task WHERE task_id = ?", (ids[len(ids) // 2],))
    db.close()
    assert server.lost(ids) == 1


def test_a_body_of_another_callback_is_found(tmp_path):
    db = sqlite3.connect(tmp_path / "db")
    with db:
        db.execute("CREATE TABLE callback (task_id TEXT PRIMARY KEY, body TEXT)")
        db.executemany("INSERT INTO callback VALUES (?, ?)", [("a1", "of a1"), ("a2", "of a1"), ("a3", "")])
    db.close()
    assert lost_in(tmp_path / "db", "SELECT c.body FROM callback c WHERE c.task_id = a.id", ["a1", "a2", "a3", "a4"]) == 3


def test_a_pause_is_seen(bench):
    """A server that stands still for half a second."""
    server = Bare("drop").start(bench.new_folder())
    try:
        load = rows.start_load(bench, server, 8, seconds=3, warmup=0)
        threading.Timer(1, server.process.send_signal, (signal.SIGSTOP,)).start()
        threading.Timer(1.5, server.process.send_signal, (signal.SIGCONT,)).start()
        result = rows.finish_load(load)
    finally:
        server.stop()
    assert result["pause"] > 400 and result["max"] > 400


def test_only_the_wanted_status_is_an_acknowledgement(bench):
    wrong = bench.write("wrong", bodies.callbacks(key="not-the-key"))
    row = rows.measure(bench, Receiver(), 4, requests=wrong)
    assert row["acknowledged"] == 0 and row["statuses"]["401"] > 0


def test_bodies_are_valid_and_of_their_size(tmp_path):
    """The receiver takes one of each type as it is: no problem, not even a warning."""
    daemon = harness.Daemon(tmp_path / "d").start()
    try:
        for n, name in enumerate(bodies.TYPES):
            for size in (None, 2048):
                body = bodies.body(name, size)
                assert len(body) == (size or bodies.SIZES[name])
                id = f"{n:08x}{size or 0:016x}".encode()
                text = body.replace(bodies.ID.encode(), id)
                answer = daemon.deliver(text.replace(bodies.STAMP.encode(), b"2016-06-23T09:10:02.798Z"))
                assert answer["result"] == "stored"
        assert all(not delivery.get("problems") for delivery in daemon.query.docs("/v1/deliveries?limit=100"))
    finally:
        daemon.finish()


def test_ratios_are_taken_within_a_round():
    rounds = [[{"name": "a", "rate": 2}, {"name": "b", "rate": 1}], [{"name": "a", "rate": 30}, {"name": "b", "rate": 10}],
              [{"name": "a", "rate": 5}, {"name": "b", "rate": 1}], [{"name": "a", "rate": 5}, {"name": "c", "rate": 1}]]
    assert report.ratios(rounds, "rate", "a") == {"b": 3, "c": 5}


def test_a_missing_program_has_a_row_that_says_how_to_get_it(bench, tmp_path):
    found = rows.rows_of(bench, [lambda: Express(tmp_path / "nowhere")], 1)
    assert "peers/install" in found[0]["missing"]
    assert "peers/install" in "\n".join(report.load_table([found]))


def test_the_command(tmp_path):
    command = [sys.executable, HERE / "run", "--build", harness.BUILD, "--seconds", "0.3", "--warmup", "0.1", "--rounds",
               "2", "--connections", "1,8", "--only", "receiver", "--only", "bare", "--folder", tmp_path / "here",
               "--json", tmp_path / "result.json"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=rows.LONGEST, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert Receiver.name in done.stdout and "| libmicrohttpd" in done.stdout
    result = json.loads((tmp_path / "result.json").read_text())
    load = result["measurements"]["load"]
    assert set(load) == {"1", "8"} and len(load["8"]["rounds"]) == 2
    assert load["8"]["rate_ratios"][Bare("drop").name] > 0
    assert os.listdir(tmp_path / "here") == []
