#!/usr/bin/env python3
"""Runs one stage of the suite and says how it went, for people on standard output, and for ./quickstart in a file.

    stage.py OPTIONS NAME pytest PATH [OPTION...]        pytest; what fails is run once more, alone
    stage.py OPTIONS NAME command COMMAND [ARGUMENT...]  something that runs pytest with the plugin, elsewhere
    stage.py OPTIONS NAME meson FOLDER [ARGUMENT...]     meson's tests

How long it takes is not judged: a slow machine is slow. A run of pytest is cut when nothing has moved for --patience
seconds: no test began, none ended, and none said that what it waits for is on its way (see harness.py). Then what passed
has passed, what was running has failed and is named with its time and its stacks, and what had not begun is run by another
pytest."""

import argparse
import collections
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent


class Run:
    """One process that writes results, watched."""

    def __init__(self, command, root, work, name, patience, signals):
        self.command, self.root, self.patience, self.signals = [str(c) for c in command], root, patience, signals
        self.log, self.results = work / f"{name}.log", work / f"{name}.results"
        self.cut = False

    def stacks(self):
        """The files with the stacks of its processes."""
        return sorted(self.results.parent.glob(f"{self.results.name}.*"))

    def go(self):
        for path in self.stacks():
            path.unlink()
        self.results.write_text("")
        env = {**os.environ, "STAGE_RESULTS": str(self.results),
               "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))}
        with open(self.log, "wb") as log:
            process = subprocess.Popen(self.command, stdout=log, stderr=log, cwd=self.root, env=env, start_new_session=True)
            try:
                self.watch(process)
            finally:
                self.end(process)
        return self

    def watch(self, process):
        """Until it ends, or nothing moves."""
        seen, since = None, time.monotonic()
        while process.poll() is None:
            moved = self.results.stat().st_mtime_ns
            if moved != seen:
                seen, since = moved, time.monotonic()
            if time.monotonic() - since > self.patience:
                self.cut = True
                return
            try:
                process.wait(0.5)
            except subprocess.TimeoutExpired:
                pass

    def end(self, process):
        """Told to leave, then killed, with all that it started."""
        self.ended, self.running, self.collected = self.read()
        for number, seconds in self.signals if process.poll() is None else ():
            try:
                os.killpg(process.pid, number)
                process.wait(seconds)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()

    def read(self):
        """What was written: the outcomes of the tests that ended, since when others run, and which there are."""
        ended, running, collected = {}, {}, []
        for line in self.results.read_text().splitlines():
            try:
                line = json.loads(line)
            except ValueError:  # the last one, of a process that was killed
                break
            if "began" in line:
                running[line["began"]] = line["time"]
            if "ended" in line:
                running.pop(line["ended"], None)
                ended[line["ended"]] = line
            collected = line.get("collected", collected)
        return ended, {test: time.time() - at for test, at in running.items()}, collected

    def outcomes(self):
        """What ran, and what had not begun."""
        ran = {**self.ended, **{test: {"outcome": "failed", "seconds": seconds, "final": self.cut}
                                for test, seconds in self.running.items()}}
        return ran, [test for test in self.collected if test not in ran]


class Stage:
    def __init__(self, options):
        self.name, self.work, self.patience = options.name, options.work, options.patience
        self.root = TOP
        self.since, self.outcomes, self.shown = time.monotonic(), {}, []  # shown: what people see when it failed

    def say(self, word, text):
        print(f"{word:7} {self.name}: {text}", flush=True)

    def show(self, path, lines=120):
        self.shown += path.read_text(errors="replace").splitlines()[-lines:]

    def run(self, command, file, signals):
        """What is left of it: what had not begun when it was cut."""
        run = Run(command, self.root, self.work, file, self.patience, signals).go()
        outcomes, left = run.outcomes()
        self.outcomes |= outcomes
        if run.cut:
            self.say("CUT", f"nothing moved for {self.patience:.0f} s, when {len(run.ended)} of its tests had ended and "
                     f"{len(left)} had not begun" + "".join(f"\n        running for {s:.0f} s: {test}"
                                                           for test, s in run.running.items()))
            for path in run.stacks():
                self.shown += [line for line in path.read_text().splitlines() if "/usr/lib/" not in line]
        elif left:
            self.say("CUT", f"it ended by itself before {len(left)} of its tests had begun")
        if run.cut or left or not outcomes or self.failed():
            self.show(run.log)
        return left, bool(outcomes)

    def give_up(self, tests):
        self.outcomes |= {test: {"outcome": "failed", "seconds": 0, "final": True} for test in tests}

    def failed(self):
        return [test for test, o in self.outcomes.items() if o["outcome"] == "failed"]

    def pytest(self, arguments):
        path, *options = arguments
        self.root = TOP if pathlib.Path(path).resolve().is_relative_to(TOP) else path
        # First where it is, for the stacks; then to clean up.
        signals = [(signal.SIGUSR1, 2), (signal.SIGINT, 20)]

        def run(tests, file, *more):
            """Again with what had not begun, as long as something ran."""
            wanted, goes_on = set(), True
            while tests and goes_on:
                tests, goes_on = self.run(["/usr/bin/python3", "-m", "pytest", "-q", "-rsfE", "-p", "progress", "-p",
                                           "no:cacheprovider", f"--rootdir={self.root}", *tests, "-n", "4", *options, *more],
                                          file, signals)
                wanted |= set(tests)
            self.give_up(wanted - set(self.outcomes))

        run([path], "pytest")
        # Beside three others a test may miss what it waits for.
        again = [test for test in self.failed() if not self.outcomes[test]["final"]]
        if again:
            self.shown.clear()
            run(again, "pytest-again", "-n", "0")
            self.say("AGAIN", f"{len(again)} failed beside others, {len(self.failed())} of them also alone"
                     + "".join(f"\n        {test}" for test in again))

    def command(self, arguments):
        left, _ = self.run(arguments, "pytest", [(signal.SIGINT, 60)])
        self.give_up(left)

    def meson(self, arguments):
        folder = pathlib.Path(arguments[0])
        log = self.work / "tests.log"
        results = folder / "meson-logs/testlog.json"
        results.unlink(missing_ok=True)
        with open(log, "wb") as file:
            subprocess.run(["meson", "test", "-C", str(folder), "--no-rebuild", "--print-errorlogs", *arguments[1:]],
                           stdout=file, stderr=file, check=False)
        for line in results.read_text().splitlines() if results.exists() else ():
            test = json.loads(line)
            outcome = {"OK": "passed", "EXPECTEDFAIL": "passed", "SKIP": "skipped"}.get(test["result"], "failed")
            self.outcomes[test["name"]] = {"outcome": outcome, "seconds": test["duration"]}
        if self.failed() or not self.outcomes:
            self.show(log)

    def tell(self):
        """The line for people; the figures for who adds them up, and the times."""
        count = collections.Counter(o["outcome"] for o in self.outcomes.values())
        if not count["passed"] and not count["failed"]:
            count["failed"] = 1  # that nothing ran is no success
        took = f"({time.monotonic() - self.since:.0f} s)"
        if count["failed"]:
            self.say("FAILED", f"{count['passed']} passed, {count['failed']} failed {took}"
                     + "".join(f"\n        {test}" for test in self.failed()))
            print("\n".join(self.shown), flush=True)
        else:
            self.say("ok", f"{count['passed']} {took}")
        for why, n in collections.Counter(o["why"] for o in self.outcomes.values() if "why" in o).items():
            print(f"SKIPPED [{n}] {why}", flush=True)
        (self.work / "stage").write_text(f"{count['passed']} {count['failed']}\n")
        with open(self.work / "times", "a") as times:
            times.writelines(f"{o['seconds']:.1f} s  {test}  ({self.name})\n" for test, o in self.outcomes.items())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=pathlib.Path, required=True, help="where results and logs are written")
    parser.add_argument("--patience", type=float, default=600, help="seconds without any movement until it is cut")
    parser.add_argument("name")
    parser.add_argument("kind", choices=["pytest", "command", "meson"])
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    stage = Stage(options)
    getattr(stage, options.kind)(options.arguments)
    stage.tell()
    return 1 if stage.failed() else 0


if __name__ == "__main__":
    sys.exit(main())
