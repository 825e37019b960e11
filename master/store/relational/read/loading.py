"""Runs and schedules as the store has them.

A run's row has its counts, so loading counts nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from ....changes import OWN_GROUPS, LoadedRun, RunState
from ....scheduled import ScheduleRecord
from ..database import Database, Row
from ..tables import RUNS, SCHEDULES
from .groups import own_groups


def load(db: Database) -> list[LoadedRun]:
    """As `Store.load`."""
    return _loaded(db, db.rows("open_runs"))


def schedules(db: Database) -> list[ScheduleRecord]:
    """As `Store.schedules`."""
    return list(map(SCHEDULES.load, db.rows("schedules")))


def load_run(db: Database, run: int) -> LoadedRun | None:
    """As `Store.load_run`."""
    return next(iter(_loaded(db, db.rows("run_by_number", run=run))), None)


def load_runs(db: Database, runs: Collection[int]) -> list[LoadedRun]:
    """The runs of these that exist, each as `Store.load_run` returns it."""
    return _loaded(db, db.look_up("runs_by_number", [(run,) for run in runs]))


def load_runs_of_keys(db: Database, keys: Collection[str]) -> list[LoadedRun]:
    """The runs with these keys."""
    return _loaded(db, db.look_up("runs_by_key", [(key,) for key in keys]))


def ended_runs(db: Database, before: int, limit: int) -> list[LoadedRun]:
    """As `Store.ended_runs`."""
    return _loaded(db, db.rows("ended_runs", before=before, look=limit))


def count_ended(db: Database, before: int) -> int:
    """As `Store.count_ended`."""
    count: int = db.one("count_ended", before=before)
    return count


def old_runs(db: Database, ended_by: float, limit: int) -> list[int]:
    """As `Store.old_runs`."""
    return [run for (run,) in db.rows("old_runs", ended_by=ended_by, look=limit)]


def _loaded(db: Database, rows: Iterable[Row]) -> list[LoadedRun]:
    return [_load(db, row) for row in list(rows)]


def _load(db: Database, row: Row) -> LoadedRun:
    width = len(RUNS.names)
    record = RUNS.load(row[:width])
    run = LoadedRun(record, db.counts(record.id, row[width:]))
    if record.options.per_group is None:
        return run
    is_active = record.state is RunState.ACTIVE
    own = own_groups(db, record.id, limit=OWN_GROUPS + 1) if is_active else {}
    if not is_active or len(own) > OWN_GROUPS:
        return replace(run, more_own=True)
    return replace(run, own=own)
