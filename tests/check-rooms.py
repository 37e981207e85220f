#!/usr/bin/env python3
"""Holds the source against the tables in src/README.md: which room may use which, which library is used where, and for
rooms that have a table of their files, that it names all there are. `check-rooms.py SOURCE_ROOT`; with --self-test it
shows that it finds what is wrong."""

import os
import re
import sys
import tempfile


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def rows(text, header):
    """The rows of the table that begins with this header, each a list of cells."""
    match = re.search(r"^\| " + re.escape(header) + r" .*\n\|[-| ]+\n((?:\|.*\n)+)", text, re.M)
    if not match:
        sys.exit(f"src/README.md has no table that begins with | {header} |")
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in match[1].splitlines()]


def words(cell):
    return set(re.findall(r"`([^`]+)`", cell))


def tables(root):
    text = read(os.path.join(root, "src/README.md"))
    rooms = {words(row[0]).pop().rstrip("/"): words(row[2]) for row in rows(text, "room")}
    libraries = {words(row[0]).pop(): {w.rstrip("/") for w in words(row[1])} for row in rows(text, "library")}
    return rooms, libraries


def sources(root):
    for folder, _, names in os.walk(os.path.join(root, "src")):
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                yield os.path.join(folder, name)


def room_of(folder, rooms):
    """The innermost room that the folder lies in; the folder itself where there is none."""
    room = folder
    while room not in rooms and "/" in room:
        room = os.path.dirname(room)
    return room if room in rooms else folder


def check_file(root, path, rooms, libraries):
    relative = os.path.relpath(path, os.path.join(root, "src"))
    room = os.path.dirname(relative)
    text = read(path)
    if room not in rooms:
        yield f"src/{relative}: the room {room} is not in src/README.md"
        return
    for include in re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.M):
        other = room_of(os.path.dirname(include), rooms)
        if other and other != room and other not in rooms[room]:
            yield f"src/{relative}: {room} may not use {other} ({include})"
    for include in re.findall(r"^\s*#\s*include\s+<([^>]+)>", text, re.M):
        for library, allowed in libraries.items():
            if include.startswith(library) and not {room, room.split("/")[0]} & allowed:
                yield f"src/{relative}: {library} may only be used in {', '.join(sorted(allowed))}"


def check_listed(root, room):
    """A room's table of files, if it has one, against its folder."""
    text = read(os.path.join(root, "src/README.md"))
    if f"| file of `{room}/` |" not in text:
        return
    listed = [words(row[0]).pop() for row in rows(text, f"file of `{room}/` |")]
    there = {os.path.splitext(name)[0] for name in os.listdir(os.path.join(root, "src", room)) if name.endswith((".c", ".h"))}
    for name in sorted(there - set(listed)):
        yield f"src/README.md: {room}/{name} is not among the files"
    for name in sorted(set(listed) - there):
        yield f"src/README.md: there is no {room}/{name}"


def check(root):
    rooms, libraries = tables(root)
    problems = [p for path in sources(root) for p in check_file(root, path, rooms, libraries)]
    for room in rooms:
        if not os.path.isdir(os.path.join(root, "src", room)):
            problems.append(f"src/README.md: there is no room {room}")
        else:
            problems += check_listed(root, room)
    return problems


def self_test():
    readme = ("| room | what | may use |\n|---|---|---|\n| `a/` | x | |\n| `b/` | x | `a` |\n\n"
              "| library | only in |\n|---|---|\n| `sqlite3.h` | `b/` |\n")
    inner = readme.replace("| `b/`", "| `a/c/` | x | `a` |\n| `b/`", 1)
    files = "\n| file of `a/` | what |\n|---|---|\n| `x` | x |\n| `y` | y |\n"
    cases = [
        ({"b/x.c": '#include "a/x.h"\n#include <sqlite3.h>\n', "a/x.c": ""}, 0),
        ({"a/x.c": '#include "b/x.h"\n', "b/x.c": ""}, 1),
        ({"a/x.c": "#include <sqlite3.h>\n", "b/x.c": ""}, 1),
        ({"a/x.c": "", "b/x.c": '#include "a/c/x.h"\n', "a/c/x.c": "", "README.md": inner}, 1),
        ({"a/x.c": '#include "a/c/x.h"\n', "b/x.c": "", "a/c/x.c": "", "README.md": inner}, 1),
        ({"a/x.c": "", "b/x.c": "", "a/c/x.c": '#include "a/x.h"\n', "README.md": inner}, 0),
        ({"a/x.c": "", "b/x.c": "", "c/x.c": ""}, 1),
        ({"a/x.c": ""}, 1),
        ({"a/x.c": "", "b/x.c": "", "README.md": readme + files}, 1),
        ({"a/x.c": "", "a/x.h": "", "a/y.h": "", "b/x.c": "", "README.md": readme + files}, 0),
        ({"a/x.c": "", "a/y.h": "", "a/z.c": "", "b/x.c": "", "README.md": readme + files}, 1),
    ]
    for files, expected in cases:
        with tempfile.TemporaryDirectory() as root:
            for name, text in [("README.md", readme), *files.items()]:
                path = os.path.join(root, "src", name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
            problems = check(root)
            assert len(problems) == expected, (files, problems)


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    else:
        found = check(sys.argv[1])
        print("\n".join(found))
        sys.exit(1 if found else 0)
