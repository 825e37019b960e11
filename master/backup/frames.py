"""What the files of SQLite's log (WAL) say: how far it is committed, and which page a frame has.

The formats are those of https://www.sqlite.org/walformat.html. Nothing here takes a lock or writes.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

from queue_manager.errors import StoreError

FRAME_HEAD = 24
_LOG_HEAD = 32
_INDEX = struct.Struct("=8xI2xHII8x8s8x")
_INDEX_BYTES = 48
_COPIED = struct.Struct("=I")
_FRAME = struct.Struct(">II8s8s")
_COPIED_AT = 2 * _INDEX_BYTES
_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the log, as of the last commit that is on disk.

    salts: tell the turns of the log apart: it begins again once all of it is in the file. frames:
    how many this turn has. commits: a number that grows by 1 with each commit, modulo 2**32, as
    long as any process has the store open. pages: how many the store has, 0: as many as its file.
    in_file: so many of the frames are in the file, too.
    """

    salts: bytes
    frames: int
    commits: int
    pages: int
    page_bytes: int
    in_file: int


def read_head(index: int) -> Head:
    """The end of the log. index: a descriptor of the file `-shm`.

    Raises:
        StoreError: the file says nothing that makes sense.
    """
    give_up_at = time.monotonic() + _PATIENCE_S
    while True:
        data = os.pread(index, _COPIED_AT + _COPIED.size, 0)
        one, other = data[:_INDEX_BYTES], data[_INDEX_BYTES:_COPIED_AT]
        # A commit writes the second of them first. So if they are equal, neither is half of one.
        if one == other and len(data) == _COPIED_AT + _COPIED.size:
            commits, size, frames, pages, salts = _INDEX.unpack(one)
            (in_file,) = _COPIED.unpack_from(data, _COPIED_AT)
            return Head(salts, frames, commits, pages, 65_536 if size == 1 else size, in_file)
        if time.monotonic() > give_up_at:
            raise StoreError("can't read the index of the store's log (queue.sqlite3-shm)")
        time.sleep(0.0005)


@dataclass(frozen=True, slots=True)
class Frame:
    """A page in the log. place: its number, from 1. ends_commit: it is the last of its commit."""

    place: int
    page: int
    ends_commit: bool
    salts: bytes
    checksum: bytes


def read_frame(log: int, place: int, page_bytes: int) -> Frame | None:
    """The head of a frame. log: a descriptor of the file `-wal`. None: the file ends before it."""
    head = os.pread(log, FRAME_HEAD, _offset(place, page_bytes))
    if len(head) < FRAME_HEAD:
        return None
    page, pages, salts, checksum = _FRAME.unpack(head)
    return Frame(place, page, pages != 0, salts, checksum)


def read_frames(log: int, after: int, until: int, head: Head) -> Iterator[Frame]:
    """The frames of a turn behind the first `after`, as long as they are of that turn."""
    for place in range(after + 1, until + 1):
        frame = read_frame(log, place, head.page_bytes)
        if frame is None or frame.salts != head.salts:
            return
        yield frame


def read_page(log: int, place: int, page_bytes: int) -> bytes:
    """The page in a frame."""
    return os.pread(log, page_bytes, _offset(place, page_bytes) + FRAME_HEAD)


def turn_number(log: int) -> int:
    """How often the log has begun again."""
    head = os.pread(log, _LOG_HEAD, 0)
    return int.from_bytes(head[12:16], "big")


def follows(salts: bytes, before: bytes) -> bool:
    """Whether a turn of the log comes right after another one."""
    return (int.from_bytes(before[:4], "big") + 1) % 2**32 == int.from_bytes(salts[:4], "big")


def _offset(place: int, page_bytes: int) -> int:
    return _LOG_HEAD + (place - 1) * (FRAME_HEAD + page_bytes)
