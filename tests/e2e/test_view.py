"""The viewer, in headless Chromium: who gets in, every view, what others wrote, a large database, a lost daemon."""

import concurrent.futures
import http.client
import io
import json
import math
import os
import pathlib
import random
import re
import signal
import struct
import time
import urllib.parse
import wave
import zlib

import pytest

pytest.importorskip("selenium", reason="python3-selenium is not installed")
if not os.path.exists("/usr/bin/chromedriver"):
    pytest.skip("chromium-driver is not installed", allow_module_level=True)

from selenium import webdriver

from browser import Browser, Files, Viewer
from harness import KEY, ask, callback, eventually, sample, scalectl, task_id
from test_export import EVERY_TYPE, annotation, box, deliver_every_type, recording, word

MANY = int(os.environ.get("SCALE_VIEW_TASKS", "20000"))  # a list of 100,000 takes no longer, filling it does


def png(width, height):
    def chunk(tag, data):
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))

    rows = b"".join(b"\0" + b"\x40\x80\xc0" * width for _ in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def wav(seconds):
    file = io.BytesIO()
    with wave.open(file, "wb") as w:
        w.setparams((1, 2, 8000, 0, "NONE", ""))
        w.writeframes(b"".join(struct.pack("<h", int(8000 * math.sin(i / 8))) for i in range(8000 * seconds)))
    return file.getvalue()


@pytest.fixture
def make_viewer():
    viewers = []

    def make(daemon, *arguments):
        viewers.append(Viewer(daemon, *arguments))
        return viewers[-1]

    yield make
    for viewer in viewers:
        assert viewer.stop()[0] == 0


@pytest.fixture
def viewer(daemon, make_viewer):
    return make_viewer(daemon)


@pytest.fixture
def browser(tmp_path):
    browser = Browser(tmp_path / "profile")
    yield browser
    browser.close()


@pytest.fixture
def files():
    files = Files({"/cows.png": ("image/png", png(640, 400)), "/1.png": ("image/png", png(30, 20)),
                   "/2.png": ("image/png", png(20, 30)), "/a.wav": ("audio/wav", wav(6)), "/b.wav": ("audio/wav", wav(5))})
    yield files
    files.close()


def quiet(browser):
    """Nothing was refused by the policy, and no script of ours failed."""
    log = [line for line in browser.log() if "Content Security Policy" in line or "Uncaught" in line or ".js" in line]
    assert log == []


# Who gets in.

def test_token_opens_once(viewer):
    answer = viewer.enter()
    cookie, place = answer.headers["Set-Cookie"], answer.headers["Location"]
    assert re.fullmatch(r"/[0-9a-f]{64}/", place) and cookie.endswith(f"; Path={place}")
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and viewer.token not in cookie
    assert viewer.ask("GET", "/").status == 200
    again = viewer.ask("GET", f"/?token={viewer.token}", cookie=False)
    assert again.status == 403 and "Set-Cookie" not in again.headers
    assert "used already" in again.json["error"]


@pytest.mark.parametrize("token", ["", "0" * 64, "x", "0" * 63, "0" * 65])
def test_other_tokens_open_nothing(viewer, token):
    answer = viewer.ask("GET", f"/?token={token}")
    assert answer.status == 403 and "Set-Cookie" not in answer.headers
    viewer.enter()  # it is not used up by them


def test_head_does_not_use_the_token_up(viewer):
    assert viewer.ask("HEAD", f"/?token={viewer.token}").status == 403
    viewer.enter()


@pytest.mark.parametrize("target", ["/", "/app.js", "/app.css", "/api/v1/tasks", "/api/v1/stats", "/api/v1/events",
                                    "/api/v1/delivery/1/body"])
def test_without_cookie_nothing(daemon, viewer, target):
    daemon.deliver(callback())
    wrong = [{}, {"Cookie": "scalectl-view=1"}, {"Cookie": f"scalectl-view-{viewer.port}={viewer.token}"},
             {"Cookie": f"scalectl-view-{viewer.port}="}]
    assert [viewer.ask("GET", target, headers).status for headers in wrong] == [403] * 4
    viewer.enter()
    assert viewer.ask("GET", target).status == 200
    assert viewer.ask("GET", target, {"Cookie": f"a=b; {viewer.cookie}; c=d"}, cookie=False).status == 200


@pytest.mark.parametrize("host", ["example.com", "127.0.0.1", "127.0.0.1:1", "localhost", "evil.example.com:{}",
                                  "127.0.0.1:{}.example.com", "[::1]:{}"])
def test_other_names_are_refused(viewer, host):
    host = host.format(viewer.port)
    assert viewer.ask("GET", f"/?token={viewer.token}", host=host).status == 403
    viewer.enter()
    assert [viewer.ask("GET", t, host=host).status for t in ("/", "/api/v1/stats", "/app.js")] == [403] * 3
    assert viewer.ask("GET", "/", host=f"localhost:{viewer.port}").status == 200


def test_requests_of_other_pages_are_refused(viewer):
    viewer.enter()
    status = {site: viewer.ask("GET", "/api/v1/stats", {"Sec-Fetch-Site": site}).status
              for site in ("cross-site", "same-site", "same-origin", "none")}
    assert status == {"cross-site": 403, "same-site": 403, "same-origin": 200, "none": 200}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_written(daemon, viewer, method):
    daemon.post(b"not JSON", status=400)
    viewer.enter()
    for target in ("/", "/api/v1/tasks", "/api/v1/delivery/1", "/api/v1/stats"):
        answer = viewer.ask(method, target)
        assert answer.status == 405 and answer.headers["Allow"] == "GET, HEAD"
    for target in ("/api/v1/delivery/1/retry", "/api/v1/delivery/1/discard", "/api/v1/prune"):
        assert viewer.ask(method, target).status == 404
    assert daemon.query.get("/v1/delivery/1").json["verdict"] == "invalid"


def test_only_listed_calls_are_passed_on(viewer):
    viewer.enter()
    for target in ("/api/metrics", "/api/v1/export", "/api/v1/backup", "/api/v1/task/..", "/api/v1/task/%2e%2e",
                   "/api/v1/task/../deliveries", "/api/v1/task/%2e%2e/deliveries", "/api/healthz", "/view.h"):
        assert viewer.ask("GET", target).status == 404, target
    # What is in a name stays in it.
    for name in ("a%2Fb", "a%3Fb", "a%20b", "%23", "a%0d%0aHost:%20x"):
        assert viewer.ask("GET", f"/api/v1/task/{name}").json["error"] == "Task not found"


def test_answers_are_those_of_the_socket(daemon, viewer):
    deliver_every_type(daemon)
    id = daemon.query.docs("/v1/tasks")[0]["task_id"]
    daemon.deliver(callback(metadata={"a b": "c&d=é"}))
    viewer.enter()
    for target in ("/v1/tasks?limit=3", f"/v1/task/{id}", f"/v1/task/{id}/revisions", f"/v1/task/{id}/deliveries",
                   "/v1/deliveries?verdict=stored", "/v1/delivery/1", "/v1/delivery/1/body", "/v1/submissions",
                   "/v1/events?after=2", "/v1/tasks?metadata.a%20b=c%26d%3D%C3%A9", "/v1/tasks?limit=x", "/v1/task/no"):
        here, there = viewer.ask("GET", f"/api{target}"), daemon.query.ask("GET", target)
        assert (here.status, here.body) == (there.status, there.body), target


def test_headers_of_every_answer(viewer):
    viewer.enter()
    for target, cookie in (("/", True), ("/app.js", True), ("/api/v1/stats", True), ("/", False), ("/x.js", True)):
        headers = viewer.ask("GET", target, cookie=cookie).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy and "unsafe" not in policy
        assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"], headers["Cache-Control"]) == (
            "nosniff", "no-referrer", "no-store")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ends_on_signals(daemon, make_viewer, number):
    assert make_viewer(daemon).stop(number) == (0, "")


