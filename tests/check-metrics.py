#!/usr/bin/env python3
"""Holds the alert rules and the dashboard in conf/ against the metrics that the daemons have:
`check-metrics.py SOURCE_ROOT CALLBACKD SUBMITD`. With --rules SOURCE_ROOT promtool says whether the rules are
well-formed, and whether each fires when it should and only then; with --self-test it shows that it finds what is
wrong."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

RULES, TESTS, DASHBOARD = "conf/prometheus/scale.rules.yml", "tests/data/prometheus/scale.test.yml", "conf/grafana/scale.json"
SKIPPED = 77
OVER_TIME = ("rate", "increase")  # what a counter is good for


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def metrics_of(program):
    text = subprocess.run([program, "--list-metrics"], check=True, capture_output=True, text=True).stdout
    return dict(line.split("\t")[:2] for line in text.splitlines())


def alerts_of(text):
    """Names of the alerts, each with its own lines."""
    pieces = re.split(r"^ *- alert: *(\w+)$", text, flags=re.M)
    return list(zip(pieces[1::2], pieces[2::2]))


def expressions_of_rules(text):
    return [(name, m[1]) for name, lines in alerts_of(text) if (m := re.search(r"^ *expr: (.+)$", lines, re.M))]


def expressions_of_dashboard(dashboard):
    return [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel["targets"]]


def check_expression(where, expression, metrics):
    """Every metric is there, and counters alone are looked at over time."""
    for match in re.finditer(r"(?:(\w+)\()?\b(scale_\w+)", expression):
        function, name = match.groups()
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        if metrics.get(base) == "histogram" and base != name:
            kind = "counter"
        elif name in metrics and metrics[name] != "histogram":
            kind = metrics[name]
        else:
            yield f"{where}: there is no metric {name}"
            continue
        if (kind == "counter") != (function in OVER_TIME):
            yield f"{where}: {name} is a {kind}, and {'not ' if kind == 'counter' else ''}within {' or '.join(OVER_TIME)}()"


def check_rules(text, tests):
    alerts = alerts_of(text)
    names = [name for name, _ in alerts]
    if not alerts:
        yield "there is no alert in the rules"
    for name in sorted({n for n in names if names.count(n) > 1}):
        yield f"alert {name} is there more than once"
    for name, lines in alerts:
        for what, wanted in (("expression", r"expr: \S"), ("severity", r"severity: (critical|warning)$"),
                             ("summary", r"summary: \S"), ("description of what to do", r"description: \S")):
            if not re.search(rf"^ *{wanted}", lines, re.M):
                yield f"alert {name} has no {what}"
    tested = set(re.findall(r'alertname="(\w+)"', tests))
    for name in sorted(set(names) - tested):
        yield f"alert {name} is never made to fire in {TESTS}"
    for name in sorted(tested - set(names)):
        yield f"alert {name} is in {TESTS} and nowhere else"


def check_dashboard(dashboard):
    panels = dashboard["panels"]
    if not panels or not dashboard["title"] or not dashboard["uid"]:
        yield "the dashboard has no panels, title or uid"
    ids, taken = [p["id"] for p in panels], set()
    if len(set(ids)) != len(ids):
        yield "two panels of the dashboard have the same id"
    for panel in panels:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        if place["x"] + place["w"] > 24 or cells & taken:
            yield f"panel {panel['title']} lies over another, or outside"
        taken |= cells
        if not panel["description"] or not panel["targets"]:
            yield f"panel {panel['title']} has no description, or shows nothing"


def check(root, *programs):
    metrics = {}
    for program in programs:
        metrics |= metrics_of(program)
    rules, dashboard = read(os.path.join(root, RULES)), json.loads(read(os.path.join(root, DASHBOARD)))
    yield from check_rules(rules, read(os.path.join(root, TESTS)))
    yield from check_dashboard(dashboard)
    for where, expression in expressions_of_rules(rules) + expressions_of_dashboard(dashboard):
        yield from check_expression(where, expression, metrics)


def ask_promtool(root):
    """A status to leave with."""
    promtool = shutil.which("promtool")
    if not promtool:
        print("SKIPPED: promtool (Debian package prometheus) is not there, so nobody looked at the rules")
        return SKIPPED
    for arguments in (["check", "rules", RULES], ["test", "rules", TESTS]):
        status = subprocess.run([promtool, *arguments], cwd=root).returncode
        if status:
            return status
    return 0


# A small tree in which everything fits, its programs being scripts.
PROGRAM = "#!/bin/sh\n[ \"$1\" = --list-metrics ] || exit 64\nprintf '{}'\n"
PANEL = {"id": 1, "title": "P", "description": "x", "gridPos": {"x": 0, "y": 0, "w": 12, "h": 4},
         "targets": [{"expr": "sum(scale_callbackd_x)"}]}
FITTING = {
    RULES: "groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: increase(scale_callbackd_y_total[1h]) > 0\n"
           "        labels:\n          severity: warning\n        annotations:\n          summary: s\n"
           "          description: d\n",
    TESTS: "alertname=\"A\"\n",
    DASHBOARD: json.dumps({"title": "t", "uid": "u", "panels": [
        PANEL, {**PANEL, "id": 2, "title": "Q", "gridPos": {"x": 12, "y": 0, "w": 12, "h": 4},
                "targets": [{"expr": "sum(rate(scale_submitd_z_seconds_bucket[1h]))"}]}]}),
    "callbackd": PROGRAM.format("scale_callbackd_x\\tgauge\\tt\\nscale_callbackd_y_total\\tcounter\\tt\\n"),
    "submitd": PROGRAM.format("scale_submitd_z_seconds\\thistogram\\tt\\n"),
}

# What is replaced where, and what has to be found then.
MISTAKES = [
    (RULES, "_y_total", "_yy_total", ["A: there is no metric scale_callbackd_yy_total"]),
    (RULES, "increase(", "delta(", ["A: scale_callbackd_y_total is a counter, and not within rate or increase()"]),
    (RULES, "severity: warning", "severity: bad", ["alert A has no severity"]),
    (RULES, "summary: s", "summary:", ["alert A has no summary"]),
    (RULES, "          description: d\n", "", ["alert A has no description of what to do"]),
    (RULES, "alert: A", "alert: B", [f"alert B is never made to fire in {TESTS}", f"alert A is in {TESTS} and nowhere else"]),
    (RULES, "alert: A", "record: A", ["there is no alert in the rules", f"alert A is in {TESTS} and nowhere else"]),
    (DASHBOARD, "sum(scale_callbackd_x)", "sum(scale_callbackd_xx)", ["P: there is no metric scale_callbackd_xx"]),
    (DASHBOARD, "sum(scale_callbackd_x)", "rate(scale_callbackd_x[1m])",
     ["P: scale_callbackd_x is a gauge, and within rate or increase()"]),
    (DASHBOARD, "_bucket", "", ["Q: there is no metric scale_submitd_z_seconds"]),
    (DASHBOARD, '"id": 2', '"id": 1', ["two panels of the dashboard have the same id"]),
    (DASHBOARD, '"x": 12', '"x": 11', ["panel Q lies over another, or outside"]),
    (DASHBOARD, '"x": 12', '"x": 13', ["panel Q lies over another, or outside"]),
    ("callbackd", "_x\\t", "_w\\t", ["P: there is no metric scale_callbackd_x"]),
]


def check_tree(files):
    with tempfile.TemporaryDirectory() as root:
        for name, text in files.items():
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(path, 0o755)
        return list(check(root, *(os.path.join(root, n) for n in ("callbackd", "submitd"))))


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: found {found}, expected {wanted}")


def self_test():
    expect("what fits", check_tree(FITTING), [])
    for name, old, new, wanted in MISTAKES:
        assert old in FITTING[name], old
        expect(f"{name} with {new!r} for {old!r}", check_tree(FITTING | {name: FITTING[name].replace(old, new)}), wanted)
    for name, text, error in ((DASHBOARD, "{", ValueError), ("submitd", "#!/bin/sh\nexit 1\n", subprocess.CalledProcessError)):
        try:
            check_tree(FITTING | {name: text})
        except error:
            continue
        sys.exit(f"{name} is broken, and nobody noticed")


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    elif sys.argv[1:2] == ["--rules"]:
        sys.exit(ask_promtool(sys.argv[2]))
    else:
        problems = list(check(*sys.argv[1:4]))
        print("\n".join(problems))
        sys.exit(1 if problems else 0)
