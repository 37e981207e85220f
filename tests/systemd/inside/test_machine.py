"""The booted machine itself: it is a copy of one on which anything may be enabled."""

import re

from conftest import run


def test_nothing_starts_that_no_test_started():
    """Loaded by dpkg and enabled by its maintainer scripts, as databases and timers are: none of it is here."""
    units = run("systemctl", "list-units", "--type=service,timer,socket,path", "--plain", "--no-legend", "--all",
                "--state=active,activating,failed")
    names = {line.split()[0] for line in units.splitlines()}
    others = {n for n in names if not re.match(r"(systemd|scale)-|(init|modprobe|kmod|ldconfig|nginx|user)\b", n)}
    assert not others, others
