"""What the tests about hostile peers share: attackers, honest senders, and an eye on what it costs the daemon."""

import json
import os
import pathlib
import re
import subprocess
import threading
import time

from harness import WAIT, callback, eventually

HOSTILE = pathlib.Path(__file__).parent / "hostile.py"
MIB = 1 << 20
TICKS = os.sysconf("SC_CLK_TCK")


class Attack:
    """A row of a table, set upon a target by a process of its own."""

    def __init__(self, target, seed, **row):
        row = {"target": target, "seed": seed, **row}
        self.process = subprocess.Popen(["/usr/bin/python3", str(HOSTILE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.process.stdin.write(json.dumps(row) + "\n")
        self.process.stdin.flush()
        self.ready = threading.Event()
        self.lines = []
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))
            if "connections" in self.lines[-1]:
                self.ready.set()
        self.ready.set()

    def statuses(self):
        """Those that it has heard by now."""
        return {line["status"] for line in list(self.lines) if "status" in line}

    def stop(self):
        """What it saw."""
        self.process.stdin.close()
        self.reader.join(WAIT)
        assert self.process.wait(WAIT) == 0
        return self.lines[-1]


class Cost:
    """What a daemon has: memory, descriptors, processor time; and the most that it had while watched."""

    def __init__(self, daemon):
        self.pid = daemon.process.pid
        self.rss = self.fds = 0
        self.stop_asked = threading.Event()

    def read_rss(self):
        return int(pathlib.Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def read_fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def read_cpu(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def __enter__(self):
        self.began, self.cpu_began = time.monotonic(), self.read_cpu()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.stop_asked.wait(0.02):
            self.rss, self.fds = max(self.rss, self.read_rss()), max(self.fds, self.read_fds())

    def __exit__(self, *_):
        self.stop_asked.set()
        self.thread.join()
        self.load = (self.read_cpu() - self.cpu_began) / (time.monotonic() - self.began)


class Honest:
    """Delivers a callback now and then, on a connection of its own each, and wants every one acknowledged."""

    def __init__(self, daemon):
        self.daemon, self.times, self.wrong, self.ids = daemon, [], [], []
        self.stop_asked = threading.Event()
        self.thread = threading.Thread(target=self.send)

    def send(self):
        while not self.stop_asked.wait(0.03):
            began, body = time.monotonic(), callback()
            try:
                answer = self.daemon.post(body)
                if answer.status != 200:
                    self.wrong.append((answer.status, answer.body))
                else:
                    self.ids.append(body["task_id"])
            except Exception as error:
                self.wrong.append(repr(error))
            self.times.append(time.monotonic() - began)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop_asked.set()
        self.thread.join()


def is_sanitized(daemon):
    """Whose memory says nothing about the program's."""
    program = pathlib.Path(daemon.command()[0]).read_bytes()
    return b"__asan_init" in program or b"__tsan_init" in program


def metric(local, name, server="callback"):
    text = local.get("/metrics").body.decode()
    return int(float(re.search(rf'^{name}(?:{{server="{server}"}})? (\S+)$', text, re.M)[1]))


def besiege(daemon, target, seed, row, seconds, least=3):
    """One attack, with honest callbacks meanwhile. What the attacker saw, what it cost, and how honest ones fared."""
    attack = Attack(target, seed, **row)
    try:
        with Cost(daemon) as cost, Honest(daemon) as honest:
            assert attack.ready.wait(WAIT), "the attack never came together"
            n = len(honest.times)
            end = time.monotonic() + seconds
            eventually(lambda: time.monotonic() > end and len(honest.times) >= n + least or honest.wrong,
                       "honest callbacks are answered meanwhile")
            account = attack.stop()
    finally:
        attack.process.kill()  # where it did not come to its end
        attack.process.wait()
    assert daemon.process.poll() is None, daemon.log()[-3000:]
    assert not honest.wrong, honest.wrong[:3]
    return account, cost, honest
