"""Files of tasks that are tables, and files that are only looked at."""

import json
import subprocess

import pytest

from harness import PARAMS, SCALECTL, WAIT


def run(submitter, path, *more, status=0):
    done = subprocess.run([SCALECTL, "-o", f"submit.socket={submitter.submit.path}", *(m for m in more if m == "--json"), "submit",
                           "--from", str(path), *(m for m in more if m != "--json")], capture_output=True, text=True, timeout=WAIT)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return done


@pytest.fixture
def held(make_submitter):
    submitter = make_submitter().start()
    submitter.submit.post("/v1/queue/hold")
    return submitter


def params(submitter):
    docs = sorted(submitter.submit.docs("/v1/submissions"), key=lambda d: d["created_at"])
    return [submitter.submission(d["submission_id"])["params"] for d in docs]


def without_metadata(p):
    return {name: value for name, value in p.items() if name not in ("metadata", "callback_url")}


HEADER = "type,instruction,attachment_type,attachment,categories,categories,metadata.batch,urgency\n"
ROW = 'categorization,"Big, or ""small""?\nSay",text,car,big,small,7,\n'


def test_a_table(held, tmp_path):
    path = tmp_path / "tasks.csv"
    path.write_text(HEADER + ROW + "\n" + ",,,,,,,\n" + ROW.replace("car", "bus") + "\n")
    assert run(held, path).stdout == f"{path}: 2 in the outbox, 0 refused\n"
    first, second = sorted(params(held), key=lambda p: p["attachment"], reverse=True)
    assert first["instruction"] == 'Big, or "small"?\nSay' and first["categories"] == ["big", "small"]
    assert first["attachment"] == "car" and second["attachment"] == "bus"
    assert first["metadata"]["batch"] == "7" and "urgency" not in first
    assert run(held, path).stdout == f"{path}: 2 in the outbox (2 of them before), 0 refused\n"


def test_the_same_as_lines_of_json(held, tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text("type,instruction,attachment_type,attachment,fields.title,fields[year],metadata.a\n"
                    "datacollection,What?,text,x,A title,The year,b\n")
    lines = tmp_path / "lines.ndjson"
    lines.write_text(json.dumps({"type": "datacollection", "instruction": "What?", "attachment_type": "text", "attachment": "x",
                                 "fields": {"title": "A title", "year": "The year"}, "metadata": {"a": "b"}}) + "\n")
    run(held, rows, "--batch", "one")
    assert "(1 of them before)" in run(held, lines, "--batch", "one").stdout
    [p] = params(held)
    assert p["fields"] == {"title": "A title", "year": "The year"}


@pytest.mark.parametrize("separator, suffix", [(";", "csv"), ("\t", "tsv"), (",", "CSV")])
def test_as_spreadsheets_write_it(held, tmp_path, separator, suffix):
    path = tmp_path / f"tasks.{suffix}"
    header = ["type", "instruction", "attachment_type", "attachment", "objects_to_annotate", "min_width", "with_labels"]
    row = ["annotation", '"Draw, please; now"', "image", "http://example.com/a.jpg", "car", "30", "true"]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([separator.join(header), separator.join(row), ""]).encode())
    run(held, path)
    [p] = params(held)
    assert without_metadata(p) == {"instruction": "Draw, please; now", "attachment_type": "image", "min_width": 30,
                                   "attachment": "http://example.com/a.jpg", "objects_to_annotate": ["car"], "with_labels": True}


def test_cells_of_json(held, tmp_path):
    path = tmp_path / "tasks.csv"
    path.write_text('type,instruction,attachment_type,attachment,categories,metadata\n'
                    'categorization,{},text,[a],"[""big"", ""small""]","{""batch"": 7}"\n')
    run(held, path)
    [p] = params(held)
    assert (p["instruction"], p["attachment"], p["categories"], p["metadata"]["batch"]) == ("{}", "[a]", ["big", "small"], 7)
    path.write_text('type,instruction,attachment_type,attachment,categories,categories\n'
                    'categorization,a,text,b,"[""big"", ""small""]",large\n')
    assert "categories: given as JSON, and in other columns too" in run(held, path, "--batch", "b", status=65).stderr


