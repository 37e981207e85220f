"""Hostile clients of the local sockets: slow readers of the feed, of exports and of big answers, hundreds and thousands of
them, requests half sent and answers never read. There are limits with a clear answer, and callbacks are not delayed."""

import json
import time

import pytest

from harness import KEY, PARAMS, WAIT, callback, eventually
from siege import MIB, Attack, Cost, Honest, besiege, is_sanitized, metric

LIMIT = 256         # connections of a local socket
READERS = 192       # of them that may wait for events
ANSWERS = 64 * MIB  # what answers in flight may take on the query socket and on the control socket
BIG = 300_000       # a task of that size, and six of them
PER_CONNECTION = 48 * 1024
SLACK = 32 * MIB


def get(target):
    return f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"


# A name and what the clients do (hostile.py) on which socket; `answers`: what they may see; `wants`: what some of them
# have to see.
ATTACKS = {
    "silent": ("query", dict(connections=600), set(), set()),
    "half a request": ("query", dict(connections=400, first="GET /v1/st"), set(), set()),
    "a dripped request": ("query", dict(connections=400, first="GET /v1/stats HTTP/1.1\r\nX: ", drip="x"), set(), set()),
    "half a body": ("query", dict(connections=300, first="POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nx"),
                    {"405"}, {"405"}),
    "half closed": ("query", dict(connections=200, first="GET /v1/stats HTTP/1.1\r\n", end=True), set(), set()),
    "gone at once": ("query", dict(connections=100, first=get("/v1/export?format=jsonl"), reset=True), set(), set()),
    "followers": ("query", dict(connections=240, first=get("/v1/events?follow=1&after=999999"), again=False),
                  {"200", "503"}, {"503"}),
    "waiters": ("query", dict(connections=240, first=get("/v1/events?wait=300&after=999999"), again=False),
                {"200", "503"}, {"503"}),
    "followers that read nothing": ("query", dict(connections=240, first=get("/v1/events?follow=1&include=task&after=0"),
                                                  listen=False), set(), set()),
    "readers of the feed that sip": ("query", dict(connections=240, first=get("/v1/events?include=task&after=0"), sip=100),
                                     {"200", "503"}, {"200"}),
    "exports that nobody reads": ("query", dict(connections=300, first=get("/v1/export?format=jsonl"), listen=False), set(), set()),
    "exports sipped at": ("query", dict(connections=240, first=get("/v1/export?format=jsonl"), sip=100), {"200", "503"}, {"200"}),
    "big answers that nobody reads": ("query", dict(connections=300, first=get("/v1/task/{big}"), listen=False), set(), set()),
    "big answers sipped at": ("query", dict(connections=240, first=get("/v1/task/{big}"), sip=100), {"200", "503"}, {"200", "503"}),
    "big pages sipped at": ("query", dict(connections=240, first=get("/v1/tasks"), sip=100), {"200", "503"}, {"200"}),
    "a pipeline that nobody reads": ("query", dict(connections=100, flood=get("/v1/tasks") * 20, listen=False), set(), set()),
    "a pipeline without end": ("query", dict(connections=10, flood=get("/v1/stats") * 20), {"200"}, {"200"}),
    "headers without end": ("query", dict(connections=20, first="GET / HTTP/1.1\r\n", flood="X: y\r\n" * 500), {"431", "413"}, {"431"}),
    "backups all at once": ("control", dict(connections=50, first=get("/v1/backup")), {"200", "409"}, {"409"}),
    "calls half sent": ("control", dict(connections=400, first="POST /v1/prune HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"),
                        {"400", "408"}, set()),
}


@pytest.mark.load
@pytest.mark.parametrize("name", ATTACKS)
def test_attacks(make_daemon, request, name):
    option = request.config.getoption
    seed = option("--hostile-seed")
    print(f"--hostile-seed={seed}")
    where, row, answers, wants = ATTACKS[name]
    daemon = make_daemon().start()
    for _ in range(6):
        big = callback(instruction="x" * BIG)
        daemon.deliver(big)
    row = {k: v.replace("{big}", big["task_id"]) if isinstance(v, str) else v for k, v in row.items()}
    cost = Cost(daemon)
    daemon.query.get("/v1/tasks")
    base, fds = cost.read_rss(), cost.read_fds()

    after = []
    for _ in range(2):
        attack = Attack(str(getattr(daemon, where).path), seed, **row)
        with Cost(daemon) as seen, Honest(daemon) as honest:
            assert attack.ready.wait(WAIT)
            end = time.monotonic() + option("--hostile-seconds")
            asked = daemon.query.get("/v1/stats").json["tasks"]  # an honest client is heard, too
            assert asked >= 6
            eventually(lambda: time.monotonic() > end and len(honest.ids) >= 3 or honest.wrong, "callbacks are acknowledged")
            eventually(lambda: wants <= attack.statuses(), "all kinds of answers are heard")
            account = attack.stop()
        print(account, "rss", seen.rss // 1024, "fds", seen.fds, "cpu", round(seen.load, 2), "honest", len(honest.times),
              round(max(honest.times), 2))
        assert not honest.wrong, honest.wrong[:3]
        assert set(account["statuses"]) <= answers and wants <= set(account["statuses"]), account
        assert seen.fds <= fds + LIMIT + 16
        if not is_sanitized(daemon):
            assert seen.rss <= base + LIMIT * PER_CONNECTION + ANSWERS + SLACK
        eventually(lambda: metric(daemon.query, "scale_callbackd_connections", where) <= (where == "query"),
                   "the connections are gone")
        eventually(lambda: cost.read_fds() <= fds + 1, "the descriptors are back")
        after.append(cost.read_rss())
    if not is_sanitized(daemon):  # malloc() may keep what answers of three readers took, and once is as good as twice
        assert after[1] <= max(after[0], base + ANSWERS) + 8 * MIB, (base, after)
    assert metric(daemon.query, "scale_callbackd_event_readers") == 0


