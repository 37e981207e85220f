"""The machine's clock jumps, by more than a year back and forth: nothing is refused, lost, cut or taken for another."""

import json
import pathlib
import re
import subprocess

import pytest

from harness import TEST_KEY, callback, eventually

SHIM = pathlib.Path(__file__).parent / "shim/clock-shim.c"
YEAR = 400 * 86400
LIVE_KEY = "live_canary0123456789abcdef"


@pytest.fixture
def clock(tmp_path):
    library = tmp_path / "clock-shim.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(library), str(SHIM), "-ldl"], check=True)
    file = tmp_path / "jump"
    file.write_text("0\n")
    env = {"LD_PRELOAD": str(library), "CLOCK_JUMPS": str(file), "ASAN_OPTIONS": "verify_asan_link_order=0:abort_on_error=1"}
    return file, env


@pytest.mark.parametrize("jumps", [(-YEAR, YEAR), (YEAR, -YEAR)], ids=["back first", "forth first"])
def test_the_receiver_bears_jumps(make_daemon, clock, jumps):
    file, env = clock
    daemon = make_daemon(env=env).start()
    first, connection = callback(), daemon.connect()
    daemon.deliver(first)
    years = set()
    for jump in jumps:
        file.write_text(f"{jump}\n")
        assert daemon.deliver(callback())["result"] == "stored"
        assert daemon.deliver(first)["result"] == "duplicate"
        assert daemon.query.get("/readyz").json["status"] == "ok"
        years.add(daemon.query.docs("/v1/deliveries")[-1]["received_at"][:4])
    assert len(years) == 2  # it did jump
    connection.close()
    assert [e["seq"] for e in daemon.query.lines("/v1/events")] == [1, 2, 3]
    daemon.reload()
    assert daemon.stop() == 0


def jumps_seen(daemon):
    text = daemon.query.get("/metrics").body.decode()
    seen = re.search(r"^scale_callbackd_clock_jumps_total (\d+)$", text, re.M)
    return int(seen[1]) if seen else 0


def aside(daemon):
    """What retention may take away: of the quarantine, a duplicate, a failed attachment of nobody."""
    first = callback()
    daemon.deliver(first)
    daemon.deliver(json.dumps(first, indent=1))
    daemon.post("{", status=400)
    daemon.deliver({"error": "Not there.", "attachments": [{"statusCode": 404, "url": "https://www.example.com/1.png"}]})
    daemon.deliver(callback())


def kept(daemon):
    return [(d["delivery"], d["verdict"]) for d in daemon.query.docs("/v1/deliveries")]


@pytest.mark.parametrize("restart", [True, False], ids=["at a restart", "while it runs"])
@pytest.mark.parametrize("jump", [-YEAR, YEAR], ids=["back", "forth"])
def test_a_jump_deletes_nothing(make_daemon, clock, jump, restart):
    file, env = clock
    daemon = make_daemon("store.keep_deliveries=90d", env=env).start()
    aside(daemon)
    before = kept(daemon)
    daemon.control.post("/v1/prune?older_than=4000000")  # the time was looked at
    for seconds in (jump, 0):
        if restart:
            daemon.stop()
        file.write_text(f"{seconds}\n")
        seen = 0 if restart else jumps_seen(daemon)
        if restart:
            daemon.start()
        else:
            daemon.reload()
        eventually(lambda: jumps_seen(daemon) > seen or kept(daemon) != before, "a look at the clock")
        daemon.control.post("/v1/prune?older_than=7776000")
        assert kept(daemon) == before
    assert "hours" in daemon.log() and "counted" in daemon.log()


def test_what_came_under_a_wrong_clock_is_kept_once_it_is_right(make_daemon, clock):
    """Booted without a battery: what comes seems to be more than a year old as soon as there is the time."""
    file, env = clock
    file.write_text(f"{-YEAR}\n")
    daemon = make_daemon("store.keep_deliveries=90d", env=env).start()
    aside(daemon)
    before = kept(daemon)
    daemon.control.post("/v1/prune?older_than=4000000")
    file.write_text("0\n")
    daemon.reload()
    eventually(lambda: jumps_seen(daemon) > 0 or kept(daemon) != before, "a look at the clock")
    assert daemon.control.post("/v1/prune?older_than=7776000").json["deleted"] == 0
    assert kept(daemon) == before


@pytest.mark.parametrize("jump", [-YEAR, YEAR], ids=["back", "forth"])
def test_the_submitter_bears_jumps(make_submitter, api, clock, jump):
    file, env = clock
    submitter = make_submitter(env=env).start()
    ids = [submitter.add(attachment="before")]
    submitter.reaches(ids[0], "accepted")
    file.write_text(f"{jump}\n")
    ids.append(submitter.add(attachment="after"))
    submitter.reaches(ids[1], "accepted")
    file.write_text("0\n")
    ids.append(submitter.add(attachment="again"))
    submitter.reaches(ids[2], "accepted")
    assert sorted(api.submissions()) == sorted(ids)
    assert TEST_KEY not in submitter.log()


def test_a_day_in_the_future_does_not_stop_live_tasks(make_submitter, api, clock):
    file, env = clock
    api.keys.append(LIVE_KEY)
    file.write_text(f"{YEAR}\n")
    submitter = make_submitter("submit.live_per_day=1", key=LIVE_KEY, env=env).start()
    submitter.reaches(submitter.add(attachment="in a year"), "accepted")
    file.write_text("0\n")
    today = submitter.add(attachment="today")
    submitter.reaches(today, "accepted", hurry=True)
    for jump in (YEAR, 0):  # these dates had theirs
        file.write_text(f"{jump}\n")
        more = submitter.add(attachment=str(jump))
        submitter.submit.post("/v1/queue/flush")
        assert submitter.submit.get("/v1/queue").json["live_today"] == 1
        assert submitter.submission(more)["state"] == "queued"
    assert len(api.tasks) == 2


def test_a_clock_that_comes_with_the_network_gives_nothing_up(make_submitter, api, clock):
    """Booted without a clock: what was submitted then is more than five days old as soon as there is one."""
    file, env = clock
    file.write_text(f"{-YEAR}\n")
    api.plan = lambda method, path, body: "drop before"
    submitter = make_submitter(env=env).start()
    id = submitter.add()
    eventually(lambda: api.requests, "a question")
    file.write_text("0\n")
    api.plan = lambda *_: None
    assert submitter.reaches(id, "accepted", hurry=True)["attempts"] == 1
    assert api.submissions() == [id]
