"""The store with many tasks in it: inserting, paging, totals, reading beside the load, exporting."""

import json
import os
import shutil
import subprocess
import time

import bodies
import report
import rows
from servers import Receiver, harness, tool

FEW = 10000
BETWEEN = 10  # seconds from one stored task to the next
PAGE = 100


def filled(bench, n):
    """A receiver on a database with so many tasks in it, running."""
    server = Receiver()
    folder = bench.new_folder()
    (folder / "d").mkdir(parents=True)
    began = time.monotonic()
    subprocess.run([str(tool("bench-fill")), str(folder / "d/scale.db"), str(bench.requests), str(n), str(BETWEEN)],
                   check=True, timeout=24 * 3600)
    bench.say(f"  {n} tasks stored in {time.monotonic() - began:.0f} s")
    server.folder = folder
    server.launch()
    return server


def end(server):
    server.stop()
    shutil.rmtree(server.folder)


def read(bench, server, targets, seconds=None):
    """One reader on the query socket, as fast as it is answered."""
    requests = bench.write("reads", [bodies.request("GET", target) for target in targets])
    result = rows.load(bench, server, 1, seconds=seconds, warmup=min(0.2, bench.seconds / 4), requests=requests,
                       to=server.query, watch=None)
    if list(result["statuses"]) != ["200"]:
        raise RuntimeError(f"reading gave {result['statuses']}")
    result["mean"] = 1e3 / result["rate"]
    return result


def docs(server, target):
    return server.daemon.query.get(target).json


