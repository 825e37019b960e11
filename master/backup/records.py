"""What a copy is told, in files and pipes alike: writes, and the commits that make them count.

A part is its kind, the checksum and length of its body, and where in the store's file that goes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Literal, Protocol

import msgspec

from queue_manager.errors import QueueError

VERSION = 1
MOST_BYTES = 8 * 1024 * 1024
"""The longest body of a part."""

_HEAD = struct.Struct(">cIIQ")

BASE, WRITE, COMMIT, ABORT, NOTE = b"B", b"W", b"C", b"A", b"N"
KINDS = (BASE, WRITE, COMMIT, ABORT, NOTE)


class CopyError(QueueError):
    """A copy can't be written, or its other end is gone."""


class Position(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a copy has come in the log of a store (`frames.Head`).

    checksum: that of the last frame, which tells this log from any other.
    """

    salts: bytes = b""
    frames: int = 0
    commits: int = 0
    checksum: bytes = b""
    turn: int = 0


class Commit(msgspec.Struct, frozen=True):
    """The writes before it count from now on. size_bytes: how long the store's file is then.

    at: when all that was committed by then is in the copy, UTC epoch in seconds.
    """

    position: Position
    size_bytes: int
    at: float


class Greeting(msgspec.Struct, frozen=True):
    """The first line of a copy at the other end of a pipe. position: as far as it has come."""

    position: Position | None
    version: int = VERSION
    does: Literal["quartermaster copy"] = "quartermaster copy"


class Target(Protocol):
    """A copy of a store. Every verb may raise CopyError."""

    @property
    def position(self) -> Position | None:
        """How far it has come; None: it is empty."""

    def begin(self, size_bytes: int) -> None:
        """All of the store follows, and then replaces what is there with its first commit."""

    def write(self, offset: int, data: bytes) -> None:
        """Bytes of the store's file."""

    def commit(self, commit: Commit) -> None:
        """What was written since the last commit counts. It is on disk when this returns."""

    def abort(self) -> None:
        """What was written since the last commit counts for nothing."""

    def note(self, at: float) -> None:
        """Nothing has changed by that time (UTC epoch, s)."""

    def close(self) -> None:
        """Nothing more comes."""


class Part(msgspec.Struct, frozen=True, gc=False):
    """One part of a stream."""

    kind: bytes
    offset: int
    body: bytes


def packed(kind: bytes, body: bytes = b"", offset: int = 0) -> bytes:
    """A part as bytes."""
    return _HEAD.pack(kind, zlib.crc32(body), len(body), offset) + body


def packed_begin(size_bytes: int) -> bytes:
    """That all of a store follows, as a part."""
    return packed(BASE, msgspec.msgpack.encode(size_bytes))


def size_of(part: Part) -> int:
    """How many bytes follow."""
    return msgspec.msgpack.decode(part.body, type=int)


def packed_commit(commit: Commit) -> bytes:
    """A commit as a part."""
    return packed(COMMIT, msgspec.msgpack.encode(commit))


def commit_of(part: Part) -> Commit:
    """The commit in a part."""
    return msgspec.msgpack.decode(part.body, type=Commit)


def parts(file: BinaryIO) -> Iterator[Part]:
    """The parts of a stream, as long as they are whole."""
    while True:
        head = _exactly(file, _HEAD.size)
        if head is None:
            return
        kind, checksum, length, offset = _HEAD.unpack(head)
        if kind not in KINDS or length > MOST_BYTES:
            return
        body = _exactly(file, length)
        if body is None or zlib.crc32(body) != checksum:
            return
        yield Part(kind, offset, body)


def _exactly(file: BinaryIO, count: int) -> bytes | None:
    data = file.read(count)
    while data and len(data) < count:
        more = file.read(count - len(data))
        if not more:
            return None
        data += more
    return data if len(data) == count else None
