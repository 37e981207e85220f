#!/usr/bin/python3
"""The ratios that the README shows, from what `run --json` has written: `summary.py FILE...` writes them between the two
marks in README.md. Several files are several pieces of one measurement: rounds of `load` are put together, of
everything else the last counts."""

import datetime
import json
import pathlib
import sys

import report

README = pathlib.Path(__file__).resolve().parent.parent.parent / "README.md"
BEGIN, END = "<!-- tests/bench/summary.py writes from here on -->", "<!-- up to here -->"
OWN = "scale-callbackd"


def merge(results):
    merged = {}
    for result in results:
        for name, measured in result["measurements"].items():
            if name != "load":
                merged[name] = measured
                continue
            for n, of_n in measured.items():
                merged.setdefault("load", {}).setdefault(int(n), []).extend(of_n["rounds"])
    return merged


def load_lines(load):
    """What it reaches of each, at each number of connections; and what each lost."""
    numbers = sorted(load)
    names = list(dict.fromkeys(name for n in numbers for name in report.names_of(load[n])))
    lines = []
    for name in names:
        if name == OWN:
            continue
        ratios = [report.number(report.ratio(load[n], "rate", OWN, name)) for n in numbers]
        waits = [report.number(report.ratio(load[n], "p99", OWN, name)) for n in numbers]
        found = [row for n in numbers for row in report.of_name(load[n], name) if row.get("lost") is not None]
        lost = sum(row["lost"] for row in found)
        kept = "" if not found else "none" if lost == 0 else f"{lost / sum(row['acknowledged'] for row in found):.0%}"
        lines.append([name, *ratios, *waits, kept])
    header = ["scale-callbackd, as a part of", *(f"requests/s, {n}" for n in numbers), *(f"p99, {n}" for n in numbers),
              "acknowledged and lost"]
    return report.table(header, lines)


def rows_of(measured, name):
    return report.of_name(measured["rounds"], name)


def connections_lines(measured):
    own = rows_of(measured, OWN)
    numbers = [row["connections"] for row in own]
    yield (f"longest time without an answer to anybody, {min(numbers):,} to {max(numbers):,} connections",
           f"{max(row['pause'] for row in own):.0f} ms")


def slow_sync_lines(measured):
    for n, value in measured["rate_ratios"].items():
        yield f"requests/s where each sync takes 1 ms longer, {n} connections, of those where not", f"{value:.2f}"


def rejected_lines(measured):
    for name, value in measured["ratios"]["cpu_usec"].items():
        yield f"CPU time of refusing a wrong key, of {name}", f"{value:.2f}"


def memory_lines(measured):
    yield "resident, idle", f"{measured['idle_kib'] / 1024:.0f} MiB"
    yield "resident, peak, 1,024 connections with bodies of 2 KB", f"{measured['peak_kib'] / 1024:.0f} MiB"


def query_lines(measured):
    for name, values in measured["ratios"].items():
        if name != "idle":
            yield f"reading a task by its id {name}, of the same when idle (p50)", f"{values['p50']:.2f}"


def depth_lines(measured):
    few, many = report.names_of(measured["rounds"])
    yield f"requests/s with {many}, of those with {few}", f"{measured['rate_ratio']:.2f}"


def pages_lines(measured):
    rounds = measured["rounds"]
    names = report.names_of(rounds)
    pages = [name for name in names if name.startswith("a page")]
    deep, first = pages[-1], [name for name in pages if " 0% of" in name][-1]
    yield f"{deep}, of the first one", report.number(report.ratio(rounds, "p50", deep, first))
    totals = [name for name in names if ", all, " in name]
    yield f"{totals[1]}, of it with {totals[0].rsplit(', ', 1)[1]}", report.number(
        report.ratio(rounds, "p50", totals[1], totals[0]))


def export_lines(measured):
    for name, value in measured["rate_ratios"].items():
        yield f"scalectl export, rows/s, of {name}", f"{value:.2f}"


def submit_lines(measured):
    names = report.names_of(measured["rounds"])
    for name in names[:-1]:
        yield f"{name}, tasks/s, of {names[-1]}", report.number(
            report.ratio(measured["rounds"], "rate", name, names[-1]))


LINES = {"connections": connections_lines, "slow-sync": slow_sync_lines, "rejected": rejected_lines,
         "query": query_lines, "depth": depth_lines, "pages": pages_lines, "memory": memory_lines,
         "submit": submit_lines, "export": export_lines}


def summary(results):
    merged, machine = merge(results), results[-1]["machine"]
    day = datetime.datetime.fromisoformat(machine["date"]).date()
    lines = [f"Measured on {day}, {machine['cpus']} CPUs ({machine['cpu']})" +
             (f", a sync of 4 KB {merged['disk']['p50']:.1f} ms" if "disk" in merged else "") +
             ", load and server on the same machine.", ""]
    if "load" in merged:
        lines += [*load_lines(merged["load"]), ""]
    others = [[what, value] for name, make in LINES.items() if name in merged for what, value in make(merged[name])]
    if others:
        lines += [*report.table(["", ""], others), ""]
    return lines


def main(paths):
    lines = summary([json.loads(pathlib.Path(path).read_text()) for path in paths])
    text = README.read_text()
    before, rest = text.split(BEGIN)
    README.write_text("\n".join([before + BEGIN, "", *lines, END + rest.split(END)[1]]))


if __name__ == "__main__":
    main(sys.argv[1:])
