"""What people would use instead, each with the handler that one writes first (peers/). They get one table, without any
checks beyond the key: less than what the receiver does."""

import contextlib
import importlib.util
import json
import os
import shutil
import signal

from bodies import KEY
from servers import HERE, Server, free_port, lost_in

PEERS = HERE / "peers"
PYTHON = "/usr/bin/python3"
SQL = "SELECT c.body FROM callback c WHERE c.task_id = a.id"


class Express(Server):
    name = "Express and SQLite, a commit each"
    durable = True

    def __init__(self, modules):
        self.modules = modules

    def missing(self):
        if not shutil.which("node"):
            return "Node.js 20 and npm, then tests/bench/peers/install"
        have = all((self.modules / name / "package.json").exists() for name in ("express", "better-sqlite3"))
        return None if have else "tests/bench/peers/install"

    def launch(self):
        port = free_port()
        self.database = self.folder / "express.db"
        self.watched = f"{self.database}-wal" if self.durable else None
        self.spawn("node", PEERS / "express.js", KEY, port, *([self.database] if self.durable else []),
                   env={**os.environ, "NODE_PATH": str(self.modules), "NODE_ENV": "production"})
        self.wait_for_port(port)

    def lost(self, ids):
        return lost_in(self.database, SQL, ids)


class ExpressSample(Express):
    name = "Express, the usual sample: answers, then keeps it in memory"
    durable = False

    def lost(self, ids):
        return len(ids)  # nothing of it is on any disk


class FastApi(Server):
    name = "FastAPI and SQLite, a commit each"

    def missing(self):
        have = all(importlib.util.find_spec(name) for name in ("fastapi", "uvicorn", "uvloop", "httptools"))
        return None if have else "apt install python3-fastapi uvicorn python3-uvloop python3-httptools"

    def launch(self):
        port = free_port()
        self.database = self.folder / "fastapi.db"
        self.watched = f"{self.database}-wal"
        self.spawn(PYTHON, "-m", "uvicorn", "--app-dir", PEERS, "--host", "127.0.0.1", "--port", port,
                   "--log-level", "warning", "--no-access-log", "--loop", "uvloop", "--http", "httptools",
                   "peer_fastapi:app", env={**os.environ, "KEY": KEY, "DATABASE": str(self.database),
                                            "PYTHONDONTWRITEBYTECODE": "1"})
        self.wait_for_port(port)

    def lost(self, ids):
        return lost_in(self.database, SQL, ids)


class Webhook(Server):
    name = "webhook, running a command"

    def missing(self):
        return None if shutil.which("webhook") else "apt install webhook"

    def launch(self):
        port = free_port()
        self.kept = self.folder / "kept"
        self.kept.mkdir()
        hook = {"id": "callback", "execute-command": str(PEERS / "webhook-store"),
                "include-command-output-in-response": True,
                "pass-arguments-to-command": [{"source": "string", "name": str(self.kept)},
                                              {"source": "payload", "name": "task_id"}, {"source": "entire-payload"}],
                "trigger-rule": {"match": {"type": "value", "value": KEY,
                                           "parameter": {"source": "header", "name": "scale-callback-auth"}}}}
        (self.folder / "hooks.json").write_text(json.dumps([hook]))
        self.spawn("webhook", "-hooks", "hooks.json", "-ip", "127.0.0.1", "-port", port, "-urlprefix", "",
                   start_new_session=True)
        self.wait_for_port(port)

    def stop(self):
        """Its commands outlive it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        super().stop()

    def lost(self, ids):
        return len(set(ids) - {path.name for path in self.kept.iterdir() if path.stat().st_size > 0})
