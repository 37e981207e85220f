"""What can be measured, by name. Each gives what it measured, for JSON, and the lines of its table."""

import measure_receiver as receiver
import measure_store as store
import measure_submit as submit

ALL = {
    "disk": (receiver.measure_disk, "what a sync costs here"),
    "load": (receiver.measure_load, "acknowledged requests a second, beside what bounds them and what people use"),
    "connections": (receiver.measure_connections, "any number of connections, without a stall"),
    "slow-sync": (receiver.measure_slow_sync, "a disk that takes a millisecond longer for each sync"),
    "rejected": (receiver.measure_rejected, "a wrong key, beside the bare server's answer"),
    "memory": (receiver.measure_memory, "resident memory, idle and with 1,024 connections"),
    "query": (store.measure_query, "reading a task by its id while callbacks pour in"),
    "depth": (store.measure_depth, "inserting where many tasks are stored"),
    "pages": (store.measure_pages, "a page of tasks at any depth, and the total"),
    "export": (store.measure_export, "exporting, beside sqlite3 printing the same"),
    "submit": (submit.measure_submit, "submitting, beside a bare curl loop"),
}


def choose(only):
    """From --only: the measurements, and the rows of `load`."""
    only = only or []
    unknown = [name for name in only if name not in ALL and name not in receiver.SERVERS]
    if unknown:
        raise SystemExit(f"run: there is no {', '.join(unknown)}. Measurements are {', '.join(ALL)}; "
                         f"rows of load are {', '.join(receiver.SERVERS)}.")
    servers = [name for name in only if name in receiver.SERVERS]
    names = [name for name in ALL if name in only or (servers and name == "load")]
    return names or list(ALL), servers
