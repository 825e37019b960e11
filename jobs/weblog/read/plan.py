"""Which files a run reads, and the ranges that they are cut into. Contents are not looked at."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from .found import Noted, note
from .packed import GZIP, frames_of, is_zstd

_MOST_FILES = 4000
A_SPREAD = 1000
"""The follow-ups of one result have a limit, so the ranges of a large file are spread by others."""


class NoFilesError(ValueError):
    """There is nothing to read. One line."""


class Piece(msgspec.Struct, frozen=True):
    """Some bytes of a file.

    Attributes:
        number: the file's number in its run.
        kind: `plain`, `gzip`, `zstd`, or `frames` for zstd with a table of its frames.
        start: where it begins, bytes, those of `frames` unpacked.
        end: where it ends; None is the end of a packed file.
    """

    number: int
    noted: Noted
    kind: str
    start: int
    end: int | None

    @property
    def key(self) -> str:
        """What it is called in its run."""
        return f"{self.number}:{self.start}"


def files_of(patterns: list[str]) -> list[Path]:
    """The files that patterns name, each once, whatever links lead to it. Raises NoFilesError."""
    files: dict[tuple[int, int], Path] = {}
    for pattern in patterns:
        matches = sorted(glob.glob(pattern, recursive=True)) or [pattern]
        there = [Path(match) for match in matches if os.path.isfile(match)]
        if not there:
            raise NoFilesError(f"no file matches {pattern} on the machine of this worker")
        for path in there:
            status = path.stat()
            files.setdefault((status.st_dev, status.st_ino), Path(os.path.realpath(path)))
    if len(files) > _MOST_FILES:
        raise NoFilesError(f"{len(files):,} files: one run takes {_MOST_FILES:,}; submit several")
    return sorted(files.values())


def whole(number: int, path: Path) -> Piece:
    """All of a file, with its size as it is now. Raises OSError."""
    noted = note(path)
    with path.open("rb") as file:
        head = file.read(4)
        if head[:2] == GZIP:
            return Piece(number, noted, "gzip", 0, None)
        if not is_zstd(head):
            return Piece(number, noted, "plain", 0, noted.size)
        frames = frames_of(file, noted.size)
    if len(frames) > 2:
        return Piece(number, noted, "frames", 0, frames[-1][1])
    return Piece(number, noted, "zstd", 0, None)


def ranges(piece: Piece, size: int) -> Iterator[Piece]:
    """The ranges of a piece, of `size` bytes each."""
    if piece.end is None:
        yield piece
        return
    for start in range(piece.start, piece.end, size):
        end = min(start + size, piece.end)
        yield msgspec.structs.replace(piece, start=start, end=end)


def count(piece: Piece, size: int) -> int:
    """How many ranges a piece has."""
    return 1 if piece.end is None else -(-(piece.end - piece.start) // size)


def spread(piece: Piece, size: int) -> Iterator[Piece]:
    """Parts of a piece, each of at most so many ranges as may follow from one result."""
    yield from ranges(piece, size * A_SPREAD)


def packed(piece: Piece) -> dict[str, Any]:
    """Plain data for a payload."""
    return dict(msgspec.to_builtins(piece))


def unpacked(data: dict[str, Any]) -> Piece:
    """The opposite of `packed`."""
    return msgspec.convert(data, Piece)
