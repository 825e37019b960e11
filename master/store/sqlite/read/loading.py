"""Runs and schedules as the store has them.

A run's row has its counts, so loading counts nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

from queue_manager.wire.records import NOBODY_COLLECTS

from ....changes import OWN_GROUPS, LoadedRun, RunState
from ....scheduled import ScheduleRecord
from ..schema.rows import look_up, one
from ..schema.tables import COUNTS, RUNS, SCHEDULES
from .groups import own_groups

_SELECT = f"SELECT {RUNS.columns}, {COUNTS.columns} FROM runs"
# These are the conditions of the schema's indexes, word for word. SQLite uses no index otherwise.
_OPEN = f"(state = 'active' OR (state != 'pruned' AND collected < {NOBODY_COLLECTS}))"
ENDED = "state NOT IN ('active', 'pruned')"
"""Which runs have ended, and are not pruned: the condition of indexes, word for word."""


def load(db: sqlite3.Connection) -> list[LoadedRun]:
    """As `Store.load`."""
    return _loaded(db, db.execute(f"{_SELECT} WHERE {_OPEN} ORDER BY id"))


def schedules(db: sqlite3.Connection) -> list[ScheduleRecord]:
    """As `Store.schedules`."""
    query = f"SELECT {SCHEDULES.columns} FROM schedules ORDER BY name"
    return list(map(SCHEDULES.load, db.execute(query)))


def load_run(db: sqlite3.Connection, run: int) -> LoadedRun | None:
    """As `Store.load_run`."""
    return next(iter(_loaded(db, db.execute(f"{_SELECT} WHERE id = ?", (run,)))), None)


def load_runs(db: sqlite3.Connection, runs: Collection[int]) -> list[LoadedRun]:
    """The runs of these that exist, each as `Store.load_run` returns it."""
    return _loaded(db, look_up(db, f"{_SELECT} WHERE id IN ({{}})", [(run,) for run in runs]))


def load_runs_of_keys(db: sqlite3.Connection, keys: Collection[str]) -> list[LoadedRun]:
    """The runs with these keys."""
    return _loaded(db, look_up(db, f"{_SELECT} WHERE key IN ({{}})", [(key,) for key in keys]))


def ended_runs(db: sqlite3.Connection, before: int, limit: int) -> list[LoadedRun]:
    """As `Store.ended_runs`."""
    query = f"{_SELECT} WHERE {ENDED} AND id < ? ORDER BY id DESC LIMIT ?"
    return _loaded(db, db.execute(query, (before, limit)))


def count_ended(db: sqlite3.Connection, before: int) -> int:
    """As `Store.count_ended`."""
    count: int = one(db, f"SELECT COUNT(*) FROM runs WHERE {ENDED} AND id < ?", before)
    return count


def old_runs(db: sqlite3.Connection, ended_by: float, limit: int) -> list[int]:
    """As `Store.old_runs`."""
    rows = db.execute(
        f"SELECT id FROM runs WHERE {ENDED} AND collected = {NOBODY_COLLECTS} AND ended_at <= ?"
        " ORDER BY ended_at LIMIT ?",
        (ended_by, limit),
    )
    return [run for (run,) in rows]


def _loaded(db: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]) -> list[LoadedRun]:
    return [_load(db, row) for row in list(rows)]


def _load(db: sqlite3.Connection, row: tuple[Any, ...]) -> LoadedRun:
    width = len(RUNS.names)
    record = RUNS.load(row[:width])
    run = LoadedRun(record, COUNTS.load(row[width:]))
    if record.options.per_group is None:
        return run
    is_active = record.state is RunState.ACTIVE
    own = own_groups(db, record.id, limit=OWN_GROUPS + 1) if is_active else {}
    if not is_active or len(own) > OWN_GROUPS:
        return replace(run, more_own=True)
    return replace(run, own=own)
