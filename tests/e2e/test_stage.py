"""The suite's own runner: what it says of a stage that hangs, that is killed, and of tests that fail once."""

import pathlib
import re
import subprocess

import pytest

from harness import PATIENCE, WAIT

STAGE = pathlib.Path(__file__).resolve().parent.parent / "stage.py"

FINE = "def test_fine(): pass\n"
HANGS = "import time\ndef test_hangs(): time.sleep(1000)\n"
KILLED = "import os\ndef test_killed(): os.kill(os.getpid(), 9)\n"
FAILS = "def test_fails(): assert 0\n"
FAILS_ONCE = """import pathlib
def test_fails_once():
    mark = pathlib.Path(__file__).with_suffix(".mark")
    known = mark.exists()
    mark.touch()
    assert known
"""
BREAKS = FAILS_ONCE.replace("assert known", 'assert known, "runtime error: made up"')
AT_ITS_END = """import pytest
@pytest.fixture
def ended():
    yield
    assert 0
def test_at_its_end(ended): pass
"""
SKIPPED = "import pytest\ndef test_skipped(): pytest.skip('no moon')\n"
SKIPPED_WHOLE = "import pytest\npytest.skip('no sun', allow_module_level=True)\n"
WAITS = """import sys
sys.path.insert(0, {folder!r})
from harness import PATIENCE, eventually
import time
def test_waits():
    end = time.monotonic() + 12 * PATIENCE
    eventually(lambda: time.monotonic() > end, "the end", looks=lambda: int(time.monotonic()))
""".format(folder=str(STAGE.parent / "e2e"))


@pytest.fixture
def stage(tmp_path):
    def run(*texts, patience=60 * PATIENCE):
        for n, text in enumerate(texts):
            (tmp_path / f"test_{n}.py").write_text(text)
        command = [STAGE, "--work", tmp_path / "work", "--patience", patience, "made up", "pytest", tmp_path, "-n", "2"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=4 * WAIT)
        assert not done.stderr, done.stderr
        return done.stdout, (tmp_path / "work/stage").read_text().split(), (tmp_path / "work/times").read_text()

    return run


def test_what_passed_counts_where_a_stage_is_cut(stage):
    out, counted, times = stage(FINE, HANGS, *[FINE] * 8, patience=10 * PATIENCE)
    assert counted == ["9", "1"]
    assert re.search(r"nothing moved for \d+ s, when [89] of its tests had ended", out)
    assert "running for" in out and "test_1.py::test_hangs" in out
    assert 'test_1.py", line 2 in test_hangs' in out  # where it was
    assert len(times.splitlines()) == 10


def test_what_had_not_begun_is_run_all_the_same(stage):
    out, counted, _ = stage(HANGS, HANGS, FINE, FINE, FINE, patience=10 * PATIENCE)
    assert counted == ["3", "2"], out


def test_who_waits_for_what_moves_is_not_cut(stage):
    out, counted, _ = stage(WAITS, patience=8 * PATIENCE)
    assert counted == ["1", "0"], out


def test_a_process_that_is_killed_fails_its_test_alone(stage):
    out, counted, _ = stage(FINE, KILLED, FINE)
    assert counted[0] == "2" and "test_1.py::test_killed" in out


def test_what_fails_once_is_named_and_passes(stage):
    out, counted, _ = stage(FINE, FAILS_ONCE, SKIPPED, SKIPPED_WHOLE)
    assert counted == ["2", "0"] and "1 failed beside others, 0 of them also alone" in out and "test_1.py::test_fails_once" in out
    assert "SKIPPED [1] no moon" in out and "SKIPPED [1] no sun" in out


@pytest.mark.parametrize("text", [FAILS, BREAKS, AT_ITS_END], ids=["fails", "a sanitizer's report", "at its end"])
def test_a_failure_is_one(stage, text):
    out, counted, _ = stage(FINE, text)
    assert counted == ["1", "1"] and "FAILED  made up: 1 passed, 1 failed" in out


def test_nothing_is_no_success(stage):
    out, counted, _ = stage("x = 1\n")
    assert counted == ["0", "1"]
    out, counted, _ = stage("import nothing_of_that_name\n")
    assert counted[1] == "1" and "nothing_of_that_name" in out
