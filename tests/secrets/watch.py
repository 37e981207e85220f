#!/usr/bin/env python3
"""Runs a program under valgrind: watch.py VALGRIND clean|flawed PROGRAM. With `clean` nothing may be found; with `flawed`
a jump or an access that depends on an undefined byte has to be."""

import subprocess
import sys

FOUND = 9
COMPLAINTS = ("Conditional jump or move depends on uninitialised value", "Use of uninitialised value")

valgrind, expected, program = sys.argv[1:]
run = subprocess.run([valgrind, "--tool=memcheck", f"--error-exitcode={FOUND}", "--leak-check=no", "--track-origins=no",
                      "--undef-value-errors=yes", program], capture_output=True, text=True)
complained = any(words in run.stderr for words in COMPLAINTS)
if expected == "clean":
    good = run.returncode == 0 and not complained and "ERROR SUMMARY: 0 errors" in run.stderr
else:
    good = complained and run.returncode in (FOUND, -6)
print(run.stderr[-6000:] if not good else "as expected", file=sys.stderr)
sys.exit(0 if good else 1)
