"""The receiver under load: beside others, at any number of connections, on a slow disk, refusing, and its memory."""

import functools
import json
import shutil
import time

import bodies
import report
import rows
from peers import Express, ExpressSample, FastApi, Webhook
from servers import Bare, Nginx, Receiver, tool

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
EVERY_NUMBER = [1, 2, 4, 8, 16, 32, 48, 64, 65, 96, 128, 192, 256, 384, 512, 768, 1024]
DELAY_USEC = 1000


def measure_load(bench):
    """The rows that the README shows."""
    makers = [functools.partial(make, bench) for name, make in SERVERS.items()
              if not bench.wanted or name in bench.wanted]
    connections = bench.connections or [64, 256]
    rounds = {n: [] for n in connections}
    for k in range(bench.rounds):
        bench.say(f" round {k + 1}")
        for n in connections:
            rounds[n].append(rows.rows_of(bench, makers, n))

    measured, lines = {}, []
    for n in connections:
        rates = report.ratios(rounds[n], "rate", Receiver.name)
        waits = report.ratios(rounds[n], "p99", Receiver.name)
        cpu = report.ratios(rounds[n], "cpu_usec", Receiver.name)
        measured[n] = {"rounds": rounds[n], "rate_ratios": rates, "p99_ratios": waits, "cpu_ratios": cpu}
        lines += [f"{n} connections", "", *report.load_table(rounds[n]), ""]
        lines += report.table([f"{Receiver.name} at {n} connections, as a part of", "req/s", "p99", "CPU/req"],
                              [[name, *(report.number(x.get(name)) for x in (rates, waits, cpu))] for name in rates])
        lines += [""]
    return measured, lines


def measure_connections(bench):
    """A stall would be a pause in which nobody is answered, or a connection that never is."""
    numbers = bench.connections or EVERY_NUMBER
    rounds = [[rows.measure(bench, server, n) | {"connections": n} for n in numbers
               for server in (Receiver(), Bare("drop"))] for _ in range(bench.rounds)]
    found = [row for one in rounds for row in one]

    def of(n, name):
        return [row for row in found if row["connections"] == n and row["name"] == name]

    lines = []
    best = max(rows.median_of(of(n, Receiver.name), "rate") for n in numbers)
    for n in numbers:
        own, bare = of(n, Receiver.name), of(n, Bare("drop").name)
        lines.append([n, f"{rows.median_of(own, 'rate'):,.0f}", f"{rows.median_of(own, 'rate') / best:.2f}",
                      f"{rows.median_of(own, 'p99'):.2f}", f"{max(row['max'] for row in own):.0f}",
                      f"{max(row['pause'] for row in own):.0f}", sum(row["starved"] for row in own),
                      min(row["least"] for row in own), sum(row["lost"] for row in own),
                      f"{max(row['pause'] for row in bare):.0f}"])
    header = ["connections", "req/s", "of the best", "p99 ms", "longest answer ms", "longest pause ms", "never answered",
              "fewest answers", "lost", "pause of the bare server ms"]
    return {"rounds": rounds}, report.table(header, lines)


def measure_slow_sync(bench):
    """With a shim that makes each sync a millisecond longer."""
    numbers = bench.connections or [64]
    environment = {"LD_PRELOAD": str(tool("sync-delay.so")), "SYNC_DELAY_USEC": str(DELAY_USEC)}
    names = ("as it is", "1 ms more for each sync")
    rounds = []
    for _ in range(bench.rounds):
        for n in numbers:
            pair = [rows.measure(bench, Receiver(), n), rows.measure(bench, Receiver(env=environment), n)]
            rounds.append([row | {"name": name, "connections": n} for row, name in zip(pair, names)])

    measured, lines = {"rounds": rounds, "rate_ratios": {}}, []
    for n in numbers:
        own = [pair for pair in rounds if pair[0]["connections"] == n]
        value = report.ratio(own, "rate", names[1], names[0])
        measured["rate_ratios"][n] = value
        lines += [f"{n} connections", "", *report.load_table(own), "",
                  f"With a slower disk {value:.2f} of the requests a second.", ""]
    return measured, lines


def measure_rejected(bench):
    """A wrong key: the connection is closed behind the answer, so each request brings its own."""
    n = (bench.connections or [64])[0]
    wrong = bench.write("wrong", bodies.callbacks(key="not-the-key"))
    closing = bench.write("closing", bodies.callbacks("Connection: close"))
    rounds = []
    for _ in range(bench.rounds):
        rounds.append([
            rows.measure(bench, Receiver(), n, requests=wrong, expect=401) | {"name": "a wrong key"},
            rows.measure(bench, Bare("drop"), n, requests=closing) | {"name": "the bare server's answer"},
            rows.measure(bench, Bare("refuse"), n, requests=wrong, expect=401) | {"name": "the bare server refusing"}])
    for row in (row for one in rounds for row in one):
        row["lost"] = None  # refusals: nothing is to be kept
    lines = [*report.load_table(rounds), ""]
    costs = {field: report.ratios(rounds, field, "a wrong key") for field in ("cpu_usec", "rate")}
    lines += report.table(["a wrong key, as a part of", "CPU/req", "req/s"],
                          [[name, f"{value:.2f}", f"{costs['rate'][name]:.2f}"]
                           for name, value in costs["cpu_usec"].items()])
    return {"rounds": rounds, "ratios": costs}, lines


def resident(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def measure_memory(bench):
    """Resident: idle, and the peak while 1,024 connections send bodies of 2 KB."""
    large = bench.write("large", bodies.callbacks(size=2048))
    server = Receiver().start(bench.new_folder())
    try:
        time.sleep(min(1, bench.seconds))
        idle = resident(server.pid)
    finally:
        server.stop()
    shutil.rmtree(server.folder)
    loaded = [rows.measure(bench, Receiver(), (bench.connections or [1024])[-1], requests=large)
              for _ in range(bench.rounds)]
    peak = max(row["resident_kib"] for row in loaded)
    lost = sum(row["lost"] for row in loaded)
    lines = report.table(["", "MiB"], [["idle", f"{idle / 1024:.1f}"],
                                       ["peak, 1,024 connections with bodies of 2 KB", f"{peak / 1024:.1f}"]])
    return {"idle_kib": idle, "peak_kib": peak, "rounds": [loaded]}, [*lines, "", f"Acknowledged and lost: {lost}."]


def measure_disk(bench):
    """What a sync costs here: 4 KB appended and synced, by one who does nothing else."""
    path = bench.folder / "sync"
    times = []
    with open(path, "wb", buffering=0) as file:
        end = time.monotonic() + min(bench.seconds, 2)
        while time.monotonic() < end:
            began = time.monotonic()
            file.write(b"x" * 4096)
            rows.sync(file)
            times.append((time.monotonic() - began) * 1e3)
    path.unlink()
    times.sort()
    measured = {"syncs": len(times), "p50": times[len(times) // 2], "p99": times[int(len(times) * 0.99)]}
    return measured, [f"A sync: {measured['p50']:.2f} ms in the middle, {measured['p99']:.2f} ms at p99 "
                      f"({json.dumps(measured['syncs'])} of them)."]
