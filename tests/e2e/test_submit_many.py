"""Files of tasks, interrupted: what comes after goes on where it was."""

import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import tempfile
import time

import pytest

from harness import PARAMS, SCALECTL, WAIT, eventually

LINES = 5000
AT_ONCE = 64  # and more than a run ever has under way


def line(number, **more):
    return json.dumps({"type": "categorization", "instruction": "Big or small?", **PARAMS, "attachment": f"car {number}", **more})


@pytest.fixture
def held(make_submitter):
    submitter = make_submitter().start()
    submitter.submit.post("/v1/queue/hold")
    return submitter


class Run:
    """One run of `scalectl submit --from`."""

    def __init__(self, submitter, path, *more, stdin=None):
        self.submitter = submitter
        self.out = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([SCALECTL, "-o", f"submit.socket={submitter.submit.path}", "--json", "submit", "--from",
                                         str(path), *more], stdin=stdin, stdout=self.out, stderr=subprocess.PIPE, text=True)

    def end(self):
        self.err = self.process.communicate(timeout=WAIT)[1]
        self.out.seek(0)
        self.ids = [json.loads(text)["submission_id"] for text in self.out if text.endswith("}\n")]
        self.out.close()
        return self.process.returncode


def queued(submitter):
    return submitter.submit.get("/v1/queue").json["by_state"]["queued"]


def handed_in(submitter):
    """How often a task was handed in since the submitter started, known or not."""
    metrics = submitter.submit.get("/metrics").body.decode()
    return sum(int(float(text.rsplit(" ", 1)[1])) for text in metrics.splitlines()
               if text.startswith(("scale_submitd_submitted_total", "scale_submitd_replayed_total")))


def progress_of(path):
    return path.with_name(path.name + ".progress")


@pytest.fixture
def tasks(tmp_path):
    path = tmp_path / "tasks.ndjson"
    path.write_text("".join(line(n) + "\n" for n in range(LINES)))
    return path


def cut(submitter, path, *more):
    """A run that ends because the submitter is killed, when some is in the outbox. The submitter is there again."""
    run = Run(submitter, path, "--patience", "0", *more)
    before = queued(submitter)
    eventually(lambda: queued(submitter) >= before + 500, "some are in the outbox", lambda: queued(submitter))
    submitter.kill()
    assert run.end() in (69, 75), run.err
    submitter.start()
    return run


def whole(submitter, runs, n=LINES):
    """Each line once, and each was told by one of the runs."""
    assert queued(submitter) == n
    told = [id for run in runs for id in run.ids]
    assert len(set(told)) == n, len(set(told))


def test_a_run_waits_for_the_submitter_and_goes_on(held, tasks):
    """Restarted all the time: one run, to its end, and hardly a line is sent twice."""
    run, kills = Run(held, tasks), 0

    def kill():
        nonlocal kills
        # Who has answered nothing yet is not waited for; of more than can be under way at once, some were answered.
        before = queued(held) if kills else AT_ONCE
        eventually(lambda: queued(held) > before or run.process.poll() is not None, "it goes on")
        held.kill()
        kills += 1
        time.sleep(0.1)
        held.start()
        return run.process.poll() is not None or kills >= 10

    eventually(kill, "the end", lambda: queued(held))
    assert run.end() == 0, run.err
    assert kills >= 3 and "waiting for it, 60 s at most" in run.err
    whole(held, [run])
    assert not progress_of(tasks).exists()


def test_nobody_is_waited_for_who_was_never_there(make_submitter, tasks):
    run = Run(make_submitter(), tasks)
    assert run.end() == 69 and "is scale-submitd running" in run.err


def test_patience_ends(held, tasks):
    run = Run(held, tasks, "--patience", "300ms")
    eventually(lambda: queued(held) > 0, "some are in the outbox")
    held.kill()
    assert run.end() in (69, 75)
    assert "run it again" in run.err
    held.start()


def test_a_later_run_goes_on_where_an_earlier_one_was(held, tasks):
    first = cut(held, tasks)
    done = queued(held)
    second = Run(held, tasks)
    assert second.end() == 0, second.err
    assert "going on behind" in second.err
    assert handed_in(held) <= LINES - done + 200  # what was under way, and what was not written down yet
    whole(held, [first, second])
    assert not progress_of(tasks).exists()


def test_a_run_that_is_killed_is_gone_on_with(held, tasks):
    run = Run(held, tasks)
    eventually(lambda: progress_of(tasks).exists() or run.process.poll() is not None, "something is written down")
    run.process.kill()
    run.end()
    if not progress_of(tasks).exists():
        pytest.skip("SKIPPED: all of it was submitted within a moment")
    second = Run(held, tasks)
    assert second.end() == 0 and "going on behind" in second.err
    assert queued(held) == LINES


