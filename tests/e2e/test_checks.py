"""What is looked at before a callback is believed, in its order, over real sockets."""

import json

import pytest

from harness import KEY, callback, eventually

AUTH = f"scale-callback-auth: {KEY}\r\n"
HEAD = "POST /callback HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def talk(daemon, text):
    raw = daemon.raw().say(text)
    heard = raw.hear()
    raw.close()
    return heard


def test_404_before_everything_else(daemon):
    for path in ("/", "/callbacks", "/callback//", "/callback/a/b", "/callback/a/b/", "/healthz/x", "/callback/" + "x" * 65, "/callback/a%2Fb"):
        answer = daemon.post("{}", path=path, key=None)
        assert answer.status == 404 and answer.json["status_code"] == 404, path


def test_a_slash_at_the_end_changes_nothing(daemon):
    for path in ("/callback/", "/callback/some-ref/"):
        assert daemon.deliver(callback(), path=path)["result"] == "stored"
    assert [d.get("ref") for d in daemon.query.docs("/v1/deliveries")] == [None, "some-ref"]


def test_blanks_around_the_key_are_no_part_of_it(daemon):
    for value in (f"{KEY} ", f" \t{KEY}\t \t"):
        assert daemon.post(callback(), key=None, headers={"scale-callback-auth": value}).status == 200, value
    for value in (" ", "\t \t", f"{KEY} {KEY}", f"{KEY} x"):
        assert daemon.post(callback(), key=None, headers={"scale-callback-auth": value}).status == 401, value


def test_callbacks_to_other_paths_are_named_in_the_log(daemon):
    """Each is a mistake in somebody's set-up, which burns the twenty tries that there are."""
    unknown = daemon.post("{}", path="/hooks", key="wrong", status=404)
    assert "hooks" not in daemon.log()
    for path in ("/callback/a/b?x=1", "/hooks"):
        known = daemon.post(callback(), path=path, status=404)
        assert known.body == unknown.body and list(known.headers) == list(unknown.headers)
    assert daemon.log().count("came to the path /callback/a/b, where nothing is taken") == 1  # once a minute
    assert "/hooks" not in daemon.log() and KEY not in daemon.log()


def test_paths_in_the_log_are_harmless(daemon):
    raw = daemon.raw().say("POST /\x1b[31m<\"%0a" + "x" * 500 + f" HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Length: 0\r\n\r\n")
    assert raw.hear().startswith(b"HTTP/1.1 404 ")
    raw.close()
    [line] = [l for l in daemon.log().splitlines() if "came to the path" in l]
    assert 'path /%1B[31m%3C%22%0Axxx' in line.replace("%0a", "%0A") and "xxx..., where" in line and len(line) < 300


@pytest.mark.parametrize("request_, status", [
    ("POST /callback HTTP/1.1\r\n{auth}\r\n", 400),
    ("{head}{auth}Content-Length: 5, 5\r\n\r\nabcde", 400),
    ("{head}{auth}Content-Length: -5\r\n\r\nabcde", 400),
    ("{head}{auth}nonsense\r\n\r\n", 400),
    ("POST /callback\r\n{auth}\r\n", 400),
    ("\x16\x03\x01 hello\r\n\r\n", 400),
    ("{head}{auth}Transfer-Encoding: chunked\r\n\r\nZZ\r\n", 400),
    ("{head}{auth}X: {large}\r\n\r\n", 431),
    ("POST /{large} HTTP/1.1\r\nHost: x\r\n{auth}\r\n", 414),
    ("POST /callback HTTP/2.0\r\nHost: x\r\n{auth}\r\n", 505),
], ids=["no-host", "two-lengths", "negative", "no-colon", "no-version", "tls", "chunk", "headers", "target", "version"])
def test_what_the_library_refuses_is_told_in_our_words(daemon, request_, status):
    """One status line, and the one shape of every error."""
    heard = talk(daemon, request_.format(auth=AUTH, head=HEAD, large="y" * 60000))
    head, _, body = heard.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status) and b"\r\nContent-Type: application/json" in head, heard
    assert heard.count(b"HTTP/1.1 ") == 1
    answer = json.loads(body)
    assert answer["status_code"] == status and answer["error"]
    daemon.deliver(callback())


