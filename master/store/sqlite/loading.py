"""Runs as the store has them. Their counts are in their rows: nothing is counted here."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

from queue_manager.wire.records import NOBODY_COLLECTS

from ...changes import OWN_GROUPS, LoadedRun
from .rows import look_up, one
from .tables import COUNTS, RUNS
from .waiting import own_groups

_SELECT = f"SELECT {RUNS.columns}, {COUNTS.columns} FROM runs"
# Word for word as in the schema: else their indexes are not used.
_OPEN = f"(state = 'active' OR (state != 'pruned' AND collected < {NOBODY_COLLECTS}))"
_ENDED = "state NOT IN ('active', 'pruned')"


def load(db: sqlite3.Connection) -> list[LoadedRun]:
    """As `Store.load`."""
    return _found(db, f"{_SELECT} WHERE {_OPEN} ORDER BY id")


def load_run(db: sqlite3.Connection, run: int) -> LoadedRun | None:
    """As `Store.load_run`."""
    return next(iter(_found(db, f"{_SELECT} WHERE id = ?", run)), None)


def load_runs(db: sqlite3.Connection, runs: Collection[int]) -> list[LoadedRun]:
    """Those of these runs that there are, as `Store.load_run` has each."""
    return _all_loaded(db, look_up(db, f"{_SELECT} WHERE id IN ({{}})", [(run,) for run in runs]))


def load_runs_of_keys(db: sqlite3.Connection, keys: Collection[str]) -> list[LoadedRun]:
    """The runs with these keys."""
    return _all_loaded(db, look_up(db, f"{_SELECT} WHERE key IN ({{}})", [(key,) for key in keys]))


def ended_runs(db: sqlite3.Connection, before: int, most: int) -> list[LoadedRun]:
    """As `Store.ended_runs`."""
    return _found(db, f"{_SELECT} WHERE {_ENDED} AND id < ? ORDER BY id DESC LIMIT ?", before, most)


def count_ended(db: sqlite3.Connection, before: int) -> int:
    """As `Store.count_ended`."""
    count: int = one(db, f"SELECT COUNT(*) FROM runs WHERE {_ENDED} AND id < ?", before)
    return count


def old_runs(db: sqlite3.Connection, ended_by: float, most: int) -> list[int]:
    """As `Store.old_runs`."""
    rows = db.execute(
        f"SELECT id FROM runs WHERE {_ENDED} AND collected = {NOBODY_COLLECTS} AND ended_at <= ?"
        " ORDER BY ended_at LIMIT ?",
        (ended_by, most),
    )
    return [run for (run,) in rows]


def _found(db: sqlite3.Connection, query: str, *values: object) -> list[LoadedRun]:
    return _all_loaded(db, db.execute(query, values))


def _all_loaded(db: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]) -> list[LoadedRun]:
    return [_loaded(db, row) for row in list(rows)]


def _loaded(db: sqlite3.Connection, row: tuple[Any, ...]) -> LoadedRun:
    width = len(RUNS.names)
    record = RUNS.load(row[:width])
    found = LoadedRun(record, COUNTS.load(row[width:]))
    if record.options.per_group is None:
        return found
    is_active = record.state == "active"
    own = own_groups(db, record.id, most=OWN_GROUPS + 1) if is_active else {}
    if not is_active or len(own) > OWN_GROUPS:
        return replace(found, more_own=True)
    return replace(found, own=own)