def test_wrong_use(daemon, make_viewer):
    assert scalectl(daemon, "view", "--port", "70000").returncode == 64
    assert scalectl(daemon, "view", "x").returncode == 64
    viewer = make_viewer(daemon)
    run = scalectl(daemon, "view", "--port", viewer.port)
    assert run.returncode == 69 and "can't be listened on" in run.stderr


# The views.

def test_tasks_live(daemon, viewer, browser):
    deliver_every_type(daemon)
    browser.open(viewer).wait("main .row", len(EVERY_TYPE))
    assert "token" not in browser.run("return location.href")
    browser.says("7 tasks")
    first = task_id()
    daemon.deliver(callback(id=first, instruction="Just came", created_at="2017-01-01T00:00:00.000Z"))
    eventually(lambda: "Just came" in browser.texts("main .row")[0], "the new one is the first")
    browser.says("8 tasks")
    eventually(lambda: "new task" in browser.run("return document.getElementById('live').textContent"), "said")
    daemon.deliver(callback({"category": "small"}, id=first, instruction="Just came", completed_at="2018-01-01T00:00:00Z",
                            created_at="2017-01-01T00:00:00.000Z"))
    eventually(lambda: "small" in browser.texts("main .row")[0], "its new response")
    quiet(browser)


def test_filters(daemon, viewer, browser):
    deliver_every_type(daemon)
    daemon.deliver(callback(metadata={"batch": "a b"}, instruction="Of a batch"))
    browser.open(viewer).wait("main .row", 8)
    browser.go("#/tasks?type=annotation")
    eventually(lambda: len(browser.all("main .row")) == 1, "one")
    browser.go("#/tasks?metadata=batch%3Da+b")
    eventually(lambda: len(browser.all("main .row")) == 1 and "Of a batch" in browser.body(), "the batch")
    browser.go("#/tasks?status=pending")
    browser.says("No tasks that fit")
    browser.go("#/tasks?since=2016-06-24")
    browser.says("No tasks that fit")
    browser.go("#/tasks?since=2016-06-23&until=2016-06-23")
    browser.wait("main .row", 7)
    browser.run("const s = document.querySelector('select[name=type]'); s.value = 'comparison';"
                "s.dispatchEvent(new Event('change'))")
    eventually(lambda: "type=comparison" in browser.run("return location.hash"), "the address follows")
    eventually(lambda: len(browser.all("main .row")) == 1, "one comparison")
    quiet(browser)


def test_boxes(daemon, viewer, browser, files):
    task = annotation(f"{files.url}/cows.png", [box(10, 20, 200, 100, "cow"), box(300, 200, 50, 60, "dog")])
    daemon.deliver(task)
    browser.open(viewer).go(f"#/task/{task['task_id']}")
    browser.wait(".box", 2)
    browser.says("An empty frame")
    assert files.asked == []  # nothing before it is asked for
    browser.wait("button.load").click()
    browser.wait("img.loaded")
    assert browser.run("return document.querySelector('.frame svg').getAttribute('viewBox')") == "0 0 640 400"
    rect = browser.run("""const f = document.querySelector('.frame').getBoundingClientRect(),
        r = document.querySelector('.box .over').getBoundingClientRect();
        return [(r.left - f.left) / f.width * 640, (r.top - f.top) / f.height * 400, r.width / f.width * 640]""")
    assert all(abs(a - b) < 5 for a, b in zip(rect, [10, 20, 200])), rect
    [(path, headers)] = files.asked
    assert path == "/cows.png"
    assert "Referer" not in headers and "Cookie" not in headers  # cookies are not kept by port
    browser.run("document.querySelector('.boxes tbody tr').focus()")
    assert browser.all(".box.lit")
    quiet(browser)


def test_boxes_without_their_picture(daemon, viewer, browser, files):
    task = annotation(f"{files.url}/none.png", [box(10, 20, 200, 100, "cow")])
    daemon.deliver(task)
    browser.open(viewer).go(f"#/task/{task['task_id']}")
    browser.wait("button.load").click()
    browser.says("The picture can't be loaded.")
    assert len(browser.all(".box")) == 1


LONG = "a four-wheeled vehicle that carries goods, with or without a trailer, seen from behind or from the side"


@pytest.mark.parametrize("width", [390, 1280])
def test_numbers_of_boxes_never_wrap(daemon, viewer, browser, width):
    task = annotation("http://www.example.com/a.png", [box(1000.123456789, 20000, 2000.55, 1234.5, LONG), box(3, 2, 50, 60, "dog")],
                      labels=(LONG, "dog"))
    daemon.deliver(task)
    browser.size(width, 800)
    browser.open(viewer).go(f"#/task/{task['task_id']}")
    browser.wait(".boxes tbody tr", 2)
    lines = """return [...document.querySelectorAll(arguments[0])].map((cell) => { const range = document.createRange();
        range.selectNodeContents(cell); return new Set([...range.getClientRects()].map((r) => Math.round(r.top))).size })"""
    assert set(browser.run(lines, ".boxes .number")) == {1}
    assert browser.run(lines, ".boxes td.label")[0] >= 3
    assert browser.run("const s = document.querySelector('.boxes-scroll'); return s.scrollWidth <= s.clientWidth")
    number = browser.all(".boxes tbody td.number")[1]
    assert (number.text, number.get_attribute("title")) == ("1000.12", "1000.123456789")
    quiet(browser)


