"""What gets measured: each started in a folder of its own, on loopback, on a port that the kernel chooses.

A server has `name`, `start(folder)`, `to` (where the load goes), `pid`, and `lost(ids)`: how many of these it has not
kept, read from its files after it was killed, or None where it doesn't claim to keep any. `missing()` says why it can't
run here, and how it could."""

import contextlib
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from bodies import KEY  # noqa: E402
import harness  # noqa: E402

WAIT = harness.WAIT


def tool(name):
    """A program of meson.build here."""
    return harness.BUILD / "tests/bench" / name


def free_port():
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    name, watched, prefix = "", None, []

    def missing(self):
        return None

    def start(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.launch()
        return self

    def spawn(self, *command, env=None, **more):
        self.log = self.folder / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(list(map(str, command)), stdout=more.pop("stdout", log), stderr=log,
                                            env=env, cwd=self.folder, **more)
        self.pid = self.process.pid

    def wait_for_port(self, port):
        end = time.monotonic() + WAIT
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            self.check_alive()
            if time.monotonic() > end:
                raise RuntimeError(f"{self.name} does not listen after {WAIT} s: {self.log.read_text()[-2000:]}")
            time.sleep(0.02)
        self.to = f"127.0.0.1:{port}"

    def check_alive(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}: {self.log.read_text()[-2000:]}")

    def stop(self):
        """However it ends; by now it was mostly killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(WAIT)

    def lost(self, ids):
        return None

    def group(self):
        """How many shared a commit, on the average, or None."""
        return None


class Receiver(Server):
    name = "scale-callbackd"

    def __init__(self, *settings, env=None):
        self.settings, self.env = settings, env

    def launch(self):
        self.daemon = harness.Daemon(self.folder / "d", *self.settings, keys=f"live {KEY}\n", env=self.env)
        self.open()

    def open(self):
        """Starts it on the database that is there, or on none."""
        self.daemon.start()
        self.process, self.pid = self.daemon.process, self.daemon.process.pid
        self.database = self.daemon.database
        self.watched = f"{self.database}-wal"
        self.to = f"127.0.0.1:{self.daemon.port}"
        self.query = f"unix:{self.daemon.query.path}"

    def metrics(self):
        text = self.daemon.query.get("/metrics").body.decode()
        return {m[1]: float(m[2]) for m in re.finditer(r"^(\S+) (\S+)$", text, re.M)}

    def group(self):
        figures = self.metrics()
        groups = figures["scale_callbackd_commit_groups_total"]
        return figures["scale_callbackd_commit_jobs_total"] / groups if groups else None

    def lost(self, ids):
        return lost_in(self.database, "SELECT d.body FROM task t JOIN delivery d ON d.n = t.response "
                                      "WHERE t.task_id = a.id", ids)

    def stop(self):
        super().stop()
        if not self.daemon.log_file.closed:
            self.daemon.log_file.close()


def lost_in(database, sql, ids):
    """How many of the ids have no body in the database, or one that isn't about them. `sql` gives the body of a.id."""
    with contextlib.closing(sqlite3.connect(database)) as db:
        db.execute("CREATE TEMP TABLE acknowledged (id TEXT PRIMARY KEY)")
        db.executemany("INSERT INTO acknowledged VALUES (?)", ((id,) for id in ids))
        return db.execute(f"SELECT count(*) FROM acknowledged a "
                          f"WHERE coalesce(instr(CAST(({sql}) AS TEXT), a.id), 0) = 0").fetchone()[0]


class Bare(Server):
    """The server library alone: see server.c."""

    names = {"drop": "libmicrohttpd, body read and dropped",
             "parse": "libmicrohttpd, jansson parsing the same body, for comparison", "refuse": "libmicrohttpd, refused by the headers"}

    def __init__(self, mode):
        self.mode, self.name = mode, self.names[mode]

    def launch(self):
        self.spawn(tool("bench-server"), self.mode, stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        if not line:
            self.process.wait(WAIT)
            self.check_alive()
        self.to = f"127.0.0.1:{int(line)}"

    def stop(self):
        super().stop()
        self.process.stdout.close()


class Nginx(Server):
    name = "nginx, body read and dropped"

    def missing(self):
        return None if shutil.which("nginx", path="/usr/sbin:/usr/bin") else "apt install nginx-light"

    def launch(self):
        port = free_port()
        (self.folder / "nginx.conf").write_text(f"""
daemon off; master_process off; pid nginx.pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 1000000000; client_max_body_size 8m; client_body_temp_path body;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ default_type application/json;
            return 200 '{{"result":"stored","task_id":"576ba74eec471ff9b01557cc","delivery":123456}}'; }}
    }}
}}
""")
        self.spawn(shutil.which("nginx", path="/usr/sbin:/usr/bin"), "-p", self.folder, "-c", "nginx.conf")
        self.wait_for_port(port)
