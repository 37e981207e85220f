#!/usr/bin/env python3
"""Holds the manual pages against the programs, both ways: every option, setting, verb and metric is in its page, and
nothing is in a page that isn't there. `check-docs.py SOURCE_ROOT CALLBACKD SCALECTL`; --self-test."""

import os
import re
import subprocess
import sys


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def plain(page):
    """A page's text without the escapes that only typeset it."""
    return re.sub(r"\\f[BIRP]|\\&", "", page).replace("\\-", "-").replace("\\(aq", "'")


def tagged(page, macro):
    """First words of the items of lists: lines like `.It Fl Fl config Ns = Ns Ar FILE` or `.It Sy max_body`."""
    return [line for line in page.splitlines() if line.startswith(".It " + macro)]


def options_of_page(page):
    lines = tagged(page, "Fl") + tagged(page, "Cm")
    return {m for line in lines for m in re.findall(r"Fl (?:Fl |-)([a-z][a-z-]*)", line)}


def options_of_help(text):
    return set(re.findall(r"(?<![\w-])--([a-z][a-z-]*)", text))


def settings_of_conf(text):
    found, section = set(), None
    for line in text.splitlines():
        if match := re.match(r"\[(\w+)\]", line):
            section = match[1]
        elif match := re.match(r"#(\w+) =", line):
            found.add(f"{section}.{match[1]}")
    return found


def settings_of_page(page):
    found, section = set(), None
    for line in page.splitlines():
        if match := re.match(r"\.Ss \[(\w+)\]", line):
            section = match[1]
        elif match := re.match(r"\.It Sy (\w+)", line):
            found.add(f"{section}.{match[1]}")
    return found


def metrics_of_page(page):
    return {m for line in tagged(page, "Sy") for m in re.findall(r"(scale_callbackd_\w+)", line)}


def compare(what, there, documented):
    for name in sorted(there - documented):
        yield f"{what} {name} is not in its manual page"
    for name in sorted(documented - there):
        yield f"{what} {name} is in the manual page and nowhere else"


def check(root, callbackd, scalectl):
    page = {n: read(os.path.join(root, "man", n)) for n in ("scale-callbackd.8", "scalectl.1", "scale.conf.5")}
    yield from compare("option of scale-callbackd --", options_of_help(run(callbackd, "--help")),
                       options_of_page(page["scale-callbackd.8"]))
    yield from compare("option of scalectl --", options_of_help(run(scalectl, "--help")),
                       options_of_page(page["scalectl.1"]))
    yield from compare("setting", settings_of_conf(read(os.path.join(root, "conf/scale.conf"))),
                       settings_of_page(page["scale.conf.5"]))
    metrics = {line.split("\t")[0] for line in run(callbackd, "--list-metrics").splitlines()}
    yield from compare("metric", metrics, metrics_of_page(page["scale-callbackd.8"]))
    verbs = set(re.findall(r"^  ([a-z][a-z-]+)", run(scalectl, "--help"), re.M))
    yield from compare("verb", verbs, set(re.findall(r"^\.It Cm ([a-z-]+)", page["scalectl.1"], re.M)))


def self_test():
    page = ".Ss [a]\n.It Sy x\ntext\n.It Fl Fl one Ns = Ns Ar FILE\n.It Fl o , Fl Fl two\n.It Cm verb Op Fl -three\n.It Sy scale_callbackd_m\n"
    assert options_of_page(page) == {"one", "two", "three"}
    assert options_of_help("  --one=FILE  x\n -o, --two\n a-b --three-four") == {"one", "two", "three-four"}
    assert settings_of_conf("[a]\n#x = 1\n# text = no\n#y =\n") == {"a.x", "a.y"}
    assert "a.x" in settings_of_page(page)
    assert metrics_of_page(page) == {"scale_callbackd_m"}
    assert len(list(compare("x", {"a", "b"}, {"b", "c"}))) == 2
    assert not list(compare("x", {"a"}, {"a"}))


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    else:
        found = list(check(*sys.argv[1:4]))
        print("\n".join(found))
        sys.exit(1 if found else 0)
