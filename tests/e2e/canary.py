"""Canaries: keys that are looked for wherever they must not be, in every form that a program could have given them."""

import base64
import re


def forms(key):
    """As it is, as the user of Basic in each of its three places, as hex, and turned around."""
    key = key.encode()
    found = {"plain": key, "hex": key.hex().encode(), "reversed": key[::-1], "utf-16": key.decode().encode("utf-16-le")}
    for shift in range(3):  # base64 of something with the key in it: what does not depend on what is around it
        text = base64.b64encode(b"\0" * shift + key)
        found[f"base64 at {shift}"] = text[(shift * 8 + 5) // 6:-4]
    return found


def find(key, data):
    """The forms in which the key stands in there."""
    data = data.encode(errors="surrogateescape") if isinstance(data, str) else data
    return [name for name, form in forms(key).items() if form in data]


class Mapping:
    def __init__(self, start, end, mode, name):
        self.start, self.end, self.mode, self.name, self.flags, self.used = start, end, mode, name, set(), 0

    @property
    def guarded(self):
        """Locked into memory, and left out of dumps."""
        return {"lo", "dd"} <= self.flags


def mappings(pid):
    found = []
    with open(f"/proc/{pid}/smaps") as smaps:
        for line in smaps:
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)", line)
            if match:
                found.append(Mapping(int(match[1], 16), int(match[2], 16), match[3], match[4]))
            elif line.startswith(("Rss:", "Swap:")):
                found[-1].used += int(line.split()[1])
            elif line.startswith("VmFlags:"):
                found[-1].flags = set(line.split()[1:])
    return found


def search_memory(pid, *keys):
    """Where in the memory of a process the keys stand: pairs of a form and a mapping. It is read as a debugger would, whatever
    its mode; what holds nothing yet is passed over."""
    found = []
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for m in mappings(pid):
            if m.name in ("[vvar]", "[vsyscall]") or m.used == 0:
                continue
            try:
                memory.seek(m.start)
                data = memory.read(m.end - m.start)
            except (OSError, ValueError, OverflowError):
                continue
            found += [(form, m) for key in keys for form in find(key, data)]
    return found
