"""Completion in real shells, with a daemon to ask for ids."""

import json
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import time

import pytest

from harness import SCALECTL, WAIT, callback, eventually

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "conf/completion"
ENV = {**os.environ, "PATH": f"{SCALECTL.parent}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}

COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
_scalectl scalectl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def split(line):
    """As bash does it with its COMP_WORDBREAKS: at spaces, and "=" and ":" are words of their own."""
    words = [w for part in line.split(" ") for w in ([x for x in re.split(r"([=:]+)", part) if x] or [""])]
    return words + [""] if line.endswith("=") else words


def complete(line, options=(), cwd=None):
    words = ["scalectl", *(w for o in options for w in split(f"-o {o}")), *split(line)]
    done = subprocess.run(["bash", "--norc", "-c", COMPLETE, "bash", str(FOLDER / "scalectl.bash"), *words],
                          capture_output=True, text=True, timeout=WAIT, env=ENV, cwd=cwd)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout.split("\n")[:-1] if done.stdout != "\n" else []


def words(verb=None):
    rows = [line.split("\t") for line in subprocess.run([SCALECTL, "words", *([verb] if verb else [])], text=True,
                                                        capture_output=True).stdout.splitlines()]
    return [row[0] for row in rows if row[0] not in "1+"]


def test_verbs():
    assert complete("") == words()
    assert complete("qu") == ["queue", "quarantine"] or complete("qu") == ["quarantine", "queue"]
    assert complete("--json que") == ["queue"] and complete("--config=x --utc que") == ["queue"]
    assert complete("nonsense ") == [] and complete("nonsense --") == []


def test_global_options_are_those_of_the_help():
    text = subprocess.run([SCALECTL, "--help"], capture_output=True, text=True).stdout.split("\n\n")[-2]
    named = set(re.findall(r"(?<![\w-])(--?[a-z]+)(?=[\s=,])", text))
    assert set(complete("-")) == named
    assert set(re.search(r"compadd -- (.*)", (FOLDER / "_scalectl").read_text())[1].split()) == named


@pytest.mark.parametrize("verb", words())
def test_options_of_each_verb(verb):
    assert sorted(complete(f"{verb} --")) == sorted(w for w in words(verb) if w.startswith("--"))
    assert set(complete(f"{verb} something -")) >= set(words(verb))


def test_words_of_options():
    assert complete("tasks --status ") == ["pending", "completed", "canceled", "error"]
    assert complete("tasks --status=c") == ["completed", "canceled"]
    assert complete("tasks --status=") == ["pending", "completed", "canceled", "error"]
    assert complete("tasks -n 5 --type au") == ["audiotranscription"]
    assert complete("deliveries --verdict d") == ["duplicate", "discarded"]
    assert complete("queue list --state q") == ["queued"]
    assert complete("export --format c") == ["coco", "csv"] or set(complete("export --format c")) == {"csv", "coco", "ctm"}
    assert complete("tasks --metadata ") == [] and complete("tasks -n ") == []
    assert complete("tasks --raw --status p") == ["pending"]  # what is no option there takes no value


def test_words_of_arguments():
    assert complete("quarantine r") == ["retry"] and complete("quarantine --dry-run d") == ["discard"]
    assert complete("queue ") == ["list", "show", "retry", "drop", "hold", "resume", "flush"]
    assert complete("queue hold ") == [] and complete("queue resume ") == []
    assert complete("simulate attach") == ["attachment_failure"] and complete("submit comp") == ["comparison"]
    assert complete("stats ") == []


def test_files(tmp_path):
    (tmp_path / "boxes.json").touch()
    (tmp_path / "box s").mkdir()
    assert complete("backup box", cwd=tmp_path) == ["box s", "boxes.json"] or \
        sorted(complete("backup box", cwd=tmp_path)) == ["box s", "boxes.json"]
    assert complete("export --images b", cwd=tmp_path) == ["box s"]
    assert complete("export --format coco -o boxe", cwd=tmp_path) == ["boxes.json"]
    assert complete("--config boxe", cwd=tmp_path) == ["boxes.json"]
    assert complete("--config=boxe", cwd=tmp_path) == ["boxes.json"]


@pytest.fixture
def options(daemon):
    return [f"query.socket={daemon.query.path}", f"control.socket={daemon.control.path}"]


def test_ids(daemon, options, make_submitter):
    ids = [daemon.deliver(callback())["task_id"] for _ in range(60)]
    daemon.post("{", status=400)
    assert complete("task ", options) == ids[:9:-1]  # the newest 50
    assert complete(f"task {ids[-1]}", options) == [ids[-1]]
    assert complete(f"export --task {ids[-1]}", options) == [ids[-1]]
    assert complete("delivery ", options) == ["61"] and complete("quarantine discard ", options) == ["61"]
    assert complete("quarantine list ", options) == []
    submitter = make_submitter().start()
    submitter.submit.post("/v1/queue/hold")
    id = submitter.add()
    assert complete("queue drop ", [f"submit.socket={submitter.submit.path}"]) == [id]
    assert complete("cancel ", [f"submit.socket={submitter.submit.path}"]) == [id]


def test_ids_are_never_commands(daemon, options, tmp_path):
    """What others sent becomes words of a shell."""
    for id in ("$(touch$IFS\"x\")", "`touch${IFS}x`", "a;touch x", "${PATH}", "a\nb"):
        daemon.post(callback(id=id))
    good = daemon.deliver(callback())["task_id"]
    assert complete("task ", options, cwd=tmp_path) == [good]
    assert list(tmp_path.glob("x*")) == []


def test_nobody_waits(tmp_path):
    """For a daemon that does not answer."""
    import socket

    path = tmp_path / "q.sock"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))
        s.listen()
        before = time.monotonic()
        assert complete("task ", [f"query.socket={path}"]) == []
        assert time.monotonic() - before < 50  # and not a query's own minute
    assert complete("task ", [f"query.socket={tmp_path}/none"]) == []


