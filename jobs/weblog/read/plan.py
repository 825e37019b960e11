"""The files of a run as pieces, and the ranges that they are cut into. Lines are not looked at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from .found import Noted, note
from .packed import HEAD_BYTES, check_known, frames_of, packed_by

A_SPREAD = 1000
"""The follow-ups of one result have a limit, so the ranges of a large file are spread by others."""


class Piece(msgspec.Struct, frozen=True):
    """Some bytes of a file.

    Attributes:
        number: the file's number in its run.
        kind: `plain`, what it is packed by, or `frames` for zstd with a table of its frames.
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


def whole(number: int, path: Path) -> Piece:
    """All of a file, with its size as it is now. Raises PackedError, OSError."""
    noted = note(path)
    with path.open("rb") as file:
        name = packed_by(file.read(HEAD_BYTES))
        frames = frames_of(file, noted.size) if name == "zstd" else []
    if not name:
        return Piece(number, noted, "plain", 0, noted.size)
    check_known(name, path)
    if len(frames) > 2:
        return Piece(number, noted, "frames", 0, frames[-1][1])
    return Piece(number, noted, name, 0, None)


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
