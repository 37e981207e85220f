"""The event feed: lines, event streams, waiting, following, coming back."""

import json
import random
import subprocess
import threading
import time

import pytest

from harness import SCALECTL, WAIT, UnixConnection, callback, eventually


def follow(daemon, target, headers=None):
    connection = UnixConnection(daemon.query.path)
    connection.request("GET", target, headers=headers or {})
    response = connection.getresponse()
    assert response.status == 200
    return connection, response


def test_members(daemon):
    body = callback()
    daemon.deliver(body)
    [event] = daemon.query.lines("/v1/events")
    assert list(event) == ["seq", "time", "kind", "task_id", "type", "status", "revision", "delivery", "submission"]
    assert event | {"time": 0} == {"seq": 1, "time": 0, "kind": "task.completed", "task_id": body["task_id"],
                                   "type": "categorization", "status": "completed", "revision": 1, "delivery": 1,
                                   "submission": None}


def test_after_limit_and_include(daemon):
    bodies = [callback() for _ in range(5)]
    for body in bodies:
        daemon.deliver(body)
    assert [e["seq"] for e in daemon.query.lines("/v1/events?after=2&limit=2")] == [3, 4]
    assert daemon.query.lines("/v1/events?after=5") == []
    assert [e["task"] for e in daemon.query.lines("/v1/events?include=task")] == [b["task"] for b in bodies]


def test_wait_comes_back_with_the_event(daemon):
    heard = []
    thread = threading.Thread(target=lambda: heard.extend(daemon.query.lines("/v1/events?wait=60")))
    thread.start()
    time.sleep(0.3)
    daemon.deliver(callback())
    thread.join(30)
    assert [e["seq"] for e in heard] == [1]


def test_wait_comes_back_empty_in_the_end(daemon):
    started = time.monotonic()
    assert daemon.query.lines("/v1/events?wait=1") == []
    assert time.monotonic() - started > 0.9


def test_follow(daemon):
    connection, response = follow(daemon, "/v1/events?follow=1&after=0")
    for n in range(1, 6):
        daemon.deliver(callback())
        assert json.loads(response.readline())["seq"] == n
    assert response.headers["Content-Type"] == "application/x-ndjson"
    connection.close()
    eventually(lambda: "scale_callbackd_event_readers 0" in daemon.query.get("/metrics").body.decode(),
               "the reader that went is let go of")


def test_follow_with_a_limit_ends(daemon):
    connection, response = follow(daemon, "/v1/events?follow=1&limit=2")
    for _ in range(3):
        daemon.deliver(callback())
    assert len(response.read().splitlines()) == 2
    connection.close()


def test_event_stream_and_coming_back(daemon):
    daemon.deliver(callback())
    connection, response = follow(daemon, "/v1/events", {"Accept": "text/event-stream"})
    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.readline().startswith(b"id: 1@20")
    assert json.loads(response.readline().removeprefix(b"data: "))["seq"] == 1
    assert response.readline() == b"\n"
    daemon.deliver(callback())
    id = response.readline().strip().removeprefix(b"id: ").decode()
    assert id.startswith("2@20")
    connection.close()

    daemon.deliver(callback())
    for last in (id, "2"):
        connection, response = follow(daemon, "/v1/events", {"Accept": "text/event-stream", "Last-Event-ID": last})
        assert response.readline().startswith(b"id: 3@20")
        connection.close()
    daemon.query.get("/v1/events", status=400, headers={"Accept": "text/event-stream", "Last-Event-ID": "x"})


def test_a_follower_notices_that_the_feed_was_turned_back(make_daemon):
    """A backup is put back, and numbers are given again: whoever says the time of the event that it is at is told."""
    daemon = make_daemon().start()
    for _ in range(3):
        daemon.deliver(callback())
    backup = daemon.dir / "b.db"
    backup.write_bytes(daemon.control.get("/v1/backup").body)
    for _ in range(3):
        daemon.deliver(callback())
    events = daemon.query.lines("/v1/events")
    assert len(events) == 6
    for event in events:
        assert len(daemon.query.lines(f"/v1/events?after={event['seq']}&time={event['time']}")) == 6 - event["seq"]
    refused = daemon.query.get("/v1/events?after=3&time=2016-06-24T09:10:02.798Z", status=409).json
    assert refused["status_code"] == 409 and "Event 3 is another one now" in refused["error"]
    daemon.query.get("/v1/events?time=2016-06-24T09:10:02.798Z", status=400)  # of which event?
    connection, response = follow(daemon, "/v1/events", {"Accept": "text/event-stream"})
    ids = [line.strip().removeprefix(b"id: ").decode() for line in (response.readline() for _ in range(18)) if line[:2] == b"id"]
    connection.close()

    assert daemon.stop() == 0
    assert subprocess.run([str(SCALECTL), "-o", f"store.path={daemon.database}", "restore", str(backup)],
                          capture_output=True, check=False).returncode == 0
    daemon.start()
    at = f"after=6&time={events[5]['time']}"
    for request in (at, f"{at}&follow=1", f"{at}&wait=30"):
        assert "There is no event 6" in daemon.query.get(f"/v1/events?{request}", status=409).json["error"]
    for _ in range(3):
        daemon.deliver(callback())
    assert "Event 6 is another one now" in daemon.query.get(f"/v1/events?{at}", status=409).json["error"]
    sse = {"Accept": "text/event-stream"}
    assert len(ids) == 6
    daemon.query.get("/v1/events", status=409, headers=sse | {"Last-Event-ID": ids[5]})
    assert [e["seq"] for e in daemon.query.lines(f"/v1/events?after=3&time={events[2]['time']}")] == [4, 5, 6]


