"""A row: one server, one number of connections, some seconds of load; then it is killed in the middle of it, and what it
acknowledged is held against what it kept."""

import itertools
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import threading
import time

import bodies
from servers import HERE, Receiver, harness, tool

LONGEST = 600 * harness.PATIENCE  # seconds: only ever waited for in full when something is wrong
MODULES = HERE.parent.parent / ".quickstart/bench/node/node_modules"  # see peers/install
runs = itertools.count(int(time.time()) % 100000 * 1000)


class Bench:
    """How long, how often, where."""

    def __init__(self, folder, seconds=5.0, warmup=1.0, rounds=3, say=print, connections=None, tasks=100000,
                 submissions=5000, wanted=(), modules=MODULES):
        self.seconds, self.warmup, self.rounds, self.say = seconds, warmup, rounds, say
        self.connections, self.tasks, self.submissions, self.wanted = connections, tasks, submissions, wanted
        self.base = pathlib.Path(folder)
        self.base.mkdir(parents=True, exist_ok=True)
        self.modules = pathlib.Path(modules)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="b", dir=self.base)).resolve()
        self.numbers = itertools.count(1)
        self.requests = self.write("callbacks", bodies.callbacks())

    def write(self, name, requests):
        path = self.folder / f"{name}.requests"
        bodies.write(path, requests)
        return path

    def new_folder(self):
        return self.folder / str(next(self.numbers))

    def clean(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def load_command(bench, server, connections, seconds=None, warmup=None, requests=None, to=None, **more):
    """`more` are further options of bench-load: True for one without a value, None for none."""
    options = {"to": to or server.to, "requests": requests or bench.requests, "connections": connections,
               "seconds": bench.seconds if seconds is None else seconds,
               "warmup": bench.warmup if warmup is None else warmup, "pid": server.pid, "watch": server.watched,
               "run": next(runs), **more}
    return [str(tool("bench-load")), *(f"--{name}" if value is True else f"--{name}={value}"
                                       for name, value in options.items() if value is not None)]


def finish_load(process):
    out, err = process.communicate(timeout=LONGEST)
    if process.returncode != 0:
        raise RuntimeError(f"the load failed: {err.strip()}")
    return json.loads(out)


def start_load(*arguments, **more):
    return subprocess.Popen(load_command(*arguments, **more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def load(*arguments, **more):
    return finish_load(start_load(*arguments, **more))


def acknowledged_in(path):
    ids = pathlib.Path(path).read_text().split()
    if len(set(ids)) != len(ids):
        raise RuntimeError("the load used an id twice")
    return ids


def measure(bench, server, connections, keep=False, **more):
    """A row. With `keep` the server's folder stays, for who wants its rows."""
    server.start(bench.new_folder())
    ids = server.folder / "acknowledged"
    group = []
    # Asked shortly before the end, when it has been running like that for a while.
    asking = threading.Timer((bench.warmup + bench.seconds) * 0.8, lambda: group.append(server.group()))
    try:
        process = start_load(bench, server, connections, acknowledged=ids, kill=True, **more)
        asking.start()
        result = finish_load(process)
        asking.join()
    finally:
        asking.cancel()
        server.stop()

    result.update(name=server.name, group=group[0] if group else None, lost=server.lost(acknowledged_in(ids)))
    if not keep:
        shutil.rmtree(server.folder)
    return result


def measure_sqlite(bench, receiver, group, name):
    """The rows of the receiver's row once more, by a bare loop in groups of that size."""
    target = receiver.folder / f"loop-{next(bench.numbers)}.db"
    done = subprocess.run([str(tool("bench-sqlite")), str(receiver.database), str(target), str(group),
                           str(bench.seconds)], capture_output=True, text=True, timeout=LONGEST)
    if done.returncode != 0:
        raise RuntimeError(f"the SQLite loop failed: {done.stderr.strip()}")
    return json.loads(done.stdout) | {"name": name, "lost": None}


def loops_of(bench, receiver, row, connections):
    """In groups as large as the receiver's were, and as they would be if all that can wait, waited together."""
    same = max(1, round(row["group"] or 1))
    yield measure_sqlite(bench, receiver, same, "SQLite, the same rows in the same groups")
    yield measure_sqlite(bench, receiver, connections, "SQLite, the same rows, as many as connections in a group")


def rows_of(bench, servers, connections):
    """One round: each server once, one after the other. A server that can't run gives a row that says why."""
    found = []
    for make in servers:
        server = make()
        reason = server.missing()
        if reason:
            found.append({"name": server.name, "missing": reason})
            continue
        bench.say(f"  {connections} connections: {server.name}")
        is_receiver = isinstance(server, Receiver)
        row = measure(bench, server, connections, keep=is_receiver)
        found.append(row)
        if is_receiver:
            found += loops_of(bench, server, row, connections)
            shutil.rmtree(server.folder)
    for row in found:
        row["connections"] = connections
    return found


def sync(file):
    os.fdatasync(file.fileno())


def median_of(rows, field):
    values = [row[field] for row in rows if row.get(field) is not None]
    return statistics.median(values) if values else None
