"""Full disks and odd ones, for the receiver and the submitter: a clear message and a fitting status, and whatever was
acknowledged is found again."""

import contextlib
import fcntl
import http.client
import json
import os
import pathlib
import select
import shutil
import socket
import sqlite3
import stat
import subprocess
import tempfile
import threading
import time

import pytest

from harness import BUILD, PARAMS, WAIT, UnixConnection, ask, callback, eventually, scalectl

KINDS = ["receiver", "submitter"]
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
HELD = {"key": "test_made_up", "url": "http://127.0.0.1:9/v1"}  # nobody is there, so nothing is ever sent


@pytest.fixture(params=KINDS)
def make(request, make_daemon, make_submitter):
    """Makes daemons of the one kind or the other, with a store at a path."""
    def make(path, *settings, **more):
        if request.param == "receiver":
            daemon = make_daemon(f"store.path={path}", *settings, **more)
        else:
            daemon = make_submitter(f"store.path={path}", *settings, url=HELD["url"], **more)
        daemon.kind, daemon.database = request.param, pathlib.Path(path)
        return daemon

    return make


def add(daemon, size=0):
    """A callback or a task: the status of the answer, and its id."""
    if daemon.kind == "receiver":
        body = callback(instruction="x" * size)
        answer = daemon.post(body)
        return answer, body["task_id"] if answer.status == 200 else None
    body = '{"instruction": "Big or small?' + "x" * size + '", "attachment_type": "text", "attachment": "car", "categories": ["a"]}'
    answer = daemon.submit.ask("POST", "/v1/task/categorization", {"Content-Type": "application/json"}, body)
    return answer, answer.json["submission_id"] if answer.status == 202 else None


def must_add(daemon, size=0):
    answer, id = add(daemon, size)
    assert id, (answer.status, answer.body)
    return id


def local(daemon):
    return daemon.query if daemon.kind == "receiver" else daemon.submit


def ids_in(path, kind):
    """Straight from a file, which must be whole."""
    database = sqlite3.connect(path)
    try:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        sql = "SELECT task_id FROM task" if kind == "receiver" else "SELECT id FROM submission"
        return {row[0] for row in database.execute(sql)}
    finally:
        database.close()


class Load:
    """Adds from several threads for as long as there are answers, and remembers what was acknowledged."""

    def __init__(self, daemon, n=4, size=0):
        self.daemon, self.size, self.acknowledged, self.refused = daemon, size, [], []
        self.stop_asked = threading.Event()
        self.threads = [threading.Thread(target=self.send) for _ in range(n)]
        for thread in self.threads:
            thread.start()

    def send(self):
        while not self.stop_asked.is_set():
            try:
                answer, id = add(self.daemon, self.size)
            except Exception:  # no answer, no promise
                time.sleep(0.005)
                continue
            if id:
                self.acknowledged.append(id)
            else:
                self.refused.append(answer)

    def stop(self):
        self.stop_asked.set()
        for thread in self.threads:
            thread.join()
        return self.acknowledged


# Mounts.

@contextlib.contextmanager
def mounted(folder, *arguments):
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *arguments, str(folder)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"SKIPPED: nothing can be mounted here (root is needed): {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path):
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=6m", "tmpfs") as folder:
        yield folder


