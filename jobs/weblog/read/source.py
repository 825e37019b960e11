"""The lines of a piece of a file, whatever the file is packed by."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from .found import found
from .lines import LOOKS_BACK_BYTES, Lines
from .packed import frame_reader, reader
from .plan import Piece


@contextlib.contextmanager
def lines_of(piece: Piece) -> Iterator[Lines]:
    """The lines that start in a piece. Raises LostError, PackedError, OSError."""
    with found(piece.noted) as file:
        begin = max(0, piece.start - LOOKS_BACK_BYTES)
        if piece.kind == "frames":
            read = frame_reader(file, piece.noted.size, begin)
        elif piece.kind == "plain":
            file.seek(begin)
            read = file.read
        else:
            read = reader(file, piece.kind)
        yield Lines(read, piece.start, piece.end)