def test_405_names_what_is_allowed(daemon):
    connection = daemon.connect()
    for method, path, allow in (("GET", "/callback", "POST"), ("PUT", "/callback/ref", "POST"),
                                ("POST", "/healthz", "GET, HEAD")):
        connection.request(method, path)
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, answer.headers["Allow"]) == (405, allow)


def test_401_is_the_same_for_every_cause(daemon):
    answers = []
    for headers in ({}, {"scale-callback-auth": ""}, {"scale-callback-auth": "wrong"},
                    {"scale-callback-auth": KEY[:-1]}, {"scale-callback-auth": KEY + "x"},
                    {"scale-callback-auth": KEY.upper()}, {"scale-callback-auth": f"{KEY}, {KEY}"},
                    {"Authorization": f"Bearer {KEY}"}):
        answers.append(daemon.post("{}", key=None, headers=headers, status=401))
    two = talk(daemon, HEAD + AUTH + AUTH + "Content-Length: 2\r\n\r\n{}")
    assert two.startswith(b"HTTP/1.1 401 ")
    assert {a.body for a in answers} == {answers[0].body}
    assert answers[0].body in two
    assert all(a.headers["WWW-Authenticate"] for a in answers)
    assert daemon.query.docs("/v1/deliveries") == []
    metrics = daemon.query.get("/metrics").body.decode()
    assert "scale_callbackd_unauthorized_total 9" in metrics
    assert daemon.log().count("without a valid key") == 1


def test_401_comes_before_the_body_is_looked_at(daemon):
    heard = talk(daemon, HEAD + "Content-Length: 99999999\r\n\r\n")
    assert heard.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("headers, status", [
    ({"Content-Type": "application/json"}, 200),
    ({"Content-Type": "Application/JSON; charset=utf-8"}, 200),
    ({"Content-Type": "text/plain"}, 415),
    ({"Content-Type": "application/jsonx"}, 415),
    ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ({"Content-Encoding": "gzip"}, 415),
    ({"Content-Encoding": "identity"}, 415),
])
def test_415(daemon, headers, status):
    daemon.post(callback(), headers=headers, status=status)


def test_content_type_may_be_absent(daemon):
    body = json.dumps(callback())
    heard = talk(daemon, f"POST /callback HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{AUTH}Content-Length: {len(body)}\r\n\r\n{body}")
    assert heard.startswith(b"HTTP/1.1 200 ")