@pytest.mark.parametrize("more", [0, 3], ids=["fewer events", "other events"])
def test_watch_notices_that_the_feed_was_turned_back(make_daemon, more):
    """Also one that has shown nothing yet."""
    daemon = make_daemon().start()
    backup = daemon.dir / "b.db"
    daemon.deliver(callback())
    backup.write_bytes(daemon.control.get("/v1/backup").body)
    for _ in range(2):
        daemon.deliver(callback())
    with subprocess.Popen([str(SCALECTL), "-o", f"query.socket={daemon.query.path}", "watch"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as watch:
        eventually(lambda: "scale_callbackd_event_readers 1" in daemon.query.get("/metrics").body.decode(), "the watch")
        assert daemon.stop() == 0
        assert "has gone" in watch.stderr.readline()
        assert subprocess.run([str(SCALECTL), "-o", f"store.path={daemon.database}", "restore", str(backup)],
                              capture_output=True, check=False).returncode == 0
        if more:
            other = make_daemon(f"store.path={daemon.database}").start()
            for _ in range(more):
                other.deliver(callback())
            assert other.stop() == 0
        daemon.start()
        assert watch.wait(WAIT) == 1
        assert watch.stdout.read() == "" and "was turned back" in watch.stderr.read()


def test_a_stop_ends_the_feed(make_daemon):
    daemon = make_daemon().start()
    connection, response = follow(daemon, "/v1/events?follow=1")
    assert daemon.stop() == 0
    assert response.read() == b""
    connection.close()


@pytest.mark.load
def test_readers_that_disconnect_at_random_miss_nothing(daemon):
    n, stop, failures = 400, threading.Event(), []

    def read(seed):
        dice, seen = random.Random(seed), []
        try:
            while len(seen) < n and not stop.is_set():
                sse = dice.random() < 0.5
                after = seen[-1] if seen else 0
                connection, response = follow(daemon, f"/v1/events?follow=1&after={after}",
                                              {"Accept": "text/event-stream"} if sse else {})
                connection.sock.settimeout(30)
                for _ in range(dice.randrange(1, 60)):
                    if len(seen) == n:
                        break
                    line = response.readline()
                    while sse and not line.startswith(b"data: "):
                        line = response.readline()
                    seen.append(json.loads(line.removeprefix(b"data: "))["seq"])
                connection.close()
            if seen != list(range(1, n + 1)):
                failures.append((seed, seen[:20], len(seen)))
        except Exception as error:  # said by the main thread
            failures.append((seed, repr(error), len(seen)))

    readers = [threading.Thread(target=read, args=(seed,)) for seed in range(12)]
    for reader in readers:
        reader.start()
    for _ in range(n):
        daemon.deliver(callback())
    for reader in readers:
        reader.join(60)
    stop.set()
    assert not failures, failures


def test_a_slow_reader_is_cut_and_goes_on_where_it_was(daemon):
    """It takes nothing until its connection is gone; what it had whole it has, the rest comes when it comes back."""
    big = "x" * 200_000
    for _ in range(40):
        daemon.deliver(callback(instruction=big))
    connection, response = follow(daemon, "/v1/events?follow=1&include=task&after=0")
    first = json.loads(response.readline())
    assert first["seq"] == 1
    eventually(lambda: 'deadlines_total{server="query"} 1' in daemon.query.get("/metrics").body.decode(),
               "the slow reader is cut")
    connection.close()
    assert [e["seq"] for e in daemon.query.lines("/v1/events?after=1")] == list(range(2, 41))
