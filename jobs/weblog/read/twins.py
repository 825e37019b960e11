"""A log that is there twice, as itself and packed, so that each of its lines counts once.

Both are there while a program packs or unpacks the log, and later if that program keeps both.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import BinaryIO

from .packed import HEAD_BYTES, CutOffError, PackedError, Read, check_known, packed_by, reader

_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zstd")
_FIRST_BYTES = 512
_STEP_BYTES = 1 << 20
_FRESH_S = 60.0
_MARGIN_S = 1.0
"""The next try begins so long after the moment from which a file is not fresh any more."""


class UnfinishedError(Exception):
    """A file is being packed or unpacked: soon there is one file of these two. One line.

    Attributes:
        wait_s: seconds until the files say more.
    """

    def __init__(self, line: str, wait_s: float) -> None:
        super().__init__(line)
        self.wait_s = wait_s


def without_twins(paths: list[Path]) -> list[Path]:
    """Files without those whose lines are all in another one of them.

    Raises:
        UnfinishedError: a file is being packed or unpacked.
    """
    names = set(paths)
    twins = [
        (path, path.with_suffix(""))
        for path in paths
        if path.suffix in _SUFFIXES and path.with_suffix("") in names
    ]
    lesser = {_lesser(packed, plain) for packed, plain in twins}
    return [path for path in paths if path not in lesser]


def fresh_s(path: Path) -> float:
    """Seconds for which a file may still be unfinished, for it was written to lately; 0 for none.

    A time in the future counts like one in the past: clocks of two machines differ a little.
    """
    age_s = time.time() - path.stat().st_mtime
    return _FRESH_S - age_s + _MARGIN_S if abs(age_s) < _FRESH_S else 0.0


def _lesser(packed: Path, plain: Path) -> Path | None:
    """The one of two files whose lines are all in the other one. None if they are two logs."""
    if not _begin_alike(packed, plain):
        return None
    if wait_s := fresh_s(packed):
        line = f"{packed} is being packed: the file that it is made of is there"
        raise UnfinishedError(line, wait_s)
    longer = _is_longer(packed, plain)
    if not longer:
        return None if longer is None else packed
    if wait_s := fresh_s(plain):
        raise UnfinishedError(f"{plain} is being unpacked: {packed} has more lines", wait_s)
    return plain


def _begin_alike(packed: Path, plain: Path) -> bool:
    """Whether both begin with the same bytes, as far as both are there."""
    with plain.open("rb") as text, packed.open("rb") as file:
        expected = text.read(_FIRST_BYTES)
        try:
            read = _reader(file, packed)
            found = read(len(expected)) if read else b""
        except CutOffError:
            return True
        except PackedError:
            return False
        if not found:
            return read is None  # an empty file, which a program has just begun to write
        return bool(expected) and expected.startswith(found)


def _reader(file: BinaryIO, path: Path) -> Read | None:
    """What a packed file has. None if it is empty. Raises PackedError for what can't be read."""
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if not head:
        return None
    name = packed_by(head)
    if not name:
        raise PackedError(f"{path} is not packed")
    check_known(name, path)
    return reader(file, name)


def _is_longer(packed: Path, plain: Path) -> bool | None:
    """Whether a packed file has more than the file beside it. None if they are different."""
    with plain.open("rb") as text, packed.open("rb") as file:
        try:
            read = _reader(file, packed)
            while read and (expected := text.read(_STEP_BYTES)):
                found = read(len(expected))
                if not expected.startswith(found):
                    return None
                if len(found) < len(expected):
                    return False
            return bool(read and read(1))
        except PackedError:  # no more of it can be had
            return False
