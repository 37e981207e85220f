#!/usr/bin/env python3
"""Whether the tests see what is broken: `tests/mutants.py --seed N --count N --work FOLDER`.

Changes one place of the source at a time, as a slip of the hand would, builds it, and runs the tests of its room: unit
tests first, then end to end; the first that fails, alone too, kills the mutant. Of one that survives, the change is printed, for
somebody to say whether it means anything: then a test is missing, and rather a general one than one for that line. The
same seed on the same source makes the same mutants.

Not counted are those that the compiler turns into the same code, and those that don't compile (a warning is an error). Marked are those that
are likely to mean nothing: what is logged, the size of a buffer, `r < 0` where r is never 0.

Everything lies in FOLDER: a copy of HEAD's tree (`--resume` goes on with what is there), results.ndjson with a line for each
mutant, written as they come. --seconds bounds each command. A unit test that takes longer has killed the mutant; end to end it is not judged, as the machine may be at
other things."""

import argparse
import collections
import difflib
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
# A room, the suite of meson's tests whose names begin so, and files of e2e/.
ROOMS = {
    "basic": (["test-"], ["test_checks", "test_secrets", "test_cli"]),
    "json": (["test-"], ["test_json_cases", "test_verdicts"]),
    "config": (["test-settings", "test-network", "test-doctor"], ["test_service", "test_cli", "test_doctor"]),
    "task": (["test-"], ["test_verdicts", "test_submit", "test_cli"]),
    "export": (["test-export", "test-classes", "test-cues", "test-image", "test-name", "test-sizes", "test-nth"], ["test_export"]),
    "store": (["test-store", "test-commit", "test-outbox", "test-power", "test-disk", "test-reconcile", "test-backfill", "test-nth"],
              ["test_query", "test_feed", "test_control", "test_restore", "test_schema", "test_disks", "test_submit"]),
    "http": (["test-pool", "test-server", "test-reconcile", "test-nth"], ["test_checks", "test_hostile", "test_hostile_local", "test_submit_send", "test_view"]),
    "daemon": (["test-commit", "test-disk", "test-power", "test-json", "test-store"], ["test_checks", "test_service", "test_control", "test_faults", "test_disks"]),
    "query": (["test-params", "test-document"], ["test_query", "test_submit", "test_control", "test_export"]),
    "callbackd": (["test-auth", "test-metrics", "test-remote"],
                  ["test_checks", "test_feed", "test_query", "test_control", "test_service", "test_proxy", "test_export", "test_clock"]),
    "submitd": (["test-accept", "test-answer", "test-apikey", "test-back", "test-outbox", "test-outcome", "test-reconcile", "test-snooze", "test-submit", "test-waiting",
                 "test-cost", "test-json-cases", "test-nth"],
                ["test_submit", "test_submit_send", "test_submit_many", "test_submit_service", "test_submit_faults", "test_reconcile", "test_waiting"]),
    "sandbox": (["test-world", "test-backfill", "test-reconcile", "test-outbox-model"], ["test_sandbox", "test_sandbox_callbacks", "test_sandbox_client"]),
    "scalectl": (["test-"], ["test_cli", "test_cli_json", "test_cli_completion", "test_export", "test_doctor", "test_view", "test_submit_many", "test_submit_table", "test_consume", "test_wait"]),
}


def swap(*pairs):
    return [(re.compile(pattern), to) for pattern, to in pairs]


SLIPS = swap(
    (r"(?<= )<=(?= )", "<"), (r"(?<= )>=(?= )", ">"), (r"(?<= )<(?= )", "<="), (r"(?<= )>(?= )", ">="), (r"(?<= )==(?= )", "!="),
    (r"(?<= )!=(?= )", "=="), (r"(?<= )&&(?= |$)", "||"), (r"(?<= )\|\|(?= |$)", "&&"), (r"(?<=\()!(?=[a-z])", ""),
    (r"(?<=if \()(?=[a-z][\w>.-]*\))", "!"), (r"(?<=return )r(?=;)", "0"), (r"(?<=return )-E[A-Z0-9]+(?=;)", "0"), (r"\btrue\b", "false"),
    (r"\bfalse\b", "true"), (r"(?<= )\+(?= )", "-"), (r"(?<= )-(?= )", "+"), (r"(?<= )\+=(?= )", "-="), (r"\+\+", "--"),
    (r"(?<=[ (])0(?=[;,)])", "1"), (r"(?<=[ (])1(?=[;,)])", "0"), (r"(?<=[ (])([2-9]|[1-9]\d+)(?=[;,)U])", lambda m: str(int(m[1]) + 1)),
    (r"\bMIN\(", "MAX("), (r"\bMAX\(", "MIN("), (r"\bbreak;", ";"), (r"\bcontinue;", ";"),
    (r"^(\s+)((?:\(void\))?[a-z][\w>.-]*\([^;]*\)|[a-z][\w>.-]* = [^;]*);$", r"\1;"))
