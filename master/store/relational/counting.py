"""What the master tells of the store: the ended runs by job, and when blocks came.

The marks of `master/tally/accepted.py` are one value, written anew every 5 s at most.
"""

from __future__ import annotations

import msgspec

from ...reads import RunsEnded
from .database import Database

Marks = list[tuple[int, float]]

_MARKS = "accepted"


def read_marks(db: Database) -> Marks:
    """As `Store.accepted_marks`."""
    kept = db.kept(_MARKS)
    return [] if kept is None else msgspec.msgpack.decode(kept, type=Marks)


def write_marks(db: Database, marks: Marks) -> None:
    """Keep marks in the place of those before, in the transaction that is open."""
    db.keep({_MARKS: msgspec.msgpack.encode(marks)})


def move_marks(db: Database, set_s: float) -> None:
    """Move all marks along with the wall clock, in the transaction that is open."""
    marks = read_marks(db)
    if marks:
        write_marks(db, [(block, at + set_s) for block, at in marks])


def runs_ended(db: Database) -> list[RunsEnded]:
    """As `Store.runs_ended`."""
    ended = db.rows("runs_ended")
    return [RunsEnded(state, job, runs, int(dead)) for state, job, runs, dead in ended]
