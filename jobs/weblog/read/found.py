"""A file is noted when it is planned, and found again when it is read, also when it was rotated.

Its number (inode) finds it under another name. Its first bytes say that it is the same file, for
numbers are given away again, and on a network disk each machine may have numbers of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

_HEAD_BYTES = 512


class LostError(ValueError):
    """A file is not what it was when it was planned. One line."""


class Noted(msgspec.Struct, frozen=True):
    """A file as it was. size: bytes. head: a digest of its first `head_bytes`."""

    path: str
    inode: int
    size: int
    head: str
    head_bytes: int


def note(path: Path) -> Noted:
    """A file as it is. Raises OSError."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        most = min(_HEAD_BYTES, status.st_size)
        return Noted(str(path), status.st_ino, status.st_size, _digest(file, most), most)


def _digest(file: BinaryIO, most: int) -> str:
    file.seek(0)
    return hashlib.sha256(file.read(most)).hexdigest()[:16]


@contextlib.contextmanager
def found(noted: Noted) -> Iterator[BinaryIO]:
    """Open the file that was noted, from its beginning. Raises LostError, OSError."""
    path = Path(noted.path)
    for candidate in _candidates(path, noted.inode):
        with contextlib.suppress(FileNotFoundError), candidate.open("rb", buffering=0) as file:
            large_enough = os.fstat(file.fileno()).st_size >= noted.size
            if large_enough and _digest(file, noted.head_bytes) == noted.head:
                file.seek(0)
                yield file
                return
    if not path.parent.is_dir():
        raise LostError(f"{path.parent} is no folder on this machine: is the disk mounted?")
    raise LostError(
        f"{path} is not the file any more that it was when the run began: it was rotated away,"
        " removed or cut. Submit the run again with the files that are there"
    )


def _candidates(path: Path, inode: int) -> Iterator[Path]:
    yield path
    try:
        with os.scandir(path.parent) as entries:
            there = sorted((entry.inode() != inode, entry.name) for entry in entries)
    except OSError:
        return
    # Those with the number first, then those whose names begin with the file's: access.log.1.
    for other_number, name in there:
        if name != path.name and (not other_number or name.startswith(path.name)):
            yield path.parent / name