def test_413_by_length_and_chunked(make_daemon):
    daemon = make_daemon("callback.max_body=64K").start()
    assert talk(daemon, HEAD + AUTH + "Content-Length: 65537\r\n\r\n").startswith(b"HTTP/1.1 413 ")

    raw = daemon.raw().say(HEAD + AUTH + "Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(70):
        raw.say(b"400\r\n" + b" " * 1024 + b"\r\n")
    raw.say("0\r\n\r\n")
    heard = raw.hear()
    assert heard.startswith(b"HTTP/1.1 413 ")
    raw.close()
    assert daemon.query.docs("/v1/deliveries") == []


def test_a_body_of_exactly_the_limit(make_daemon):
    daemon = make_daemon("callback.max_body=64K").start()
    body = json.dumps(callback())
    daemon.deliver(body + " " * (65536 - len(body)))


def test_503_when_the_budget_for_bodies_is_used_up(make_daemon):
    daemon = make_daemon("callback.max_body=64K", "callback.max_bodies=128K").start()
    waiting = [daemon.raw().say(HEAD + AUTH + "Content-Length: 65536\r\n\r\n{") for _ in range(2)]
    eventually(lambda: 'bodies_in_flight_bytes{server="callback"} 131072' in daemon.query.get("/metrics").body.decode(),
               "two bodies in flight")
    answer = daemon.post(callback(), status=503)
    assert int(answer.headers["Retry-After"]) > 0
    for raw in waiting:
        raw.close()
    eventually(lambda: daemon.post(callback()).status == 200, "room for bodies")


def drip(raw, data=b" "):
    """A byte now and then, until the other side has enough."""
    for _ in range(600):
        try:
            raw.socket.settimeout(0.1)
            if raw.socket.recv(1, 2) is not None:  # MSG_PEEK
                break
        except TimeoutError:
            pass
        except OSError:
            break
        try:
            raw.say(data)
        except OSError:
            break
    else:
        raise AssertionError("a minute of dripping was put up with")
    raw.socket.settimeout(30)
    return raw.hear()


def test_408_for_a_dripping_body(make_daemon):
    daemon = make_daemon("callback.body_timeout=1s").start()
    heard = drip(daemon.raw().say(HEAD + AUTH + "Content-Length: 10000\r\n\r\n"))
    assert heard.startswith(b"HTTP/1.1 408 ") and b'"status_code":408' in heard
    heard = drip(daemon.raw().say(HEAD + AUTH + "Transfer-Encoding: chunked\r\n\r\n"), b"1\r\n \r\n")
    assert heard.startswith(b"HTTP/1.1 408 ")
    assert daemon.query.docs("/v1/deliveries") == []


def test_dripping_headers_are_cut(make_daemon):
    daemon = make_daemon("callback.header_timeout=1s").start()
    assert drip(daemon.raw().say(HEAD + "X: "), b"x") == b""


@pytest.mark.parametrize("headers", [
    "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
    "Content-Length: 2\r\nContent-Length: 2\r\n",
    "Content-Length: 2\r\nContent-Length: 3\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "Content-Length: 0x2\r\n",
    "Host: y\r\nContent-Length: 2\r\n",
])
def test_400_for_what_can_be_read_in_two_ways(daemon, headers):
    heard = talk(daemon, HEAD + AUTH + headers + "\r\n{}")
    assert heard.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in heard.lower()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"a":1,"a":2}', b'{"a":"\xff"}', b'{"a":' * 65 + b"1" + b"}" * 65,
                                  b"{}garbage", b"\xef\xbb\xbf{}"])
def test_400_for_what_is_no_json_and_it_is_kept(daemon, body):
    answer = daemon.post(body, status=400)
    assert answer.json["status_code"] == 400 and answer.json["problems"]
    [delivery] = daemon.query.docs("/v1/deliveries")
    assert (delivery["verdict"], delivery["status_code"], delivery["size"]) == ("invalid", 400, len(body))
    assert daemon.query.get("/v1/delivery/1/body").body == body


def test_422_names_every_problem(daemon):
    body = callback({"category": "huge", "category_id": "1"})
    answer = daemon.post(body, status=422).json
    assert sorted(p["path"] for p in answer["problems"]) == ["response.category", "response.category_id"]
    assert all(p["message"] and p["severity"] == "error" for p in answer["problems"])
    [delivery] = daemon.query.docs("/v1/deliveries")
    assert delivery["problems"] == answer["problems"]
    daemon.query.get(f"/v1/task/{body['task_id']}", status=404)


def test_every_response_on_one_connection(daemon):
    connection = daemon.connect()
    for i in range(50):
        connection.request("POST", "/callback", json.dumps(callback()), {"scale-callback-auth": KEY})
        answer = connection.getresponse()
        assert json.loads(answer.read())["delivery"] == i + 1


def test_pipelined(daemon):
    bodies = [json.dumps(callback()) for _ in range(10)]
    raw = daemon.raw()
    raw.say("".join(f"{HEAD}{AUTH}{'Connection: close' + chr(13) + chr(10) if i == 9 else ''}Content-Length: {len(b)}\r\n\r\n{b}"
                    for i, b in enumerate(bodies)))
    heard = raw.hear()
    assert heard.count(b"HTTP/1.1 200 ") == 10
    assert len(daemon.query.docs("/v1/deliveries")) == 10