def test_many_boxes(daemon, viewer, browser):
    some = random.Random(5)
    names = ["cow", "dog", "white horse", LONG]
    boxes = [box(some.randint(0, 580), some.randint(0, 340), some.randint(8, 60), some.randint(8, 60), some.choice(names)) for _ in range(299)]
    task = annotation("http://www.example.com/a.png", [*boxes, box(0, 0, 640, 400, "all of it")], labels=[*names, "all of it"])
    daemon.deliver(task)
    browser.open(viewer).go(f"#/task/{task['task_id']}")
    browser.wait(".box", 300)
    assert not browser.all(".frame text")
    browser.run("document.querySelector('.drawing-tools input').click()")
    browser.wait(".named text", 100)
    overlaps = browser.run("""const all = [...document.querySelectorAll('.named text')].map((e) => e.getBoundingClientRect());
        return all.flatMap((a, i) => all.slice(0, i).filter((b) => a.left < b.right - 1 && b.left < a.right - 1 &&
            a.top < b.bottom - 1 && b.top < a.bottom - 1)).length""")
    assert overlaps == 0
    unnamed = 300 - len(browser.all(".named text"))
    assert f"{unnamed} labels have no room" in browser.texts(".drawing-tools")[0]
    browser.run("document.querySelector('.drawing-tools input').click()")

    # The box of the row that one points at is above all others, with its label; and the other way round. The largest
    # lies below all others, so one can point at those.
    row = browser.all(".boxes tbody tr")[7]
    webdriver.ActionChains(browser.driver).move_to_element(row).perform()
    lit = "return [...document.querySelectorAll('.boxes tbody tr.lit')].map((row) => row.rowIndex)"
    assert browser.run(lit) == [8] and len(browser.all(".raised .lit")) == 1
    assert browser.run("return document.querySelector('.frame svg').lastElementChild.classList.contains('raised')")
    assert browser.texts(".raised text") != []
    smallest = browser.run("const all = document.querySelectorAll('.frame > svg > .box'); return all[all.length - 1]")
    webdriver.ActionChains(browser.driver).move_to_element(smallest).perform()
    assert browser.run(lit) == [int(smallest.get_attribute("aria-label").split(":")[0])]

    # By keyboard: one stop each, and the arrows within.
    webdriver.ActionChains(browser.driver).move_to_element(browser.all("main h2")[0]).perform()
    assert browser.run(lit) == []
    assert browser.run("return document.querySelectorAll('.boxes [tabindex=\"0\"]').length") == 1
    browser.run("document.querySelector('.frame svg').focus()")
    browser.keys("\ue015", "\ue015", "\ue015", "\ue013")  # down three times, up
    assert browser.run(lit) == [3]
    active = "return document.getElementById(document.activeElement.getAttribute('aria-activedescendant')).getAttribute('aria-label')"
    assert browser.run(active).startswith("3: ")
    browser.keys("\ue010")  # End
    assert browser.run(lit) == [300] and "300: all of it, left 0, top 0, 640 by 400" == browser.run(active)
    row, table = (browser.run("return document.querySelector(arguments[0]).getBoundingClientRect().toJSON()", selector)
                  for selector in (".boxes tr.lit", ".boxes-scroll"))
    assert table["top"] <= row["top"] < row["bottom"] <= table["bottom"] + 1, "it comes into sight"
    browser.run("document.querySelectorAll('.boxes tbody tr')[0].focus()")
    browser.keys("\ue015")
    assert browser.run("return document.activeElement.rowIndex") == 2 and browser.run(lit) == [2]
    quiet(browser)


def test_transcript_plays_along(daemon, viewer, browser, files):
    words = [word(w, 0.5 * i, 0.5 * i + 0.4, 0.3 if i == 3 else 0.9) for i, w in enumerate("one two three four five".split())]
    task = recording(f"{files.url}/a.wav", words, duration=6.0)
    daemon.deliver(task)
    browser.open(viewer).go(f"#/task/{task['task_id']}")
    browser.wait(".word", 5)
    assert browser.texts(".word.unsure") == ["four"]
    # Without the recording: by the slider.
    browser.run("const s = document.querySelector('input[type=range]'); s.value = 1.1; s.dispatchEvent(new Event('input'))")
    assert browser.texts(".word.now") == ["three"]
    browser.wait("button.load").click()
    browser.wait("audio")
    eventually(lambda: browser.run("return document.querySelector('audio').readyState >= 2"), "loaded")
    # Again and again: who looks may be slower than the recording.
    browser.run("const a = document.querySelector('audio'); a.muted = a.loop = true; a.play()")
    seen = set()
    eventually(lambda: seen.update(browser.texts(".word.now")) or len(seen) >= 3, "words light up one after the other")
    browser.run("document.querySelector('audio').pause(); document.querySelectorAll('.word')[4].click()")
    eventually(lambda: browser.texts(".word.now") == ["five"], "where one clicks")
    assert abs(browser.run("return document.querySelector('audio').currentTime") - 2.0) < 0.3
    quiet(browser)


def test_one_player(daemon, viewer, browser, files):
    """One for all revisions, and one that plays at a time."""
    words = [word(w, 0.5 * i, 0.5 * i + 0.4) for i, w in enumerate("one two three four five".split())]
    task = recording(f"{files.url}/a.wav", words, duration=6.0)
    daemon.deliver(task)
    daemon.deliver(recording(f"{files.url}/a.wav", [word("six", 1, 2)], duration=6.0, id=task["task_id"],
                             completed_at="2017-01-01T00:00:00Z"))
    browser.open(viewer).go(f"#/task/{task['task_id']}")
    browser.wait(".revision", 2)
    assert len(browser.all(".player")) == len(browser.all("button.load")) == 1
    browser.run("document.querySelector('.player input').focus()")
    browser.keys("\ue014")  # right: two seconds on
    assert browser.texts(".player output") == ["0:02"]
    now = browser.run("return [...document.querySelectorAll('.word.now')].map((e) => e.textContent)")
    assert now == ["six", "five", "six"]  # the current one; both revisions
    browser.run("document.querySelector('.player').scrollIntoView({block: 'center'})")  # from under the head
    browser.wait("button.load").click()
    browser.wait(".play").click()
    eventually(lambda: browser.texts(".play") == ["Pause"], "it plays")
    browser.wait(".play").click()
    eventually(lambda: browser.texts(".play") == ["Play"], "it rests")

    compared = callback({"choice": "a"}, type="comparison", params={
        "choices": ["a", "b"], "attachment_type": "audio", "attachments": [f"{files.url}/a.wav", f"{files.url}/b.wav"]})
    daemon.deliver(compared)
    browser.go(f"#/task/{compared['task_id']}")
    browser.wait("#attachments").click()
    browser.wait("audio", 2)
    browser.run("for (const a of document.querySelectorAll('audio')) a.loop = a.muted = true")
    for n in (0, 1, 0):
        browser.all(".play")[n].click()
        eventually(lambda: browser.texts(".play") == (["Play", "Pause"] if n else ["Pause", "Play"]), f"{n} alone plays")
    quiet(browser)


def test_search_in_words(daemon, viewer, browser):
    daemon.deliver(callback(instruction="Is the Lorry red?"))
    daemon.deliver(callback({"fields": {"note": "a lorry, seen twice"}}, type="datacollection", params={
        "fields": {"note": "What"}, "attachment_type": "text", "attachment": "x"}, instruction="Look"))
    deliver_many(daemon, 2300)
    browser.open(viewer).wait("main .row", 50)
    browser.run("document.getElementById('search').focus()")
    browser.keys("red lorry", "\ue007")
    browser.says("Nothing so far.")
    assert browser.run("return location.hash") == "#/tasks?text=red+lorry"
    browser.says("Looked through 2,000 tasks of 2,302")
    browser.wait(".more").click()
    browser.says("Looked through 2,302 tasks of 2,302")
    browser.go("#/tasks?text=LORRY")
    browser.wait(".more:not([hidden])").click()
    browser.wait("main .row", 2)
    daemon.deliver(callback(instruction="A new lorry", created_at="2018-01-01T00:00:00.000Z"))
    eventually(lambda: "A new lorry" in browser.texts("main .row")[0], "it comes by itself")
    browser.all("main .row .open")[1].click()
    browser.says("2 of 3")
    quiet(browser)


