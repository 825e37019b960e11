"""The rows of the history: what is added to them, what is read of them, when they go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import ceil

from ...changes import QUEUE_RUN
from ...history import (
    ALL_RUNS,
    MINUTE_S,
    SPANS,
    HistoryRecord,
    Rows,
    Standing,
    add,
    begin_of,
    rows_of,
    span_for,
)
from .database import Database, Row
from .tables import HISTORY

_COUNTED = ("done", "dead", "failed", "busy_s")
_ADDED = ", ".join(f"{name} = history.{name} + excluded.{name}" for name in _COUNTED)
_NEWER = ", ".join(
    f"{name} = COALESCE(excluded.{name}, history.{name})" for name in Standing._fields
)
_ADD = f"ON CONFLICT (run, at, span_s) DO UPDATE SET {_ADDED}, {_NEWER}"


def add_history(db: Database, records: Iterable[HistoryRecord]) -> None:
    """Add what a turn has recorded, in the transaction that is open."""
    _add_rows(db, rows_of(records))


def _add_rows(db: Database, rows: Rows) -> None:
    HISTORY.insert(db, rows.values(), end=_ADD)


def read_history(
    db: Database, run: int, since_at: float, until_at: float, step_s: int
) -> list[HistoryRecord]:
    """As `Store.read_history`."""
    rows = db.rows(
        "history_by_steps",
        run=run,
        since=begin_of(since_at, step_s),
        until=ceil(until_at),  # they are whole numbers: any other kind uses no index
        step_s=step_s,
        span_s=span_for(step_s),
    )
    return [_record(run, step_s, row) for row in rows]


def _record(run: int, step_s: int, row: Row) -> HistoryRecord:
    at, done, dead, failed, busy_s, *standing = row
    stood = None if standing[0] is None else Standing(*standing)
    return HistoryRecord(run, at, step_s, done, dead, failed, busy_s, stood)


def last_minute(db: Database) -> float:
    """As `Store.last_minute`."""
    return db.one("newest_minute", run=ALL_RUNS, span_s=MINUTE_S) or 0.0


def prune_history(db: Database, minutes_by: float, all_by: float, limit: int) -> bool:
    """As `Store.prune_history`, in the transaction that is open."""
    gone = db.changed("drop_minutes", before=minutes_by, look=limit)
    for run in (ALL_RUNS, QUEUE_RUN):
        gone += db.changed("drop_history", run=run, before=all_by, look=limit)
    return gone > 0


def move_history(db: Database, set_s: float, since: float, until: float) -> None:
    """Move the rows of a time in which the clock was wrong. Those that meet become one."""
    moved: Rows = {}
    for span_s in SPANS:
        by_s = round(set_s / span_s) * span_s
        if by_s:
            begin = begin_of(since, span_s)
            for row in list(db.rows("take_history", span_s=span_s, since=begin, until=until)):
                record = HISTORY.load(row)
                add(moved, replace(record, at=record.at + by_s))
    _add_rows(db, moved)
