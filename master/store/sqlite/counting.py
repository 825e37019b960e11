"""What the master tells of the store: its size, the ended runs by job, and when blocks came.

The marks of `master/tally/accepted.py` are one value, written anew every 5 s at most.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import msgspec

from ...reads import RunsEnded, StoreSize
from .schema.rows import one

Marks = list[tuple[int, float]]

_MARKS = "accepted"
_SELECT_MARKS = f"SELECT value FROM meta WHERE name = '{_MARKS}'"
_SELECT_ENDED = (
    "SELECT state, job, COUNT(*), SUM(dead) FROM runs"
    " WHERE state NOT IN ('active', 'pruned') GROUP BY state, job"
)


def read_marks(db: sqlite3.Connection) -> Marks:
    """As `Store.accepted_marks`."""
    kept = one(db, _SELECT_MARKS)
    return [] if kept is None else msgspec.msgpack.decode(kept, type=Marks)


def write_marks(db: sqlite3.Connection, marks: Marks) -> None:
    """Keep marks in the place of those before, in the transaction that is open."""
    db.execute(
        "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)",
        (_MARKS, msgspec.msgpack.encode(marks)),
    )


def move_marks(db: sqlite3.Connection, set_s: float) -> None:
    """Move all marks along with the wall clock, in the transaction that is open."""
    marks = read_marks(db)
    if marks:
        write_marks(db, [(block, at + set_s) for block, at in marks])


def runs_ended(db: sqlite3.Connection) -> list[RunsEnded]:
    """As `Store.runs_ended`."""
    return [RunsEnded(*row) for row in db.execute(_SELECT_ENDED)]


def size(path: Path) -> StoreSize:
    """As `Store.size`. A file that is not there has no bytes."""
    main, wal = (_bytes(path.with_name(path.name + end)) for end in ("", "-wal"))
    return StoreSize(main, wal, shutil.disk_usage(path.parent).free)


def _bytes(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