def test_choices_comparison_fields(daemon, viewer, browser, files):
    several = callback({"category": ["big", "red"]}, params={"attachment_type": "text", "attachment": "a lorry",
                       "categories": ["big", "small", "red"], "allow_multiple": True})
    compared = callback({"choice": "no", "fields": {"why": "The colour."}}, type="comparison", params={
        "choices": ["yes", "no"], "attachment_type": "image", "fields": {"why": "What differs"},
        "attachments": [f"{files.url}/1.png", f"{files.url}/2.png"]})
    collected = callback({"fields": {"ceo": "Somebody", "site": "http://www.example.com/x"}}, type="datacollection", params={
        "fields": {"ceo": "Name of the CEO", "site": "Their site"}, "attachment_type": "website",
        "attachment": "http://www.example.com/"})
    for task in (several, compared, collected):
        daemon.deliver(task)
    browser.open(viewer).go(f"#/task/{several['task_id']}")
    browser.says("a lorry")
    assert [t.split("\n")[-1].replace(" (chosen)", "").strip() for t in browser.texts(".choices .chosen bdi")] == ["big", "red"]
    browser.go(f"#/task/{compared['task_id']}")
    browser.wait("button.load", 2)
    assert browser.texts(".choices .chosen bdi") == ["no"]
    browser.wait("#attachments").click()
    browser.wait("img.loaded", 2)
    assert browser.texts(".fields tbody tr")[0].split("\t") == ["why", "What differs", "The colour."]
    browser.go(f"#/task/{collected['task_id']}")
    browser.says("Name of the CEO")
    a = browser.wait(".fields a.outside")
    assert (a.get_attribute("href"), a.get_attribute("rel")) == ("http://www.example.com/x", "noopener noreferrer")
    quiet(browser)


def test_revisions_beside_each_other(daemon, viewer, browser):
    task = callback({"category": "big"})
    daemon.deliver(task)
    browser.open(viewer).go(f"#/task/{task['task_id']}")
    browser.wait(".choices .chosen")
    assert not browser.all(".revision")
    daemon.deliver(callback({"category": "small"}, id=task["task_id"], completed_at="2016-06-24T09:10:02.798Z"))
    browser.wait(".revision", 2)  # by itself
    assert browser.texts(".revision .chosen bdi") == ["big", "small"]
    assert browser.texts(".changed code") == ["response.category"]
    assert browser.texts(".revision.current h4")[0].startswith("Revision 2")
    left, right = (r.rect for r in browser.all(".revision"))
    assert left["y"] == right["y"] and left["x"] < right["x"]
    quiet(browser)


def test_quarantine_marks_problems(daemon, viewer, browser):
    body = json.loads(sample("annotation/valid"))
    body["response"]["annotations"][1]["width"] = -3
    body["task"]["response"] = body["response"]
    daemon.post(body, status=422)
    daemon.post(b'{"a": 1, no JSON \xff', status=400)
    browser.open(viewer).go("#/quarantine")
    browser.says("2 deliveries of 2 kinds")
    browser.wait("main .row", 2)
    browser.go("#/delivery/1")
    browser.wait(".code .marked")
    assert [t.split("\n")[0].strip() for t in browser.texts(".code .marked")] == ['"width": -3,']
    assert "error:" in browser.texts(".mark-text")[0]
    assert "response.annotations[1].width" in browser.texts(".problems li")[0]
    browser.go("#/delivery/2")
    browser.says("Some bytes are no UTF-8")
    assert browser.texts(".code .line bdi")[0] == '{"a": 1, no JSON \ufffd'
    daemon.post(b'{\n"a": 1,\nno JSON\n}', status=400)
    browser.go("#/delivery/3")
    browser.wait(".code .marked")
    assert [t.split("\n")[0] for t in browser.texts(".code .marked")] == ["no JSON"]
    quiet(browser)


def test_queue_and_rates(make_daemon, make_submitter, make_viewer, browser):
    daemon = make_daemon().start()
    submitter = make_submitter(database=daemon.database).start()
    id = submitter.add(attachment="a lorry")
    task = submitter.reaches(id, "accepted")["task_id"]
    daemon.deliver(callback(id=task, params={"attachment_type": "text", "attachment": "a lorry", "categories": ["big", "small"]}))
    viewer = make_viewer(daemon)
    browser.open(viewer).go("#/queue")
    row = browser.wait("main .row .open")
    assert row.text == "Big or small?"
    row.click()
    browser.says("a lorry")
    assert browser.run("return location.hash") == f"#/submission/{id}"
    browser.wait(f"a[href='#/task/{task}']").click()
    browser.says("Result")
    browser.go("#/rates")
    browser.wait(".chart svg", 3)
    eventually(lambda: "Results 1" in " ".join(browser.texts(".chart figcaption")[0].split()), "one result is counted")
    daemon.deliver(callback())
    eventually(lambda: "Results 2" in " ".join(browser.texts(".chart figcaption")[0].split()), "and one more")
    quiet(browser)


def test_unknown_type_and_unknown_things(daemon, viewer, browser):
    task = callback({"shape": [1, {"deep": 1234567890123456789}]}, type="polygon")
    daemon.deliver(task)
    browser.open(viewer).go(f"#/task/{task['task_id']}")
    browser.says('"shape"')
    browser.wait("details summary").click()
    browser.says("1234567890123456789")  # as it was written
    for hash, says in (("#/task/none", "Task not found"), ("#/delivery/999", "Delivery not found"),
                       ("#/submission/x", "Submission not found"), ("#/nothing", "no such view"), ("#/task/%", "no such view")):
        browser.go(hash)
        browser.says(says)


def test_keys(daemon, viewer, browser):
    ids = [task_id() for _ in range(3)]
    for i, id in enumerate(ids):
        daemon.deliver(callback(id=id, instruction=f"Number {i}", created_at=f"2016-06-23T09:0{i}:00.000Z"))
    browser.open(viewer).wait("main .row", 3)
    focus = "return document.activeElement.innerText"
    browser.keys("j")
    assert browser.run(focus) == "Number 2"
    browser.keys("jj", "k")
    assert browser.run(focus) == "Number 1"
    browser.keys("\ue007")  # Enter
    browser.says("Result")
    assert browser.run("return location.hash") == f"#/task/{ids[1]}"
    browser.keys("\ue00c")  # Esc
    browser.wait("main .row", 3)
    assert browser.run(focus) == "Number 1"  # where one was
    browser.keys("/")
    assert browser.run("return document.activeElement.id") == "search"
    browser.keys(ids[0], "\ue007")
    eventually(lambda: browser.run("return location.hash") == f"#/task/{ids[0]}", "found")
    browser.keys("?")
    assert browser.run("return document.getElementById('help').open")
    browser.keys("\ue00c", "3")
    eventually(lambda: browser.run("return location.hash") == "#/deliveries", "the third view")
    assert browser.run("return document.title") == "Deliveries"
    quiet(browser)


