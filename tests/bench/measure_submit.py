"""The submitter: tasks through the outbox to a stand-in for the API, beside a loop that only sends."""

import json
import shutil
import subprocess
import time

import bodies
import report
import rows
from servers import harness, tool

CONNECTIONS = 8
KEY = "live_made_up"
PARAMS = {"callback_url": "http://127.0.0.1:9/callback", "instruction": "Is this company public or private?",
          "attachment_type": "website", "attachment": "https://www.example.com/companies/4711",
          "categories": ["public", "private"], "urgency": "week"}


class Api:
    """The stand-in, fresh for each way, keeping tasks pending."""

    def __init__(self, bench):
        self.folder = bench.new_folder()

    def __enter__(self):
        self.sandbox = harness.Sandbox(self.folder / "api", "--complete-after", "1d", keys=(KEY,)).start()
        return self

    def __exit__(self, *_):
        self.sandbox.finish()
        shutil.rmtree(self.folder)

    def count(self):
        """How many tasks there are; twice the same is a failure of the one that sent it."""
        stats = self.sandbox.stats()
        if stats["duplicate_tasks"]:
            raise RuntimeError(f"{stats['duplicate_tasks']} tasks were made twice")
        return stats["tasks"]


def wait_for(question, what):
    end = time.monotonic() + rows.LONGEST
    while not question():
        if time.monotonic() > end:
            raise RuntimeError(f"never happened: {what}")
        time.sleep(0.02)


def with_curl(bench, n):
    with Api(bench) as api:
        body = api.folder / "body"
        body.write_text(json.dumps(PARAMS))
        done = subprocess.run([str(tool("bench-curl")), f"{api.sandbox.url}/task/categorization", KEY, str(body),
                               str(CONNECTIONS), str(n)], capture_output=True, text=True, timeout=rows.LONGEST)
        if done.returncode != 0:
            raise RuntimeError(f"the curl loop failed: {done.stdout} {done.stderr}")
        return json.loads(done.stdout) | {"name": "a bare curl loop", "lost": n - api.count()}


class Process:
    """What bench-load looks at."""

    def __init__(self, submitter):
        self.pid, self.to, self.watched = submitter.process.pid, f"unix:{submitter.submit.path}", None


def with_submitter(bench, n, held):
    """With `held` all are in the outbox before the first is sent, so only sending is measured."""
    with Api(bench) as api:
        submitter = harness.Submitter(api.folder / "s", api.sandbox.url, f"api.max_in_flight={CONNECTIONS}", key=KEY)
        submitter.start()
        try:
            result = submit(bench, api, submitter, n, held)
            submitter.finish()
        finally:
            if submitter.process:
                submitter.kill()
        return result


def submit(bench, api, submitter, n, held):
    requests = bench.write("tasks", [bodies.request("POST", "/v1/task/categorization", json.dumps(PARAMS).encode())])
    if held:
        submitter.submit.post("/v1/queue/hold")
    began = time.monotonic()
    taken = rows.load(bench, Process(submitter), CONNECTIONS, seconds=rows.LONGEST, warmup=0, requests=requests,
                      limit=n, expect=202)
    if held:
        began = time.monotonic()
        submitter.submit.post("/v1/queue/resume")
    wait_for(lambda: accepted(submitter) >= n, f"{n} tasks are accepted")
    return {"name": "scale-submitd, sending alone" if held else "scale-submitd, taking in and sending",
            "rate": n / (time.monotonic() - began), "taken": taken["rate"], "lost": n - api.count()}


def accepted(submitter):
    return submitter.submit.get("/v1/stats").json["outbox"]["by_state"]["accepted"]


def measure_submit(bench):
    n = max(100, bench.submissions)
    rounds = [[with_submitter(bench, n, False), with_submitter(bench, n, True), with_curl(bench, n)]
              for _ in range(bench.rounds)]
    for row in (row for one in rounds for row in one):
        if row["lost"]:
            raise RuntimeError(f"{row['name']}: {row['lost']} of {n} tasks never got to the API")
    names = report.names_of(rounds)
    lines = [[name, f"{rows.median_of(report.of_name(rounds, name), 'rate'):,.0f}",
              report.number(rows.median_of(report.of_name(rounds, name), "taken"), "{:,.0f}"),
              report.number(report.ratio(rounds, "rate", name, names[2]))] for name in names]
    return {"rounds": rounds, "tasks": n}, report.table([f"{n:,} tasks, {CONNECTIONS} connections", "tasks/s",
                                                         "taken in/s", "of the curl loop"], lines)
