"""Options and fixtures: how long, how often and how many, `pytest --help` says which; a daemon of its own for each test
that asks for one."""

import signal

import pytest

from api import Api
from harness import Daemon, Sandbox, Submitter


def pytest_addoption(parser):
    parser.addoption("--kill-rounds", type=int, default=5, help="how often the receiver is killed under load")
    parser.addoption("--nth-rounds", type=int, default=16, help="how many n of each kind of call fail; 0: every one")
    parser.addoption("--nth-seed", type=int, default=1, help="which")
    parser.addoption("--submissions", type=int, default=1000, help="how many tasks the largest test hands in")
    parser.addoption("--soak-seconds", type=int, default=45, help="how long everything goes on at once")
    parser.addoption("--soak-seed", type=int, help="repeats what a soak sends; another one each time by default")
    parser.addoption("--hostile-seconds", type=float, default=0.4, help="how long each attack lasts, twice")
    parser.addoption("--hostile-connections", type=int, default=2000, help="how many connections the largest attacks make")
    parser.addoption("--hostile-seed", type=int, default=20161, help="what the dice of the attacks begin with")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than a minute")
    config.addinivalue_line("markers", "load: puts load on the receiver from several threads")
    # A shell that starts this in the background has these ignored, and so would all that is started here.
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


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


@pytest.fixture
def api():
    api = Api()
    yield api
    api.close()


@pytest.fixture
def make_submitter(tmp_path, api):
    """Makes submitters for the API that does as it is told; all are stopped at the end."""
    submitters = []

    def make(*settings, url=None, **more):
        submitter = Submitter(tmp_path / f"submit{len(submitters)}", url or api.url, *settings, **more)
        submitters.append(submitter)
        return submitter

    yield make
    api.plan = lambda method, path, body: None
    for submitter in submitters:
        submitter.finish()


@pytest.fixture
def submitter(make_submitter):
    return make_submitter().start()


@pytest.fixture
def make_sandbox(tmp_path):
    """Makes stand-ins for the API with the given options."""
    sandboxes = []

    def make(*options, **more):
        sandbox = Sandbox(tmp_path / f"s{len(sandboxes)}", *options, **more)
        sandboxes.append(sandbox)
        return sandbox.start()

    yield make
    for sandbox in sandboxes:
        sandbox.finish()


@pytest.fixture
def sandbox(make_sandbox):
    return make_sandbox()
