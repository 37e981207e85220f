#!/usr/bin/env python3
"""Holds the manual pages against the programs, both ways: every option, setting, verb, metric and exit status is in
its page, settings with their defaults, and nothing is in a page that isn't there. What is promised in
scale-promises(7) names the tests that hold it, and they exist. `check-docs.py SOURCE_ROOT CALLBACKD
SUBMITD SCALECTL SANDBOX`; `check-docs.py --rendered MANDOC PAGE...` looks at pages as they are read; with --self-test it
shows that it finds what is wrong.

Options are what a program's help shows and what the tables in the source take; exit statuses are the names of
sysexits.h in the rooms that a program is made of, as src/README.md has them."""

import json
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


def options(text, long, short):
    return {"--" + m for m in re.findall(long, text)} | {"-" + m for m in re.findall(short, text)}


def options_of_page(page):
    macros = "\n".join(line for line in page.splitlines() if line.startswith("."))
    return options(macros, r"\bFl (?:Fl |-)([a-z][a-z-]*)", r"\bFl ([A-Za-z])(?!\S)")


def options_of_help(text):
    return options(text, r"(?<![\w-])--([a-z][a-z-]*)", r"(?<![\w-])-([A-Za-z])(?![\w-])")


def options_of_source(text):
    """Rows of tables: of getopt_long(), and of scalectl's own."""
    return options(text, r'\{\s*"([a-z-]+)",\s*(?:no|required|optional)_argument', r'\{\s*"-([A-Za-z])",\s*OPTION_') | \
        set(re.findall(r'\{\s*"(--[a-z-]+)",\s*OPTION_', text))


def source_of(root, room):
    """All code of the rooms that this one is made of, without its comments."""
    readme = read(os.path.join(root, "src/README.md"))
    row = re.search(rf"^\| `{room}/` \|.*\|([^|\n]*)\|$", readme, re.M)
    if not row:
        sys.exit(f"src/README.md does not say which rooms {room} may use")
    text = []
    for folder in (room, *re.findall(r"`(\w+)`", row[1])):
        for path, _, names in sorted(os.walk(os.path.join(root, "src", folder))):
            text += [read(os.path.join(path, n)) for n in sorted(names) if n.endswith((".c", ".h"))]
    return re.sub(r"/\*.*?\*/", "", "\n".join(text), flags=re.S)


def statuses_of_source(text):
    own = dict(re.findall(r"^#define (EX_\w+) (\d+)\s*?$", text, re.M))
    return {"0"} | {own.get(n) or str(getattr(os, n)) for n in re.findall(r"\bEX_[A-Z]+\b", text) if n != "EX_OK"}


def statuses_of_page(page):
    section = re.search(r"^\.Sh EXIT STATUS\n(.*?)(?=^\.Sh |\Z)", page, re.M | re.S)
    return set(re.findall(r"^\.It (\d+)$", section[1] if section else "", re.M))


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


def faults_of_help(text):
    return {word for line in re.findall(r"^  ([a-z0-9_ ]+)$", text.partition("Faults:\n")[2], re.M) for word in line.split()}


def faults_of_page(page):
    return set(re.findall(r"^\.It Sy (\w+)", page.partition(".Sh FAULTS\n")[2].partition(".Sh ")[0], re.M))


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


def is_test(root, path, name):
    """A file, or a function in it: of Python, or of C."""
    try:
        text = read(os.path.join(root, path))
    except (FileNotFoundError, IsADirectoryError):
        return False
    return not name or bool(re.search(rf"^(?:def|static void) {name}\(", text, re.M))


def promises_of_page(page):
    """From what is promised to the tests that it names; (path, function)."""
    section = re.search(r"^\.Sh PROMISES\n(.*?)(?=^\.Sh )", page, re.M | re.S)
    items = re.split(r"^\.It Sy ", section[1] if section else "", flags=re.M)[1:]
    return {item.split("\n")[0].replace("\\&", ""): re.findall(r"^\.Pa (tests/[^:\s]+)(?:::(\w+))?", item, re.M) for item in items}


def check_promises(root):
    page = read(os.path.join(root, "man/scale-promises.7"))
    promises = promises_of_page(page)
    if not promises:
        yield "nothing is promised"
    for promise, tests in promises.items():
        if not tests:
            yield f"no test is named for: {promise}"
    for path, name in re.findall(r"(tests/[\w./-]*\w)(?:::(\w+))?", page):
        if not is_test(root, path, name):
            yield f"there is no test {path}{'::' if name else ''}{name}"