def test_lines_may_be_changed_between_two_runs(held, tasks):
    """Whatever was moved, added, doubled or taken out: each line is there as often as it stands in the file."""
    first = cut(held, tasks)
    done = queued(held)
    lines = tasks.read_text().splitlines()
    changed = [line("new")] + lines[1000:] + [lines[0], lines[0], line("last")] + lines[2:1000]
    tasks.write_text("".join(text + "\n" for text in changed))
    second = Run(held, tasks)
    assert second.end() == 0, second.err
    assert queued(held) == LINES + 3  # the line taken out is there from before, and line 0 came twice
    assert handed_in(held) <= LINES - done + 203
    assert len(set(first.ids) | set(second.ids)) == LINES + 3


def test_another_outbox_is_told_everything(held, make_submitter, tasks):
    cut(held, tasks)
    other = make_submitter().start()
    other.submit.post("/v1/queue/hold")
    run = Run(other, tasks)
    assert run.end() == 0, run.err
    assert "does not know what an earlier run" in run.err
    whole(other, [run])


def test_an_outbox_that_was_turned_back_is_told_everything(held, tasks, tmp_path):
    """Restored from a copy that was made in the middle of the run."""
    run = Run(held, tasks, "--patience", "0")
    eventually(lambda: queued(held) >= 200, "some are in the outbox", lambda: queued(held))
    copy = sqlite3.connect(tmp_path / "copy.db")
    source = sqlite3.connect(held.database)
    source.backup(copy)
    source.close()
    copied = copy.execute("SELECT count(*) FROM submission").fetchone()[0]
    copy.close()
    eventually(lambda: queued(held) >= copied + 300 or run.process.poll() is not None, "more are")
    held.kill()
    run.end()
    for suffix in ("-wal", "-shm"):
        pathlib.Path(f"{held.database}{suffix}").unlink(missing_ok=True)
    shutil.copy(tmp_path / "copy.db", held.database)
    held.start()
    again = Run(held, tasks)
    assert again.end() == 0, again.err
    assert f"{copied} submissions that were queued in it may have been sent since" in held.new_log()
    eventually(lambda: queued(held) == LINES, "all are queued, also what was looked for first", lambda: queued(held))
    assert "does not know" in again.err


def test_another_batch_is_another(held, tasks):
    cut(held, tasks)
    done = queued(held)
    run = Run(held, tasks, "--batch", "another")
    assert run.end() == 0, run.err
    assert len(run.ids) == LINES and queued(held) == done + LINES


def test_refused_lines_are_told_again(held, tasks):
    with open(tasks, "r+") as file:
        text = file.read()
        file.seek(0)
        file.write('{"type": "categorization"}\n' + text)
    first = cut(held, tasks)
    assert "line 1:" in first.err
    second = Run(held, tasks)
    assert second.end() == 65 and "line 1:" in second.err
    assert queued(held) == LINES and not progress_of(tasks).exists()


def test_where_nothing_can_be_written_it_says_so(held, tasks):
    """Nothing else changes: a later run asks about each line."""
    progress_of(tasks).mkdir()
    first = cut(held, tasks)
    assert "can't be written" in first.err and "begins at the first line" in first.err
    second = Run(held, tasks)
    assert second.end() == 0, second.err
    assert handed_in(held) == LINES and queued(held) == LINES
    whole(held, [first, second])


def test_what_is_not_ours_stays(held, tasks):
    progress_of(tasks).write_text("Monday: 40 %\n")
    first = cut(held, tasks)
    assert "it is something else" in first.err
    assert Run(held, tasks).end() == 0
    assert progress_of(tasks).read_text() == "Monday: 40 %\n"


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b[: len(b) // 2] + b"\0" * 4096, lambda b: b"",
                                    lambda b: b.replace(b":1\n", b":x\n")], ids=["cut", "zeroes", "empty", "no numbers"])
def test_a_damaged_record_costs_work_and_no_line(held, tasks, damage):
    first = cut(held, tasks)
    progress_of(tasks).write_bytes(damage(progress_of(tasks).read_bytes()))
    second = Run(held, tasks)
    assert second.end() == 0, second.err
    whole(held, [first, second])


def test_two_runs_at_once(held, tasks):
    runs = [Run(held, tasks), Run(held, tasks)]
    assert [run.end() for run in runs] == [0, 0], runs[0].err + runs[1].err
    whole(held, runs)
    assert not progress_of(tasks).exists()


def test_standard_input_waits_too(held, tasks):
    """There is nothing to write beside; the rest is the same."""
    with open(tasks) as file:
        run = Run(held, "-", "--batch", "b", stdin=file)
        eventually(lambda: queued(held) > 0, "some are in the outbox")
        held.kill()
        held.start()
        assert run.end() == 0, run.err
    whole(held, [run])
    assert sorted(os.listdir(tasks.parent)) == sorted({p.name for p in tasks.parent.iterdir() if not p.name.endswith(".progress")})
