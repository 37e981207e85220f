"""JSON, case by case, through the real door: what is none gets 400, what is one is looked at, all of it is kept as it came."""

import json
import re
from decimal import Decimal, InvalidOperation

from harness import DATA, KEY

TABLE = DATA / "json/cases.txt"


def expand(text):
    """%XX is a byte, %(N:TEXT) a text N times over."""
    text = re.sub(rb"%\((\d+):([^)]*)\)", lambda m: m[2] * int(m[1]), text)
    return re.sub(rb"%([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), text)


def cases():
    for line in TABLE.read_bytes().splitlines():
        verdict, name, body = (line.split(b" ", 2) + [b"", b""])[:3]
        if verdict in (b"accept", b"reject", b"take", b"refuse"):
            yield verdict.decode(), name.decode(), expand(body)


def test_every_case_through_the_receiver(daemon):
    """No case is a callback, so what is JSON gets 422. Each is in the quarantine, byte for byte."""
    connection = daemon.connect()
    sent = []
    for verdict, name, body in cases():
        connection.request("POST", "/callback", body=body, headers={"scale-callback-auth": KEY})
        answer = connection.getresponse()
        error = json.loads(answer.read())
        expected = 422 if verdict in ("accept", "take") else 400
        assert answer.status == expected == error["status_code"], (verdict, name, error)
        assert error["problems"] and all(p["severity"] in ("error", "warning") for p in error["problems"]), name
        sent.append((name, body, expected))
    connection.close()
    assert len({body for _, body, _ in sent}) == len(sent) >= 300

    docs, after = [], 0
    while page := daemon.query.docs(f"/v1/deliveries?after={after}&limit=100&verdict=invalid"):
        docs += page
        after = page[-1]["delivery"]
    docs.sort(key=lambda doc: doc["delivery"])
    assert [doc["status_code"] for doc in docs] == [status for _, _, status in sent]
    for doc, (name, body, _) in zip(docs, sent):
        kept = daemon.query.get(f"/v1/delivery/{doc['delivery']}/body")
        assert kept.body == body, name
    assert daemon.query.get("/v1/tasks").json["total"] == 0


def halves_replaced(value):
    """Half a character, which Python keeps, is read as U+FFFD."""
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, list):
        return [halves_replaced(v) for v in value]
    if isinstance(value, dict):
        return {halves_replaced(k): halves_replaced(v) for k, v in value.items()}
    return value


def read_number(text):
    """Every digit counts, whatever a double can hold."""
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent that Python can't reckon with either
        return text


def read_exactly(text):
    return halves_replaced(json.loads(text, parse_int=read_number, parse_float=read_number))


def test_values_come_back_as_they_were_sent(daemon):
    """What a case says of a value, a reader of the task is told as well."""
    for verdict, name, body in cases():
        if verdict not in ("accept", "take") or name.startswith("deep-") or len(body) > 5000:
            continue
        id = f"case-{name}"
        task = b'{"task_id":"%s","type":"made-up","params":{"case":%s}}' % (id.encode(), body)
        daemon.deliver(b'{"task_id":"%s","response":{},"task":%s}' % (id.encode(), task))
        answer = daemon.query.get(f"/v1/task/{id}").body
        assert read_exactly(answer)["params"]["case"] == read_exactly(body), name