# zsh: typed at a terminal.

class Zsh:
    def __init__(self, folder, functions):
        rc = folder / "zdot"
        rc.mkdir()
        self.out = folder / "buffer"
        (rc / ".zshrc").write_text(
            f"fpath=({functions} $fpath)\nautoload -U compinit\ncompinit -u -D\nPS1='> '\n"
            f"dump() {{ print -r -- \"$BUFFER\" > {self.out}.new; mv {self.out}.new {self.out}; BUFFER= }}\n"
            "zle -N dump\nbindkey '^X' dump\nprint ready\n")
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe("zsh", ["zsh", "-i"], {**ENV, "ZDOTDIR": str(rc), "TERM": "vt100", "COLUMNS": "500"})
        self.drain_until(b"ready")

    def drain_until(self, what):
        seen, end = b"", time.monotonic() + WAIT
        while what not in seen:
            assert time.monotonic() < end, seen
            if select.select([self.terminal], [], [], 0.1)[0]:
                seen += os.read(self.terminal, 4096)

    def complete(self, line):
        self.out.unlink(missing_ok=True)
        os.write(self.terminal, line.encode() + b"\t\x18")

        def look():
            if select.select([self.terminal], [], [], 0)[0]:
                os.read(self.terminal, 65536)
            return self.out.exists()

        eventually(look, f"a completion of {line}")
        return self.out.read_text().rstrip("\n")

    def close(self):
        os.close(self.terminal)
        os.waitpid(self.pid, 0)


@pytest.fixture
def zsh(tmp_path):
    if not shutil.which("zsh"):
        pytest.skip("zsh is not installed")
    shell = Zsh(tmp_path, FOLDER)
    yield shell
    shell.close()


def test_zsh(zsh, daemon, options, tmp_path):
    id = daemon.deliver(callback())["task_id"]
    daemon.post("{", status=400)
    (tmp_path / "boxes.json").touch()
    o = "".join(f"-o {x} " for x in options)
    for line, wanted in [
            ("quar", "quarantine "), ("tasks --sta", "tasks --status "), ("tasks --status comp", "tasks --status completed "),
            ("tasks --status=comp", "tasks --status=completed "), ("tasks --type audio", "tasks --type audiotranscription "),
            ("queue dr", "queue drop "), ("export --format co", "export --format coco "), ("--ut", "--utc "),
            ("export -o box", "export -o boxes.json "), ("simulate attach", "simulate attachment_failure "),
            (f"{o}task {id[:20]}", f"{o}task {id} "), (f"{o}quarantine discard ", f"{o}quarantine discard 2 "),
            ("deliveries --verdict inv", "deliveries --verdict invalid ")]:
        assert zsh.complete(f"scalectl {line}").rstrip() == f"scalectl {wanted}".rstrip()
