#!/usr/bin/env python3
"""Every schema that there was is kept as data, and no migration ever changes: `check-schema.py SOURCE_ROOT`; with
--self-test it shows that it finds what is wrong.

For each migration in sql/ there are a database of that schema and the answers about it in tests/data/schema/; the hashes
that the answers come with are those of the migrations; what the migrations make of nothing is the schema of the database;
and none of its tables is empty."""

import hashlib
import json
import os
import re
import sqlite3
import sys
import tempfile

HINT = "see tests/data/schema/README.md"


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def names(folder, pattern):
    return sorted(n for n in os.listdir(folder) if re.fullmatch(pattern, n))


def database(script):
    connection = sqlite3.connect(":memory:")
    connection.executescript(script)
    return connection


def schema_of(connection):
    return {(kind, name): re.sub(r"\s+", " ", sql or "") for kind, name, sql in
            connection.execute("SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'")}


def check_version(root, version, migrations):
    data = os.path.join(root, "tests/data/schema")
    try:
        script, answers = read(data, f"{version}.sql"), json.loads(read(data, f"{version}.json"))
    except FileNotFoundError as error:
        yield f"there is no database of schema {version}: {os.path.basename(error.filename)} is missing, {HINT}"
        return
    hashes = {n: hashlib.sha256(read(root, "sql", n).encode()).hexdigest() for n in migrations}
    for name in hashes:
        if answers["migrations"].get(name) != hashes[name]:
            yield f"sql/{name} is not what it was when {version}.sql was made: a migration never changes, {HINT}"
    kept, made = database(script), database("".join(read(root, "sql", n) for n in migrations))
    if kept.execute("PRAGMA user_version").fetchone()[0] != version or answers["schema"] != version:
        yield f"{version}.sql or {version}.json is of another schema"
    if schema_of(kept) != schema_of(made):
        yield f"the schema in {version}.sql is not the one that the migrations make"
    tables = [name for kind, name in schema_of(kept) if kind == "table"]
    for name in tables:
        if not kept.execute(f"SELECT count(*) FROM {name}").fetchone()[0]:
            yield f"{version}.sql has no row in {name}"
    if not answers["answers"]:
        yield f"{version}.json has no answers"


def check(root):
    migrations = names(os.path.join(root, "sql"), r"\d{4}-.*\.sql")
    for version in range(1, len(migrations) + 1):
        yield from check_version(root, version, migrations[:version])
    for name in names(os.path.join(root, "tests/data/schema"), r"\d+\.(sql|json)"):
        if not 1 <= int(name.split(".")[0]) <= len(migrations):
            yield f"{name} is of a schema that doesn't exist"


# A small tree in which everything fits.
FIRST, SECOND = "CREATE TABLE a (x INTEGER);\n", "ALTER TABLE a ADD COLUMN y INTEGER;\nCREATE TABLE b (z TEXT);\n"


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


FITTING = {
    "sql/0001-first.sql": FIRST,
    "sql/0002-second.sql": SECOND,
    "tests/data/schema/1.sql": FIRST + "INSERT INTO a VALUES (1); PRAGMA user_version = 1;\n",
    "tests/data/schema/1.json": json.dumps({"schema": 1, "migrations": {"0001-first.sql": digest(FIRST)}, "answers": {"/": 1}}),
    "tests/data/schema/2.sql": FIRST + SECOND + "INSERT INTO a VALUES (1, 2); INSERT INTO b VALUES ('c');"
                                                " PRAGMA user_version = 2;\n",
    "tests/data/schema/2.json": json.dumps({"schema": 2, "answers": {"/": 1}, "migrations": {
        "0001-first.sql": digest(FIRST), "0002-second.sql": digest(SECOND)}}),
}
NEVER = "a migration never changes, " + HINT
MISTAKES = [
    ({"sql/0003-third.sql": "CREATE TABLE d (x);"}, [f"there is no database of schema 3: 3.sql is missing, {HINT}"]),
    ({"tests/data/schema/2.json": None}, [f"there is no database of schema 2: 2.json is missing, {HINT}"]),
    ({"sql/0001-first.sql": FIRST + "-- really\n"}, [
        f"sql/0001-first.sql is not what it was when {n}.sql was made: {NEVER}" for n in (1, 2)]),
    ({"sql/0002-second.sql": SECOND + "CREATE INDEX i ON a (x);\n"}, [
        f"sql/0002-second.sql is not what it was when 2.sql was made: {NEVER}",
        "the schema in 2.sql is not the one that the migrations make"]),
    ({"sql/0002-second.sql": None}, ["2.json is of a schema that doesn't exist", "2.sql is of a schema that doesn't exist"]),
    ({"tests/data/schema/1.sql": FITTING["tests/data/schema/1.sql"].replace("version = 1", "version = 2")},
     ["1.sql or 1.json is of another schema"]),
    ({"tests/data/schema/2.sql": FITTING["tests/data/schema/2.sql"].replace("INSERT INTO b VALUES ('c');", "")},
     ["2.sql has no row in b"]),
    ({"tests/data/schema/1.json": FITTING["tests/data/schema/1.json"].replace('{"/": 1}', "{}")}, ["1.json has no answers"]),
]


def check_tree(files):
    with tempfile.TemporaryDirectory() as root:
        for name, text in files.items():
            if text is None:
                continue
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        return list(check(root))


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: found {found}, expected {wanted}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        expect("what fits", check_tree(FITTING), [])
        for change, wanted in MISTAKES:
            expect(f"with {change}", check_tree(FITTING | change), wanted)
    else:
        found = list(check(sys.argv[1]))
        print("\n".join(found))
        sys.exit(1 if found else 0)
