"""A file is noted when it is planned, and found again when it is read, also when it was rotated.

Its number (inode) finds it under another name. Its first bytes say that it is the same file, for
numbers are given away again, and on a network disk each machine may have numbers of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
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
    trouble: OSError | None = None
    for candidate in _candidates(path, noted.inode):
        try:
            file = _opened(candidate, noted)
        except OSError as error:
            # Files of others may stand beside it. The file itself can be read when it is tried
            # again, or the error says what is wrong.
            trouble = trouble or (error if _may_be(candidate, path, noted.inode) else None)
            continue
        if file:
            with file:
                yield file
            return
    if trouble:
        raise trouble
    if not path.parent.is_dir():
        raise LostError(f"{path.parent} is no folder on this machine: is the disk mounted?")
    raise LostError(
        f"{path} is not the file any more that it was when the run began: it was rotated away,"
        " removed or cut. Submit the run again with the files that are there"
    )


def _opened(candidate: Path, noted: Noted) -> BinaryIO | None:
    """The candidate from its beginning, if it is the file that was noted. Raises OSError."""
    try:
        # A pipe would wait for its writer.
        if not stat.S_ISREG(candidate.stat().st_mode):
            return None
        file = candidate.open("rb", buffering=0)
    except FileNotFoundError:
        return None
    try:
        large_enough = os.fstat(file.fileno()).st_size >= noted.size
        if large_enough and _digest(file, noted.head_bytes) == noted.head:
            file.seek(0)
            return file
    except BaseException:
        file.close()
        raise
    file.close()
    return None


def _may_be(candidate: Path, path: Path, inode: int) -> bool:
    with contextlib.suppress(OSError):
        return candidate == path or candidate.stat().st_ino == inode
    return False


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