def check_program(root, program, page, room):
    """What all of them have."""
    name, source = os.path.basename(page).split(".")[0], source_of(root, room)
    page = read(os.path.join(root, "man", page))
    yield from compare(f"option of {name}", options_of_help(run(program, "--help")) | options_of_source(source),
                       options_of_page(page))
    yield from compare(f"exit status of {name}", statuses_of_source(source), statuses_of_page(page))


def check(root, callbackd, submitd, scalectl, sandbox):
    for program, page, room in ((callbackd, "scale-callbackd.8", "callbackd"), (submitd, "scale-submitd.8", "submitd"),
                                (scalectl, "scalectl.1", "scalectl"), (sandbox, "scale-sandbox.1", "sandbox")):
        yield from check_program(root, program, page, room)
        if page.endswith(".8"):
            metrics = {line.split("\t")[0] for line in run(program, "--list-metrics").splitlines()}
            yield from compare("metric", metrics, metrics_of_page(read(os.path.join(root, "man", page))))
    yield from compare_defaults(settings_of_conf(read(os.path.join(root, "conf/scale.conf"))),
                                settings_of_page(read(os.path.join(root, "man/scale.conf.5"))))
    yield from check_promises(root)
    yield from compare("fault", faults_of_help(run(sandbox, "--help")), faults_of_page(read(os.path.join(root, "man/scale-sandbox.1"))))
    verbs = set(re.findall(r"^  ([a-z][a-z-]+)", run(scalectl, "--help"), re.M))
    yield from compare("verb", verbs, set(re.findall(r"^\.It Cm ([a-z-]+)", read(os.path.join(root, "man/scalectl.1")), re.M)))


# As they are read.

def rendered_mistakes(text):
    """What macros made of quotes: mdoc takes a double quote that begins a word for its own, and puts an argument behind
    an argument into quotes of its own."""
    text = " ".join(re.sub(r".\x08", "", text).split())
    depth = 0
    for match in re.finditer("[‘’]", text):
        depth += 1 if match[0] == "‘" else -1
        if depth not in (0, 1):
            yield "quotes within quotes: " + text[max(0, match.start() - 30):match.end()]
            depth = max(0, min(1, depth))
    for shown in re.findall("‘({[^‘’]*})’", text):
        try:
            json.loads(shown.replace("...", "0"))
        except ValueError:
            yield f"no JSON: {shown}"


RENDERED = [
    ("a ‘b’, c\n‘d ‘, it's ’’ e ‘f’", 2),
    ("‘POST /v1/task/ID‘/cancel’’", 2),
    ('‘{"drop_answer": 0.1,\n    lag: 0}’ ‘{"lag": 0}’ ‘{"url": ...}’', 1),
    ("a\x08ab ‘_\x08c’, doesn't", 0),
    ("a ’b", 1),
]


def check_rendered(mandoc, pages):
    for page in pages:
        for mistake in rendered_mistakes(run(mandoc, "-T", "utf8", page)):
            yield f"{os.path.basename(page)}: {mistake}"