def test_one_after_the_other(daemon, viewer, browser):
    ids = [task_id() for _ in range(60)]
    for i, id in enumerate(ids):
        daemon.deliver(callback(id=id, instruction=f"Number {i}", metadata={"batch": "a" if i else "b"},
                                created_at=f"2016-06-23T09:{i:02}:00.000Z"))
    browser.open(viewer).go("#/tasks?metadata=batch%3Da")
    browser.wait("main .row", 50)
    browser.all("main .row .open")[2].click()
    browser.says("3 of 59")
    browser.keys("n")
    browser.says("4 of 59")
    browser.says("Number 56")
    browser.keys("p")
    browser.says("Number 57")
    eventually(lambda: browser.run("return document.getElementById('live').textContent") == "3 of 59", "said")
    # By the buttons, which keep the focus.
    browser.run("document.querySelector('.review button:last-child').focus()")
    browser.keys("\ue007")
    browser.says("4 of 59")
    assert browser.run("return document.activeElement.innerText.trim().startsWith('Next')")
    # One goes back to where one has come to; and beyond what was loaded.
    browser.keys("\ue00c")
    browser.wait("main .row", 50)
    assert browser.run("return document.activeElement.innerText") == "Number 56"
    browser.all("main .row .open")[49].click()
    browser.says("50 of 59")
    browser.keys("n")
    browser.says("51 of 59")
    browser.says("Number 9")
    # The first and the last lead no farther; what is not of the list has no place in it.
    browser.go(f"#/task/{ids[1]}")
    browser.says("59 of 59")
    assert browser.run("return [...document.querySelectorAll('.review button')].map((b) => b.disabled)") == [False, True]
    browser.go(f"#/task/{ids[0]}")
    browser.says("Number 0")
    assert not browser.all(".review")
    quiet(browser)


def test_quarantine_is_grouped(daemon, viewer, browser):
    body = json.loads(sample("annotation/valid"))
    for i in range(40):
        body["task_id"] = body["task"]["task_id"] = task_id()
        body["response"]["annotations"][i % 2]["width"] = -1 - i
        body["task"]["response"] = body["response"]
        daemon.post(body, status=422)
        body["response"]["annotations"][i % 2]["width"] = 5
    daemon.post(b"no JSON", status=400)
    browser.open(viewer).go("#/quarantine")
    browser.says("41 deliveries of 2 kinds")
    assert browser.texts(".group strong") == ["40 \u00d7 "] or browser.texts(".group strong") == ["40 \u00d7"]
    assert "response.annotations[\u2026].width" in browser.texts(".group summary")[0]
    assert len(browser.all(".row")) == 1
    browser.wait(".group summary").click()
    browser.wait(".row", 41)
    assert browser.texts(".row .open")[:3] == ["Delivery 41", "Delivery 40", "Delivery 39"]  # newest first
    daemon.post(b"no JSON either", status=400)  # comes by itself, and what is open stays so
    browser.says("42 deliveries of 2 kinds")
    browser.wait("details[open] .row", 40)
    browser.go("#/quarantine?text=WIDTH")
    browser.says("40 deliveries of 1 kind")
    browser.go("#/quarantine?since=2037-01-01")
    browser.says("Nothing that fits.")

    # A task that was never stored is no mistake of the reader's.
    browser.go("#/delivery/40")
    browser.says("(was never stored)")
    browser.go(f"#/task/{body['task_id']}")
    browser.says("No task of this id was ever stored")
    assert browser.texts("main .row .open") == ["Delivery 40"]
    quiet(browser)


def test_deliveries_newest_first(daemon, viewer, browser):
    for i in range(60):
        daemon.deliver(callback(id=f"{i:024x}"))
    daemon.post(b"no JSON", status=400)
    browser.open(viewer).go("#/deliveries")
    browser.wait("main .row", 50)
    assert browser.texts(".row .open")[:2] == ["Delivery 61", "Delivery 60"]
    browser.wait(".more:not([hidden])").click()
    browser.wait("main .row", 61)
    browser.go("#/deliveries?verdict=invalid")
    eventually(lambda: browser.texts("main .row .open") == ["Delivery 61"], "one")
    browser.go(f"#/deliveries?text={9:024x}")
    eventually(lambda: browser.texts("main .row .open") == ["Delivery 10"], "one")
    browser.go("#/deliveries?since=2037-01-01")
    browser.says("No deliveries that fit.")
    daemon.deliver(callback())
    browser.go("#/deliveries")
    eventually(lambda: browser.texts("main .row .open")[:1] == ["Delivery 62"], "the newest")
    quiet(browser)


def test_quarantine_one_after_the_other(daemon, viewer, browser):
    for i in range(3):
        daemon.post(f"no JSON {i}".encode(), status=400)
        daemon.deliver(callback())
    browser.open(viewer).go("#/quarantine")
    browser.wait(".group summary").click()
    browser.wait("main .row", 3)
    browser.keys("j", "\ue007")
    browser.says("1 of 3")
    browser.keys("n")
    browser.says("2 of 3")
    assert browser.texts("nav a[aria-current]") == ["Quarantine"]
    assert browser.run("return location.hash") == "#/delivery/3"
    browser.keys("\ue00c")
    browser.wait("main .row", 3)
    assert browser.run("return location.hash") == "#/quarantine"
    quiet(browser)


@pytest.mark.parametrize("width", [360, 1280])
def test_fits_every_width_and_has_names(daemon, viewer, browser, width):
    tasks = deliver_every_type(daemon)
    daemon.post(b"x" * 3000, status=400)
    daemon.deliver(callback({"category": "small"}, id=tasks[-1]["task_id"], completed_at="2017-01-01T00:00:00Z"))
    browser.size(width, 800)
    browser.open(viewer)
    views = ["#/tasks", "#/quarantine", "#/deliveries", "#/queue", "#/rates", f"#/delivery/{len(tasks) + 1}"]
    for hash in [*views, *(f"#/task/{t['task_id']}" for t in tasks)]:
        browser.go(hash)
        eventually(lambda: "Loading" not in browser.body(), "loaded")
        assert browser.run("return document.documentElement.scrollWidth") <= width, hash
        assert "false" not in browser.run("return [...document.querySelector('main').children].map((e) => [...e.childNodes]"
                                          ".filter((n) => n.nodeType === 3).map((n) => n.data)).flat(2)")
        nameless = browser.run("""return [...document.querySelectorAll('button, input, select, a, svg[role=img], [tabindex="0"]')]
            .filter((e) => !(e.innerText || '').trim() && !e.labels?.length && !e.getAttribute('aria-label')
                && !(e.textContent || '').trim()).map((e) => e.outerHTML)""")
        assert nameless == [], hash
        assert browser.run("return document.querySelectorAll('main h2').length") == 1
    quiet(browser)


# What others wrote.

