#!/usr/bin/env python3
"""Puts the files of the viewer's page into a C table, as they are: embed.py OUTPUT FILE..."""

import os
import sys

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def array(name, data):
    lines = [", ".join(map(str, data[i:i + 24])) for i in range(0, len(data), 24)]
    return f"static const unsigned char {name}[] = {{\n        " + ",\n        ".join(lines) + ",\n};\n\n"


def main(output, inputs):
    arrays, rows = [], []
    for i, path in enumerate(sorted(inputs, key=os.path.basename)):
        name = os.path.basename(path)
        with open(path, "rb") as file:
            data = file.read()
        if os.path.splitext(name)[1] not in TYPES or not data:
            sys.exit(f"{path}: expected a file that is not empty and ends with one of {' '.join(TYPES)}")
        arrays.append(array(f"file_{i}", data))
        rows.append(f'        {{ "{name}", "{TYPES[os.path.splitext(name)[1]]}", file_{i}, sizeof(file_{i}) }},\n')

    with open(output, "w", encoding="ascii") as file:
        file.write("/* Made by embed.py from view/. */\n\n" + "".join(arrays))
        file.write("static const PageFile page_files[] = {\n" + "".join(rows) + "};\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