# A small tree in which everything fits, its programs being scripts.
STATUS = ".Sh EXIT STATUS\n.It 0\n.It 64\n.Sh SEE ALSO\n.It 99\n"
FITTING = {
    "man/scale-callbackd.8": ".It Fl Fl config Ns = Ns Ar FILE\n.It Fl h , Fl Fl help\n"
                             ".It Sy scale_callbackd_x_total\n" + STATUS,
    "man/scale-submitd.8": ".It Fl h , Fl Fl help\n.It Sy scale_submitd_y_total\n" + STATUS,
    "man/scalectl.1": ".It Fl Fl json\n.It Cm stats\n.It Cm delivery Ar N Op Fl -raw\n.Pq also Fl -file ,\n.Fl f\n" +
                      STATUS.replace(".It 64", ".It 1\n.It 64"),
    "man/scale-sandbox.1": ".It Fl Fl seed Ns = Ns Ar N\n.Sh FAULTS\n.It Sy lag\nLate.\n.It Sy drop_it\n" + STATUS.replace(".It 64", ".It 69"),
    "man/scale.conf.5": ".Ss [a]\n.It Sy x\nDefault:\n.Ql 8M .\nText.\n.It Sy y\nDefault: not set.\n",
    "man/scale-promises.7": ".Sh PROMISES\n.Bl\n.It Sy \\&No loss.\nTests:\n.Pa tests/x.py::test_x ,\n"
                            ".Pa tests/y.c::test_y ,\n.Pa tests/z .\n.It Sy More.\nText.\n.Pa tests/x.py::test_x .\n"
                            ".Sh WHAT IS NOT PROMISED\n.It Sy Other.\n",
    "tests/x.py": "def test_x(a):\n    pass\n",
    "tests/y.c": "static void test_y(void)\n{\n}\n",
    "tests/z": "\n",
    "conf/scale.conf": "# Text = no setting.\n[a]\n# The x.\n#x = 8M\n\n#y =\n",
    "src/README.md": "| room | what | may use |\n|---|---|---|\n| `basic/` | x | |\n| `daemon/` | x | `basic` |\n"
                     "| `callbackd/` | x | `basic`, `daemon` |\n| `submitd/` | x | `basic`, `daemon` |\n"
                     "| `scalectl/` | x | `basic` |\n| `sandbox/` | x | `basic` |\n",
    "src/basic/x.c": "/* Never EX_CONFIG. */\n",
    "src/daemon/x.c": 'return EX_USAGE; { "config", required_argument } not { "text", other }\n',
    "src/callbackd/x.c": "if (EX_OK)\n",
    "src/submitd/x.c": "\n",
    "src/scalectl/x.h": "#define EX_NO 1 /* no */\nreturn EX_NO; return EX_USAGE;\n",
    "src/scalectl/x.c": '{ "--file", OPTION_TEXT, 0 },\n{ "-f", OPTION_TEXT, 0 },\n{\n    "--raw", OPTION_FLAG },',
    "src/sandbox/x.c": "return EX_UNAVAILABLE;\n",
    "callbackd": "#!/bin/sh\ncase $1 in\n"
                 "--help) echo '      --config=FILE  x'; echo '  -h, --help  y' ;;\n"
                 "--list-metrics) printf 'scale_callbackd_x_total\\tcounter\\ttext\\n' ;;\n*) exit 64 ;;\nesac\n",
    "submitd": "#!/bin/sh\ncase $1 in\n--help) echo '  -h, --help  y --config' ;;\n"
               "--list-metrics) printf 'scale_submitd_y_total\\tcounter\\ttext\\n' ;;\n*) exit 64 ;;\nesac\n",
    "scalectl": "#!/bin/sh\necho '  stats   x'; echo '  delivery N [--raw]   y - z'; echo '      --json   z'\n",
    "sandbox": "#!/bin/sh\necho '      --seed=N   z'; echo; echo Faults:; echo '  lag drop_it'\n",
}
FITTING["man/scale-submitd.8"] = FITTING["man/scale-submitd.8"].replace(".It Fl h", ".It Fl Fl config\n.It Fl h")

