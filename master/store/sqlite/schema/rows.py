"""Many rows in few statements, and numbers that are kept under names."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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
    group: str = "",
) -> None:
    """Write many rows with one statement: `executemany` gives up the GIL at each row.

    group: what stands for the values of a row, if it is more than placeholders.
    """
    waiting = list(rows)
    if not waiting:
        return
    group = group or f"({','.join('?' * len(waiting[0]))})"
    at = 0
    for size in _SIZES:
        while len(waiting) - at >= size:
            values = ",".join([group] * size)
            some = chain.from_iterable(waiting[at : at + size])
            db.execute(f"{head} VALUES {values} {end}", tuple(some))
            at += size


def look_up(
    db: sqlite3.Connection,
    query: str,
    values: Sequence[tuple[Any, ...]],
    before: tuple[Any, ...] = (),
) -> Iterator[tuple[Any, ...]]:
    """The rows of a query with many values in the place of its `{}`. A row may come twice.

    values: all of the same width. Those of width 1 are for `IN ({})`, others for `VALUES {}`.
    before: the values of the placeholders in front of them.
    """
    largest = _LOOKED_UP[-1]
    for at in range(0, len(values), largest):
        some = values[at : at + largest]
        size = next(size for size in _LOOKED_UP if size >= len(some))
        width = len(some[0])
        mark = "?" if width == 1 else f"({','.join('?' * width)})"
        filled = chain(before, *some, *[some[-1]] * (size - len(some)))
        yield from db.execute(query.format(",".join([mark] * size)), tuple(filled))


def one(db: sqlite3.Connection, query: str, *values: object) -> Any:
    """The first value of the first row. None: there is no row."""
    row = db.execute(query, values).fetchone()
    return None if row is None else row[0]


def get_meta(db: sqlite3.Connection, name: str) -> int:
    """The number under a name, 0 if there is none."""
    return one(db, "SELECT value FROM meta WHERE name = ?", name) or 0


def set_meta(db: sqlite3.Connection, name: str, value: int) -> None:
    """Keep a number under a name."""
    set_metas(db, {name: value})


def set_metas(db: sqlite3.Connection, numbers: Mapping[str, int]) -> None:
    """Keep numbers under their names."""
    insert(db, "INSERT OR REPLACE INTO meta (name, value)", numbers.items())
