"""The addresses that get nothing: a file, one address a line, looked at when a message goes out.

People and other programs may add lines at any time. Hard bounces are added here.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import threading
from pathlib import Path

from .addresses import Mailbox, mailbox, one_line


class Suppression:
    """A list of addresses. `#` begins a comment; a line `@example.org` is a whole domain."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._known: set[int] = set()
        self._file = (0, 0)  # inode, and how far it was read

    def has(self, who: Mailbox) -> bool:
        """Whether an address gets nothing. Raises OSError if the file can't be read."""
        with self._lock:
            self._catch_up()
            return _hash(who.key) in self._known or _hash(f"@{who.ascii_domain}") in self._known

    def add(self, who: Mailbox, why: str) -> None:
        """Add an address, unless it is there."""
        if self.has(who):
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab+") as file:
            with contextlib.suppress(OSError):  # a disk without locks appends all the same
                fcntl.flock(file, fcntl.LOCK_EX)
            begin = "" if _ends_with_a_line(file.fileno()) else "\n"
            file.write(f"{begin}{who.envelope}  # {one_line(why)[:300]}\n".encode())

    def _catch_up(self) -> None:
        try:
            with self._path.open("rb") as file:
                stat = os.fstat(file.fileno())
                inode, read = self._file
                if stat.st_ino != inode or stat.st_size < read:
                    self._known, read = set(), 0
                if stat.st_size > read:
                    file.seek(read)
                    for line in file:
                        if not line.endswith(b"\n") and b"@" not in line:
                            break
                        self._learn(line.decode("utf-8", "replace"))
                    # A last line without an end may grow: it is read again.
                    read = file.tell() - (0 if line.endswith(b"\n") else len(line))
                self._file = (stat.st_ino, read)
        except FileNotFoundError:
            self._known, self._file = set(), (0, 0)

    def _learn(self, line: str) -> None:
        text = line.partition("#")[0].strip().strip(",;\"'")
        if not text:
            return
        if text.startswith("@"):
            text = f"x{text}"
        try:
            who = mailbox(text)
        except ValueError:
            return
        self._known.add(_hash(f"@{who.ascii_domain}" if line.lstrip().startswith("@") else who.key))


def _hash(text: str) -> int:
    """Eight bytes for an address: a million take little memory."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _ends_with_a_line(fd: int) -> bool:
    size = os.fstat(fd).st_size
    return size == 0 or os.pread(fd, 1, size - 1) == b"\n"
