"""Corrects the times in the store after the machine's wall clock was set.

A master counts the time from its start by the monotonic clock. If the wall clock was wrong at the
start, all times that the master records are wrong by the same amount. The next start corrects them.
"""

from __future__ import annotations

from ....changes import QUEUE_RUN
from ..counting import move_marks
from ..database import Database
from ..history import move_history
from ..read.waiting import active_runs
from .ageing import MARKS, NEWEST_MARK

LEAST_SET_S = 1.0
"""A clock that is off by less has drifted; nobody has set it."""

SLACK_S = 7_200.0
"""How long after the last noted time a master may have recorded something."""


def seen(db: Database) -> float:
    """As `Store.clock_seen`."""
    return db.number("clock_seen_us") / 1e6


def set_clock(db: Database, boot: int, behind_s: float, wall: float | None) -> None:
    """As `Store.set_clock`, in the transaction that is open."""
    same = bool(boot) and boot == db.number("clock_boot")
    if same:
        set_s = behind_s - db.number("clock_behind_us") / 1e6
        if abs(set_s) < LEAST_SET_S:
            return
        _move_delays(db, set_s)
        until = None if wall is None else wall - set_s
    else:
        set_s = db.number("clock_off_us") / 1e6
        until = seen(db) + SLACK_S
    since = wall
    if wall is not None and until is not None and abs(set_s) >= LEAST_SET_S:
        since = _move_ends(db, set_s, until, wall)
    noted = {"behind": behind_s, "off": 0.0}
    if wall is not None:
        noted |= {"since": since or wall, "seen": wall}
    db.keep({"clock_boot": boot} | _in_us(noted))


def note_clock(db: Database, wall: float, off_s: float) -> None:
    """As `Store.note_clock`, in the transaction that is open."""
    db.keep(_in_us({"seen": wall, "off": off_s}))


def _in_us(seconds: dict[str, float]) -> dict[str, int]:
    return {f"clock_{name}_us": round(value * 1e6) for name, value in seconds.items()}


def _move_delays(db: Database, set_s: float) -> None:
    for run in active_runs(db):
        db.run("move_delays", run=run, set_s=set_s)
    db.run("move_delays_of_groups", set_s=set_s)
    _move_marks_of_results(db, set_s)
    move_marks(db, set_s)


def _move_marks_of_results(db: Database, set_s: float) -> None:
    """Move all marks at once.

    After each row of an UPDATE, an engine checks whether another row has its key, and the next mark
    may be where this one goes.
    """
    marks = list(db.rows("marks_of_results"))
    db.run("drop_marks")
    db.insert("marks", MARKS, ((at + set_s, seq) for at, seq in marks), NEWEST_MARK)


def _move_ends(db: Database, set_s: float, until: float, wall: float) -> float:
    """Move the times that were recorded since the clock was last believed. Older times were right.

    Returns the time from which on the recorded times agree with the clock as it is now. If somebody
    set the clock by mistake and sets it back later, the moved times go back with it.
    """
    since_us = db.kept("clock_since_us")
    if since_us is None:
        return wall
    since: float = since_us / 1e6
    times = {"set_s": set_s, "since": since, "until": until, "queue_run": QUEUE_RUN}
    for column in ("started_at", "ended_at"):
        db.run("move_times_of_runs", {"column": column}, **times)
    db.run("move_deaths", None, **times)
    move_history(db, set_s, since, until)
    return since + set_s
