"""The query socket: the API's shapes, filters, pages, figures."""

import json
import re
import stat
import urllib.parse

import pytest

from harness import callback, sample, task_id


def fill(daemon, n, **more):
    bodies = [callback({"category": "big" if i % 2 else "small"}, created_at=f"2016-06-23T{9 + i // 60:02}:{i % 60:02}:00.000Z",
                       metadata={"order": i % 3}, is_test=i % 4 == 0, **more) for i in range(n)]
    for body in bodies:
        daemon.deliver(body)
    return bodies


def ids(docs):
    return [d["task_id"] for d in docs]


def test_list_has_the_apis_shape(daemon):
    bodies = fill(daemon, 3)
    page = daemon.query.get("/v1/tasks").json
    assert list(page) == ["docs", "total", "limit", "offset", "has_more"]
    assert ids(page["docs"]) == ids(reversed(bodies))
    assert (page["total"], page["limit"], page["offset"], page["has_more"]) == (3, 100, 0, False)
    assert [d for d in page["docs"]] == [b["task"] for b in reversed(bodies)]


def test_pages_by_offset_and_by_cursor_are_the_same(daemon):
    bodies = fill(daemon, 25)
    by_offset, by_cursor, target = [], [], "/v1/tasks?limit=4"
    for offset in range(0, 28, 4):
        page = daemon.query.get(f"/v1/tasks?limit=4&offset={offset}").json
        assert page["total"] == 25 and page["has_more"] == (offset + 4 < 25)
        by_offset += ids(page["docs"])
    while target:
        page = daemon.query.get(target).json
        by_cursor += ids(page["docs"])
        assert page["has_more"] == ("next" in page)
        target = f"/v1/tasks?limit=4&after={page['next']}" if page["has_more"] else None
    assert by_offset == by_cursor == ids(reversed(bodies))


@pytest.mark.parametrize("query, fits", [
    ("start_time=2016-06-23T09:05:00Z", lambda i, b: i >= 5),
    ("end_time=2016-06-23T09:05:00.000", lambda i, b: i <= 5),
    ("start_time=2016-06-23T09:02&end_time=2016-06-23T09:04", lambda i, b: 2 <= i <= 4),
    ("start_time=2016-06-23T11:05:00%2B02:00", lambda i, b: i >= 5),
    ("start_time=2016-06-24", lambda i, b: False),
    ("status=completed", lambda i, b: True),
    ("status=pending", lambda i, b: False),
    ("type=categorization", lambda i, b: True),
    ("type=annotation", lambda i, b: False),
    ("is_test=true", lambda i, b: i % 4 == 0),
    ("is_test=0", lambda i, b: i % 4 != 0),
    ("metadata.order=1", lambda i, b: i % 3 == 1),
    ("metadata.order=1&is_test=true", lambda i, b: i % 3 == 1 and i % 4 == 0),
    ("metadata.nope=1", lambda i, b: False),
    ("callback_url&end_time&limit=99&offset=0&start_time&status&type&unknown", lambda i, b: True),
])
def test_filters(daemon, query, fits):
    bodies = fill(daemon, 12)
    page = daemon.query.get(f"/v1/tasks?{query}").json
    expected = [b["task_id"] for i, b in enumerate(bodies) if fits(i, b)][::-1]
    assert ids(page["docs"]) == expected and page["total"] == len(expected)


