"""Keys are nowhere but where they must be: not in memory that was let go, dumps, files, answers, logs, nor in the journal."""

import glob
import json
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading

import pytest

from api import TEST_KEY
from canary import find, mappings, search_memory
from harness import CALLBACKD, KEY, WAIT, Local, callback, eventually, scalectl

OLD = "the-old-canary-key-0123456789abcdef"
GUESS = "a-guessed-canary-key-fedcba9876543210"
KEYS = f"live {KEY}\nlive-old {OLD}\n"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="SKIPPED: looking into another process needs root")
# A sanitizer keeps what was freed, to tell of its use: memory is looked at in the builds that are delivered.
needs_plain_build = pytest.mark.skipif(
    b"__asan_init" in CALLBACKD.read_bytes() or b"__tsan_init" in CALLBACKD.read_bytes(),
    reason="a sanitizer keeps what was let go")


def use_every_key(daemon):
    """Callbacks with each key, kept alive and not, good and bad; guesses, one at a time and two at once."""
    for key in (KEY, OLD):
        daemon.deliver(callback(), key=key)
        daemon.post("{", key=key, status=400)
        daemon.post("{}", key=key, status=422)
        daemon.post(callback(), key=key, headers={"Content-Type": "text/plain"}, status=415)
        daemon.post("x" * 70000, key=key, status=413)
    daemon.post(callback(), key=GUESS, status=401)
    daemon.post(callback(), path=f"/nowhere/{GUESS}", key=GUESS, status=404)
    both = f"POST /callback HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nscale-callback-auth: {KEY}\r\nscale-callback-auth: {GUESS}"
    raw = daemon.raw().say(f"{both}\r\n\r\n{{}}")
    assert b" 401 " in raw.hear()
    raw.close()
    connection = daemon.connect()
    for key in (KEY, OLD, GUESS):
        # A wrong key is refused before its body is sent: there may be nobody left to take that.
        body = None if key == GUESS else json.dumps(callback())
        connection.request("POST", "/callback", body=body, headers={"scale-callback-auth": key})
        connection.getresponse().read()
    return connection  # still open: what it holds is looked at too


@needs_root
@needs_plain_build
def test_the_receiver_holds_no_key_that_it_was_shown(make_daemon):
    """What is configured is kept as hashes, in guarded memory; what comes with a callback is wiped once it was compared."""
    daemon = make_daemon("callback.max_body=64K", keys=KEYS).start("--log-level=debug")
    connection = use_every_key(daemon)
    pid = daemon.process.pid
    assert any(m.guarded for m in mappings(pid)), "there is no guarded memory"
    assert search_memory(pid, KEY, OLD, GUESS) == []

    daemon.write_keys(f"live {KEY}\n")
    daemon.reload()
    daemon.post(callback(), key=OLD, status=401)
    daemon.deliver(callback())
    assert search_memory(pid, KEY, OLD, GUESS) == []
    connection.close()


@needs_root
@needs_plain_build
def test_the_receiver_holds_no_key_of_a_request_that_the_library_refused(make_daemon):
    """Nobody but the HTTP library ever saw its headers: cut, without Host, contradicting, too large, nonsense."""
    daemon = make_daemon("callback.header_timeout=1s").start()
    key, head = f"scale-callback-auth: {KEY}\r\n", "POST /callback HTTP/1.1\r\nHost: x\r\n"
    requests = [head + key[:-2], head + key + "Content-", f"POST /callback HTTP/1.1\r\n{key}\r\n",
                f"{head}{key}Content-Length: 5, 5\r\n\r\nabcde", f"{head}{key}X: {'y' * 60000}\r\n\r\n",
                f"{head}X: {'y' * 9000}\r\n{key}Y: {'y' * 60000}", f"{head}{key}nonsense\r\n\r\n"]
    connections = [daemon.raw().say(r) for _ in range(8) for r in requests]
    for connection in connections:
        connection.hear()
        connection.close()
    eventually(lambda: 'scale_callbackd_connections{server="callback"} 0' in daemon.query.get("/metrics").body.decode(),
               "the end of all connections")
    assert search_memory(daemon.process.pid, KEY) == []


def test_a_path_with_the_key_in_it_is_not_logged(make_daemon):
    daemon = make_daemon(keys=KEYS).start()
    daemon.post(callback(), path=f"/nowhere/{KEY}", status=404)
    assert "came to the path /..., where nothing is taken" in daemon.log()
    check_nowhere([("the log", daemon.log())], (KEY,))


