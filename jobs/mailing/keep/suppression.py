"""The addresses that get nothing: a file, one address a line, looked at when a message goes out.

People and other programs may add lines at any time. Hard bounces are added here.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import threading
import unicodedata
from pathlib import Path
from typing import IO, NamedTuple

from ..addresses import LOCAL, PLAIN_DOMAIN, Mailbox, domains, mailbox, one_line
from ..recipients import COLUMNS
from .hashes import Hashes

_COMMENT = re.compile(r"(?:^|\s)#.*", re.S)
_END_OF_FIELD = re.compile(r"[,;\s]")
_IN_ANGLES = re.compile(r"<([^<>]*)>")
_PLAIN_LINE = re.compile(rf"(?!['#])((?:{LOCAL})?@{PLAIN_DOMAIN})(?:[ \t,;][^<\n]*)?\r?\n".encode())
"""A line, in lower case, whose first field is its own key, without the checks that take most of the
time of a long list. `_listed` says the same of it."""

_PARTS = re.compile(rf"((?:{LOCAL})?)@([^@]+)")
_PIECE_BYTES = 1 << 20


class _Read(NamedTuple):
    """What was read of the file. stamp: tells that it has changed. size, digest: of the whole lines
    that were read. last: the hash of a last line without an end, which may grow. wrong: whether
    that line is no address."""

    stamp: tuple[int, ...]
    size: int
    digest: hashlib.blake2b
    last: int | None
    wrong: bool


class Suppression:
    """A list of addresses, one a line; a line `@example.org` is a whole domain.

    An address may be the first field of a line, in quotes or `<>`. `#` begins a comment at the
    begin of a line or behind a blank. The first line may be a heading, such as `email`.

    must_be_there: a list that is not there can't be read; otherwise it is an empty one, unless this
    process has read it before: a disk may be lost, and nobody may get mail for that.
    """

    def __init__(self, path: str, *, must_be_there: bool = False) -> None:
        self._path, self._must_be_there = Path(path), must_be_there
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._known = Hashes()
        self._wrong: list[int] = []
        self._lines = 0
        self._read = _Read((), 0, hashlib.blake2b(), None, False)

    def has(self, who: Mailbox) -> bool:
        """Whether an address gets nothing. Raises OSError if the file can't be read."""
        with self._lock:
            self._catch_up()
            # A line with a ' before its address lists it without: a program for tables wrote it.
            keys = (who.key, who.key.lstrip("'"), f"@{who.ascii_domain}")
            asked = {_hash(key) for key in keys}
            return any(one == self._read.last or one in self._known for one in asked)

    def wrong(self) -> list[int]:
        """The lines that are no address, from 1. Raises OSError if the file can't be read."""
        with self._lock:
            self._catch_up()
            return self._wrong + [self._lines + 1] * self._read.wrong

    def add(self, who: Mailbox, why: str) -> None:
        """Add an address, unless it is there."""
        if self.has(who):
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab+") as file:
            with contextlib.suppress(OSError):  # a disk without locks appends all the same
                fcntl.flock(file, fcntl.LOCK_EX)
            begin = "" if _ends_with_a_line(file.fileno()) else "\n"
            # Bare, a # at the begin is a comment, and a ' is taken off.
            address = f"<{who.envelope}>" if who.envelope[0] in "#'" else who.envelope
            file.write(f"{begin}{address}  # {one_line(why)[:300]}\n".encode())

    def _catch_up(self) -> None:
        try:
            with self._path.open("rb") as file:
                stat = os.fstat(file.fileno())
                stamp = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
                if stamp != self._read.stamp:
                    self._learn_all(file, stamp)
        except FileNotFoundError:
            if self._must_be_there or self._read.stamp:
                raise

    def _learn_all(self, file: IO[bytes], stamp: tuple[int, ...]) -> None:
        """Learn what was added. Where anything else has changed, learn the whole file again."""
        if not _begins_with(file, self._read):
            self._forget()
            file.seek(0)
        size, digest, last = self._read.size, self._read.digest.copy(), b""
        while lines := file.readlines(_PIECE_BYTES):
            last = b"" if lines[-1].endswith(b"\n") else lines.pop()
            whole = b"".join(lines)
            digest.update(whole)
            self._learn(lines, at_begin=not size)
            size += len(whole)
        found = _listed(last.decode("utf-8", "replace"), first=not size)
        self._read = _Read(stamp, size, digest, _hash(found) if found else None, found is None)

    def _learn(self, lines: list[bytes], *, at_begin: bool) -> None:
        for line in lines:
            self._lines += 1
            plain = _PLAIN_LINE.fullmatch(line.lower())
            if plain is not None:
                self._known.add(_hash_of(plain[1]))
                continue
            found = _listed(line.decode("utf-8", "replace"), first=at_begin and self._lines == 1)
            if found is None:
                self._wrong.append(self._lines)
            elif found:
                self._known.add(_hash(found))


def _begins_with(file: IO[bytes], read: _Read) -> bool:
    """Whether a file begins with what was read of it; it stands behind that then."""
    digest, left = hashlib.blake2b(), read.size
    while left and (data := file.read(min(left, 1 << 20))):
        digest.update(data)
        left -= len(data)
    return not left and digest.digest() == read.digest.digest()


def _listed(line: str, *, first: bool) -> str | None:
    """The key of the address or the domain of a line; "" if it has none, None if it is wrong."""
    text = _COMMENT.sub("", line.removeprefix("\ufeff") if first else line).strip()
    if not text:
        return ""
    angles = _IN_ANGLES.search(text)
    text = angles[1] if angles else _END_OF_FIELD.split(text.lstrip(",; "), maxsplit=1)[0]
    text = text.strip('" ')
    if not angles or text.endswith("'"):
        text = text.strip("\"' ")
    if first and text.lower() in COLUMNS:
        return ""
    parts = _PARTS.fullmatch(text)
    if parts is not None:
        found = domains(parts[2])
        local = unicodedata.normalize("NFC", parts[1])
        return None if found is None else f"{local.lower()}@{found.in_ascii}"
    try:
        return mailbox(text).key
    except ValueError:
        return None


def _hash(text: str) -> int:
    return _hash_of(text.encode())


def _hash_of(data: bytes) -> int:
    """Eight bytes for an address: a million take little memory."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _ends_with_a_line(fd: int) -> bool:
    size = os.fstat(fd).st_size
    return size == 0 or os.pread(fd, 1, size - 1) == b"\n"