# What is replaced where, and what has to be found then.
MISTAKES = [
    ("man/scale-callbackd.8", "Fl Fl config", "Fl Fl conf",
     ["option of scale-callbackd --config is not in its manual page",
      "option of scale-callbackd --conf is in the manual page and nowhere else"]),
    ("callbackd", "-h, --help", "-h, --help --new",
     ["option of scale-callbackd --new is not in its manual page"]),
    ("callbackd", "  -h, ", "  ", ["option of scale-callbackd -h is in the manual page and nowhere else"]),
    ("callbackd", "_x_total", "_y_total",
     ["metric scale_callbackd_y_total is not in its manual page",
      "metric scale_callbackd_x_total is in the manual page and nowhere else"]),
    ("submitd", "_y_total", "_z_total",
     ["metric scale_submitd_z_total is not in its manual page",
      "metric scale_submitd_y_total is in the manual page and nowhere else"]),
    ("submitd", "--help  y", "--help --new",
     ["option of scale-submitd --new is not in its manual page"]),
    ("src/daemon/x.c", '"text", other', '"text", no_argument',
     ["option of scale-callbackd --text is not in its manual page", "option of scale-submitd --text is not in its manual page"]),
    ("src/daemon/x.c", "EX_USAGE", "EX_SOFTWARE",
     ["exit status of scale-callbackd 70 is not in its manual page",
      "exit status of scale-callbackd 64 is in the manual page and nowhere else",
      "exit status of scale-submitd 70 is not in its manual page",
      "exit status of scale-submitd 64 is in the manual page and nowhere else"]),
    ("src/callbackd/x.c", "EX_OK", "EX_IOERR", ["exit status of scale-callbackd 74 is not in its manual page"]),
    ("src/scalectl/x.h", "return EX_USAGE", "return 0",
     ["exit status of scalectl 64 is in the manual page and nowhere else"]),
    ("src/scalectl/x.h", "EX_NO 1", "EX_NO 2",
     ["exit status of scalectl 2 is not in its manual page", "exit status of scalectl 1 is in the manual page and nowhere else"]),
    ("man/scale-sandbox.1", ".It 69\n", "", ["exit status of scale-sandbox 69 is not in its manual page"]),
    ("man/scale-sandbox.1", ".It 0\n", "", ["exit status of scale-sandbox 0 is not in its manual page"]),
    ("man/scale-sandbox.1", "EXIT STATUS", "OTHER",
     ["exit status of scale-sandbox 0 is not in its manual page", "exit status of scale-sandbox 69 is not in its manual page"]),
    ("sandbox", "lag drop_it", "lag slow", ["fault slow is not in its manual page", "fault drop_it is in the manual page and nowhere else"]),
    ("man/scale-sandbox.1", ".It Sy lag\n", "", ["fault lag is not in its manual page"]),
    ("sandbox", "--seed", "--need", ["option of scale-sandbox --need is not in its manual page",
                                     "option of scale-sandbox --seed is in the manual page and nowhere else"]),
    ("scalectl", "echo '  stats", "echo '  status",
     ["verb status is not in its manual page", "verb stats is in the manual page and nowhere else"]),
    ("man/scalectl.1", " Op Fl -raw", "", ["option of scalectl --raw is not in its manual page"]),
    ("man/scalectl.1", ".It Fl Fl json\n", "", ["option of scalectl --json is not in its manual page"]),
    ("man/scalectl.1", ".Fl f\n", "", ["option of scalectl -f is not in its manual page"]),
    ("man/scalectl.1", ".Fl f\n", ".Fl f\n.Fl q\n", ["option of scalectl -q is in the manual page and nowhere else"]),
    ("src/scalectl/x.c", '"--file"', '"--fill"', ["option of scalectl --fill is not in its manual page",
                                                  "option of scalectl --file is in the manual page and nowhere else"]),
    ("tests/x.py", "test_x", "test_xx", ["there is no test tests/x.py::test_x"] * 2),
    ("tests/y.c", "test_y(void)", "test_y;", ["there is no test tests/y.c::test_y"]),
    ("man/scale-promises.7", "tests/z .", "tests/zz .", ["there is no test tests/zz"]),
    ("man/scale-promises.7", "tests/y.c::test_y", "tests/yy.c::test_y", ["there is no test tests/yy.c::test_y"]),
    ("man/scale-promises.7", "Text.\n.Pa tests/x.py::test_x .", "Text.", ["no test is named for: More."]),
    ("man/scale-promises.7", "Sh PROMISES", "Sh OTHER", ["nothing is promised"]),
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
        return list(check(root, *(os.path.join(root, n) for n in ("callbackd", "submitd", "scalectl", "sandbox"))))


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: found {found}, expected {wanted}")


def self_test():
    for text, n in RENDERED:
        expect(text, len(list(rendered_mistakes(text))), n)
    expect("what fits", check_tree(FITTING), [])
    for name, old, new, wanted in MISTAKES:
        assert old in FITTING[name], old
        changed = FITTING | {name: FITTING[name].replace(old, new)}
        expect(f"{name} with {new!r} for {old!r}", check_tree(changed), wanted)
    for name in FITTING:
        if name.startswith(("src/", "tests/")) and name != "src/README.md":
            continue
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
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    else:
        found = list(check_rendered(sys.argv[2], sys.argv[3:]) if sys.argv[1] == "--rendered" else check(*sys.argv[1:6]))
        print("\n".join(found))
        sys.exit(1 if found else 0)
