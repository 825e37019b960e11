"""A write-ahead log that a crash has cut off: what each frame is, and a copy without its end.

Source of the format: SQLite, "WAL-mode File Format" (walformat.html).
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
WAL = "queue.sqlite3-wal"


def last_transaction(wal: bytes) -> list[int]:
    """Where the frames of the last transaction begin, and where the last of them ends."""
    page_bytes = struct.unpack_from(">I", wal, 8)[0]
    size_bytes, salt = _FRAME_HEADER_BYTES + page_bytes, wal[16:24]
    found: list[int] = []
    ended = True
    for offset in range(_HEADER_BYTES, len(wal) - size_bytes + 1, size_bytes):
        if wal[offset + 8 : offset + 16] != salt:  # left of what was before a checkpoint
            break
        found = [offset] if ended else [*found, offset]
        ended = wal[offset + 4 : offset + 8] != bytes(4)  # the size of the file: it commits
    assert ended, "the last transaction has no end"
    return [*found, found[-1] + size_bytes]


def tears(wal: bytes) -> Iterator[tuple[str, bytes]]:
    """The log without a part of its last transaction: cut off, or with nothing in that place."""
    *frames, end = last_transaction(wal)
    middle = frames[len(frames) // 2]
    for frame in sorted({*frames[:2], middle, frames[-1]}):
        for inside in (0, 1, _FRAME_HEADER_BYTES, _FRAME_HEADER_BYTES + 512):
            yield f"cut at {frame} + {inside}", wal[: frame + inside]
    yield "cut by one byte", wal[: end - 1]
    for lost in (1, 512, 4_096, end - frames[0]):  # the length was on disk before the data
        yield f"{lost} bytes empty", wal[: end - lost] + bytes(lost)
    yield "a sector empty in the middle", wal[:middle] + bytes(512) + wal[middle + 512 : end]


def torn_copy(data: Path, to: Path, wal: bytes) -> Path:
    """The folder as another process left it, but for its log."""
    shutil.copytree(data, to)
    (to / WAL).write_bytes(wal)
    return to
