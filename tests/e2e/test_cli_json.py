"""What --json prints has the members that scalectl(1) lists: all of those that are always there, and none that the
page doesn't know."""

import json
import pathlib
import re
import subprocess
import types

import pytest

from harness import KEY, SCALECTL, WAIT, Submitter, callback, eventually

PAGE = (pathlib.Path(__file__).resolve().parents[2] / "man/scalectl.1").read_text()
TASK = {"instruction": "Big or small?", "attachment_type": "text", "attachment": "car", "categories": ["big", "small"]}
ANY = "where there are any"


def members(text):
    return {word for line in re.findall(r"^\.Ql (.*)$", text, re.M) for word in re.findall(r"[a-z_]+", line)}


def documented():
    """From an item of the section to the members that are always there, and those that may be."""
    section = PAGE.split(".Sh JSON\n")[1].split(".El\n")[0]
    found = {}
    for item in section.split("\n.It ")[1:]:
        title, _, text = item.partition("\n")
        text = re.split(r"^A problem has|^\.Ql would_be\nis|^\.Ql params\nis", text, flags=re.M)[0]
        always, _, sometimes = text.partition(ANY)
        for name in re.sub(r"Cm |Fl ", "", title).split(" , "):
            found[name] = (members(always), members(sometimes))
    return found


