"""Corrects the times in the store after the machine's wall clock was set.

A master counts the time from its start by the monotonic clock. If the wall clock was wrong at the
start, all times that the master records are wrong by the same amount. The next start corrects them.
"""

from __future__ import annotations

import sqlite3

from ...changes import QUEUE_RUN
from .counting import move_marks
from .history import move_history
from .read.waiting import active_runs
from .schema.rows import get_meta, insert, one, set_meta

LEAST_SET_S = 1.0
"""A clock that is off by less has drifted; nobody has set it."""

SLACK_S = 7_200.0
"""How long after the last noted time a master may have recorded something."""


def seen(db: sqlite3.Connection) -> float:
    """As `Store.clock_seen`."""
    return get_meta(db, "clock_seen_us") / 1e6


def set_clock(db: sqlite3.Connection, boot: int, behind_s: float, wall: float | None) -> None:
    """As `Store.set_clock`, in the transaction that is open."""
    same = bool(boot) and boot == get_meta(db, "clock_boot")
    if same:
        set_s = behind_s - get_meta(db, "clock_behind_us") / 1e6
        if abs(set_s) < LEAST_SET_S:
            return
        _move_delays(db, set_s)
        until = None if wall is None else wall - set_s
    else:
        set_s = get_meta(db, "clock_off_us") / 1e6
        until = seen(db) + SLACK_S
    since = wall
    if wall is not None and until is not None and abs(set_s) >= LEAST_SET_S:
        since = _move_ends(db, set_s, until, wall)
    for name, value in (("clock_behind_us", behind_s), ("clock_off_us", 0.0)):
        set_meta(db, name, round(value * 1e6))
    set_meta(db, "clock_boot", boot)
    if wall is not None:
        set_meta(db, "clock_since_us", round((since or wall) * 1e6))
        set_meta(db, "clock_seen_us", round(wall * 1e6))


def note_clock(db: sqlite3.Connection, wall: float, off_s: float) -> None:
    """As `Store.note_clock`, in the transaction that is open."""
    set_meta(db, "clock_seen_us", round(wall * 1e6))
    set_meta(db, "clock_off_us", round(off_s * 1e6))


def _move_delays(db: sqlite3.Connection, set_s: float) -> None:
    for run in active_runs(db):
        db.execute(
            "UPDATE strays SET due_at = due_at + ? WHERE run = ? AND state = 'waiting'",
            (set_s, run),
        )
    db.execute("UPDATE own_groups SET due_at = due_at + ? WHERE delay_s > 0", (set_s,))
    _move_marks_of_results(db, set_s)
    move_marks(db, set_s)


def _move_marks_of_results(db: sqlite3.Connection, set_s: float) -> None:
    """Move all marks at once.

    After each row of an UPDATE, SQLite checks whether another row has its key, and the next mark
    may be where this one goes.
    """
    marks = db.execute("SELECT at, seq FROM marks ORDER BY at").fetchall()
    db.execute("DELETE FROM marks")
    moved = ((at + set_s, seq) for at, seq in marks)
    insert(db, "INSERT OR REPLACE INTO marks (at, seq)", moved)


def _move_ends(db: sqlite3.Connection, set_s: float, until: float, wall: float) -> float:
    """Move the times that were recorded since the clock was last believed. Older times were right.

    Returns the time from which on the recorded times agree with the clock as it is now. If somebody
    set the clock by mistake and sets it back later, the moved times go back with it.
    """
    since_us = one(db, "SELECT value FROM meta WHERE name = 'clock_since_us'")
    if since_us is None:
        return wall
    since: float = since_us / 1e6
    for column in ("started_at", "ended_at"):
        db.execute(
            f"UPDATE runs SET {column} = {column} + ? WHERE {column} BETWEEN ? AND ? AND id != ?",
            (set_s, since, until, QUEUE_RUN),
        )
    db.execute(
        "UPDATE strays SET due_at = due_at + ?"
        " WHERE run = ? AND state = 'dead' AND due_at BETWEEN ? AND ?",
        (set_s, QUEUE_RUN, since, until),
    )
    move_history(db, set_s, since, until)
    return since + set_s