HOSTILE = ["<script>window.pwned=1</script>", "<img src=x onerror=window.pwned=1>", "javascript:window.pwned=1",
           "\"><svg onload=window.pwned=1>", "data:text/html,<script>window.pwned=1</script>", "' onclick='window.pwned=1",
           "\u202egnp.exe\u202c", "\u2066\u200b\u0000\u001b[31m", "__proto__", "constructor", "{{constructor.constructor('window.pwned=1')()}}",
           "//example.com/", "a\u0300" * 200, "", " ", "\ud83d\ude00" * 400, "</textarea></title><base href=//example.com>"]


def hostile_tasks(bad, n):
    """Every field that may be anything is this text."""
    meta = {bad or "x": bad}
    base = {"instruction": bad, "metadata": meta, "urgency": "day", "callback_url": bad, bad or "y": {bad: [bad]}}
    kinds = [
        ("categorization", {"category": bad}, {"categories": [bad, "x"], "attachment_type": "text", "attachment": bad}),
        ("comparison", {"choice": bad, "fields": {bad: bad}}, {"choices": [bad], "fields": {bad: bad}, "attachment_type": "image",
                                                               "attachments": [bad, bad]}),
        ("datacollection", {"fields": {bad: bad}}, {"fields": {bad: bad}, "attachment_type": bad, "attachment": bad}),
        ("transcription", {"fields": {bad: bad}}, {"fields": {bad: bad}, "attachment_type": "image", "attachment": bad}),
        ("annotation", {"annotations": [{"left": 1, "top": 1, "width": 9, "height": 9, "label": bad}]},
         {"objects_to_annotate": [bad], "with_labels": True, "attachment_type": "image", "attachment": bad}),
        ("audiotranscription", {"transcript": bad, "duration": 9, "alignment": [{"word": bad, "start": 0, "end": 1, "confidence": 0.9}]},
         {"attachment_type": "audio", "attachment": bad}),
        (f"odd{n}" if len(bad) > 60 or not bad.strip() else bad, {bad: [bad, {bad: bad}]}, {bad: bad}),
        ("annotation", {"error": bad}, {"attachment_type": "image", "attachment": bad}),
    ]
    for kind, response, params in kinds:
        yield callback(response, type=kind, params=params, **base)


def look_at_all(browser, daemon):
    """Every view of everything that there is."""
    stats = daemon.query.get("/v1/stats").json
    hashes = ["#/tasks", "#/quarantine", "#/deliveries", "#/queue", "#/rates"]
    tasks = daemon.query.docs("/v1/tasks?limit=100")
    hashes += [f"#/task/{t['task_id']}" for t in tasks]
    hashes += [f"#/delivery/{n}" for n in range(1, stats["last_delivery"] + 1)]
    for hash in hashes:
        browser.go(hash)
        eventually(lambda: "Loading" not in browser.run("return document.querySelector('main').textContent"), hash)
        browser.run("for (const b of document.querySelectorAll('main button:not(.more):not(.load)')) b.click();"
                    "for (const d of document.querySelectorAll('main details')) d.open = true;"
                    "for (const b of document.querySelectorAll('.load')) b.click()")
        odd = browser.run("""return [...document.querySelectorAll('main *')].filter((e) =>
            ['SCRIPT', 'IFRAME', 'OBJECT', 'EMBED', 'BASE', 'STYLE', 'LINK', 'META'].includes(e.tagName) ||
            [...e.attributes].some((a) => a.name.startsWith('on') || a.name === 'srcdoc') ||
            (e.href && !['http:', 'https:'].includes(new URL(e.href.baseVal ?? e.href).protocol))).map((e) => e.outerHTML)""")
        assert odd == [], (hash, odd[:3])
        assert browser.run("return window.pwned") is None, hash
        hidden = browser.run("return /[\\u202a-\\u202e\\u2066-\\u2069\\u200b\\u001b\\u0000]/.test(document.body.innerText)")
        assert not hidden, hash


def test_hostile_content_is_only_text(daemon, viewer, browser):
    browser.open(viewer)
    browser.run("window.addEventListener('securitypolicyviolation', (e) => { window.violation = e.violatedDirective })")
    accepted = 0
    for n, bad in enumerate(HOSTILE):
        for task in hostile_tasks(bad, n):
            accepted += daemon.post(task).status == 200
            if n % 4 == 0:  # and the same in quarantine
                daemon.post({**task, "task_id": bad, bad: bad, "response": {bad: bad}})
    assert accepted >= len(HOSTILE) * 5
    look_at_all(browser, daemon)
    assert browser.run("return window.violation") is None
    quiet(browser)


INSTRUCTION = """# Boxes

Draw **one box** around each *cow*.
Not around `calves`.

1. look
2. draw

> Mind the shadows, see [the guide](https://example.com/guide).

![how it looks]({url}/1.png)
"""


def test_export(daemon, viewer):
    deliver_every_type(daemon)
    daemon.deliver(callback(metadata={"batch": "a 'b\n"}))
    viewer.enter()
    assert {f["name"]: f["folder"] for f in viewer.ask("GET", "/api/formats").json}.items() >= {
        "jsonl": False, "csv": False, "coco": False, "yolo": True, "srt": False}.items()
    for options in ([], ["--type", "annotation"], ["--status", "pending"], ["--metadata", "batch=a 'b\n"], ["--since", "2016-06-23T09:03:00Z"]):
        for name in ("jsonl", "csv", "coco"):
            there = scalectl(daemon, "--json", "export", "--format", name, *options)
            here = viewer.ask("GET", f"/api/export?{urllib.parse.urlencode({'format': name, **{o[2:]: v for o, v in zip(options[::2], options[1::2])}})}")
            assert (here.status, here.body.decode().replace("\r\n", "\n")) == (200, there.stdout), (name, options)
            assert json.loads(here.headers["Export-Report"]) == json.loads(there.stderr)
    for query, says in (("format=none", "no such format"), ("format=yolo", "many files"), ("", "no such format"),
                        ("format=csv&since=whenever", "--since"), ("format=csv&metadata=x", "--metadata")):
        answer = viewer.ask("GET", f"/api/export?{query}")
        assert answer.status in (400, 502) and says in answer.json["error"], (query, answer.body)


def test_export_ends_with_who_wants_it(daemon, viewer):
    deliver_many(daemon, 2000)
    viewer.enter()
    os.kill(daemon.process.pid, signal.SIGSTOP)  # it takes its time
    try:
        connection = http.client.HTTPConnection("127.0.0.1", viewer.port, timeout=0.5)
        connection.request("GET", f"{viewer.place}/api/export?format=jsonl", headers={"Cookie": viewer.cookie})
        with pytest.raises(TimeoutError):
            connection.getresponse()
        children = pathlib.Path(f"/proc/{viewer.process.pid}/task/{viewer.process.pid}/children")
        assert children.read_text()
        assert viewer.ask("GET", "/api/export?format=jsonl").status == 503  # one at a time
        connection.close()
        eventually(lambda: not children.read_text(), "it ends")
    finally:
        os.kill(daemon.process.pid, signal.SIGCONT)
    assert viewer.ask("GET", "/api/export?format=jsonl").body.count(b"\n") == 2000