@pytest.mark.parametrize("target, name", [
    ("/v1/tasks?limit=0", "limit"), ("/v1/tasks?limit=101", "limit"), ("/v1/tasks?limit=x", "limit"),
    ("/v1/tasks?offset=-1", "offset"), ("/v1/tasks?start_time=soon", "start_time"), ("/v1/tasks?end_time=2016-13-01", "end_time"),
    ("/v1/tasks?status=done", "status"), ("/v1/tasks?is_test=maybe", "is_test"), ("/v1/tasks?after=x", "after"),
    ("/v1/tasks?type=" + "x" * 65, "type"), ("/v1/tasks?" + "&".join(f"metadata.a{i}=1" for i in range(9)), "metadata"),
    ("/v1/deliveries?verdict=good", "verdict"), ("/v1/deliveries?after=-1", "after"), ("/v1/deliveries?order=up", "order"), ("/v1/deliveries?limit=1000", "limit"),
    ("/v1/events?after=x", "after"), ("/v1/events?wait=301", "wait"), ("/v1/events?follow=perhaps", "follow"),
    ("/v1/events?include=everything", "include"), ("/v1/events?limit=0", "limit"), ("/v1/export?format=xml", "format"),
    ("/v1/export?after_seq=x", "after_seq"), ("/v1/export?" + "&".join(f"metadata.a{i}=1" for i in range(9)), "metadata"),
    ("/v1/task/x/revisions?limit=0", "limit"), ("/v1/tasks?metadata.=x", "metadata."), ("/v1/export?metadata.=x", "metadata."),
    (f"/v1/tasks?metadata.url={'x' * 257}", "metadata.url"), (f"/v1/tasks?metadata.{'k' * 257}=x", "metadata." + "k" * 257),
])
def test_a_bad_parameter_is_named(daemon, target, name):
    answer = daemon.query.get(target, status=400).json
    assert answer["status_code"] == 400 and name in answer["error"] and answer["problems"][0]["path"] == name


@pytest.mark.parametrize("target, meant", [
    ("/v1/tasks?staus=completed", "status"), ("/v1/tasks?metadata%5Bset%5D=csv", "metadata.set"),
    ("/v1/tasks?metdata.set=csv", "metadata.set"), ("/v1/tasks?metadata=csv", "metadata.KEY"),
    ("/v1/tasks?Status=completed", "status"), ("/v1/tasks?startTime=2016-06-23", "start_time"),
    ("/v1/export?metdata.set=x", "metadata.set"), ("/v1/export?tpye=annotation", "type"),
    ("/v1/task/x/revisions?limt=1", "limit"), ("/v1/task/x/deliveries?verdikt=invalid", "verdict"),
    ("/v1/deliveries?verdit=invalid", "verdict"), ("/v1/submissions?stat=queued", "state"),
    ("/v1/events?afer=7", "after"), ("/v1/tasks?next_token=abc", "limit"), ("/v1/tasks?unique_id=7", "metadata.KEY"),
    ("/v1/task/x?status=completed", "none"), ("/v1/delivery/1?raw=1", "none"), ("/v1/delivery/1/body?raw=1", "none"),
    ("/v1/submission/x?id=1", "none"), ("/v1/stats?type=annotation", "metadata.KEY"), ("/metrics?x=1", "none"), ("/readyz?x=1", "none"),
])
def test_an_unknown_parameter_is_refused_with_what_was_meant(daemon, target, meant):
    """A filter that was misspelt gave everything."""
    answer = daemon.query.get(target, status=400).json
    name = urllib.parse.unquote(target.partition("?")[2].partition("=")[0])
    assert f"Unknown parameter {name}: " in answer["error"] and meant in answer["error"], answer
    assert answer["problems"] == [{"path": name, "message": answer["problems"][0]["message"], "severity": "error"}]


def test_unknown_parameters_without_a_value_are_passed_over(daemon):
    daemon.deliver(callback())
    assert daemon.query.get("/v1/tasks?staus&next_token=&callback_url&limit=99").json["total"] == 1
    daemon.query.get("/v1/stats?staus")


@pytest.mark.parametrize("target, name", [
    ("/v1/tasks?type=%00", "type"), ("/v1/tasks?type=annotation%00", "type"), ("/v1/tasks?metadata.set=csv%00", "metadata.set"),
    ("/v1/tasks?foo=%00", "foo"), ("/v1/tasks?status=completed&status=pending", "status"),
    ("/v1/tasks?status=completed&status=", "status"), ("/v1/export?limit%FF=1", "limit?"),
])
def test_no_value_is_cut_or_dropped(daemon, target, name):
    answer = daemon.query.get(target, status=400).json
    assert answer["problems"][0]["path"] == name


def test_a_misspelt_parameter_of_a_call_that_deletes(daemon):
    answer = daemon.control.post("/v1/prune?older_then=1", 400).json
    assert "is older_than meant?" in answer["error"]