@pytest.mark.load
def test_thousands_of_slow_readers_do_not_delay_callbacks(make_daemon, request):
    """Side by side in one run: honest callbacks take about as long with them as without."""
    n, seed = request.config.getoption("--hostile-connections"), request.config.getoption("--hostile-seed")
    print(f"--hostile-seed={seed}")
    daemon = make_daemon().start()
    for _ in range(5):
        daemon.deliver(callback(instruction="x" * BIG))
    with Honest(daemon) as alone:
        eventually(lambda: len(alone.times) >= 10, "callbacks")
    attack = Attack(str(daemon.query.path), seed, connections=n, first=get("/v1/events?follow=1&include=task&after=0"), sip=100)
    time.sleep(0.5)
    with Honest(daemon) as crowded:
        eventually(lambda: len(crowded.times) >= 10, "callbacks")
    account = attack.stop()
    print(account, max(alone.times), max(crowded.times))
    assert not alone.wrong and not crowded.wrong
    assert account["opened"] > LIMIT
    # They share two cores with the attackers: what must not be is that they wait for readers.
    assert sorted(crowded.times)[5] < sorted(alone.times)[5] * 20 + 0.25


SUBMISSION = json.dumps({"instruction": "Big or small?", **PARAMS})
TASK = f"POST /v1/task/categorization HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(SUBMISSION)}\r\n\r\n"

SUBMITTER_ATTACKS = {
    "silent": (dict(connections=600), set()),
    "half a body": (dict(connections=400, first=TASK), {"408"}),
    "half a megabyte": (dict(connections=300, first="POST /v1/task/categorization HTTP/1.1\r\nHost: x\r\n"
                             "Content-Length: 1000000\r\n\r\n" + "x" * 500_000), {"503"}),
    "nested": (dict(connections=10, first=f"POST /v1/task/categorization HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                    f"Content-Length: 900000\r\n\r\n" + "[" * 900_000), {"400"}),
    "a pipeline that nobody reads": (dict(connections=50, flood=get("/v1/queue") * 50, listen=False), set()),
    "a list sipped at": (dict(connections=240, first=get("/v1/submissions"), sip=50), {"200", "503"}),
}


@pytest.mark.load
@pytest.mark.parametrize("name", SUBMITTER_ATTACKS)
def test_attacks_on_the_submitter(make_submitter, request, name):
    option = request.config.getoption
    seed = option("--hostile-seed")
    print(f"--hostile-seed={seed}")
    row, answers = SUBMITTER_ATTACKS[name]
    submitter = make_submitter(url="http://127.0.0.1:9/v1").start()
    submitter.add()
    cost = Cost(submitter)
    base, fds = cost.read_rss(), cost.read_fds()
    for _ in range(2):
        attack = Attack(str(submitter.submit.path), seed, **row)
        with Cost(submitter) as seen:
            assert attack.ready.wait(WAIT)
            end, ids = time.monotonic() + option("--hostile-seconds"), []
            while time.monotonic() < end or not ids:
                answer = submitter.submit.ask("POST", "/v1/task/categorization", {"Content-Type": "application/json"}, SUBMISSION)
                if answer.status == 503:  # the budget for bodies is used up, and it is said
                    assert int(answer.headers["Retry-After"]) > 0 and "half a megabyte" == name
                    break
                assert answer.status == 202, answer.body
                ids.append(answer.json["submission_id"])
            account = attack.stop()
        print(account, "rss", seen.rss // 1024, "fds", seen.fds, "cpu", round(seen.load, 2))
        assert set(account["statuses"]) <= answers, account
        assert seen.fds <= fds + LIMIT + 16
        if not is_sanitized(submitter):
            assert seen.rss <= base + LIMIT * PER_CONNECTION + ANSWERS + SLACK
        eventually(lambda: cost.read_fds() <= fds + 1, "the descriptors are back")
        submitter.add(attachment=str(time.monotonic()))