def test_export_from_the_page(daemon, viewer, browser, tmp_path):
    deliver_every_type(daemon)
    browser.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    browser.open(viewer).go("#/tasks?type=annotation&since=2016-06-23")
    browser.wait("main details summary").click()
    browser.wait(".export option", 5)
    browser.run("const s = document.querySelector('.export select'); s.value = 'coco'; s.dispatchEvent(new Event('change'))")
    assert re.search("--format coco --type annotation --since 2016-06-2[23]T[0-9:]*.000Z -o FILE", browser.texts(".command")[0])
    browser.wait(".export button").click()
    browser.says("1 task of 1 in the file.")
    file = tmp_path / "tasks.coco.json"
    eventually(file.exists, "it is saved")
    assert len(json.loads(file.read_text())["images"]) == 1
    browser.run("const s = document.querySelector('.export select'); s.value = 'yolo'; s.dispatchEvent(new Event('change'))")
    assert "--images FOLDER -o NEW-FOLDER" in browser.texts(".command")[0] and not browser.wait(".export button").is_displayed()
    browser.go("#/tasks?text=a")
    browser.wait("main details summary").click()
    browser.says("take these filters away")
    quiet(browser)


def test_instructions_are_markdown(daemon, viewer, browser, files):
    task = callback(instruction=INSTRUCTION.format(url=files.url))
    daemon.deliver(task)
    browser.open(viewer).go(f"#/task/{task['task_id']}")
    browser.wait(".markdown h3")
    assert browser.texts(".markdown h3") == ["Boxes"] and browser.texts(".markdown strong") == ["one box"]
    assert browser.texts(".markdown .para")[0] == "Draw one box around each cow.\nNot around calves."
    assert browser.texts(".markdown ol li") == ["look", "draw"]
    link = browser.wait(".markdown a.outside")
    assert (link.get_attribute("href"), link.get_attribute("rel")) == ("https://example.com/guide", "noopener noreferrer")
    assert files.asked == []  # pictures wait until they are asked for, as attachments do
    browser.wait(".markdown button.load").click()
    browser.wait(".markdown img.loaded")
    [(path, headers)] = files.asked
    assert path == "/1.png" and "Referer" not in headers
    quiet(browser)


HOSTILE_MARKDOWN = [
    "<script>window.pwned=1</script>", "a <img src=x onerror=window.pwned=1> b", "[x](javascript:window.pwned=1)",
    "![x](javascript:window.pwned=1)", "[x](data:text/html,<script>window.pwned=1</script>)", "[x](//example.com/)",
    "<javascript:window.pwned=1>", "[a]: javascript:window.pwned=1\n\n[a]", "<a href='javascript:window.pwned=1'>x</a>",
    "![x](http://127.0.0.1:9/\"onerror=\"window.pwned=1)", "[__proto__](constructor)", "```<script>\nwindow.pwned=1\n```",
    "&#60;script&#62;window.pwned=1&#60;/script&#62;", "[\u202egnp.exe](https://example.com/)", "![](x)" * 2000, "> " * 15000 + "x",
    "* " * 15000 + "x", "[" * 30000, "*a_ " * 8000, "# " + "x" * 30000, "a\n" * 16000, "<!--", "\u0000\u200b\ufeff"]


def test_hostile_markdown(daemon, viewer, browser):
    browser.open(viewer)
    browser.run("window.addEventListener('securitypolicyviolation', (e) => { window.violation = e.violatedDirective })")
    for bad in HOSTILE_MARKDOWN:
        task = callback(instruction=bad)
        daemon.deliver(task)
        browser.go(f"#/task/{task['task_id']}")
        # It may be text alone, but then it is scalectl's: in paragraphs.
        eventually(lambda: browser.run("return document.querySelector('.markdown > *:not(.text, .none)') !== null"), bad[:50])
    look_at_all(browser, daemon)
    assert browser.run("return window.violation") is None
    quiet(browser)


def test_markdown_is_for_the_page_alone(viewer):
    assert viewer.ask("POST", "/api/markdown").status == 403
    viewer.enter()
    assert viewer.ask("POST", "/api/markdown", {"Sec-Fetch-Site": "cross-site"}).status == 403
    assert viewer.ask("GET", "/api/markdown").status == 405
    assert viewer.ask("POST", "/api/markdown", body=b"*a*").json == [["p", ["em", "a"]]]
    assert viewer.ask("POST", "/api/markdown", body=b"a" * 32769).status == 413


def test_long_texts(daemon, viewer, browser):
    long = "<b>" + "x" * (1 << 20)
    for task in hostile_tasks(long, 0):
        daemon.post(task)
    browser.open(viewer)
    look_at_all(browser, daemon)
    quiet(browser)


# Size, and the daemon's absence.

def deliver_many(daemon, n):
    def some(numbers):
        connection = daemon.connect()
        for i in numbers:
            t = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(1466672974 + i))
            answer = ask(connection, "POST", "/callback", json.dumps(callback(id=f"{i:024x}", created_at=t, instruction=f"Number {i}")),
                         {"Content-Type": "application/json", "scale-callback-auth": KEY})
            assert answer.status == 200
        connection.close()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(some, [range(k, n, 8) for k in range(8)]))


def test_many_tasks(daemon, viewer, browser):
    deliver_many(daemon, MANY)
    browser.open(viewer).wait("main .row", 50)
    browser.says(f"{MANY:,} tasks")
    assert "Number %d" % (MANY - 1) in browser.texts("main .row")[0]
    last = "return [...document.querySelectorAll('main .row')].at(-1).textContent"
    for page in range(2, 15):
        n = MANY - page * 50
        browser.run("document.querySelector('.more').click()")
        eventually(lambda: f"Number {n}" in browser.run(last), f"page {page}")
        assert len(browser.all("main .row")) <= 300
    browser.says("The first rows made room")
    browser.run("[...document.querySelectorAll('button')].find((b) => b.textContent === 'Back to the newest').click()")
    eventually(lambda: len(browser.all("main .row")) == 50, "the newest again")
    browser.go("#/rates")
    browser.wait(".chart svg", 3)
    if MANY > 10000:
        browser.says("Only the newest 10,000 events are counted")
    quiet(browser)


def test_goes_on_when_the_daemon_comes_back(daemon, viewer, browser):
    daemon.deliver(callback(instruction="Before"))
    browser.open(viewer).says("Before")
    assert daemon.stop() == 0
    browser.says("scale-callbackd does not answer")
    assert "Before" in browser.body()  # what was there stays
    daemon.start()
    daemon.deliver(callback(instruction="After"))
    browser.says("After")
    eventually(lambda: "does not answer" not in browser.body(), "nothing is said any more")
    daemon.deliver(callback(instruction="And on"))
    browser.says("And on")
    status, errors = viewer.stop()
    assert status == 0 and errors.count("does not answer") == 1 and errors.count("answers again") == 1
    browser.says("scalectl view has ended")


def test_starts_before_the_daemon(make_daemon, make_viewer, browser):
    daemon = make_daemon()
    viewer = make_viewer(daemon)
    browser.open(viewer).says("scale-callbackd does not answer")
    daemon.start()
    daemon.deliver(callback(instruction="There now"))
    browser.says("There now")


