"""Options and fixtures: `--kill-rounds N`; a daemon of its own for each test that asks for one."""

import pytest

from harness import Daemon


def pytest_addoption(parser):
    parser.addoption("--kill-rounds", type=int, default=5, help="how often the receiver is killed under load")


def pytest_configure(config):
    config.addinivalue_line("markers", "load: puts load on the receiver from several threads")


@pytest.fixture
def make_daemon(tmp_path):
    """Makes daemons with the given settings; all are stopped at the end and their logs looked through."""
    daemons = []

    def make(*settings, **more):
        daemon = Daemon(tmp_path / f"d{len(daemons)}", *settings, **more)
        daemons.append(daemon)
        return daemon

    yield make
    for daemon in daemons:
        daemon.finish()


@pytest.fixture
def daemon(make_daemon):
    return make_daemon().start()
