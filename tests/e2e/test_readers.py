"""Long queries wait for each other, and nobody waits for them."""

import contextlib
import http.client
import json
import sqlite3
import threading

import pytest

from harness import PARAMS, callback

N_TASKS, N_KEYS, N_READERS = 15_000, 8, 32
LONG = "/v1/tasks?limit=1&" + "&".join(f"metadata.k{i}=v" for i in range(N_KEYS))


def fill(database):
    """Tasks that all have the same metadata, on one delivery."""
    with sqlite3.connect(database) as db:
        known, document = db.execute("SELECT task_id, document FROM task LIMIT 1").fetchone()
        numbers = f"WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {N_TASKS})"
        db.execute(f"""{numbers} INSERT INTO task (id, task_id, type, status, is_test, created_at, document, response, revision,
                       revisions, last_event) SELECT i, printf('58a6363baa9d%012x', i), 1, 1, 0, 1700000000000000 + i, ?1, ?1, 1, 1, 0
                       FROM n""", (document,))
        db.execute(f"""INSERT OR IGNORE INTO metadata SELECT 'k' || value, 'v', created_at, id FROM task,
                       (SELECT value FROM json_each('{list(range(N_KEYS))}'))""")
        db.execute("UPDATE tally SET count = ?", (N_TASKS,))
        db.execute("UPDATE tally_by_hour SET count = ?", (N_TASKS,))
    db.close()
    return known


def rounds_meanwhile(ask_long, ask_quick):
    """How often the quick ones were all answered while many ask what takes long."""
    answered = []
    threads = [threading.Thread(target=lambda: answered.append(ask_long())) for _ in range(N_READERS)]
    for thread in threads:
        thread.start()
    rounds = 0
    while any(thread.is_alive() for thread in threads):
        ask_quick()
        rounds += 1
    for thread in threads:
        thread.join()
    assert answered == [N_TASKS] * N_READERS
    return rounds


@pytest.fixture
def filled(daemon):
    daemon.deliver(callback(metadata={f"k{i}": "v" for i in range(N_KEYS)}))
    daemon.stop()
    daemon.known = fill(daemon.database)
    return daemon


def test_health_control_and_short_queries_do_not_wait_for_long_ones(filled):
    """Once each of them waited until everybody had been answered."""
    daemon = filled.start()

    def quick():
        daemon.query.get("/readyz")
        daemon.query.get(f"/v1/task/{daemon.known}")
        daemon.query.get("/v1/tasks?limit=1&status=completed")
        daemon.query.get("/v1/deliveries")
        daemon.query.lines("/v1/events?limit=1")
        daemon.control.post("/v1/delivery/999/discard", 404)

    assert rounds_meanwhile(lambda: daemon.query.get(LONG).json["total"], quick) > 10


def test_the_outbox_does_not_wait_for_long_queries(filled, make_submitter):
    submitter = make_submitter(database=filled.database).start()
    task = json.dumps({"instruction": "Big?", **PARAMS})

    def quick():
        submitter.submit.get("/readyz")
        submitter.submit.get("/v1/submissions?limit=1")
        submitter.submit.get(f"/v1/task/{filled.known}")
        submitter.submit.ask("POST", "/v1/task/categorization", {"Content-Type": "application/json"}, task)

    assert rounds_meanwhile(lambda: submitter.submit.get(LONG).json["total"], quick) > 5


def test_what_is_being_read_does_not_hold_up_the_end(filled):
    daemon = filled.start()

    def read():
        with contextlib.suppress(http.client.HTTPException, OSError):
            daemon.query.ask("GET", LONG)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    daemon.query.get("/readyz")
    assert daemon.stop() == 0
    for thread in threads:
        thread.join()
