#!/usr/bin/env python3
"""Every message id in src/daemon/message.h has one entry in systemd/scale.catalog, and the other way round, and the
fields that entries name are sent by somebody. `check-catalog.py SOURCE_ROOT`; --self-test shows that it finds a gap."""

import pathlib
import re
import sys


def check(header, catalog, sources):
    defined = re.findall(r'^#define (MESSAGE_\w+)[\s\\]+"([0-9a-f]{32})"', header, re.M)
    entries = re.findall(r"^-- ([0-9a-f]{32})\n((?:(?!^-- ).*\n?)*)", catalog, re.M)
    ids = [id for _, id in defined]
    for name, id in defined:
        if ids.count(id) > 1:
            yield f"{name}: its id is used twice"
        if [e for e, _ in entries].count(id) != 1:
            yield f"{name}: expected one entry in the catalog"
        if not re.search(rf"\b{name}\b", sources):
            yield f"{name}: nobody sends it"
    for id, text in entries:
        if id not in ids:
            yield f"{id}: an entry for a message that isn't defined"
        if not re.match(r"Subject: .+\nDefined-By: .+\nDocumentation: .+\n\n\s*\S", text):
            yield f"{id}: expected a subject, a Defined-By, a Documentation and a text"
        for field in set(re.findall(r"@([A-Z_]+)@", text)) - {"SYSLOG_IDENTIFIER"}:
            if f'"{field}"' not in sources:
                yield f"{id}: nobody sends the field {field}"


def self_test():
    entry = "-- %s\nSubject: a\nDefined-By: b\nDocumentation: c\n\nText @X@.\n"
    a, b = "a" * 32, "b" * 32
    define = f'#define MESSAGE_A "{a}"\n'
    assert not list(check(define, entry % a, 'MESSAGE_A "X"'))
    assert list(check(define, entry % b, 'MESSAGE_A "X"'))
    assert list(check(define, entry % a + entry % b, 'MESSAGE_A "X"'))
    assert list(check(define, entry % a, 'MESSAGE_A'))
    assert list(check(define, entry % a, '"X"'))
    assert list(check(define + f'#define MESSAGE_B "{a}"\n', entry % a, 'MESSAGE_A MESSAGE_B "X"'))


def main():
    if sys.argv[1] == "--self-test":
        return self_test()
    root = pathlib.Path(sys.argv[1])
    header = (root / "src/daemon/message.h").read_text()
    sources = "\n".join(p.read_text() for p in sorted(root.glob("src/**/*.c")))
    problems = list(check(header, (root / "systemd/scale.catalog").read_text(), sources))
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
