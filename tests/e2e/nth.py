"""The nth failure: a process whose nth call of a kind fails, as often as it is told while it runs.

Which calls there are, and what they can fail with, is the table below; shim/nth-shim.c makes it so. An error of 0 is no
error but a transfer of half of what was asked for.

EAGAIN is not among a socket's, nor is a short read: who is told so by an edge-triggered descriptor waits for the next edge,
and a kernel says so only when there will be one.
"""

import errno
import mmap
import pathlib
import random
import re
import struct
import subprocess

SHIM = pathlib.Path(__file__).parent / "shim/nth-shim.c"
FOREVER = 1 << 40

# What each kind of call can fail with, as its manual page has it.
ERRORS = {
    "MEMORY": [errno.ENOMEM],
    "MAP": [errno.ENOMEM, errno.EAGAIN],
    "ACCEPT": [errno.EINTR, errno.EAGAIN, errno.ECONNABORTED, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM],
    "SOCKET": [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM],
    "BIND": [errno.EADDRINUSE, errno.ENOMEM],
    "CONNECT": [errno.ECONNREFUSED, errno.ETIMEDOUT, errno.ENETUNREACH, errno.EADDRNOTAVAIL],
    "SOCKOPT": [errno.ENOMEM, errno.ENOBUFS],
    "RECEIVE": [errno.EINTR, errno.ECONNRESET, errno.ENOMEM],
    "SEND": [errno.EINTR, errno.ECONNRESET, errno.EPIPE, errno.ENOBUFS, errno.ENOMEM, 0],
    "READ": [errno.EINTR, errno.EIO, 0],
    "WRITE": [errno.EINTR, errno.ENOSPC, errno.EIO, errno.EDQUOT, 0],
    "OPEN": [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EIO],
    "DESCRIPTOR": [errno.EMFILE, errno.ENFILE, errno.ENOMEM],
    "EPOLL_ADD": [errno.ENOMEM, errno.ENOSPC],
    "EPOLL_WAIT": [errno.EINTR],
    "THREAD": [errno.EAGAIN],
}


def build(folder):
    """The shim's path."""
    library = pathlib.Path(folder) / "nth-shim.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(library), str(SHIM), "-ldl"], check=True)
    return library


class Nth:
    """Tells one process which call fails."""
    layout = struct.Struct("=ii5q")  # NthControl
    kinds = re.findall(r"^ +NTH_([A-Z_]+),", SHIM.with_suffix(".h").read_text(), re.M)

    def __init__(self, folder, library):
        path = pathlib.Path(folder) / "nth-control"
        path.write_bytes(bytes(self.layout.size))
        with open(path, "r+b") as f:
            self.memory = mmap.mmap(f.fileno(), self.layout.size)
        self.env = {"LD_PRELOAD": str(library), "NTH_CONTROL": str(path),
                    "ASAN_OPTIONS": "verify_asan_link_order=0:abort_on_error=1"}

    def fail(self, kind, error, n, times=1):
        """From now on."""
        self.off()
        struct.pack_into("=i4q", self.memory, 4, error, n, times, 0, 0)
        struct.pack_into("=i", self.memory, 0, self.kinds.index(kind))

    def off(self):
        struct.pack_into("=i", self.memory, 0, 0)

    @property
    def count(self):
        return self.layout.unpack(self.memory)[4]

    @property
    def fired(self):
        return self.layout.unpack(self.memory)[5]


def sample(most, rounds, dice):
    """Which n are tried of so many calls: all, or so many of them, the first and the last always."""
    if rounds <= 0 or most <= rounds:
        return list(range(1, most + 1))
    return sorted({1, most, *(dice.randint(1, most) for _ in range(rounds - 2))})


def dice_of(config, *what):
    return random.Random(f"{config.getoption('--nth-seed')} {what}")