@pytest.mark.parametrize("row, says", [
    ("categorization,a,text,car,big,small,1,,more", "cell 9 has no name in the header"),
    ("categorisation,a,text,car,big,small,1,", "expected the name of a type"),
    (",a,text,car,big,small,1,", "expected the name of a type"),
    ("categorization,a,text,car,big,small,1,dya", "urgency"),
    ("categorization,a,text,car,big,small,\udcff,", "UTF-8"),
    ("categorization,a,text,car,big,small,a\0b,", "UTF-8"),
    ("categorization,a,text,car,big,small," + "x" * 1100000 + ",", "at most 1 MiB"),
    ("categorization,a,text," + "\x01" * 600000 + ",big,small,1,", "a task of at most 1 MiB"),
    ('categorization,a,text,car,big,small,"1,', "never ends"),
], ids=["cells", "type", "no-type", "name", "bytes", "nul", "long", "long-as-json", "quote"])
def test_rows_that_are_refused(held, tmp_path, row, says):
    path = tmp_path / "tasks.csv"
    good = 'categorization,a,text,car,big,small,1,\n'
    path.write_bytes((HEADER + good + row + "\n" + ("" if "never" in says else good)).encode(errors="surrogateescape"))
    done = run(held, path, status=65)
    assert f"{path}, line 3:" in done.stderr and says in done.stderr
    n = 1 if "never" in says else 2
    assert f"{n} in the outbox, 1 refused" in done.stdout


@pytest.mark.parametrize("text", ["", "instruction,categories\na,b\n", "\0\n", '"type\n'])
def test_a_header_that_is_none(held, tmp_path, text):
    path = tmp_path / "tasks.csv"
    path.write_text(text)
    assert "expected a header" in run(held, path, status=65).stderr
    assert params(held) == []


# Looking alone.


def line(**more):
    return json.dumps({"type": "categorization", "instruction": "Big or small?", **PARAMS, **more}) + "\n"


def test_every_problem_is_told_and_nothing_is_sent(held, tmp_path):
    path = tmp_path / "tasks.ndjson"
    path.write_text(line() + line(urgency="dya") + "{\n" + line(categories=["big"], metadata={"scale_submission_id": "x"}) +
                    line(unheard_of=1) + line(type="nosuch") + line(idempotency_key="a b"))
    done = run(held, path, "--dry-run", status=65)
    assert done.stdout.splitlines()[0] == f"{path}: 2 would be taken, 5 refused; nothing was sent"
    sent = run(held, path, status=65)
    for number in (2, 3, 4, 5, 6, 7):
        assert f"{path}, line {number}:" in done.stderr and f"{path}, line {number}:" in sent.stderr
    assert "would be taken, but look at this" in done.stderr and "unheard_of" in done.stderr
    told = {text.split(": ", 1)[1] for text in done.stderr.splitlines() if text.startswith("scalectl:   ")}
    assert told and all(text in sent.stderr for text in told if "type" not in text and "ASCII" not in text)


def test_looking_changes_nothing(held, tmp_path):
    path = tmp_path / "tasks.csv"
    path.write_text(HEADER + ROW * 3)
    done = run(held, path, "--dry-run")
    assert done.stdout.splitlines() == [f"{path}: 3 would be taken, 0 refused; nothing was sent",
                                        "no live task: the submitter has a test key"]
    assert params(held) == [] and [p.name for p in tmp_path.iterdir() if p.is_file()] == ["tasks.csv"]


def test_a_hundred_problems_are_told(held, tmp_path):
    path = tmp_path / "tasks.ndjson"
    path.write_text(line(urgency="dya") * 100)
    assert run(held, path, "--dry-run", status=65).stderr.count("line ") == 100


def test_what_it_would_cost(make_submitter, tmp_path):
    submitter = make_submitter("submit.live_per_day=10", key="live_made_up_0123456789").start()
    path = tmp_path / "tasks.ndjson"
    path.write_text(line() * 12)
    assert run(submitter, path, "--dry-run").stdout.splitlines()[1:] == [
        "12 live tasks, less those that are in the outbox already", "10 of the 10 live tasks of today are left"]
    assert json.loads(run(submitter, path, "--dry-run", "--json").stdout) == {
        "tasks": 12, "refused": 0, "is_test": False, "live_today": 0, "live_per_day": 10}
    submitter.stop()
    done = run(submitter, path, "--dry-run")
    assert "the submitter does not answer" in done.stdout


def test_only_a_file_can_be_looked_at(held):
    done = subprocess.run([SCALECTL, "submit", "categorization", "-d", "a=b", "--dry-run"], capture_output=True, text=True)
    assert done.returncode == 64