ITEMS = documented()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An API, a receiver, a submitter, and some of everything in them."""
    from harness import Daemon, Sandbox

    tmp = tmp_path_factory.mktemp("world")
    sandbox = Sandbox(tmp / "api", auth=KEY).start()
    daemon = Daemon(tmp / "d").start()
    submitter = Submitter(tmp / "s", sandbox.url, f"submit.callback_url=http://127.0.0.1:{daemon.port}/callback",
                          key="live_made_up", database=daemon.database).start()

    def ctl(*arguments, stdin=None, status=0):
        options = [f"query.socket={daemon.query.path}", f"control.socket={daemon.control.path}",
                   f"submit.socket={submitter.submit.path}", f"callback.auth_keys_file={daemon.dir}/keys",
                   f"store.path={daemon.database}", f"callback.listen=127.0.0.1:{daemon.port}"]
        done = subprocess.run([str(SCALECTL), *(x for o in options for x in ("-o", o)), "--json", *map(str, arguments)],
                              capture_output=True, text=True, input=stdin, timeout=WAIT)
        assert status is None or done.returncode == status, (arguments, done.stdout, done.stderr)
        return done

    for _ in range(3):
        daemon.deliver(callback())
    body = callback()
    for _ in range(3):  # one to retry, one to discard, one to stay
        daemon.post({"task_id": body["task_id"], "response": {"category": "small"}, "n": _}, status=422)
    daemon.deliver(body)
    id = submitter.add()
    task = submitter.reaches(id, "accepted")["task_id"]
    eventually(lambda: ctl("task", task, status=None).returncode == 0, "the task is stored")
    yield types.SimpleNamespace(ctl=ctl, daemon=daemon, submitter=submitter, submission=id, task=task, folder=tmp)
    for one in (daemon, submitter):
        one.finish()
    sandbox.finish()


def check(item, text):
    objects = [json.loads(line) for line in text.splitlines()]
    assert objects, "nothing was printed"
    always, sometimes = ITEMS[item]
    for o in objects:
        assert always <= set(o), (item, always - set(o))
    return objects, always | sometimes


@pytest.mark.parametrize("item, arguments", [
    ("tasks", ["tasks"]), ("deliveries", ["deliveries"]), ("delivery", ["delivery", 4]),
    ("quarantine list", ["quarantine", "list"]), ("stats", ["stats"]), ("stats -metadata", ["stats", "--metadata", "a=b"]), ("simulate", ["simulate", "comparison"]),
    ("queue list", ["queue", "list", "--state", "accepted"]), ("queue hold", ["queue", "hold", "a reason"]),
    ("queue resume", ["queue", "resume"]), ("queue flush", ["queue", "flush"]),
    ("reconcile", ["reconcile"]), ("backfill", ["backfill"]), ("prune", ["prune", "--older-than", "30d"]), ("check-config", ["check-config"])])
def test_members(world, item, arguments):
    objects, known = check(item, world.ctl(*arguments).stdout)
    for o in objects:
        assert set(o) <= known or item == "tasks", set(o) - known


def test_members_of_a_task(world):
    done = world.daemon.query.docs("/v1/tasks?status=completed")[0]["task_id"]
    check("task", world.ctl("task", done).stdout)
    objects, known = check("task -revisions", world.ctl("task", done, "--revisions").stdout)
    assert all(set(o) <= known for o in objects)
    objects, known = check("task -deliveries", world.ctl("task", done, "--deliveries").stdout)
    assert all(set(o) <= known for o in objects)


def test_members_of_the_quarantine(world):
    numbers = [d["delivery"] for d in world.daemon.query.docs("/v1/deliveries?verdict=invalid")]
    for action in ("retry", "discard"):
        objects, known = check("-dry-run", world.ctl("quarantine", action, "--dry-run", *numbers).stdout)
        assert all(set(o) <= known for o in objects)
    check("quarantine retry", world.ctl("quarantine", "retry", numbers[0]).stdout)
    check("quarantine discard", world.ctl("quarantine", "discard", numbers[1]).stdout)


def test_members_of_submissions(world):
    objects, known = check("submit", world.ctl("submit", "categorization", "-", stdin=json.dumps(TASK)).stdout)
    assert all(set(o) <= known for o in objects)
    for item, arguments in (("queue show", ["show"]), ("queue retry", ["retry"]), ("queue drop", ["drop"])):
        world.submitter.submit.post("/v1/queue/hold")
        id = world.submitter.add()
        objects, known = check(item, world.ctl("queue", *arguments, id).stdout)
        assert all(set(o) <= known for o in objects)
    world.submitter.submit.post("/v1/queue/resume")


def test_members_of_a_file_that_is_looked_at(world):
    path = world.folder / "tasks.ndjson"
    path.write_text(json.dumps({"type": "categorization", **TASK}) + "\n")
    objects, known = check("submit -dry-run", world.ctl("submit", "--from", path, "--dry-run").stdout)
    assert set(objects[0]) <= known


def test_members_of_what_is_waited_for(world):
    done = world.daemon.query.docs("/v1/tasks?status=completed")[0]["task_id"]
    objects, known = check("wait", world.ctl("wait", done).stdout)
    assert set(objects[0]) <= known


def test_members_of_what_is_canceled(world):
    objects, known = check("tasks", world.ctl("cancel", world.task).stdout)
    assert objects[0]["status"] == "canceled"


def test_members_of_doctor_and_export(world):
    check("doctor", world.ctl("doctor", status=None).stdout)
    objects, known = check("export", world.ctl("export", "-o", world.folder / "x.jsonl").stderr)
    assert all(set(o) <= known for o in objects)


def test_members_of_events(world):
    command = [str(SCALECTL), "-o", f"query.socket={world.daemon.query.path}", "--json", "watch", "--after", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        lines = [watch.stdout.readline() for _ in range(5)]
        watch.terminate()
    objects, known = check("watch", "".join(lines))
    assert all(set(o) <= known for o in objects)


def test_members_of_view(world):
    command = [str(SCALECTL), "-o", f"query.socket={world.daemon.query.path}", "--json", "view"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as view:
        line = view.stdout.readline()
        view.terminate()
    objects, known = check("view", line)
    assert set(objects[0]) <= known


def test_every_item_is_tried():
    tried = pathlib.Path(__file__).read_text().split("def check")[1]
    for item in ITEMS:
        assert f'("{item}"' in tried or item == "cancel", item