@needs_root
@needs_plain_build
def test_the_submitter_holds_its_key_in_guarded_memory_alone(make_submitter, api):
    """Also as the user of Basic it is nowhere, once what was sent is sent; and nothing is left of a key that was replaced."""
    old = "test_the_old_canary_key_0123456789"
    api.keys.append(old)
    submitter = make_submitter(key=old).start("--log-level=debug")
    for i in range(3):
        submitter.reaches(submitter.add(attachment=str(i)), "accepted")
    pid = submitter.process.pid
    places = search_memory(pid, old)
    assert [form for form, _ in places] == ["plain"] and places[0][1].guarded, [(f, m.name, m.flags) for f, m in places]

    submitter.write_api_key(TEST_KEY)
    submitter.reload()
    submitter.reaches(submitter.add(attachment="bus"), "accepted")
    assert search_memory(pid, old) == []
    places = search_memory(pid, TEST_KEY)
    assert [form for form, _ in places] == ["plain"] and places[0][1].guarded


SHIM = pathlib.Path(__file__).parent / "shim/secret-shim.c"


@pytest.fixture
def count_secrets(tmp_path):
    """The environment in which guarded memory is counted, and what was held at the end of how many."""
    library, file = tmp_path / "secret-shim.so", tmp_path / "held"
    subprocess.run(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", library, SHIM, "-ldl"], check=True)
    env = {"LD_PRELOAD": str(library), "SECRETS_HELD": str(file), "ASAN_OPTIONS": "verify_asan_link_order=0:abort_on_error=1"}

    def count():
        held, _, ever = file.read_text().split()
        return int(held), int(ever)

    return env, count


def test_every_secret_is_wiped_by_the_end(make_daemon, make_submitter, count_secrets, api):
    """What libsodium gave is given back to it, which wipes it, at a reload as at the end."""
    env, count = count_secrets
    daemon = make_daemon(env=env, keys=KEYS).start()
    daemon.deliver(callback())
    for text in (KEYS, "no keys\n", f"live {KEY}\n"):
        daemon.write_keys(text)
        daemon.reload()
    assert daemon.stop() == 0
    held, ever = count()
    assert held == 0 and ever >= 8, (held, ever)  # each time a file and what was made of it

    submitter = make_submitter(env=env).start()
    submitter.reaches(submitter.add(), "accepted")
    for key in ("nonsense", "test_another_key_0123456789"):
        submitter.write_api_key(key)
        submitter.reload()
    assert submitter.stop() == 0
    held, ever = count()
    assert held == 0 and ever >= 5, (held, ever)


def backups(daemon):
    """Both ways to get one."""
    yield daemon.control.get("/v1/backup").body
    copy = daemon.dir / "copy.db"
    done = scalectl(daemon, "backup", copy)
    assert done.returncode == 0, done.stderr
    yield copy.read_bytes()


def check_nowhere(texts, keys):
    for what, text in texts:
        for key in keys:
            assert find(key, text) == [], (what, key)


def test_no_answer_file_or_log_holds_a_callback_key(make_daemon):
    daemon = make_daemon("callback.max_body=64K", keys=KEYS).start("--log-level=debug")
    connection = use_every_key(daemon)
    texts, answers = [], []
    for key in (KEY, OLD, GUESS):
        for headers in ({}, {"Content-Encoding": key}, {"Content-Type": key}, {"X-Forwarded-For": key}):
            answers.append(daemon.post(callback(), key=key, headers=headers))
        answers.append(daemon.post("{" + key, key=key, path=f"/callback/{'x' * 200}"))
    assert {a.status for a in answers} == {200, 401, 404, 415}
    texts += [("an answer", a.body + str(a.headers).encode()) for a in answers]
    for target in ("/metrics", "/v1/stats", "/v1/deliveries", "/v1/events", "/v1/tasks", "/v1/export?format=jsonl",
                   "/v1/delivery/1", "/healthz", "/readyz"):
        texts.append((target, daemon.query.get(target).body))
    for arguments in (["simulate", "annotation"], ["--json", "simulate", "comparison"], ["doctor"], ["--json", "doctor"],
                      ["check-config"], ["stats"], ["deliveries"], ["quarantine"], ["tasks"], ["delivery", "1"]):
        done = scalectl(daemon, *arguments)
        assert done.returncode in (0, 1), (arguments, done.stderr)
        texts.append((arguments, done.stdout + done.stderr))
    for more in (["--dump-config"], ["--check-config"], ["--nonsense"], ["--list-metrics"]):
        done = subprocess.run(daemon.command(*more), capture_output=True, text=True, env=daemon.environment(), timeout=WAIT)
        texts.append((more, done.stdout + done.stderr))
    for name in ("cmdline", "environ", "status", "maps", "comm", "limits"):
        texts.append((name, pathlib.Path(f"/proc/{daemon.process.pid}/{name}").read_bytes()))
    texts += [("a backup", b) for b in backups(daemon)]
    texts += [(p, p.read_bytes()) for p in daemon.dir.glob("scale.db*")]
    connection.close()
    daemon.stop()
    texts += [("the log", daemon.log()), ("the database", daemon.database.read_bytes())]
    check_nowhere(texts, (KEY, OLD, GUESS))


def test_no_backup_or_log_holds_the_api_key(make_daemon, make_submitter):
    """Both daemons on one database."""
    daemon = make_daemon().start()
    submitter = make_submitter(database=daemon.database).start("--log-level=debug")
    submitter.reaches(submitter.add(), "accepted")
    texts = [("a backup", b) for b in backups(daemon)]
    texts += [(p, p.read_bytes()) for p in daemon.dir.glob("scale.db*")]
    options = [f"submit.socket={submitter.submit.path}", f"api.key_file={submitter.dir}/api-key",
               f"api.url={submitter.api_url}", f"submit.callback_url=http://127.0.0.1:{daemon.port}/callback"]
    options = [x for o in options for x in ("-o", o)]
    for arguments in (["doctor"], ["--json", "doctor"], ["queue"], ["reconcile"], ["check-config"]):
        done = scalectl(daemon, *options, *arguments)
        assert done.returncode in (0, 1, 75), (arguments, done.stderr)
        texts.append((arguments, done.stdout + done.stderr))
    submitter.stop()
    texts.append(("the log", submitter.log()))
    check_nowhere(texts, (KEY, TEST_KEY))


@pytest.mark.parametrize("text", [
    b"the-canary-of-this-test-0123456789\n", b"live the-canary-of-this-test-0123456789 more\n",
    b"the-canary-of-this-test-0123456789 the-canary-of-this-test-0123456789\n",
    b"live the-canary-of-this-test-0123456789\nlive the-canary-of-this-test-0123456789x\n",
    b"live the-canary-of-this-test-0123456789\nother the-canary-of-this-test-0123456789\n",
    b"live the-canary-of-this-test-0123456789\xff\n", b"live the-canary-of-this-test-0123456789\0\n",
    b"live " + b"the-canary-of-this-test-0123456789" * 16 + b"\n", b"x" * 70000 + b"the-canary-of-this-test-0123456789",
], ids=["no-label", "three-words", "as-label", "label-twice", "key-twice", "no-ascii", "nul", "long", "large"])
def test_what_is_wrong_with_a_file_of_keys_is_said_without_quoting_it(make_daemon, make_submitter, text):
    """It may be a key in the wrong place: at the start, at a reload, in the doctor's words, for either kind of key."""
    daemon = make_daemon().start()
    (daemon.dir / "keys").write_bytes(text)
    daemon.reload()
    daemon.deliver(callback())  # the key from before
    submitter = make_submitter()
    (submitter.dir / "api-key").write_bytes(text)
    texts = []
    for process in (daemon, submitter):
        for more in ([], ["--check-config"]):
            done = subprocess.run(process.command(*more), capture_output=True, text=True, env=process.environment(), timeout=WAIT)
            assert more or done.returncode == 78, done.stderr
            texts.append((process.command(*more), done.stdout + done.stderr))
    for arguments in (["doctor"], ["simulate", "annotation", "--key-file", daemon.dir / "keys"]):
        done = scalectl(daemon, "-o", f"api.key_file={submitter.dir}/api-key", *arguments)
        texts.append((arguments, done.stdout + done.stderr))
    check_nowhere([*texts, ("the log", daemon.log())], ("the-canary-of-this-test-0123456789",))


class Journal(threading.Thread):
    """What listens where the journal does, in a place that is bound over /run/systemd/journal for one process."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.folder, self.entries = folder, []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(folder / "socket"))
        self.start()

    def run(self):
        while True:
            data = self.socket.recv(1 << 20)
            if data == b"end":
                return
            self.entries.append(data)

    def prefix(self):
        script = f'mkdir -p /run/systemd/journal && mount --bind "{self.folder}" /run/systemd/journal && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, "sh"]

    def stop(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.connect(str(self.folder / "socket"))
            s.send(b"end")
        self.join()


@needs_root
def test_no_field_of_the_journal_holds_a_key(make_daemon, tmp_path):
    """The fields themselves, as they are sent: also those that nobody shows."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        pytest.skip("SKIPPED: there can be no mounts of one's own here")
    (tmp_path / "j").mkdir()
    journal = Journal(tmp_path / "j")
    daemon = make_daemon("callback.max_body=64K", keys=KEYS, unix=True, prefix=journal.prefix())
    daemon.log_path.touch()
    log = daemon.log_path.stat()
    daemon.env = {"JOURNAL_STREAM": f"{log.st_dev}:{log.st_ino}"}
    daemon.launch("--log-level=debug")
    eventually(lambda: any(b"Ready." in e for e in journal.entries) or daemon.process.poll() is not None, "readiness")
    use_every_key(daemon).close()
    daemon.write_keys("nonsense\n")
    daemon.signal(signal.SIGHUP)
    eventually(lambda: any(b"line 1: expected a label and a key" in e for e in journal.entries), "the complaint")
    daemon.stop()
    journal.stop()
    assert any(b"KEY_LABEL=live-old" in e for e in journal.entries) and any(b"MESSAGE_ID=" in e for e in journal.entries)
    check_nowhere([(e, e) for e in journal.entries], (KEY, OLD, GUESS))


def make_core(pid, folder, prefix=()):
    if not shutil.which("gcore"):
        pytest.skip("SKIPPED: there is no gcore")
    done = subprocess.run([*prefix, "gcore", "-o", str(folder / "core"), str(pid)], capture_output=True, text=True,
                          timeout=WAIT, cwd=folder)
    return done, [pathlib.Path(p) for p in glob.glob(str(folder / "core*"))]


@needs_root
@needs_plain_build
def test_a_core_holds_no_key(make_daemon, make_submitter, tmp_path):
    """One that root takes of the living process, past all that says no: guarded memory is not in it."""
    daemon = make_daemon(keys=KEYS).start()
    submitter = make_submitter(database=daemon.database).start()
    for key in (KEY, OLD):
        daemon.deliver(callback(), key=key)
    submitter.reaches(submitter.add(), "accepted")
    for name, process in (("receiver", daemon), ("submitter", submitter)):
        (tmp_path / name).mkdir()
        done, cores = make_core(process.process.pid, tmp_path / name)
        assert len(cores) == 1 and cores[0].stat().st_size > 1 << 20, done.stdout + done.stderr
        data = cores[0].read_bytes()
        assert b"scale-" in data
        check_nowhere([(name, data)], (KEY, OLD, TEST_KEY))
        cores[0].unlink()


@needs_root
@needs_plain_build
def test_nobody_of_the_same_user_looks_into_the_process(make_daemon):
    """Neither takes a core nor reads its memory: the process is not dumpable."""
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    with tempfile.TemporaryDirectory(prefix="scale-secrets-") as folder:
        folder = pathlib.Path(folder)
        os.chown(folder, 65534, 65534)
        program = shutil.copy(CALLBACKD, folder)
        daemon = make_daemon(prefix=nobody, keys=KEYS)
        daemon.dir = folder
        daemon.database, daemon.log_path = folder / "scale.db", folder / "log"
        daemon.query, daemon.control = Local(folder / "q.sock"), Local(folder / "c.sock")
        daemon.write_keys(KEYS)
        os.chown(folder / "keys", 65534, 65534)
        daemon.prefix, command = [], daemon.command
        daemon.command = lambda *more: [*nobody, program, *command(*more)[1:]]
        daemon.start()
        daemon.deliver(callback())
        pid = daemon.process.pid
        assert os.stat(f"/proc/{pid}/mem").st_uid == 0  # what is not dumpable belongs to root
        assert "Uid:\t65534\t" in open(f"/proc/{pid}/status").read()
        for name in ("mem", "environ", "maps"):
            done = subprocess.run([*nobody, "dd", f"if=/proc/{pid}/{name}", "count=1"], capture_output=True, text=True)
            assert done.returncode != 0 and "Permission denied" in done.stderr, (name, done.stderr)
        done, cores = make_core(pid, folder, nobody)
        assert done.returncode != 0 and cores == [], done.stdout + done.stderr
        daemon.finish()


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV])
def test_a_crash_of_the_receiver_leaves_no_core(make_daemon, tmp_path, number):
    """Also where cores are allowed: the process says that it must not be dumped."""
    pattern = open("/proc/sys/kernel/core_pattern").read().strip()
    if pattern.startswith(("|", "/")):
        pytest.skip(f"SKIPPED: cores go to {pattern!r}, not into a directory that can be looked into")
    script = f'cd "{tmp_path}" && ulimit -c "$(ulimit -H -c)" && exec "$@"'
    options = {f"{name}SAN_OPTIONS": "handle_segv=0:handle_abort=0:abort_on_error=1:halt_on_error=1:disable_coredump=0"
               for name in ("A", "T", "UB")}
    daemon = make_daemon(prefix=["sh", "-c", script, "sh"], env=options).start()
    daemon.deliver(callback())
    daemon.signal(number)
    assert daemon.wait() == -number
    assert not glob.glob(str(tmp_path / "core*"))
    # The same, of a process that may be dumped: there is one.
    subprocess.run(["sh", "-c", script, "sh", "sh", "-c", "kill -ABRT $$"], capture_output=True)
    if not glob.glob(str(tmp_path / "core*")):
        pytest.skip("SKIPPED: no program leaves a core here, so that there is none shows nothing")
