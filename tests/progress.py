"""A plugin for pytest, `-p progress`: what begins and ends is written as it happens, a line of JSON each, into the file
that $STAGE_RESULTS names. Whoever cuts a run short (stage.py) knows from it what passed, and what was running."""

import faulthandler
import json
import os
import re
import signal
import time

import pytest

# What no second run makes good: a report of a sanitizer, a broken assertion of ours.
FINAL = re.compile(r"Sanitizer|runtime error|Assertion .* failed")


def reason(report):
    """Why it was skipped."""
    return {"why": report.longrepr[2].removeprefix("Skipped: ")} if isinstance(report.longrepr, tuple) else {}


class Collected:
    """In each process that collects tests: that a module is skipped is not told to the one that reports."""

    def __init__(self, path):
        self.file = open(path, "a")

    def write(self, **line):
        self.file.write(json.dumps({**line, "time": time.time()}) + "\n")
        self.file.flush()

    def pytest_collectreport(self, report):
        if report.failed or report.skipped:
            self.write(ended=report.nodeid or "collection", outcome=report.outcome, seconds=0, final=False,
                       **(reason(report) if report.skipped else {}))


class Results(Collected):
    """In the process that reports: with xdist not the one that runs the tests."""

    def __init__(self, path):
        super().__init__(path)
        self.tests = {}

    def pytest_collection_finish(self, session):
        if session.items:  # with xdist the workers have them
            self.write(collected=[item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids):
        self.write(collected=list(ids))

    def pytest_runtest_logstart(self, nodeid):
        self.tests[nodeid] = {"outcome": "passed", "seconds": 0, "final": False}
        self.write(began=nodeid)

    def pytest_runtest_logreport(self, report):
        test = self.tests.setdefault(report.nodeid, {"outcome": "passed", "seconds": 0, "final": False})
        test["seconds"] += getattr(report, "duration", 0)
        if report.failed or report.skipped:
            test["outcome"] = report.outcome
        if report.failed:
            said = "".join([report.longreprtext, *(text for _, text in report.sections)])
            test["final"] = test["final"] or bool(FINAL.search(said))
        if report.skipped:
            test.update(reason(report))
        if report.when not in ("setup", "call"):  # its end, or that of the process that ran it
            self.write(ended=report.nodeid, **self.tests.pop(report.nodeid))


def pytest_configure(config):
    path = os.environ.get("STAGE_RESULTS")
    if not path:
        return
    os.utime(path)  # each of its processes starts, which is movement
    # Where it hangs: told in a file beside when whoever started this says that it was long enough.
    config.stage_stacks = open(f"{path}.{os.getpid()}", "w")
    faulthandler.register(signal.SIGUSR1, file=config.stage_stacks, all_threads=True)
    config.pluginmanager.register((Collected if hasattr(config, "workerinput") else Results)(path))
