"""Peers that mean no good: one process that holds any number of connections and does with each what a row of a table
says. Run by the tests as a process of its own; reads the row, a line of JSON, prints a line of JSON when it has its
connections, one for each status that it hears for the first time, and a last one, what it saw, once its standard input
ends."""

import errno
import json
import random
import re
import resource
import selectors
import socket
import struct
import sys
import time

PIECE = 65536
BATCH = 200  # connections opened in a row
STATUS = re.compile(rb"HTTP/1\.1 (\d\d\d)")


class Row:
    """What a peer does. Times in seconds, texts in latin-1."""

    target = None        # [host, port] or a path
    connections = 1
    first = ""           # said at once; {n} is a number that is never the same again, {r} random digits
    flood = ""           # said again and again after it, as fast as it is taken
    drip = ""            # said again and again after it, one every `pause`
    pause = 0.1
    end = False          # no more is said after `first`, and the other side is told so
    listen = True        # False: what comes is never read
    sip = 0              # read so many bytes every `pause`, no more
    again = True         # who was cut comes back
    reset = False        # leaves by itself after `first`, without a goodbye
    seed = 0

    def __init__(self, values):
        assert all(hasattr(Row, name) for name in values), values
        self.__dict__.update(values)


class Peer:
    def __init__(self, crowd):
        row = crowd.row
        unix = isinstance(row.target, str)
        self.socket = socket.socket(socket.AF_UNIX if unix else socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.flood = crowd.words(row.flood)
        self.left = memoryview(crowd.words(row.first) or self.flood)
        self.next = time.monotonic() + row.pause * crowd.dice.random()
        self.heard, self.connected = b"", False
        code = self.socket.connect_ex(row.target if unix else tuple(row.target))
        if code not in (0, errno.EINPROGRESS):
            self.socket.close()
            raise OSError(code, "connect")


class Crowd:
    def __init__(self, row):
        self.row, self.dice, self.number = row, random.Random(row.seed), 0
        self.selector = selectors.EpollSelector()
        self.peers, self.statuses, self.told = set(), {}, set()
        self.opened = self.cut = self.sent = self.received = self.failed = 0

    def words(self, text):
        self.number += 1
        return text.replace("{n}", str(self.number)).replace("{r}", f"{self.dice.getrandbits(128):x}").encode("latin-1")

    def open(self):
        try:
            peer = Peer(self)
        except OSError:  # a full backlog, or no descriptors: later
            self.failed += 1
            return False
        self.opened += 1
        self.peers.add(peer)
        self.selector.register(peer.socket, selectors.EVENT_WRITE | selectors.EVENT_READ, peer)
        return True

    def close(self, peer):
        for line in peer.heard.split(b"HTTP/1.1 ")[1:]:
            self.statuses[line[:3].decode("latin-1")] = self.statuses.get(line[:3].decode("latin-1"), 0) + 1
        self.selector.unregister(peer.socket)
        peer.socket.close()
        self.peers.discard(peer)

    def arm(self, peer):
        events = (selectors.EVENT_READ if self.row.listen and not self.row.sip else 0) | \
                 (selectors.EVENT_WRITE if peer.left or not peer.connected else 0)
        # Nothing to wait for: errors are told all the same.
        self.selector.modify(peer.socket, events or selectors.EVENT_WRITE << 16, peer)

    def write(self, peer):
        peer.connected = True
        try:
            while peer.left:
                n = peer.socket.send(peer.left[:PIECE])
                self.sent += n
                peer.left = peer.left[n:]
                if not peer.left and peer.flood:
                    peer.left = memoryview(peer.flood)
                    break  # others want to say something, too
        except BlockingIOError:
            pass
        except OSError:
            return self.gone(peer)
        if not peer.left and self.row.end:
            try:
                peer.socket.shutdown(socket.SHUT_WR)
            except OSError:
                return self.gone(peer)
        if not peer.left and self.row.reset:
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return self.gone(peer)
        self.arm(peer)

    def read(self, peer, size=PIECE):
        try:
            data = peer.socket.recv(size)
        except BlockingIOError:
            return
        except OSError:
            return self.gone(peer)
        self.received += len(data)
        # Status lines are counted; of a long answer the rest is not kept.
        if len(peer.heard) < 1 << 20:
            peer.heard += data
            self.tell(STATUS.findall(peer.heard[-len(data) - 12:]))
        if not data:
            self.gone(peer)

    def tell(self, statuses):
        """Each as soon as it is heard for the first time."""
        for status in set(statuses) - self.told:
            self.told.add(status)
            print(json.dumps({"status": status.decode()}), flush=True)

    def gone(self, peer):
        self.cut += 1
        self.close(peer)

    def tick(self, now):
        row = self.row
        for peer in list(self.peers):
            if peer.next > now or not peer.connected:
                continue
            peer.next = now + row.pause
            if row.sip:
                self.read(peer, row.sip)
            if row.drip and peer in self.peers and not peer.left:
                peer.left = memoryview(self.words(row.drip))
                self.write(peer)

    def run(self):
        """Until somebody says that it is enough."""
        told, looked = False, 0
        self.selector.register(sys.stdin, selectors.EVENT_READ, None)
        while True:
            if self.row.again or self.opened < self.row.connections:
                for _ in range(min(BATCH, self.row.connections - len(self.peers))):
                    if not self.open():
                        break
            if not told and (len(self.peers) >= self.row.connections or self.opened >= self.row.connections):
                told = True
                print(json.dumps({"connections": len(self.peers)}), flush=True)
            for key, events in self.selector.select(0.02):
                if key.data is None:
                    return
                if key.data in self.peers and events & selectors.EVENT_READ and self.row.listen and not self.row.sip:
                    self.read(key.data)
                if key.data in self.peers and events & selectors.EVENT_WRITE:
                    if key.data.left or not key.data.connected:
                        self.write(key.data)
                    else:
                        self.gone(key.data)  # nothing was asked for: it is an error that is told
            now = time.monotonic()
            if (self.row.drip or self.row.sip) and now > looked + 0.02:
                looked = now
                self.tick(now)

    def account(self):
        held = len(self.peers)
        for peer in list(self.peers):
            self.close(peer)
        return {"held": held, "opened": self.opened, "cut": self.cut, "sent": self.sent, "received": self.received,
                "failed": self.failed, "statuses": self.statuses}


def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = Crowd(Row(json.loads(sys.stdin.readline())))
    crowd.run()
    print(json.dumps(crowd.account()), flush=True)


if __name__ == "__main__":
    main()