MEANINGLESS = re.compile(r"log_(debug|full)|assert\(|_SIZE|SIZE_MAX|\br <=? 0|_pure_|RESERVE|CAPACITY|[Ss]pare")


class Place:
    def __init__(self, path, number, line, start, end, slip):
        self.path, self.number, self.line, self.start, self.end, self.slip = path, number, line, start, end, slip

    def changed(self):
        pattern, to = SLIPS[self.slip]
        return self.line[:self.start] + pattern.sub(to, self.line[self.start:], 1) if self.start == 0 else (
            self.line[:self.start] + (to if isinstance(to, str) else to(pattern.search(self.line, self.start))) + self.line[self.end:])


def places(source, rooms):
    """All places where a hand could slip: none within texts, comments, declarations and what the preprocessor reads."""
    for path in sorted((source / "src").rglob("*.c")):
        if rooms and path.relative_to(source / "src").parts[0] not in rooms:
            continue
        comment = before_brace = False
        for number, line in enumerate(path.read_text().split("\n")):
            comment = comment or line.strip().startswith("/*")
            inside, comment = comment, comment and "*/" not in line
            if inside or not line.startswith("        ") or line.lstrip().startswith(("#", "*", '"', "{ \"")):
                continue
            bare = re.sub(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|/\*.*?\*/', lambda m: "~" * len(m[0]), line)
            for slip, (pattern, _) in enumerate(SLIPS):
                for match in pattern.finditer(bare):
                    yield Place(path.relative_to(source), number, line, match.start(), match.end(), slip)


class Killed(Exception):
    pass


class Bench:
    def __init__(self, options):
        self.work, self.seconds = options.work, options.seconds
        self.source, self.build = self.work / "source", self.work / "build"
        self.env = {**os.environ, "SCALE_BUILD": str(self.build), "MODEL_SEQUENCES": "200", "POWER_STATES": "300", "PATIENCE": "0.4",
                    "TMPDIR": str(self.work / "tmp"), "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": "-p no:cacheprovider"}

    def run(self, *command):
        """Output, exit status; None: it took too long."""
        with open(self.work / "output", "w+b") as output:
            process = subprocess.Popen(list(map(str, command)), stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=self.env, cwd=self.source,
                                       start_new_session=True)
            try:
                status = process.wait(self.seconds)
            except subprocess.TimeoutExpired:
                status = None
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
            output.seek(0)
            return output.read().decode(errors="replace"), status

    def prepare(self, resume):
        self.work.mkdir(parents=True, exist_ok=True)
        (self.work / "tmp").mkdir(exist_ok=True)
        if resume and self.build.exists():
            subprocess.run(["git", "-C", self.source, "checkout", "-q", "."], check=True)
            return
        subprocess.run(["git", "clone", "-q", "--no-hardlinks", TOP, self.source], check=True)
        text, status = self.run("meson", "setup", self.build, self.source, "-Dwerror=true", "-Ddebug=false")
        if status == 0:
            text, status = self.compile()
        if status != 0:
            sys.exit(text[-3000:])

    def compile(self):
        return self.run("ninja", "-C", self.build)

    def object_of(self, path):
        return next(self.build.glob(f"src/**/{'_'.join(path.parts[2:])}.o"), None) or next(self.build.glob(f"src/**/{path.name}.o"))

    def code(self, path):
        """What the compiler made of it."""
        target = self.object_of(path)
        return subprocess.run(["objdump", "-drs", "-j", ".text", "-j", ".rodata", "-j", ".data", "-j", ".data.rel.ro.local", target], capture_output=True).stdout

    def unit(self, begin):
        listed = subprocess.run(["meson", "test", "-C", self.build, "--list", "--suite", "unit"], capture_output=True, text=True).stdout
        names = sorted({line.split("/")[-1].strip() for line in listed.splitlines() if "test-" in line})
        names = [n for n in names if n.startswith(tuple(begin))]
        text, status = self.run("meson", "test", "-C", self.build, "--no-rebuild", "--maxfail", "1", *names)
        if status != 0:
            failed = re.findall(r"(test-[\w-]+)\s+(?:FAIL|TIMEOUT|ERROR)", text) or ["timeout"]
            again = self.run("meson", "test", "-C", self.build, "--no-rebuild", failed[0]) if failed[0] != "timeout" else ("", None)
            if again[1] != 0:
                raise Killed(failed[0])

    def end_to_end(self, files):
        skipped = []
        for _ in range(3):
            text, status = self.run("/usr/bin/python3", "-m", "pytest", "-q", "-x", "-n", "3", *(f"tests/e2e/{f}.py" for f in files),
                                    *(f"--deselect={s}" for s in skipped))
            if status is None:
                raise TimeoutError(f"end to end: more than {self.seconds} s")
            failed = re.findall(r"^(?:FAILED|ERROR) (\S+(?:\[[^\]]*\])?)", text, re.M)
            if not failed:
                return
            if self.run("/usr/bin/python3", "-m", "pytest", "-q", failed[0])[1] != 0:
                raise Killed(failed[0])
            skipped.append(failed[0])

    def judge(self, place):
        path = self.source / place.path
        text, was = path.read_text(), self.code(place.path)
        lines = text.split("\n")
        lines[place.number] = place.changed()
        path.write_text("\n".join(lines))
        try:
            message, status = self.compile()
            if status != 0:
                return "does not compile" if status else "killed", "the build"
            if self.code(place.path) == was:
                return "same code", ""
            units, ends = ROOMS[place.path.parts[1]]
            self.unit(units)
            self.end_to_end(ends)
            return "survived", ""
        except Killed as killed:
            return "killed", str(killed)
        except TimeoutError as late:
            return "not judged", str(late)
        finally:
            path.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=150, help="how many that compile to something else")
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--seconds", type=float, default=300, help="for each command")
    parser.add_argument("--rooms", nargs="*", default=[])
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--list", action="store_true", help="say what would be changed")
    options = parser.parse_args()
    options.work = options.work.resolve()
    bench = Bench(options)
    bench.prepare(options.resume)
    # A line each at first, so that a room counts by how much it says, not by how it is written.
    found = collections.defaultdict(list)
    for place in places(bench.source, options.rooms):
        found[place.path, place.number].append(place)
    dice = random.Random(options.seed)
    lines = sorted(found)
    dice.shuffle(lines)
    count, judged = collections.Counter(), set()
    if options.resume and (options.work / "results.ndjson").exists():
        for line in (options.work / "results.ndjson").read_text().splitlines():
            count[json.loads(line)["outcome"]] += 1
            judged.add(json.loads(line)["diff"])
    with open(options.work / "results.ndjson", "a") as results:
        for line in lines:
            if count["killed"] + count["survived"] >= options.count:
                break
            place = dice.choice(found[line])
            diff = f"{place.path}:{place.number + 1}\n-{place.line}\n+{place.changed()}"
            if diff in judged:
                continue
            if options.list:
                count["survived"] += 1
                print(diff)
                continue
            since = time.monotonic()
            outcome, by = bench.judge(place)
            count[outcome] += 1
            suspect = bool(MEANINGLESS.search(place.line))
            results.write(json.dumps({"outcome": outcome, "by": by, "diff": diff, "suspect": suspect, "seconds": round(time.monotonic() - since)}) + "\n")
            results.flush()
            print(f"{outcome}{' (means nothing?)' if suspect and outcome == 'survived' else ''}: {by or diff}", flush=True)
    total = count["killed"] + count["survived"]
    print(f"{total} mutants with seed {options.seed}: {count['killed']} killed, {count['survived']} survived; "
          f"{count['same code']} were the same code, {count['does not compile']} did not compile")
    return 0


if __name__ == "__main__":
    sys.exit(main())
