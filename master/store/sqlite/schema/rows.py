"""Many rows in few statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

_SIZES = (256, 64, 16, 4, 1)
"""How many rows a statement has: few different texts, so that SQLite compiles each once."""

_LOOKED_UP = (1, 8, 64, 512)
"""How many values a statement looks for: few different texts here as well."""


def insert(
    db: sqlite3.Connection,
    head: str,
    rows: Iterable[Collection[Any]],
    end: str = "",
) -> None:
    """Write many rows with one statement: `executemany` gives up the GIL at each row."""
    waiting = list(rows)
    if not waiting:
        return
    group = f"({','.join('?' * len(waiting[0]))})"
    at = 0
    for size in _SIZES:
        while len(waiting) - at >= size:
            values = ",".join([group] * size)
            some = chain.from_iterable(waiting[at : at + size])
            db.execute(f"{head} VALUES {values} {end}", tuple(some))
            at += size


def look_up(
    db: sqlite3.Connection, query: str, keys: Sequence[tuple[Any, ...]], values: dict[str, Any]
) -> Iterator[tuple[Any, ...]]:
    """The rows of a query with many keys in the place of its `{keys}`. A row may come twice.

    keys: all of the same width. Those of width 1 are for `IN ({keys})`, others for
    `VALUES {keys}`. values: of the other placeholders, by their names.
    """
    largest = _LOOKED_UP[-1]
    for at in range(0, len(keys), largest):
        some = keys[at : at + largest]
        size = next(size for size in _LOOKED_UP if size >= len(some))
        filled = list(chain(*some, *[some[-1]] * (size - len(some))))
        text = query.format(keys=_marks(size, len(some[0])))
        yield from db.execute(text, values | {f"k{at}": key for at, key in enumerate(filled)})


def _marks(size: int, width: int) -> str:
    """Placeholders for so many keys."""
    if width == 1:
        return ",".join([f":k{at}" for at in range(size)])
    rows = (range(at, at + width) for at in range(0, size * width, width))
    return ",".join([f"({','.join([f':k{at}' for at in row])})" for row in rows])


def one(db: sqlite3.Connection, query: str, *values: object) -> Any:
    """The first value of the first row. None: there is no row."""
    row = db.execute(query, values).fetchone()
    return None if row is None else row[0]
