"""What rows are together, in whatever order they come: how many, and the sum of their hashes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

Row = Sequence[Any]

_SPAN = 2**128


@dataclass
class Sum:
    """The rows that have gone through. Two tables with the same rows have equal sums."""

    rows: int = 0
    hashes: int = 0

    def through(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows, as they are added."""
        encode = msgspec.msgpack.Encoder().encode
        for row in rows:
            digest = blake2b(encode(list(row)), digest_size=16).digest()
            self.rows += 1
            self.hashes = (self.hashes + int.from_bytes(digest, "big")) % _SPAN
            yield row

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Sum:
        """That of all these rows."""
        made = cls()
        for _ in made.through(rows):
            pass
        return made
