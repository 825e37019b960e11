"""The rows of the history: what is added to them, what is read of them, when they go."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

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
from .schema.rows import one
from .schema.tables import HISTORY

_COUNTED = ("done", "dead", "failed", "busy_s")
_ADDED = ", ".join(f"{name} = {name} + excluded.{name}" for name in _COUNTED)
_NEWER = ", ".join(f"{name} = COALESCE(excluded.{name}, {name})" for name in Standing._fields)
_ADD = f"ON CONFLICT (run, at, span_s) DO UPDATE SET {_ADDED}, {_NEWER}"

_SUMS = ", ".join(f"SUM({name})" for name in _COUNTED)
# With MAX, SQLite reads the other columns in the row that has the greatest value.
_SELECT = (
    f"SELECT at / ?1 * ?1 AS step, {_SUMS}, {', '.join(Standing._fields)}, MAX(at) FROM history"
    " WHERE run = ?2 AND at >= ?3 AND at < ?4 AND span_s = ?5 GROUP BY step ORDER BY step"
)


def add_history(db: sqlite3.Connection, records: Iterable[HistoryRecord]) -> None:
    """Add what a turn has recorded, in the transaction that is open."""
    _add_rows(db, rows_of(records))


def _add_rows(db: sqlite3.Connection, rows: Rows) -> None:
    HISTORY.insert(db, rows.values(), end=_ADD)


def read_history(
    db: sqlite3.Connection, run: int, since_at: float, until_at: float, step_s: int
) -> list[HistoryRecord]:
    """As `Store.read_history`."""
    values = (step_s, run, begin_of(since_at, step_s), until_at, span_for(step_s))
    return [_record(run, step_s, row) for row in db.execute(_SELECT, values)]


def _record(run: int, step_s: int, row: tuple[Any, ...]) -> HistoryRecord:
    at, done, dead, failed, busy_s, *standing, _ = row
    stood = None if standing[0] is None else Standing(*standing)
    return HistoryRecord(run, at, step_s, done, dead, failed, busy_s, stood)


def last_minute(db: sqlite3.Connection) -> float:
    """As `Store.last_minute`."""
    query = (
        "SELECT at FROM history WHERE run = ? AND span_s = ? AND waiting IS NOT NULL"
        " ORDER BY at DESC LIMIT 1"
    )
    return one(db, query, ALL_RUNS, MINUTE_S) or 0.0


def prune_history(db: sqlite3.Connection, minutes_by: float, all_by: float, limit: int) -> bool:
    """As `Store.prune_history`, in the transaction that is open."""
    # The condition of the schema's index, word for word: SQLite uses no index otherwise.
    old_minutes = (
        "SELECT run, at, span_s FROM history WHERE span_s = 60 AND at < ? ORDER BY at LIMIT ?"
    )
    gone = _delete(db, old_minutes, (minutes_by, limit))
    for run in (ALL_RUNS, QUEUE_RUN):
        of_run = "SELECT run, at, span_s FROM history WHERE run = ? AND at < ? ORDER BY at LIMIT ?"
        gone += _delete(db, of_run, (run, all_by, limit))
    return gone > 0


def _delete(db: sqlite3.Connection, query: str, values: tuple[float, ...]) -> int:
    where = f"(run, at, span_s) IN ({query})"
    return db.execute(f"DELETE FROM history WHERE {where}", values).rowcount


def move_history(db: sqlite3.Connection, set_s: float, since: float, until: float) -> None:
    """Move the rows of a time in which the clock was wrong. Those that meet become one."""
    moved: Rows = {}
    for span_s in SPANS:
        by_s = round(set_s / span_s) * span_s
        if by_s:
            where = "span_s = ? AND at BETWEEN ? AND ?"
            values = (span_s, begin_of(since, span_s), until)
            query = f"DELETE FROM history WHERE {where} RETURNING {HISTORY.columns}"
            for row in db.execute(query, values).fetchall():
                record = HISTORY.load(row)
                add(moved, replace(record, at=record.at + by_s))
    _add_rows(db, moved)
