#!/usr/bin/env python3
"""Turns numbered migrations into rows of a C array: embed.py OUTPUT 0001-name.sql 0002-name.sql ...

The numbers have to start at 1 and leave no gap, because a database remembers only the last one it has seen.
"""

import os
import re
import sys


def quote(text):
    """A C string literal, a line for a line of SQL; only plain ASCII, so that nothing can differ."""
    lines = []
    for line in text.splitlines():
        if not all(32 <= ord(c) < 127 for c in line):
            raise ValueError(f"not plain ASCII: {line!r}")
        escaped = line.rstrip().replace("\\", "\\\\").replace('"', '\\"').replace("??", "?\\?")
        lines.append(f'                "{escaped}\\n"')
    return "\n".join(lines)


def main(output, inputs):
    rows = []
    for expected, path in enumerate(sorted(inputs, key=os.path.basename), start=1):
        match = re.fullmatch(r"(\d{4})-([a-z0-9-]+)\.sql", os.path.basename(path))
        if not match or int(match[1]) != expected:
            sys.exit(f"{path}: expected a file named {expected:04}-some-name.sql")
        with open(path, encoding="utf-8") as file:
            sql = file.read()
        try:
            rows.append(f'        {{ {expected}, "{match[2]}",\n{quote(sql)} }},\n')
        except ValueError as error:
            sys.exit(f"{path}: {error}")

    with open(output, "w", encoding="ascii") as file:
        file.write("/* Made by embed.py from sql/: number, name, SQL. */\n\n")
        file.write("static const Migration migrations[] = {\n" + "".join(rows) + "};\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