def remount(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


@pytest.mark.load
def test_a_disk_that_fills_up_under_load(make, small_disk):
    """503 with Retry-After; what is there can be read; it goes on by itself; all that was acknowledged is there."""
    daemon = make(small_disk / "scale.db").start()
    first = must_add(daemon)
    load = Load(daemon, size=30_000)
    eventually(lambda: len(load.refused) > 20, "no room")
    assert {a.status for a in load.refused} == {503}
    assert all(int(a.headers["Retry-After"]) > 0 and "room" in a.json["error"] for a in load.refused)

    one = f"/v1/task/{first}" if daemon.kind == "receiver" else f"/v1/submission/{first}"
    local(daemon).get(one)
    local(daemon).get("/v1/stats")
    local(daemon).get("/healthz")
    n = len(load.acknowledged)
    remount(small_disk, "size=128m")
    eventually(lambda: local(daemon).ask("GET", "/readyz").status == 200, "it finds out that there is room")
    eventually(lambda: len(load.acknowledged) > n + 20, "it goes on")
    acknowledged = load.stop()
    assert "Nothing can be stored" in daemon.log() and "takes what comes again" in daemon.log()
    assert daemon.stop() == 0
    assert {first, *acknowledged} <= ids_in(daemon.database, daemon.kind)


def test_a_backup_takes_no_room_that_callbacks_need(make_daemon, small_disk):
    """It isn't begun where less than min_free would be left."""
    remount(small_disk, "size=17m")
    daemon = make_daemon(f"store.path={small_disk}/scale.db", "store.min_free=2M").start()
    for _ in range(40):
        daemon.deliver(callback(instruction="x" * 200_000))
    for _ in range(200):
        refused = daemon.control.get("/v1/backup", 507).json
        assert "min_free" in refused["error"] and "Make room" in refused["error"]
        assert not list(small_disk.glob("*.backup-*"))
    daemon.deliver(callback())
    remount(small_disk, "size=64m")
    for _ in range(5):
        assert len(daemon.control.get("/v1/backup").body) > 8_000_000


def test_a_slow_reader_of_a_backup_does_not_keep_callbacks_waiting(make_daemon, small_disk):
    """When room gets short it is the backup that goes."""
    remount(small_disk, "size=64m")
    daemon = make_daemon(f"store.path={small_disk}/scale.db", "store.min_free=2M").start()
    for _ in range(40):
        daemon.deliver(callback(instruction="x" * 200_000))
    connection, heard, ended = UnixConnection(daemon.control.path), [], threading.Event()
    connection.request("GET", "/v1/backup")
    response = connection.getresponse()
    assert response.status == 200

    def drip():
        with contextlib.suppress(OSError, http.client.HTTPException):
            while not ended.is_set() and (byte := response.read(1)):
                heard.append(byte)
                ended.wait(0.05)

    reader = threading.Thread(target=drip)
    reader.start()
    eventually(lambda: heard, "the first byte")
    stat = os.statvfs(small_disk)
    (small_disk / "other").write_bytes(b"x" * (stat.f_bavail * stat.f_frsize - 1_000_000))
    eventually(lambda: "given up" in daemon.log(), "the backup goes")
    eventually(lambda: daemon.post(callback()).status == 200, "callbacks are stored")
    assert reader.is_alive() or len(heard) < 8_000_000
    ended.set()
    reader.join()
    connection.close()


def test_what_the_doctor_advises_on_a_full_disk_helps(make_daemon, small_disk):
    """Only what gives room back to the file system; to delete rows does not, and takes room itself."""
    remount(small_disk, "size=64m")
    daemon = make_daemon(f"store.path={small_disk}/scale.db", "store.min_free=4M")
    daemon.database = small_disk / "scale.db"
    daemon.start()
    for _ in range(40):
        daemon.deliver(callback(instruction="x" * 200_000))
    backup = daemon.dir / "b.db"
    backup.write_bytes(daemon.control.get("/v1/backup").body)
    assert daemon.stop() == 0
    assert scalectl(daemon, "restore", backup).returncode == 0
    daemon.start()

    stat = os.statvfs(small_disk)
    (small_disk / "other").write_bytes(b"x" * (stat.f_bavail * stat.f_frsize - 3_000_000))
    eventually(lambda: daemon.post(callback()).status == 503, "no room")
    assert scalectl(daemon, "prune", "--older-than", "0s").returncode == 75
    run = scalectl(daemon, "-o", "store.min_free=4M", "--json", "doctor")
    [disk] = [finding for finding in map(json.loads, run.stdout.splitlines()) if finding["check"] == "disk"]
    assert disk["result"] == "failure" and "make room" in disk["advice"] and "prune" not in disk["advice"]
    [kept] = small_disk.glob("scale.db.before-restore-*")
    assert f"as {kept}:" in disk["advice"]
    kept.unlink()
    eventually(lambda: daemon.post(callback()).status == 200, "what was advised helps")


def test_pruned_room_is_used_again(make_daemon):
    """Which is what the doctor says of it while there is room."""
    daemon = make_daemon().start()

    def fill():
        for n in range(30):
            daemon.post(f"[{n}," + "1," * 100_000 + str(time.monotonic_ns()), status=400)
        assert daemon.stop() == 0  # all of it is in the one file
        daemon.start()
        return daemon.database.stat().st_size

    first = fill()
    assert first > 5_000_000
    said = scalectl(daemon, "prune", "--older-than", "0s").stdout
    assert "29 deliveries deleted" in said and "stays as large as it is" in said
    assert fill() < first * 1.1
    assert fill() > first * 1.8  # without
    settings = ("-o", f"store.min_free={shutil.disk_usage(daemon.dir).free // 2}")
    run = scalectl(daemon, *settings, "--json", "doctor")
    [disk] = [finding for finding in map(json.loads, run.stdout.splitlines()) if finding["check"] == "disk"]
    assert disk["result"] == "warning" and "scalectl prune" in disk["advice"]


def test_a_restore_without_room_changes_nothing(make_daemon, small_disk):
    remount(small_disk, "size=20m")
    daemon = make_daemon(f"store.path={small_disk}/scale.db")
    daemon.database = small_disk / "scale.db"
    daemon.start()
    for _ in range(40):
        daemon.deliver(callback(instruction="x" * 200_000))
    backup = daemon.dir / "b.db"
    backup.write_bytes(daemon.control.get("/v1/backup").body)
    daemon.kill()
    (small_disk / "other").write_bytes(b"x" * 5_000_000)
    before = {path.name: path.read_bytes() for path in small_disk.iterdir() if not path.name.endswith("-turn")}
    run = scalectl(daemon, "restore", backup)
    assert run.returncode == 75 and "No space left" in run.stderr, run
    assert {path.name: path.read_bytes() for path in small_disk.iterdir() if not path.name.endswith("-turn")} == before
    (small_disk / "other").unlink()
    daemon.start()
    assert daemon.query.get("/v1/tasks?limit=1").json["total"] == 40


def test_what_a_killed_backup_leaves_is_removed(make_daemon):
    """By whoever opens the database next; but not what is in use, and nothing else."""
    daemon = make_daemon().start()
    for _ in range(100):
        daemon.deliver(callback(instruction="x" * 300_000))
    for _ in range(50):
        connection = UnixConnection(daemon.control.path)
        connection.request("GET", "/v1/backup")
        while not (list(daemon.dir.glob("*.backup-*")) or select.select([connection.sock], [], [], 0)[0]):
            pass  # until it is there, or was missed
        daemon.kill()
        connection.close()
        if list(daemon.dir.glob("*.backup-*")):
            break
        daemon.start()
    assert list(daemon.dir.glob("*.backup-*"))

    mine, used, wal = (daemon.dir / f"scale.db.{name}" for name in ("backup-of-mine", "restore-used00", "backup-killed-wal"))
    for path in (mine, used, wal, daemon.dir / "scale.db.backup-killed"):
        path.write_bytes(b"x")
    with open(used, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        daemon.start()
    assert {p for p in daemon.dir.glob("scale.db.*")} == {mine, used}


def test_a_full_disk_at_the_start(make, small_disk):
    (small_disk / "other").write_bytes(b"")
    with open(small_disk / "other", "wb", 0) as other:
        with contextlib.suppress(OSError):
            while True:
                other.write(b"x" * 4096)
    daemon = make(small_disk / "scale.db")
    done = run(daemon)
    assert done.returncode == 75 and "make room" in done.stderr and str(daemon.database) in done.stderr, done.stderr
    (small_disk / "other").unlink()
    must_add(daemon.start())


@pytest.mark.parametrize("there", [False, True])
def test_a_disk_that_is_read_only_at_the_start(make, small_disk, there):
    daemon = make(small_disk / "scale.db")
    kept = set()
    if there:
        kept = {must_add(daemon.start())}
        daemon.stop()
    remount(small_disk, "ro")
    done = run(daemon)
    assert done.returncode == 77 and "ead-only" in done.stderr and str(daemon.database) in done.stderr, done.stderr
    remount(small_disk, "rw")
    daemon.start()
    kept.add(must_add(daemon))
    daemon.stop()
    assert ids_in(daemon.database, daemon.kind) == kept


def test_a_disk_that_becomes_read_only(make, tmp_path):
    """As the kernel does after an error: what is refused is answered 503, and what was acknowledged is there later."""
    image = tmp_path / "image"
    with open(image, "wb") as f:
        f.truncate(48 << 20)
    mkfs = shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if not mkfs:
        pytest.skip("SKIPPED: mkfs.ext4 is not installed")
    subprocess.run([mkfs, "-q", str(image)], check=True)
    with mounted(tmp_path / "disk", "-o", "loop,errors=remount-ro", str(image)) as folder:
        daemon = make(folder / "scale.db").start()
        acknowledged = {must_add(daemon) for _ in range(5)}
        remount(folder, "abort")
        with contextlib.suppress(OSError):
            answer, _ = add(daemon)
            assert answer.status == 503 and int(answer.headers["Retry-After"]) > 0
            eventually(lambda: "Nothing can be stored" in daemon.log() or "Giving up" in daemon.log(), "it says so")
        end = time.monotonic() + 3
        while daemon.process.poll() is None and time.monotonic() < end:  # it may stay, and then it reads
            with contextlib.suppress(OSError):
                assert local(daemon).ask("GET", "/v1/stats").status in (200, 500)
                assert local(daemon).ask("GET", "/readyz").status == 503
            time.sleep(0.1)
        assert daemon.log().count("Nothing can be stored") <= 1 and "takes what comes again" not in daemon.log()
        if daemon.process.poll() is None:
            daemon.signal(15)
        assert daemon.wait() in (0, 74)
    with mounted(tmp_path / "disk", "-o", "loop", str(image)) as folder:
        daemon.start()
        acknowledged.add(must_add(daemon))
        daemon.stop()
        assert acknowledged <= ids_in(daemon.database, daemon.kind)


# What becomes of the files under the daemon.

def run(daemon, *more):
    return subprocess.run(daemon.prefix + daemon.command(*more), capture_output=True, text=True, timeout=WAIT,
                          env=daemon.environment())


def other_database(daemon, make, folder):
    """One of the same kind, with a row of its own, that was in use and is whole."""
    folder.mkdir()
    other = make(folder / "other.db").start()
    id = must_add(other)
    other.stop()
    return folder / "other.db", id


def delete(path, **more):
    path.unlink()


def delete_all(path, **more):
    path.unlink()
    for suffix in ("-wal", "-shm"):  # which the daemon may be quicker with, as it leaves
        pathlib.Path(f"{path}{suffix}").unlink(missing_ok=True)


def rename(path, **more):
    path.rename(path.with_name("renamed.db"))


def replace(path, other, **more):
    other.rename(path)


# In one step each: between two a daemon may find that there is nothing, and says so.

def put_aside_and_replace(path, other, **more):
    path.with_name("renamed.db").hardlink_to(path)
    other.rename(path)


def rename_directory(path, **more):
    path.parent.rename(path.parent.with_name("renamed"))
    path.parent.mkdir()


def delete_wal(path, **more):
    pathlib.Path(f"{path}-wal").unlink()


def delete_shm(path, **more):
    pathlib.Path(f"{path}-shm").unlink()


def delete_wal_and_shm(path, **more):
    delete_wal(path)
    delete_shm(path)


def replace_wal(path, **more):
    path.with_name("empty").write_bytes(b"")
    path.with_name("empty").rename(f"{path}-wal")


# What happens, where what was acknowledged is afterwards, beside the database (None: in no file, as that was what was
# deleted), and what the log says.
DEEDS = [
    (delete, None, "scalectl restore"),
    (delete_all, None, "scalectl restore"),
    (rename, "renamed.db", "rename it back"),
    (replace, None, "replaced"),
    (put_aside_and_replace, "renamed.db", "replaced"),
    (rename_directory, "../renamed/scale.db", "renamed"),
    (delete_wal, "scale.db", "scale.db-wal was removed"),
    (delete_shm, "scale.db", "scale.db-shm was removed"),
    (delete_wal_and_shm, "scale.db", "scale.db-wal was removed"),
    (replace_wal, None, "scale.db-wal was replaced"),
]


@pytest.mark.load
@pytest.mark.parametrize("deed, where, says", DEEDS, ids=[d[0].__name__ for d in DEEDS])
def test_files_that_change_under_the_daemon(make, tmp_path, deed, where, says):
    """Under load: nothing is acknowledged into a file that has no name any more, the daemon leaves and says what helps, and
    what was acknowledged before is in the file that it was written to, wherever that is."""
    folder = tmp_path / "store"
    folder.mkdir()
    daemon = make(folder / "scale.db")
    other, id_of_other = other_database(daemon, make, tmp_path / "other") if "replace" in deed.__name__ else (None, None)
    daemon.start()
    load = Load(daemon)
    eventually(lambda: len(load.acknowledged) > 30, "some load")
    deed(path=daemon.database, other=other)
    assert daemon.wait() == 74, daemon.log()
    acknowledged = set(load.stop())
    assert {a.status for a in load.refused} <= {503}
    log = daemon.new_log()
    assert "Giving up" in log and says in log, log

    if where:
        [found] = folder.glob(where)
        assert acknowledged <= ids_in(found, daemon.kind), "acknowledged, and nowhere to be found"

    if deed is not replace_wal:  # which may leave a damage
        daemon.start()
        last = must_add(daemon)
        assert daemon.stop() == 0
        now = ids_in(daemon.database, daemon.kind)
        assert last in now and (id_of_other is None or id_of_other in now)


@pytest.mark.parametrize("deed", [delete, rename, delete_wal, replace], ids=lambda d: d.__name__)
def test_it_notices_also_when_nothing_comes(make, tmp_path, deed):
    folder = tmp_path / "store"
    folder.mkdir()
    daemon = make(folder / "scale.db")
    other = other_database(daemon, make, tmp_path / "other")[0] if deed is replace else None
    daemon.start()
    id = must_add(daemon)
    deed(path=daemon.database, other=other)
    assert daemon.wait() == 74
    found = [path for path in folder.glob("*") if not path.name.endswith(("-turn", "-wal", "-shm"))]
    if deed in (rename, delete_wal):
        assert any(id in ids_in(path, daemon.kind) for path in found)
    assert "scalectl restore" in daemon.log() or deed is delete_wal


def test_a_directory_that_is_removed(make, tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    daemon = make(folder / "scale.db").start()
    must_add(daemon)
    shutil.rmtree(folder)
    assert daemon.wait() == 74
    assert "scale.db was removed or renamed" in daemon.log()
    folder.mkdir()
    must_add(daemon.start())


def test_a_renamed_database_that_gets_its_name_back(make, tmp_path):
    """As the log says to do: nothing is missing then."""
    folder = tmp_path / "store"
    folder.mkdir()
    daemon = make(folder / "scale.db").start()
    ids = {must_add(daemon) for _ in range(3)}
    rename(daemon.database)
    assert daemon.wait() == 74
    (folder / "renamed.db").rename(daemon.database)
    daemon.start()
    ids.add(must_add(daemon))
    assert daemon.stop() == 0
    assert ids_in(daemon.database, daemon.kind) == ids


def test_a_link_that_is_turned_elsewhere(make, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "one/scale.db")
    (tmp_path / "one/scale.db").touch()
    daemon = make(link).start()
    id = must_add(daemon)
    link.unlink()
    (tmp_path / "two/scale.db").touch()
    link.symlink_to(tmp_path / "two/scale.db")
    assert daemon.wait() == 74
    assert "replaced" in daemon.log()
    assert ids_in(tmp_path / "one/scale.db", daemon.kind) == {id}
    must_add(daemon.start())


@pytest.mark.load
def test_both_daemons_and_one_database_that_is_renamed(make_daemon, make_submitter, tmp_path):
    """Whichever is first copies what is in the log, and the other one leaves it at that."""
    folder = tmp_path / "store"
    folder.mkdir()
    receiver = make_daemon(f"store.path={folder}/scale.db").start()
    submitter = make_submitter(f"store.path={folder}/scale.db", url=HELD["url"]).start()
    receiver.kind, submitter.kind = KINDS
    loads = [Load(receiver, 2), Load(submitter, 2)]
    eventually(lambda: all(len(load.acknowledged) > 30 for load in loads), "some load")
    (folder / "scale.db").rename(folder / "renamed.db")
    assert receiver.wait() == 74
    assert submitter.wait() == 74
    acknowledged = [set(load.stop()) for load in loads]
    for kind, ids in zip(KINDS, acknowledged):
        assert ids <= ids_in(folder / "renamed.db", kind)
    assert not (folder / "scale.db").exists()


# Odd places, at the start.

def missing_directory(folder):
    return folder / "missing/scale.db"


def a_directory(folder):
    (folder / "scale.db").mkdir()
    return folder / "scale.db"


def a_fifo(folder):
    os.mkfifo(folder / "scale.db")
    return folder / "scale.db"


def a_socket(folder):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(folder / "scale.db"))
    return folder / "scale.db"


def a_device(folder):
    return pathlib.Path("/dev/null")


def a_loop(folder):
    (folder / "scale.db").symlink_to("scale.db")
    return folder / "scale.db"


def a_link_to_nothing(folder):
    (folder / "scale.db").symlink_to("nothing")
    return folder / "scale.db"


def a_file_as_directory(folder):
    (folder / "file").touch()
    return folder / "file/scale.db"


def a_long_name(folder):
    return folder / ("x" * 300)


PLACES = [
    (missing_directory, 78, "directory must exist"),
    (a_directory, 78, "is a directory"),
    (a_fifo, 78, "is a FIFO"),
    (a_socket, 78, "is a socket"),
    (a_device, 78, "is a device"),
    (a_loop, 78, "symbolic links"),
    (a_link_to_nothing, 78, "link to nothing"),
    (a_file_as_directory, 78, "directory must exist"),
    (a_long_name, 78, "too long"),
]


@pytest.mark.parametrize("place, status, says", PLACES, ids=[p[0].__name__ for p in PLACES])
def test_odd_places(make, tmp_path, place, status, says):
    folder = tmp_path / "store"
    folder.mkdir()
    path = place(folder)
    before = sorted(folder.rglob("*"))
    done = run(make(path))
    assert done.returncode == status and says in done.stderr and str(path) in done.stderr, (done.returncode, done.stderr)
    assert sorted(folder.rglob("*")) == before


# Owners and modes, as a user who may not do everything.

@pytest.fixture
def open_folder():
    """Where others can come: pytest's folders are their owner's alone."""
    if os.geteuid() != 0:
        pytest.skip("SKIPPED: becoming another user needs root")
    for path in (BUILD, *BUILD.parents):
        if not path.stat().st_mode & stat.S_IXOTH:
            pytest.skip(f"SKIPPED: another user can't run the programs, {path} is closed to them")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="scale-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def give_away(*paths):
    for path in paths:
        os.chown(path, 65534, 65534)


def unreadable(path):
    path.chmod(0)


def read_only(path):
    path.chmod(0o444)


def closed_directory(path):
    os.chown(path.parent, 0, 0)
    path.parent.chmod(0o700)


def unwritable_directory(path):
    os.chown(path.parent, 0, 0)
    path.parent.chmod(0o755)


def unwritable_turnstile(path):
    turn = pathlib.Path(f"{path}-turn")
    os.chown(turn, 0, 0)
    turn.chmod(0o600)


# What is wrong, whether the database is there already, and what is said.
MODES = [
    (unreadable, True, "must be"),
    (read_only, True, "writable"),
    (closed_directory, True, "directory"),
    (unwritable_directory, True, "directory"),
    (unwritable_directory, False, "directory"),
    (unwritable_turnstile, True, "writable"),
]


@pytest.fixture
def make_of_nobody(make, open_folder):
    def make_of_nobody(folder, *settings):
        daemon = make(folder / "scale.db", *settings, prefix=NOBODY)
        own = open_folder / "own"
        own.mkdir(exist_ok=True)
        give_away(own)
        for path in daemon.dir.iterdir():
            shutil.move(path, own / path.name)
            give_away(own / path.name)
        daemon.dir = own
        for name in ("query", "control", "submit"):
            if hasattr(daemon, name):
                getattr(daemon, name).path = own / getattr(daemon, name).path.name
        return daemon

    return make_of_nobody


@pytest.mark.parametrize("spoil, there, says", MODES, ids=lambda v: getattr(v, "__name__", str(v)))
def test_owners_and_modes(make_of_nobody, open_folder, spoil, there, says):
    """Status 77, the path, what would be right; and once it is right, all is there."""
    folder = open_folder / "store"
    folder.mkdir()
    give_away(folder)
    daemon = make_of_nobody(folder)
    kept = set()
    if there:
        kept.add(must_add(daemon.start()))
        daemon.stop()
    modes = {path: path.stat() for path in (folder, *folder.iterdir())}
    spoil(daemon.database)
    done = run(daemon)
    assert done.returncode == 77 and says in done.stderr and str(daemon.database) in done.stderr, (done.returncode, done.stderr)
    for path, was in modes.items():
        os.chown(path, was.st_uid, was.st_gid)
        path.chmod(stat.S_IMODE(was.st_mode))
    kept.add(must_add(daemon.start()))
    daemon.stop()
    assert ids_in(daemon.database, daemon.kind) == kept


def test_a_directory_that_is_closed_while_it_runs(make_of_nobody, open_folder):
    """Nobody can tell then whether the files are still there: nothing is acknowledged, and it goes on by itself."""
    folder = open_folder / "store"
    folder.mkdir()
    give_away(folder)
    daemon = make_of_nobody(folder).start()
    ids = {must_add(daemon)}
    closed_directory(daemon.database)
    eventually(lambda: add(daemon)[0].status == 503, "it is refused")
    assert "Permission denied" in daemon.log()
    give_away(folder)
    eventually(lambda: local(daemon).ask("GET", "/readyz").status == 200, "it goes on")
    ids.add(must_add(daemon))
    daemon.stop()
    assert ids <= ids_in(daemon.database, daemon.kind)


@pytest.mark.parametrize("mode, owner, says", [(0o644, 65534, "others can read"), (0o600, 0, "Permission denied")])
def test_keys_with_wrong_modes(make_of_nobody, open_folder, mode, owner, says):
    folder = open_folder / "store"
    folder.mkdir()
    give_away(folder)
    daemon = make_of_nobody(folder)
    path = daemon.dir / ("keys" if daemon.kind == "receiver" else "api-key")
    path.chmod(mode)
    os.chown(path, owner, owner)
    done = run(daemon)
    assert done.returncode == 78 and says in done.stderr and str(path) in done.stderr, (done.returncode, done.stderr)
    assert not daemon.database.exists()
