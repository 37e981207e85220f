"""Hostile peers on the callback port. While each attack goes on memory, descriptors and processor time stay within what
the settings allow, honest callbacks are answered, and afterwards all is as it was."""

import json
import resource
import time

import pytest

from harness import KEY, callback, eventually
from siege import MIB, Cost, besiege, is_sanitized, metric

HEAD = "POST /callback HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
AUTH = f"scale-callback-auth: {KEY}\r\n"
CHUNKED = f"{HEAD}{AUTH}Transfer-Encoding: chunked\r\n\r\n"
LIMIT, BODIES, BODY = 256, 8 * MIB, MIB
SETTINGS = [f"callback.max_connections={LIMIT}", f"callback.max_bodies={BODIES}", f"callback.max_body={BODY}",
            "callback.header_timeout=1s", "callback.body_timeout=1s", "callback.idle_timeout=1s"]
PER_CONNECTION = 48 * 1024  # the buffers of the HTTP library, the kernel's not counted, and what is ours
SLACK = 24 * MIB            # the allocator's, and what honest callbacks need


def post(body, extra=""):
    return f"{HEAD}{AUTH}{extra}Content-Length: {len(body)}\r\n\r\n{body}"


def fill(piece, size, start='{"a":[', end="0]}"):
    """A body of JSON of about that size, of many times the same."""
    return start + piece * ((size - len(start) - len(end)) // len(piece)) + end


# A name and what the peers do (hostile.py); `answers` are the statuses that they may see; `idle`: they cost the daemon
# next to nothing; `parsed`: bodies that come as far as the parser.
ATTACKS = {
    # Nothing, or too slow.
    "silent": dict(connections=600, idle=True),
    "a dripped request line": dict(connections=300, first="POST /c", drip="a", idle=True),
    "dripped headers": dict(connections=300, first=f"{HEAD}X: ", drip="x", idle=True),
    "dripped header lines": dict(connections=300, first=HEAD, drip="X: y\r\n", idle=True),
    "dripped blank lines": dict(connections=300, drip="\r\n", idle=True),
    "a dripped body": dict(connections=200, first=f"{HEAD}{AUTH}Content-Length: 1000\r\n\r\n", drip=" ", answers={"408"}, idle=True),
    "dripped chunks": dict(connections=200, first=CHUNKED, drip="1\r\n \r\n", answers={"408"}, idle=True),
    "a dripped chunk size": dict(connections=200, first=CHUNKED, drip="0", answers={"408", "400"}, idle=True),
    "a dripped body without a key": dict(connections=200, first=f"{HEAD}Content-Length: 1000\r\n\r\n", drip=" ", answers={"401"}),
    "100-continue, and nothing": dict(connections=200, first=f"{HEAD}{AUTH}Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",
                                      answers={"100", "408"}, idle=True),
    # Half closed.
    "half closed at once": dict(connections=200, end=True),
    "half closed in the headers": dict(connections=200, first=HEAD, end=True),
    "half closed in the body": dict(connections=200, first=f"{HEAD}{AUTH}Content-Length: 99\r\n\r\n{{", end=True),
    "half closed behind a request": dict(connections=100, first="GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", end=True,
                                         answers={"200"}),
    "gone without a goodbye": dict(connections=100, first=f"{HEAD}{AUTH}Content-Length: 99\r\n\r\n{{", reset=True),
    "gone before the answer": dict(connections=20, first=post(json.dumps(callback())), reset=True),
    # Without end.
    "a request line without end": dict(connections=20, first="GET /", flood="a" * 4096, answers={"414"}),
    "a header without end": dict(connections=20, first=f"{HEAD}X: ", flood="x" * 4096, answers={"431", "413"}),
    "headers without end": dict(connections=20, first=HEAD, flood="X: y\r\n" * 500, answers={"431", "413"}),
    "blank lines without end": dict(connections=20, flood="\r\n" * 2000, answers={"414"}),
    "a pipeline without end": dict(connections=20, flood="GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 50, answers={"200"}),
    "a pipeline that nobody reads": dict(connections=100, flood="GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 50, listen=False),
    "a pipeline sipped at": dict(connections=100, flood="GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 50, sip=10,
                                 answers={"200"}),
    "chunks without end": dict(connections=8, first=CHUNKED, flood="1000\r\n" + "x" * 4096 + "\r\n", answers={"413", "503"}),
    "tiny chunks without end": dict(connections=8, first=CHUNKED, flood="1\r\n \r\n" * 1000, answers={"413", "408", "503"}),
    "an extension of a chunk without end": dict(connections=20, first=f"{CHUNKED}1;", flood="x" * 4096,
                                                answers={"400", "408", "413", "503"}),
    "trailers without end": dict(connections=20, first=f"{CHUNKED}0\r\n", flood="X: y\r\n" * 500,
                                 answers={"400", "408", "413", "431"}),
    "a body beside its length": dict(connections=20, flood=post("{}") + "x" * 4096, answers={"400", "405", "422"}),
    # Bodies.
    "huge bodies refused by their length": dict(connections=20, first=f"{HEAD}{AUTH}Content-Length: 99999999999\r\n\r\n",
                                                flood="x" * 4096, answers={"413"}),
    "more bodies than there is room for": dict(connections=50, first=f"{HEAD}{AUTH}Content-Length: {BODY // 16}\r\n\r\n",
                                               flood=" " * 4096, answers={"400", "503", "408", "414"}),
    "nested deeply": dict(connections=4, flood=post("[" * 100_000), answers={"400"}),
    "nested in objects": dict(connections=4, flood=post('{"a":' * 100_000), answers={"400"}),
    "numbers by the hundred thousand": dict(connections=4, flood=post(fill("0,", BODY)), answers={"422", "400", "503"}, parsed=True),
    "lists by the hundred thousand": dict(connections=4, flood=post(fill("[],", BODY)), answers={"422", "400", "503"}, parsed=True),
    "objects by the hundred thousand": dict(connections=4, flood=post(fill("{},", BODY)), answers={"422", "400", "503"},
                                            parsed=True),
    "members by the hundred thousand": dict(connections=4, answers={"422", "400", "503"}, parsed=True, flood=post(
        "{" + ",".join(f'"{i:x}":0' for i in range(BODY // 11)) + "}")),
    "a text of a megabyte": dict(connections=4, flood=post(fill("\\u0001", BODY, '{"task_id":"', '"}')), answers={"422", "503"},
                                 parsed=True),
    # Who has no key, and no HTTP.
    "keys guessed at rate": dict(connections=50, first=f"{HEAD}scale-callback-auth: {{r}}\r\nContent-Length: 0\r\n\r\n",
                                 flood=f"{HEAD}scale-callback-auth: {{r}}\r\nContent-Length: 0\r\n\r\n" * 20, answers={"401"}),
    "no HTTP": dict(connections=50, first="\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\xff\x00" * 500, flood="\x00\xfe" * 2000,
                    answers={"400", "501", "505", "404", "414"}),
    "paths guessed at rate": dict(connections=50, flood="GET /{n} HTTP/1.1\r\nHost: x\r\n\r\n" * 50, answers={"404"}),
}


def settled(daemon, cost, fds):
    """Everybody is gone, and so is what they held."""
    eventually(lambda: cost.read_fds() <= fds, "the descriptors are back")
    eventually(lambda: metric(daemon.query, "scale_callbackd_connections") == 0, "the connections are gone")
    eventually(lambda: metric(daemon.query, "scale_callbackd_bodies_in_flight_bytes") == 0, "the bodies are gone")


@pytest.mark.load
@pytest.mark.parametrize("name", ATTACKS)
def test_attacks(make_daemon, request, name):
    option = request.config.getoption
    seed = option("--hostile-seed")
    print(f"--hostile-seed={seed}")
    row = dict(ATTACKS[name])
    answers, idle, parsed = (row.pop(what, other) for what, other in (("answers", set()), ("idle", False), ("parsed", False)))
    if parsed:  # while others' bodies are parsed, one's own may not be read in its time
        answers = answers | {"408"}
    daemon = make_daemon(*SETTINGS).start()
    daemon.deliver(callback())
    cost = Cost(daemon)
    eventually(lambda: metric(daemon.query, "scale_callbackd_connections") == 0, "nobody is there")
    base, fds = cost.read_rss(), cost.read_fds()
    print("base", base // 1024, fds)

    after, stored = [], 1
    # What is never given back grows each time; what is merely not given back yet does not.
    while len(after) < 2 or (len(after) < 5 and not is_sanitized(daemon) and after[-1] > after[-2] + 4 * MIB):
        account, seen, honest = besiege(daemon, ["127.0.0.1", daemon.port], seed, row, option("--hostile-seconds"))
        print(account, "rss", seen.rss // 1024, "fds", seen.fds, "cpu", round(seen.load, 2),
              "honest", len(honest.times), round(max(honest.times), 2))
        assert account["opened"] >= row["connections"]
        assert set(account["statuses"]) <= answers, account
        assert seen.fds <= fds + LIMIT + 8
        if idle:
            assert seen.load < 0.6
        if not is_sanitized(daemon):
            trees = 4 * BODIES + 90 * BODY if parsed else 0  # and one that is alone
            assert seen.rss <= base + LIMIT * PER_CONNECTION + BODIES + trees + SLACK
        stored += len(honest.ids)
        settled(daemon, cost, fds)
        after.append(cost.read_rss())
    if not is_sanitized(daemon):
        assert after[-1] <= after[-2] + 4 * MIB, after
    assert daemon.log().count("without a valid key") <= 1
    assert daemon.query.get("/v1/stats").json["by_verdict"]["stored"] >= stored


@pytest.mark.load
@pytest.mark.parametrize("room", [True, False], ids=["with room", "without"])
def test_ten_thousand_connections(make_daemon, request, room):
    """As many as descriptors allow, silent, with room for all or for a fifth: honest callbacks come through either way."""
    n, seed = request.config.getoption("--hostile-connections"), request.config.getoption("--hostile-seed")
    print(f"--hostile-seed={seed} --hostile-connections={n}")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < n + 1024:
        n = hard - 1024
        print(f"SKIPPED in part: {hard} descriptors are allowed here, so {n} connections are made")
    limit = n + 64 if room else n // 5
    daemon = make_daemon(f"callback.max_connections={limit}", "callback.header_timeout=10m").start()
    cost = Cost(daemon)
    base, fds = cost.read_rss(), cost.read_fds()
    account, seen, honest = besiege(daemon, ["127.0.0.1", daemon.port], seed, dict(connections=n),
                                    request.config.getoption("--hostile-seconds"))
    print(account, "rss", base // 1024, seen.rss // 1024, "fds", seen.fds, "cpu", round(seen.load, 2), round(max(honest.times), 2))
    assert account["opened"] >= n
    assert seen.fds <= fds + limit + 8
    assert (seen.fds >= n) == room
    if not is_sanitized(daemon):
        assert seen.rss <= base + limit * PER_CONNECTION + SLACK
    settled(daemon, cost, fds)
    assert (metric(daemon.query, "scale_callbackd_crowded_out_total") > 0) != room
    assert metric(daemon.query, "scale_callbackd_deadlines_total") == 0


def test_kept_connections_are_kept_when_nobody_waits(make_daemon):
    """At the limit, but nobody waits: kept connections are kept."""
    daemon = make_daemon("callback.max_connections=4").start()
    kept = [daemon.connect() for _ in range(4)]
    for _ in range(2):
        for connection in kept:
            connection.request("GET", "/healthz")
            assert connection.getresponse().read()
        time.sleep(1.5)
    assert metric(daemon.query, "scale_callbackd_crowded_out_total") == 0


def test_bodies_that_nobody_wants_take_no_room(daemon):
    """Lengths declared to /healthz, by whoever comes by, once used up the memory for callbacks."""
    raws = [daemon.raw().say(f"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: {8 << 20}\r\n\r\n{{") for _ in range(16)]
    eventually(lambda: metric(daemon.query, "scale_callbackd_connections") == len(raws), "all are there")
    daemon.deliver(callback())
    eventually(lambda: metric(daemon.query, "scale_callbackd_bodies_in_flight_bytes") == 0, "no body is in flight")
    for raw in raws:
        raw.close()


# What two programs could read in two ways, and the only answers that there may be. What is stored afterwards is at most
# the first request: `{}` is kept in the quarantine, and the second one never is anything.
SECOND = f"POST /callback/smuggled HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Length: 2\r\n\r\n{{}}"
SMUGGLED = [
    # Two framings, two lengths, strange lengths.
    (f"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SECOND}", {400}),
    (f"Transfer-Encoding: chunked\r\nContent-Length: {len(SECOND) + 5}\r\n\r\n0\r\n\r\n{SECOND}", {400}),
    (f"Content-Length: 2\r\nContent-Length: {len(SECOND) + 2}\r\n\r\n{{}}{SECOND}", {400}),
    (f"Content-Length: {len(SECOND)}\r\nContent-Length: 0\r\n\r\n{SECOND}", {400}),
    (f"Content-Length: 2, 2\r\n\r\n{{}}{SECOND}", {400}),
    (f"Content-Length: +2\r\n\r\n{{}}{SECOND}", {400}),
    (f"Content-Length: -2\r\n\r\n{{}}{SECOND}", {400}),
    (f"Content-Length: 2x\r\n\r\n{{}}{SECOND}", {400}),
    (f"Content-Length: 0x2\r\n\r\n{{}}{SECOND}", {400}),
    (f"Content-Length: 2.0\r\n\r\n{{}}{SECOND}", {400}),
    (f"Content-Length:\r\n\r\n{SECOND}", {400}),
    (f"Content-Length: 99999999999999999999999\r\n\r\n{{}}{SECOND}", {400, 413}),
    (f"Content-Length : {len(SECOND)}\r\n\r\n{SECOND}", {400}),
    (f"Content-Length: 2\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n{SECOND}", {400}),
    # Codings.
    (f"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{SECOND}", {400}),
    (f"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{SECOND}", {400}),
    (f"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n{SECOND}", {400}),
    (f"Transfer-Encoding:\r\n\r\n0\r\n\r\n{SECOND}", {400}),
    (f"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{SECOND}", {400}),
    # Chunks: bad sizes, ends that are none.
    (f"Transfer-Encoding: chunked\r\n\r\n2x\r\n{{}}\r\n0\r\n\r\n{SECOND}", {400, None}),
    (f"Transfer-Encoding: chunked\r\n\r\n-2\r\n{{}}\r\n0\r\n\r\n{SECOND}", {400, None}),
    (f"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{{}}\r\n0\r\n\r\n{SECOND}", {400, None}),
    (f"Transfer-Encoding: chunked\r\n\r\n+2\r\n{{}}\r\n0\r\n\r\n{SECOND}", {400, None}),
    (f"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff2\r\n{{}}\r\n0\r\n\r\n{SECOND}", {400, 413, None}),
    (f"Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}XX0\r\n\r\n{SECOND}", {400, None}),
]


def deliveries(daemon):
    return [(d.get("ref"), d["size"]) for d in daemon.query.docs("/v1/deliveries")]


@pytest.mark.parametrize("i", range(len(SMUGGLED)))
def test_smuggling(daemon, i):
    text, allowed = SMUGGLED[i]
    raw = daemon.raw().say(f"{HEAD}{AUTH}{text}")
    raw.socket.shutdown(1)
    heard = raw.hear()
    raw.close()
    answers = [int(line[:3]) for line in heard.split(b"HTTP/1.1 ")[1:]]
    assert set(answers or [None]) <= allowed, heard  # the library says some of them twice
    assert ("smuggled", 2) not in deliveries(daemon)
    daemon.deliver(callback())


# What is read in one way here, and leaves the next request what it is.
TOLERATED = [
    "Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n2;a=\"b;c\"\r\n{}\r\n0;x\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nContent-Length: 99\r\nscale-callback-auth: x\r\n\r\n",
    "Transfer-Encoding: CHUNKED\r\n\r\n0002\r\n{}\r\n000\r\n\r\n",
    "Content-Length: 002\r\n\r\n{}",
    "X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
]


@pytest.mark.parametrize("text", TOLERATED)
def test_what_is_tolerated_is_read_in_one_way(daemon, text):
    raw = daemon.raw().say(f"{HEAD}{AUTH}{text}{SECOND}")
    raw.socket.shutdown(1)
    heard = raw.hear()
    assert [int(line[:3]) for line in heard.split(b"HTTP/1.1 ")[1:]] in ([400, 400], [422, 422]), heard
    assert [d[1] for d in deliveries(daemon)][:1] == [2]
    raw.close()


@pytest.mark.parametrize("target, status", [
    ("http://x/callback", 422), ("http://other.example.com/callback", 422), ("https://x/callback?http://x/", 422),
    ("*", 404), ("x:80", 404), ("//callback", 404), ("/callback/../callback", 404), ("/%63allback", 422), ("/callback%00", 404),
    ("/callback#x", 404), ("foo?x=://x/callback", 404), ("\\callback", 404),
])
def test_forms_of_targets(daemon, target, status):
    raw = daemon.raw().say(f"POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{AUTH}Content-Length: 2\r\n\r\n{{}}")
    assert raw.hear().startswith(b"HTTP/1.1 %d " % status)
    raw.close()


def envelope(value):
    """A callback as text, with a member of its task that is anything."""
    return json.dumps(callback(extra="@")).replace('"@"', value)


# Bodies with a key, and their status; every one is kept, byte for byte.
BODIES_AND_STATUS = [
    (envelope("1e999"), 200), (envelope("-1e999"), 200), (envelope("1" * 30), 200), (envelope("-" + "9" * 20), 200), (envelope("1" * 400), 200),
    (envelope("-0"), 200), (envelope("-0.0"), 200), (envelope("1e-999"), 200), (envelope("0.1e1"), 200),
    (envelope("9223372036854775807"), 200), (envelope("-9223372036854775808"), 200), (envelope("9223372036854775808"), 200),
    (envelope("01"), 400), (envelope("+1"), 400), (envelope(".5"), 400), (envelope("5."), 400), (envelope("NaN"), 400),
    (envelope("Infinity"), 400), (envelope("0x10"), 400),
    (envelope('{"a":1,"a":1}'), 400), (envelope('{"a":1,"\\u0061":2}'), 400), (envelope('[{"":0,"":0}]'), 400),
    (envelope('"\\ud800"'), 200), (envelope('"\\udc00\\ud800"'), 200), (envelope('"\\u0000"'), 200), (envelope('"\x01"'), 400),
    (envelope('"\\x41"'), 400), (envelope('"\ufdd0\U0010ffff"'), 200), (envelope("[1,]"), 400), (envelope("{}{}"), 400),
    (envelope("/* */ 1"), 400), (envelope("'a'"), 400), (envelope("True"), 400),
    (envelope("[" * 61 + "]" * 61), 200), (envelope("[" * 63 + "]" * 63), 400),
    (envelope("[" + "0," * 1_000_000 + "0]"), 400),
    (json.dumps(callback()).encode("utf-16"), 400), (b'{"task_id":"\xc0\x80"}', 400), (b'{"task_id":"\xed\xa0\x80"}', 400),
    (b'{"task_id":"\xf4\x90\x80\x80"}', 400), (b'{"task_id":"\xe2\x82"}', 400), (b"\x00{}", 400), (b"{}\x00", 400),
]


def test_bodies_at_the_edge(daemon):
    for n, (body, status) in enumerate(BODIES_AND_STATUS, 1):
        body = body if isinstance(body, bytes) else body.encode()
        answer = daemon.post(body)
        assert answer.status == status, (body[:200], answer.status, answer.body[:300])
        assert daemon.query.get(f"/v1/delivery/{n}/body").body == body
    stored = sum(status == 200 for _, status in BODIES_AND_STATUS)
    assert daemon.query.get("/v1/stats").json["tasks"] == stored
    assert len(daemon.query.lines("/v1/export?format=jsonl")) == stored