def test_chunked(daemon):
    body = json.dumps(callback()).encode()
    raw = daemon.raw().say(HEAD + AUTH + "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
    for i in range(0, len(body), 7):
        piece = body[i:i + 7]
        raw.say(b"%x\r\n%s\r\n" % (len(piece), piece))
    raw.say("0\r\n\r\n")
    assert raw.hear().startswith(b"HTTP/1.1 200 ")
    assert daemon.query.get("/v1/delivery/1/body").body == body


def test_expect_100_continue(daemon):
    body = json.dumps(callback()).encode()
    raw = daemon.raw().say(f"{HEAD}{AUTH}Connection: close\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n")
    assert raw.hear(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert raw.say(body).hear().startswith(b"HTTP/1.1 200 ")

    # Who may not come in is told so instead.
    raw = daemon.raw().say(f"{HEAD}Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n")
    assert raw.hear().startswith(b"HTTP/1.1 401 ")


def transcript(words):
    alignment = [{"word": f"word{i}", "start": i / 4, "end": i / 4 + 0.2, "confidence": 0.9} for i in range(words)]
    response = {"transcript": " ".join(w["word"] for w in alignment), "duration": words / 4 + 1, "alignment": alignment}
    return callback(response, type="audiotranscription", params={"attachment": "http://www.example.com/a.wav"})


def test_a_transcript_of_two_megabytes(daemon):
    body = transcript(14000)
    text = json.dumps(body)
    assert len(text) > 2_000_000
    daemon.deliver(text)
    assert daemon.query.get("/v1/delivery/1/body").body == text.encode()
    assert daemon.query.get(f"/v1/task/{body['task_id']}").json["response"] == body["response"]
    assert daemon.query.get("/v1/tasks").json["docs"][0]["response"] == body["response"]


def test_pages_of_large_tasks_are_whole(daemon):
    bodies = [transcript(7000) for _ in range(4)]
    for body in bodies:
        daemon.deliver(body)
    page = daemon.query.get("/v1/tasks").json
    assert page["total"] == 4 and not page["has_more"]
    assert {d["task_id"]: d["response"] for d in page["docs"]} == {b["task_id"]: b["response"] for b in bodies}
    exported = daemon.query.lines("/v1/export?format=jsonl")
    assert exported == page["docs"]


def test_healthz(daemon):
    connection = daemon.connect()
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())) == (200, {"status": "ok"})


def test_on_a_unix_socket(make_daemon):
    daemon = make_daemon("callback.trusted_proxies=unix", unix=True).start()
    daemon.deliver(callback())
    daemon.deliver(callback(), headers={"X-Forwarded-For": "198.51.100.7, 203.0.113.9"})
    assert [d["remote"] for d in daemon.query.docs("/v1/deliveries")] == ["unix", "203.0.113.9"]


def test_who_is_no_trusted_proxy_is_not_believed(daemon):
    daemon.deliver(callback(), headers={"X-Forwarded-For": "203.0.113.9"})
    assert daemon.query.docs("/v1/deliveries")[0]["remote"] == "127.0.0.1"


def test_trusted_proxies(make_daemon):
    daemon = make_daemon("callback.trusted_proxies=127.0.0.0/8 10.0.0.0/8").start()
    daemon.deliver(callback(), headers={"X-Forwarded-For": "198.51.100.7, 203.0.113.9, 10.1.1.1"})
    assert daemon.query.docs("/v1/deliveries")[0]["remote"] == "203.0.113.9"


def test_three_hundred_connections_at_once(daemon):
    raws = [daemon.raw() for _ in range(300)]
    for _ in range(3):
        for raw in raws:
            body = json.dumps(callback())
            raw.say(f"{HEAD}{AUTH}Content-Length: {len(body)}\r\n\r\n{body}")
        for raw in raws:
            assert raw.hear(b"}").startswith(b"HTTP/1.1 200 ")
    for raw in raws:
        raw.close()
    assert daemon.query.get("/v1/stats").json["tasks"] == 900


def test_a_low_soft_limit_of_descriptors_is_raised(make_daemon):
    daemon = make_daemon("callback.header_timeout=10m", prefix=["prlimit", "--nofile=128:4096"]).start()
    raws = [daemon.raw() for _ in range(300)]
    daemon.deliver(callback())
    for raw in raws:
        raw.close()


def test_beyond_the_hard_limit_connections_wait(make_daemon):
    daemon = make_daemon("callback.header_timeout=1s", prefix=["prlimit", "--nofile=96:96"]).start()
    assert "needs 1536 descriptors" in daemon.log()
    raws = [daemon.raw() for _ in range(200)]
    daemon.deliver(callback())  # once those before it ran into their deadline
    for raw in raws:
        raw.close()
    daemon.query.get("/healthz")