def test_metadata_is_found_as_it_is_shown(daemon):
    """Numbers once had to be asked for with all 17 digits, and a submission's id was lost behind 32 other members."""
    values = {"f": 0.1, "whole": 2.0, "large": 1e300, "beyond": 2**64, "yes": True, "text": "a b"}
    first = daemon.deliver(callback(metadata=values))["task_id"]
    shown = json.loads(daemon.query.get(f"/v1/task/{first}").body, parse_float=str, parse_int=str)["metadata"]
    for name, value in shown.items():
        text = urllib.parse.quote("true" if value is True else value)
        assert ids(daemon.query.docs(f"/v1/tasks?metadata.{name}={text}")) == [first], (name, value)

    many = {**{f"k{i:02}": "v" for i in range(40)}, "scale_submission_id": "0" * 32}
    second = daemon.deliver(callback(metadata=many))["task_id"]
    assert ids(daemon.query.docs(f"/v1/tasks?metadata.scale_submission_id={'0' * 32}")) == [second]
    assert [ids(daemon.query.docs(f"/v1/tasks?metadata.k{i}=v")) for i in (30, 31)] == [[second], []]


def test_404(daemon):
    for target in ("/v1/task/nope", "/v1/task/nope/revisions", "/v1/task/nope/deliveries", "/v1/delivery/1", "/v1/delivery/x",
                   "/v1/delivery/0", "/v1/delivery/1/body", "/v1/submission/x", "/"):
        assert daemon.query.get(target, status=404).json["status_code"] == 404
    assert daemon.query.get("/v1/task/nope", status=404).json["error"] == "Task not found"


def test_it_only_reads(daemon):
    for target in ("/v1/tasks", "/v1/delivery/1/retry", "/v1/prune"):
        assert daemon.query.ask("POST", target).status in (404, 405)


def test_numbers_stay_as_they_were(daemon):
    body = sample("audiotranscription/valid").decode()
    daemon.deliver(body)
    text = daemon.query.get("/v1/task/576ba74eec471ff9b01557cc").body.decode()
    assert '"start":0.3,' in text and '"duration":5.106188' in text and "99999" not in text


def test_bodies_byte_for_byte(daemon):
    bodies = [json.dumps(callback(), indent=3).encode(), b'{"broken', b'\xff\x00\x01', b' {"task_id" : "x" } ']
    for body in bodies:
        daemon.post(body)
    assert [daemon.query.get(f"/v1/delivery/{n}/body").body for n in range(1, 5)] == bodies


def test_deliveries_in_pages(daemon):
    for i in range(10):
        daemon.post(callback({"category": "big" if i % 2 else "huge"}))
    seen, target = [], "/v1/deliveries?limit=3"
    while target:
        page = daemon.query.get(target).json
        seen += [d["delivery"] for d in page["docs"]]
        target = f"/v1/deliveries?limit=3&after={page['next']}" if page["has_more"] else None
    assert seen == list(range(1, 11))
    assert [d["delivery"] for d in daemon.query.docs("/v1/deliveries?verdict=invalid")] == [1, 3, 5, 7, 9]
    assert [d["delivery"] for d in daemon.query.docs("/v1/deliveries?verdict=stored&after=4")] == [6, 8, 10]

    seen, target = [], "/v1/deliveries?order=newest&limit=3"
    while target:
        page = daemon.query.get(target).json
        seen += [d["delivery"] for d in page["docs"]]
        target = f"/v1/deliveries?order=newest&limit=3&after={page['next']}" if page["has_more"] else None
    assert seen == list(range(10, 0, -1))
    assert [d["delivery"] for d in daemon.query.docs("/v1/deliveries?verdict=invalid&order=newest&after=8")] == [7, 5, 3, 1]
    assert [d["delivery"] for d in daemon.query.docs("/v1/deliveries?verdict=stored&order=oldest")] == [2, 4, 6, 8, 10]


def test_revisions_in_pages(daemon):
    id = task_id()
    for i in range(7):
        daemon.deliver(callback({"category": "big", "n": i}, id))
    page = daemon.query.get(f"/v1/task/{id}/revisions?limit=3").json
    assert [r["revision"] for r in page["docs"]] == [1, 2, 3] and page["has_more"]
    page = daemon.query.get(f"/v1/task/{id}/revisions?limit=5&after={page['next']}").json
    assert [r["revision"] for r in page["docs"]] == [4, 5, 6, 7] and not page["has_more"]


