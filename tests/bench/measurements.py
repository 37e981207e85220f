"""What can be measured, by name. Each gives what it measured, for JSON, and the lines of its table."""

import functools

import report
import rows
from peers import Express, ExpressSample, FastApi, Webhook
from servers import Bare, Nginx, Receiver

SERVERS = {
    "receiver": lambda bench: Receiver(),
    "bare": lambda bench: Bare("drop"),
    "parse": lambda bench: Bare("parse"),
    "nginx": lambda bench: Nginx(),
    "express": lambda bench: Express(bench.modules),
    "express-sample": lambda bench: ExpressSample(bench.modules),
    "fastapi": lambda bench: FastApi(),
    "webhook": lambda bench: Webhook(),
}


def wanted_servers(bench):
    return [functools.partial(make, bench) for name, make in SERVERS.items() if not bench.wanted or name in bench.wanted]


def measure_load(bench):
    everything, lines = {}, []
    rounds = {n: [] for n in bench.connections}
    for k in range(bench.rounds):
        bench.say(f" round {k + 1}")
        for n in bench.connections:
            rounds[n].append(rows.rows_of(bench, wanted_servers(bench), n))
    for n in bench.connections:
        rates = report.ratios(rounds[n], "rate", Receiver.name)
        waits = report.ratios(rounds[n], "p99", Receiver.name)
        everything[n] = {"rounds": rounds[n], "rate_ratios": rates, "p99_ratios": waits}
        lines += [f"{n} connections", "", *report.load_table(rounds[n]), ""]
        lines += report.table([f"{Receiver.name} at {n} connections, as a part of", "req/s", "p99"],
                              [[name, f"{value:.2f}", f"{waits[name]:.2f}"] for name, value in rates.items()])
        lines += [""]
    return everything, lines


ALL = {
    "load": (measure_load, "acknowledged requests a second, side by side"),
}


def choose(only):
    """From --only: the measurements, and the rows of `load`."""
    only = only or []
    unknown = [name for name in only if name not in ALL and name not in SERVERS and name != "sqlite"]
    if unknown:
        raise SystemExit(f"run: there is no {', '.join(unknown)}: --list names what there is; rows of load are "
                         f"{', '.join(SERVERS)}")
    servers = [name for name in only if name in SERVERS]
    names = [name for name in ALL if name in only] or (["load"] if servers else list(ALL))
    return names, servers
