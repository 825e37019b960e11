"""All runs as the store has them. Their counts are in their rows: nothing is counted here."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import msgspec

from queue_manager.records import RunOptions

from ..changes import LoadedRun, RunCounts, RunRecord
from .waiting import groups, own_groups


def load(db: sqlite3.Connection) -> list[LoadedRun]:
    """All runs as they stand, the queue run first."""
    return [
        _loaded(db, *row)
        for row in db.execute(
            "SELECT id, job, words, key, options, state, exhausted, started_at, ended_at,"
            " collected, collect_errors, collected_into, version, cancelled, tasks, accepted, done,"
            " dead, strays, last_seq FROM runs ORDER BY id"
        ).fetchall()
    ]


def _loaded(
    db: sqlite3.Connection,
    run: int,
    job: str,
    words: bytes,
    key: str | None,
    packed: bytes,
    state: str,
    exhausted: int,
    *rest: object,
) -> LoadedRun:
    options = msgspec.msgpack.decode(packed, type=RunOptions)
    fields, counts = rest[:-6], rest[-6:]
    record = RunRecord(
        run,
        job,
        msgspec.msgpack.decode(words, type=list[str]),
        key,
        options,
        state,  # type: ignore[arg-type]
        bool(exhausted),
        *fields,  # type: ignore[arg-type]
    )
    is_limited = state == "active" and options.per_group is not None
    found = LoadedRun(record, RunCounts(*counts), {}, {})  # type: ignore[arg-type]
    return replace(found, groups=groups(db, run), own=own_groups(db, run)) if is_limited else found