# What every page looks like, at two widths, in light and dark, measured in the browser.

# Texts whose contrast with what is behind them is too low, and what one has to hit that is too small for it.
LOOKS = """
const rgb = (s) => (s.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
const over = (a, b) => { const t = a[3] ?? 1; return [0, 1, 2].map((i) => a[i] * t + b[i] * (1 - t)) };
const ground = (e) => { const layers = []; for (; e; e = e.parentElement) layers.push(rgb(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((below, c) => over(c.length > 3 ? c : [...c, 1], below), dark ? [0, 0, 0] : [255, 255, 255]) };
const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => v / 255).map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b };
const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + .05) / (y + .05) };
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
const seen = (e) => e.checkVisibility({ visibilityProperty: true }) && e.getBoundingClientRect().width > 1 && !e.closest(".unseen, .skip, svg");
const out = { texts: 0, low: [], small: [], wide: [], tiny: [] };
for (const e of document.querySelectorAll("body *")) {
    if (!seen(e))
        continue;
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    const style = getComputedStyle(e), box = e.getBoundingClientRect();
    if (own && !e.matches(":disabled, :disabled *, option")) {
        out.texts++;
        const ratio = contrast(over(rgb(style.color), ground(e)), ground(e));
        if (ratio < 4.5)
            out.low.push(`${ratio.toFixed(2)} ${e.tagName}.${e.className} ${e.textContent.slice(0, 40)}`);
        if (parseFloat(style.fontSize) < 12)
            out.tiny.push(`${style.fontSize} ${e.tagName}.${e.className}`);
    }
    if (e.matches("button, select, input, summary, nav a, .row") && (box.height < 23.5 || box.width < 12))
        if (!e.matches("input[type=checkbox], .more-text"))
            out.small.push(`${box.width.toFixed()}x${box.height.toFixed()} ${e.tagName}.${e.className}`);
    if (own && box.right > arguments[0] + 1 && !e.closest(".scroll, .revisions, .code, pre, .timeline, header nav"))
        out.wide.push(`${e.tagName}.${e.className} ${e.textContent.slice(0, 40)}`);
}
return out;
"""


def every_page(browser, daemon, tasks):
    """Each view, open as far as it can be."""
    for hash in ["#/tasks", "#/tasks?status=pending", "#/quarantine", "#/deliveries", "#/queue", "#/rates",
                 f"#/delivery/{daemon.query.get('/v1/stats').json['last_delivery']}", "#/delivery/1", "#/task/none",
                 *(f"#/task/{id}" for id in tasks)]:
        browser.go(hash)
        eventually(lambda: "Loading" not in browser.run("return document.querySelector('main').textContent"), hash)
        browser.run("for (const d of document.querySelectorAll('main details')) d.open = true")
        yield hash


@pytest.mark.parametrize("width, dark", [(1280, False), (390, True)])
def test_contrasts_and_sizes(daemon, viewer, browser, width, dark):
    tasks = [t["task_id"] for t in deliver_every_type(daemon)]
    for bad in (HOSTILE[0], HOSTILE[6], HOSTILE[12], HOSTILE[15], LONG * 5):
        some = list(hostile_tasks(bad, 0))
        for task in some:
            daemon.post(task)
            daemon.post({**task, "response": {}})
        tasks += [t["task_id"] for t in some[:6:2]]
    tasks += [tasks[0]]
    daemon.deliver(callback({"category": "small"}, id=tasks[-1], completed_at="2017-01-01T00:00:00Z",
                            instruction=INSTRUCTION.format(url="http://www.example.com")))
    browser.size(width, 800, dark)
    browser.open(viewer)
    for hash in every_page(browser, daemon, tasks):
        looks = browser.run(LOOKS, width)
        assert looks.pop("texts") > 5, hash
        assert looks == {"low": [], "small": [], "wide": [], "tiny": []}, hash
        assert browser.run("return document.documentElement.scrollWidth") <= width, hash
    browser.size(width, 800, not dark)  # the other colours, of the pages that have the most of them
    for hash in ("#/tasks", "#/quarantine", f"#/task/{tasks[0]}", f"#/task/{tasks[-1]}"):
        browser.go(hash)
        assert browser.run(LOOKS, width)["low"] == [], hash
    # What is wrong would be seen.
    browser.run("""const add = (tag, text, style) => { const e = document.createElement(tag); e.textContent = text;
        Object.assign(e.style, style); document.querySelector('main').append(e) };
        add('p', 'pale', { color: '#888', backgroundColor: '#999' }); add('p', 'tiny', { fontSize: '9px' });
        add('button', '', { minHeight: '0', height: '8px', padding: '0' });
        add('p', 'wide', { position: 'absolute', left: `${innerWidth - 5}px`, whiteSpace: 'nowrap' })""")
    looks = browser.run(LOOKS, width)
    assert [len(looks[kind]) for kind in ("low", "tiny", "small", "wide")] == [1, 1, 1, 1], looks


def test_by_keyboard_alone(daemon, viewer, browser):
    """Everything that can be clicked is a stop on the way of the Tab key, one that can be seen, and leads on."""
    deliver_many(daemon, 10000)
    for i in range(3):
        daemon.post(f"no JSON {i}".encode(), status=400)
    browser.open(viewer).wait("main .row", 50)
    for hash in ("#/quarantine", "#/tasks", "#/deliveries", "#/rates", f"#/task/{9:024x}"):
        browser.go(hash)
        eventually(lambda: "Loading" not in browser.body(), hash)
        eventually(lambda: browser.run("return document.querySelector('main').contains(document.activeElement)"), "it has the focus")
        browser.run("document.getElementById('skip').focus()")  # where the first Tab leads
        reached = {browser.run("return document.activeElement.outerHTML.slice(0, 120)")}
        for _ in range(40):
            browser.keys("\ue004")
            stop = browser.run("""const e = document.activeElement; const style = getComputedStyle(e);
                const ring = e.closest('.row') && e.matches('.open') ? getComputedStyle(e.closest('.row')) : style;
                return [e.tagName, e.outerHTML.slice(0, 120), ring.outlineStyle !== 'none' && parseFloat(ring.outlineWidth) >= 2]""")
            if stop[0] == "BODY":
                break
            assert stop[2], stop  # one sees where one is
            reached.add(stop[1])
        clickable = browser.run("""return [...document.querySelectorAll('body a[href], button, select, input, summary')].filter((e) =>
            e.checkVisibility() && !e.disabled && !e.closest('dialog:not([open])')).slice(0, 20).map((e) => e.outerHTML.slice(0, 120))""")
        assert set(clickable) <= reached, (hash, set(clickable) - reached)
    # From a list into an entry, to the next one and back, with nothing but keys.
    browser.go("#/tasks")
    browser.wait("main .row", 50)
    browser.keys("j", "j", "\ue007")
    browser.says("2 of 10,000")
    browser.keys("n", "n", "p")
    browser.says("3 of 10,000")
    browser.keys("\ue00c")
    browser.wait("main .row", 50)
    browser.keys("2")
    browser.says("3 deliveries of")
    quiet(browser)
