"""What a turn has changed, as rows: one statement for the rows of each kind."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

import msgspec

from ..changes import (
    Changes,
    RunRecord,
    StrayRecord,
)

_VARIABLES = 30_000


def write(db: sqlite3.Connection, changes: Changes) -> None:
    """Insert what a turn has changed, in the transaction that is open."""
    _insert(
        db,
        "INSERT INTO blocks (id, run, priority, first, count, accepted, grp, keys, body)",
        (
            (
                b.id,
                b.run,
                b.priority,
                b.first,
                b.count,
                b.count if b.from_tasks and b.keys is None else 0,
                b.group,
                None if b.keys is None else msgspec.msgpack.encode(b.keys),
                b.body,
            )
            for b in changes.blocks
        ),
    )
    keyed = [b for b in changes.blocks if b.keys]
    keys = ((b.run, key) for b in keyed for key in b.keys or ())
    _insert(db, "INSERT INTO keys (run, key)", keys)
    _insert(
        db,
        "INSERT INTO outcomes (seq, run, block, first, start, stop, results)",
        ((o.seq, o.run, o.block, o.first, o.start, o.stop, o.results) for o in changes.outcomes),
    )
    _insert(
        db,
        "INSERT OR REPLACE INTO strays (run, task, block, position, priority, state,"
        " attempts, losses, delay_s, due_at, error, evidence)",
        (_stray_row(stray) for stray in changes.strays.values()),
    )
    _insert(
        db,
        "INSERT OR REPLACE INTO runs (id, job, key, state, exhausted, started_at, ended_at,"
        " collected, collect_errors, collected_into, words, options)",
        (_run_row(run) for run in changes.runs.values()),
    )
    if changes.delivered is not None:
        set_meta(db, "delivered_seq", changes.delivered[0])
        set_meta(db, "delivered_index", changes.delivered[1])


def _insert(db: sqlite3.Connection, head: str, rows: Iterator[tuple[Any, ...]]) -> None:
    """One statement for many rows: executemany gives the GIL away at each of them."""
    first = next(rows, None)
    if first is None:
        return
    group = "(" + ",".join("?" * len(first)) + ")"
    most = _VARIABLES // len(first)
    rows = chain([first], rows)
    while some := list(islice(rows, most)):
        values = ",".join([group] * len(some))
        db.execute(f"{head} VALUES {values}", list(chain.from_iterable(some)))


def set_meta(db: sqlite3.Connection, name: str, value: int) -> None:
    """Keep a number under a name."""
    db.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (name, value))


def _run_row(run: RunRecord) -> tuple[Any, ...]:
    return (
        run.id,
        run.job,
        run.key,
        run.state,
        int(run.exhausted),
        run.started_at,
        run.ended_at,
        run.collected,
        run.collect_errors,
        run.collected_into,
        msgspec.msgpack.encode(run.words),
        msgspec.msgpack.encode(run.options),
    )


def _stray_row(stray: StrayRecord) -> tuple[Any, ...]:
    return (
        stray.run,
        stray.task,
        stray.block,
        stray.position,
        stray.priority,
        stray.state,
        stray.attempts,
        stray.losses,
        stray.delay_s,
        stray.due_at,
        stray.error,
        stray.evidence,
    )