def test_export(daemon):
    bodies = fill(daemon, 30)
    assert ids(daemon.query.lines("/v1/export?format=jsonl")) == ids(reversed(bodies))
    assert len(daemon.query.lines("/v1/export?format=jsonl&is_test=true")) == 8
    assert daemon.query.lines("/v1/export?format=jsonl&type=annotation") == []


def test_stats(daemon):
    fill(daemon, 8)
    daemon.post("{")
    stats = daemon.query.get("/v1/stats").json
    assert stats["tasks"] == 8 and stats["by_type"] == {"categorization": {"completed": 8}}
    assert stats["by_status"] == {"completed": 8} and stats["test_tasks"] == 2
    assert stats["by_verdict"]["stored"] == 8 and stats["by_verdict"]["invalid"] == 1
    assert stats["last_delivery"] == stats["last_event"] == 9
    assert stats["queue"]["writable"] is True and stats["disk"]["database_bytes"] > 0


def test_types_that_somebody_made_up_share_a_kind(daemon):
    """There once was no list and no end of labels: one for each."""
    daemon.deliver(callback())
    made = [daemon.deliver(callback({"x": i}, type=f"made-up-{i}"))["task_id"] for i in range(60)]
    daemon.deliver(callback({"x": 0}, made[59], "2016-06-24T09:10:02.798Z", type="made-up-59"))  # another response

    page = daemon.query.get("/v1/tasks?limit=100").json
    assert page["total"] == 61 and ids(page["docs"])[:60] == made[::-1]
    assert ids(daemon.query.lines("/v1/export?type=made-up-59")) == [made[59]]
    for i in (0, 59):
        page = daemon.query.get(f"/v1/tasks?type=made-up-{i}&status=completed").json
        assert page["total"] == 1 and ids(page["docs"]) == [made[i]] and page["docs"][0]["type"] == f"made-up-{i}"
    assert daemon.query.get("/v1/tasks?type=other").json["total"] == 0
    assert daemon.query.get("/v1/tasks?type=made-up-59&start_time=2016-06-24").json["total"] == 0

    stats = daemon.query.get("/v1/stats").json
    assert stats["tasks"] == 61 == stats["by_status"]["completed"]
    assert len(stats["by_type"]) == 1 + 26 + 1 and stats["by_type"]["other"] == {"completed": 34}
    series = [line for line in daemon.query.get("/metrics").body.decode().splitlines() if line.startswith("scale_callbackd_tasks{")]
    assert len(series) == 28 and sum(int(line.split()[-1]) for line in series) == 61


def test_metrics_are_prometheus_text(daemon):
    fill(daemon, 3)
    answer = daemon.query.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    kinds, seen = {}, set()
    for line in answer.body.decode().splitlines():
        if match := re.fullmatch(r"# TYPE (\S+) (counter|gauge|histogram)", line):
            kinds[match[1]] = match[2]
        elif not line.startswith("# HELP"):
            match = re.fullmatch(r'(scale_callbackd_\w+)(\{\w+="[^"]*"(,\w+="[^"]*")*\})? [0-9.e+-]+', line)
            assert match, line
            name = re.sub(r"_(bucket|sum|count)$", "", match[1])
            assert name in kinds or match[1] in kinds, line
            assert line.split(" ")[0] not in seen, line
            seen.add(line.split(" ")[0])
    text = answer.body.decode()
    assert 'scale_callbackd_deliveries_total{verdict="stored"} 3' in text
    assert 'scale_callbackd_responses_total{status_code="200"} 3' in text
    assert 'scale_callbackd_keys_used_total{key="live"} 3' in text
    assert "scale_callbackd_writable 1" in text


def test_health(daemon):
    assert daemon.query.get("/healthz").json == {"status": "ok"}
    assert daemon.query.get("/readyz").json == {"status": "ok"}


def test_modes_of_the_sockets(daemon):
    assert stat.S_IMODE(daemon.query.path.stat().st_mode) == 0o660
    assert stat.S_IMODE(daemon.control.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(daemon.database.stat().st_mode) & 0o007 == 0
