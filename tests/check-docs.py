#!/usr/bin/env python3
"""Holds the manual pages against the programs, both ways: every option, setting, verb and metric is in its page,
settings with their defaults, and nothing is in a page that isn't there. `check-docs.py SOURCE_ROOT CALLBACKD
SUBMITD SCALECTL`; with --self-test it shows that it finds what is wrong."""

import os
import re
import subprocess
import sys
import tempfile


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def tagged(page, macro):
    """First words of the items of lists: lines like `.It Fl Fl config Ns = Ns Ar FILE` or `.It Sy max_body`."""
    return [line for line in page.splitlines() if line.startswith(".It " + macro)]


def options_of_page(page):
    lines = tagged(page, "Fl") + tagged(page, "Cm")
    return {"--" + m for line in lines for m in re.findall(r"Fl (?:Fl |-)([a-z][a-z-]*)", line)}


def options_of_help(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def settings_of_conf(text):
    """From setting to default; an empty one is none."""
    found, section = {}, None
    for line in text.splitlines():
        if match := re.match(r"\[(\w+)\]", line):
            section = match[1]
        elif match := re.match(r"#(\w+) = ?(.*)", line):
            found[f"{section}.{match[1]}"] = match[2]
    return found


def settings_of_page(page):
    """The same from the page; None where it names no default."""
    found, section, name, previous = {}, None, None, None
    for line in page.splitlines():
        if match := re.match(r"\.Ss \[(\w+)\]", line):
            section = match[1]
        elif match := re.match(r"\.It Sy (\w+)", line):
            name = f"{section}.{match[1]}"
            found[name] = None
        elif line == "Default: not set.":
            found[name] = ""
        elif previous == "Default:" and (match := re.match(r"\.Ql (\S+)", line)):
            found[name] = match[1]
        previous = line
    return found


def metrics_of_page(page):
    return {m for line in tagged(page, "Sy") for m in re.findall(r"(scale_(?:callbackd|submitd)_\w+)", line)}


def compare(what, there, documented):
    for name in sorted(there - documented):
        yield f"{what} {name} is not in its manual page"
    for name in sorted(documented - there):
        yield f"{what} {name} is in the manual page and nowhere else"


def compare_defaults(conf, page):
    yield from compare("setting", set(conf), set(page))
    for name in sorted(set(conf) & set(page)):
        if conf[name] != page[name]:
            yield f"setting {name} is {conf[name]!r} by default, its manual page says {page[name]!r}"


def check(root, callbackd, submitd, scalectl):
    names = ("scale-callbackd.8", "scale-submitd.8", "scalectl.1", "scale.conf.5")
    page = {n: read(os.path.join(root, "man", n)) for n in names}
    for program, name in ((callbackd, "scale-callbackd"), (submitd, "scale-submitd")):
        yield from compare(f"option of {name}", options_of_help(run(program, "--help")), options_of_page(page[f"{name}.8"]))
        metrics = {line.split("\t")[0] for line in run(program, "--list-metrics").splitlines()}
        yield from compare("metric", metrics, metrics_of_page(page[f"{name}.8"]))
    yield from compare("option of scalectl", options_of_help(run(scalectl, "--help")),
                       options_of_page(page["scalectl.1"]))
    yield from compare_defaults(settings_of_conf(read(os.path.join(root, "conf/scale.conf"))),
                                settings_of_page(page["scale.conf.5"]))
    verbs = set(re.findall(r"^  ([a-z][a-z-]+)", run(scalectl, "--help"), re.M))
    yield from compare("verb", verbs, set(re.findall(r"^\.It Cm ([a-z-]+)", page["scalectl.1"], re.M)))


def check_options(program, path):
    """`check-docs.py --options PROGRAM PAGE`, for a program that has neither settings nor metrics."""
    yield from compare(f"option of {os.path.basename(program)}", options_of_help(run(program, "--help")),
                       options_of_page(read(path)))


# A small tree in which everything fits, its programs being scripts.
FITTING = {
    "man/scale-callbackd.8": ".It Fl Fl config Ns = Ns Ar FILE\n.It Fl h , Fl Fl help\n"
                             ".It Sy scale_callbackd_x_total\n",
    "man/scale-submitd.8": ".It Fl h , Fl Fl help\n.It Sy scale_submitd_y_total\n",
    "man/scalectl.1": ".It Fl Fl json\n.It Cm stats\n.It Cm delivery Ar N Op Fl -raw\n",
    "man/scale.conf.5": ".Ss [a]\n.It Sy x\nDefault:\n.Ql 8M .\nText.\n.It Sy y\nDefault: not set.\n",
    "conf/scale.conf": "# Text = no setting.\n[a]\n# The x.\n#x = 8M\n\n#y =\n",
    "callbackd": "#!/bin/sh\ncase $1 in\n"
                 "--help) echo '      --config=FILE  x'; echo '  -h, --help  y' ;;\n"
                 "--list-metrics) printf 'scale_callbackd_x_total\\tcounter\\ttext\\n' ;;\n*) exit 64 ;;\nesac\n",
    "submitd": "#!/bin/sh\ncase $1 in\n--help) echo '  -h, --help  y' ;;\n"
               "--list-metrics) printf 'scale_submitd_y_total\\tcounter\\ttext\\n' ;;\n*) exit 64 ;;\nesac\n",
    "scalectl": "#!/bin/sh\necho '  stats   x'; echo '  delivery N [--raw]   y'; echo '      --json   z'\n",
}

# What is replaced where, and what has to be found then.
MISTAKES = [
    ("man/scale-callbackd.8", "Fl Fl config", "Fl Fl conf",
     ["option of scale-callbackd --config is not in its manual page",
      "option of scale-callbackd --conf is in the manual page and nowhere else"]),
    ("callbackd", "-h, --help", "-h, --help --new",
     ["option of scale-callbackd --new is not in its manual page"]),
    ("callbackd", "_x_total", "_y_total",
     ["metric scale_callbackd_y_total is not in its manual page",
      "metric scale_callbackd_x_total is in the manual page and nowhere else"]),
    ("submitd", "_y_total", "_z_total",
     ["metric scale_submitd_z_total is not in its manual page",
      "metric scale_submitd_y_total is in the manual page and nowhere else"]),
    ("submitd", "--help  y", "--help --new",
     ["option of scale-submitd --new is not in its manual page"]),
    ("scalectl", "echo '  stats", "echo '  status",
     ["verb status is not in its manual page", "verb stats is in the manual page and nowhere else"]),
    ("man/scalectl.1", " Op Fl -raw", "", ["option of scalectl --raw is not in its manual page"]),
    ("man/scalectl.1", ".It Fl Fl json\n", "", ["option of scalectl --json is not in its manual page"]),
    ("conf/scale.conf", "#y =\n", "", ["setting a.y is in the manual page and nowhere else"]),
    ("conf/scale.conf", "[a]", "[b]",
     ["setting b.x is not in its manual page", "setting b.y is not in its manual page",
      "setting a.x is in the manual page and nowhere else", "setting a.y is in the manual page and nowhere else"]),
    ("conf/scale.conf", "8M", "9M", ["setting a.x is '9M' by default, its manual page says '8M'"]),
    ("man/scale.conf.5", "Default: not set.\n", "", ["setting a.y is '' by default, its manual page says None"]),
]


def check_tree(files):
    with tempfile.TemporaryDirectory() as root:
        for name, text in files.items():
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(path, 0o755)
        return list(check(root, *(os.path.join(root, n) for n in ("callbackd", "submitd", "scalectl"))))


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: found {found}, wanted is {wanted}")


def self_test_options():
    with tempfile.TemporaryDirectory() as root:
        page, program = os.path.join(root, "page"), os.path.join(root, "program")
        with open(page, "w", encoding="utf-8") as file:
            file.write(FITTING["man/scalectl.1"].replace(".It Cm delivery Ar N Op Fl -raw\n", ""))
        for text, wanted in (("--json", []), ("--json --new", ["option of program --new is not in its manual page"]),
                             ("", ["option of program --json is in the manual page and nowhere else"])):
            with open(program, "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh\necho '      {text}'\n")
            os.chmod(program, 0o755)
            expect(f"a program with {text!r}", list(check_options(program, page)), wanted)


def self_test():
    self_test_options()
    expect("what fits", check_tree(FITTING), [])
    for name, old, new, wanted in MISTAKES:
        assert old in FITTING[name], old
        changed = FITTING | {name: FITTING[name].replace(old, new)}
        expect(f"{name} with {new!r} for {old!r}", check_tree(changed), wanted)
    for name in FITTING:
        try:
            check_tree({n: text for n, text in FITTING.items() if n != name})
        except FileNotFoundError:
            continue
        sys.exit(f"{name} is missing, and nobody noticed")
    broken = FITTING | {"callbackd": "#!/bin/sh\nexit 1\n"}
    try:
        check_tree(broken)
    except subprocess.CalledProcessError:
        return
    sys.exit("a program that fails was taken for one without options")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--options"]:
        sys.exit("\n".join(check_options(*sys.argv[2:4])) or 0)
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    else:
        found = list(check(*sys.argv[1:5]))
        print("\n".join(found))
        sys.exit(1 if found else 0)