def some_ids(server, n=1000):
    """Tasks from all over the list."""
    total = docs(server, "/v1/tasks?limit=1")["total"]
    found = []
    for offset in range(0, total, max(1, total // (n // PAGE))):
        found += [task["task_id"] for task in docs(server, f"/v1/tasks?limit={PAGE}&offset={offset}")["docs"]]
    return found[:n]


def measure_query(bench):
    """A task by its id, while nothing else happens, and while callbacks pour in."""
    n = (bench.connections or [64])[0]
    server = filled(bench, min(FEW, bench.tasks))
    loads = {"idle": None, "beside 1,000 callbacks a second": 1000, f"beside {n} connections at full speed": 0}
    rounds = []
    try:
        targets = [f"/v1/task/{id}" for id in some_ids(server)]
        for _ in range(bench.rounds):
            found = []
            for name, rate in loads.items():
                load = None
                if rate is not None:
                    load = rows.start_load(bench, server, n, rate=rate or None, warmup=0, seconds=bench.seconds + 1)
                    time.sleep(0.5)
                found.append(read(bench, server, targets, max(0.2, bench.seconds - 0.5)) | {"name": name})
                if load:
                    beside = rows.finish_load(load)
                    found[-1]["beside"] = beside["rate"]
            rounds.append(found)
    finally:
        end(server)
    names = list(loads)
    lines, measured = [], {"rounds": rounds, "ratios": {}}
    for name in names:
        own = report.of_name(rounds, name)
        values = {field: report.ratio(rounds, field, name, "idle") for field in ("p50", "mean", "p99")}
        measured["ratios"][name] = values
        beside = rows.median_of(own, "beside")
        lines.append([name, f"{beside:,.0f}" if beside else "", f"{rows.median_of(own, 'p50'):.3f}",
                      f"{rows.median_of(own, 'mean'):.3f}", f"{rows.median_of(own, 'p99'):.3f}",
                      *(report.number(value) for value in values.values())])
    return measured, report.table(["a task by id", "callbacks/s", "p50 ms", "mean ms", "p99 ms", "p50 of idle",
                                   "mean of idle", "p99 of idle"], lines)


def measure_depth(bench):
    """Inserting where many tasks are stored already, beside inserting where few are."""
    n = (bench.connections or [64])[0]
    few = min(FEW, max(1, bench.tasks // 2))
    many = filled(bench, bench.tasks)
    many.stop()
    names = (f"{few:,} stored", f"{bench.tasks:,} stored")
    rounds = []
    try:
        for _ in range(bench.rounds):
            small = filled(bench, few)
            pair = [insert(bench, small, n) | {"name": names[0]}]
            end(small)
            many.open()
            pair.append(insert(bench, many, n) | {"name": names[1]})
            rounds.append(pair)
    finally:
        end(many)
    value = report.ratio(rounds, "rate", names[1], names[0])
    return ({"rounds": rounds, "rate_ratio": value},
            [*report.load_table(rounds), "", f"With {bench.tasks:,} tasks stored {value:.2f} of the requests a second."])


def insert(bench, server, connections):
    """A row on the database that there is; the server is killed at its end."""
    ids = server.folder / "acknowledged"
    result = rows.load(bench, server, connections, acknowledged=ids, kill=True)
    server.stop()
    result["lost"] = server.lost(rows.acknowledged_in(ids))
    return result


def measure_pages(bench):
    """A page by cursor, at any depth; and what knowing the total costs."""
    few = min(FEW, max(1, bench.tasks // 2))
    rounds, depths = [], [0, 0.1, 0.5, 0.9, 0.99]
    servers = {few: filled(bench, few), bench.tasks: filled(bench, bench.tasks)}
    seconds = min(bench.seconds, 2)
    try:
        for _ in range(bench.rounds):
            found = []
            for tasks, server in servers.items():
                for depth in depths:
                    at = docs(server, f"/v1/tasks?limit=1&offset={int(tasks * depth)}")
                    target = f"/v1/tasks?limit={PAGE}" + (f"&after={at['next']}" if depth else "")
                    found.append(read(bench, server, [target], seconds) |
                                 {"name": f"a page of {PAGE} behind {depth:.0%} of {tasks:,}"})
                for what, filter in (("all", ""), ("of a type", "&type=annotation"),
                                     ("of a status", "&status=completed"),
                                     ("since a time", "&start_time=" + halfway(tasks))):
                    found.append(read(bench, server, [f"/v1/tasks?limit=1{filter}"], seconds) |
                                 {"name": f"one task and the total, {what}, {tasks:,} stored"})
            rounds.append(found)
    finally:
        for server in servers.values():
            end(server)
    return {"rounds": rounds}, page_lines(rounds, few, depths)


def halfway(tasks):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - tasks * BETWEEN / 2))


def page_lines(rounds, few, depths):
    """Each beside the first page, or beside the same total of few tasks."""
    lines, first = [], None
    for name in report.names_of(rounds):
        if " 0% of" in name:
            first = name
        own = report.of_name(rounds, name)
        under = first if name.startswith("a page") else name.rsplit(", ", 1)[0] + f", {few:,} stored"
        beside = [report.number(report.ratio(rounds, field, name, under)) for field in ("p50", "cpu_usec")]
        lines.append([name, f"{rows.median_of(own, 'p50'):.3f}", f"{rows.median_of(own, 'p99'):.3f}",
                      f"{rows.median_of(own, 'cpu_usec'):.0f}", *beside])
    return report.table(["", "p50 ms", "p99 ms", "CPU us", "p50 of the first page, or of few", "CPU of it"], lines)


def timed(command, output):
    began = time.monotonic()
    with open(output, "wb") as file:
        subprocess.run(list(map(str, command)), stdout=file, check=True, timeout=rows.LONGEST)
    return time.monotonic() - began


def count_rows(path):
    """How many lines, and that the first is a task."""
    with open(path, "rb") as file:
        first = file.readline()
        if "task_id" not in json.loads(first):
            raise RuntimeError(f"{path} is no list of tasks: {first[:200]}")
        return 1 + sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def measure_export(bench):
    """All tasks as JSON lines, beside what sqlite3 prints of the same rows."""
    if not shutil.which("sqlite3"):
        return {"missing": "apt install sqlite3"}, ["not here: apt install sqlite3"]
    tasks = min(bench.tasks, 100000)
    server = filled(bench, tasks)
    daemon = server.daemon
    out = server.folder / "out"
    sql = "SELECT {} FROM task t JOIN delivery d ON d.n = t.document ORDER BY t.created_at DESC"
    ways = {
        "scalectl export": [harness.SCALECTL, "-o", f"query.socket={daemon.query.path}", "export", "--format", "jsonl"],
        "sqlite3, the task of each": ["sqlite3", "-readonly", daemon.database,
                                      sql.format("json_extract(CAST(d.body AS TEXT), '$.task')")],
        "sqlite3, bodies as they are": ["sqlite3", "-readonly", daemon.database, sql.format("CAST(d.body AS TEXT)")],
    }
    rounds = []
    try:
        for _ in range(bench.rounds):
            found = []
            for name, command in ways.items():
                seconds = timed(command, out)
                printed = count_rows(out)
                if printed != tasks:
                    raise RuntimeError(f"{name} printed {printed} rows of {tasks}")
                found.append({"name": name, "rate": printed / seconds, "seconds": seconds,
                              "bytes": os.path.getsize(out)})
            rounds.append(found)
    finally:
        end(server)
    ratios = report.ratios(rounds, "rate", "scalectl export")
    lines = [[name, f"{rows.median_of(report.of_name(rounds, name), 'rate'):,.0f}",
              f"{rows.median_of(report.of_name(rounds, name), 'bytes') / 1048576:.1f}",
              report.number(ratios.get(name))] for name in ways]
    return ({"rounds": rounds, "tasks": tasks, "rate_ratios": ratios},
            report.table([f"{tasks:,} tasks", "rows/s", "MiB", "scalectl as a part of it"], lines))
