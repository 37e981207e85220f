"""How a soak is judged, from what was measured and promised meanwhile. Each judge gives what is wrong, or nothing."""

import hashlib
import sqlite3
import statistics


def window(series, begin, end):
    """The values of [(time, value)] in that part of the time that they span."""
    first, last = series[0][0], series[-1][0]
    return [v for t, v in series if first + (last - first) * begin <= t <= first + (last - first) * end]


def grows(series, ratio, room=0.0, of=statistics.median):
    """(before, after) where the last third is more than `ratio` times the first and `room`. The first tenth doesn't count:
    caches fill."""
    before, after = of(window(series, 0.1, 0.4)), of(window(series, 0.67, 1))
    return (before, after) if after > before * ratio + room else None


def climbs(series, ratio, room):
    """(before, after) where it grew that much without its largest step. What many did at once leaves a high-water mark
    behind, as the allocator and the page caches keep it, and that is one step; a leak climbs all the time."""
    steps = [statistics.median(window(series, a, a + 0.18)) for a in (0.1, 0.28, 0.46, 0.64, 0.82)]
    rises = sorted(b - a for a, b in zip(steps, steps[1:]))
    after = steps[0] + sum(rises[:-1])
    return (steps[0], after) if after > steps[0] * ratio + room else None


def last_life(samples, name):
    """Those since its last start."""
    pids = [s[f"{name}.pid"] for s in samples if f"{name}.pid" in s]
    return [s for s in samples if s.get(f"{name}.pid") == pids[-1]] if pids else []


def process(samples, name, memory=True):
    life = last_life(samples, name)
    if len(life) < 12:
        yield f"{name}: only {len(life)} samples of its last life"
        return
    for what, room in (("anonymous", 512), ("pss", 1024), ("rss", 1024)) if memory else ():
        found = climbs([(s["t"], s[f"{name}.{what}"]) for s in life], 1.15, room)
        if found:
            yield f"{name}: {what} climbs from {found[0]:.0f} to {found[1]:.0f} KB, without its largest step"
    for what, room, of in (("fds", 3, min), ("threads", 0, max)):
        found = grows([(s["t"], s[f"{name}.{what}"]) for s in life], 1, room, of)
        if found:
            yield f"{name}: {what} grows from {found[0]} to {found[1]}"


PAGE = 4096
WAL_MARK = 16 << 20  # from where on it is brought over; it starts over in place, so the file keeps that size


def database(samples, bodies_per_task):
    """`bodies_per_task`: bytes of what tasks stand on. The file may grow by that, and what goes with it, alone."""
    most = max(s["wal"] for s in samples)
    before = max(window([(s["t"], s["wal"]) for s in samples], 0, 0.4))
    after = max(window([(s["t"], s["wal"]) for s in samples], 0.67, 1))
    if most > 64 << 20 or after > max(before * 1.5, WAL_MARK * 1.5):
        yield f"the write-ahead log grows from {before} to {after}, at most {most}"
    found = grows([(s["t"], s["unneeded"]) for s in samples], 2, 60)
    if found:
        yield f"what retention should take grows from {found[0]} to {found[1]} deliveries"
    middle = samples[len(samples) // 2]
    tasks = samples[-1]["tasks"] - middle["tasks"]
    # What is still in the write-ahead log counts, and pages that were given back count until the file is smaller.
    bytes_ = max(samples[-1]["bytes"] - middle["bytes"], (samples[-1]["pages"] - middle["pages"]) * PAGE)
    if bytes_ > tasks * (bodies_per_task * 2 + 2048) + (2 << 20):
        yield f"the database grew by {bytes_} bytes for {tasks} tasks of {bodies_per_task:.0f} bytes"


def latency(latencies, ratio=3.0):
    """As a multiple of what the machine took for the reference beside it."""
    if len(latencies) < 60:
        yield f"only {len(latencies)} measurements"
        return
    thirds = []
    for begin, end in ((0, 0.34), (0.66, 1)):
        ours = statistics.median(window([(t, x) for t, x, _ in latencies], begin, end))
        reference = statistics.median(window([(t, y) for t, _, y in latencies], begin, end))
        thirds.append(ours / reference)
    if thirds[1] > thirds[0] * ratio:
        yield f"an acknowledgement took {thirds[0]:.2f} times the reference, {thirds[1]:.2f} times in the end"


def promises(path, acknowledged):
    """Straight from the file: every task, every byte, no gap."""
    connection = sqlite3.connect(path)
    try:
        if connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
            yield "the database is damaged"
        tasks = {row[0] for row in connection.execute("SELECT task_id FROM task")}
        missing = [t for t in acknowledged.tasks if t not in tasks]
        if missing:
            yield f"{len(missing)} of {len(acknowledged.tasks)} acknowledged tasks are not there, as {missing[0]}"
        left = dict(acknowledged.digests)
        for n, body in connection.execute("SELECT n, body FROM delivery"):
            if n in left and hashlib.sha256(body).digest() == left[n]:
                del left[n]
        if left:
            yield f"{len(left)} of {len(acknowledged.digests)} acknowledged bodies are not there as they came, as {min(left)}"
        first, last, count = connection.execute("SELECT min(seq), max(seq), count(*) FROM event").fetchone()
        if (first, last) != (1, count):
            yield f"events go from {first} to {last}, and are {count}"
    finally:
        connection.close()
