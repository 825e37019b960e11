"""What a turn has changed, as rows: few statements for the rows of each kind."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec

from queue_manager.wire.records import GroupLimit

from ...changes import QUEUE_RUN, Changes, Delivered, RunCounts, RunRecord, StrayRecord
from .dropping import drop_later, forget
from .results import count_results
from .rows import get_meta, insert, one, set_meta

UNREAD = "unread_results"
"""Where it is kept how many results of the queue run nobody was ever given."""

_SELECT_BEHIND = "SELECT value FROM meta WHERE name = 'delivered_behind'"

_RUN_COLUMNS = (
    "id, job, key, state, exhausted, started_at, ended_at, collected, collect_errors,"
    " collected_into, version, cancelled, words, options"
)
# Never REPLACE: it would take another run with the same key away, and the counts with the row.
_RUN_HEAD = f"INSERT INTO runs ({_RUN_COLUMNS})"
_RUN_END = "ON CONFLICT (id) DO UPDATE SET " + ", ".join(
    f"{c} = excluded.{c}" for c in _RUN_COLUMNS.split(", ")
)


def write(db: sqlite3.Connection, changes: Changes) -> None:
    """Write what a turn has changed, in the transaction that is open."""
    _write_tasks(db, changes)
    _revive(db, changes.revived)
    insert(
        db,
        "INSERT OR REPLACE INTO strays (run, task, block, position, priority, state, attempts,"
        " losses, delay_s, due_at, grp, lease, worker, error, evidence, printed)",
        (_stray_row(stray) for stray in changes.strays.values()),
    )
    _write_runs(db, changes)
    _write_workers(db, changes.workers)
    insert(
        db,
        "INSERT OR REPLACE INTO quotas (run, name, accepted, dropped)",
        ((*key, q.accepted, q.dropped) for key, q in changes.quotas.items()),
    )
    insert(
        db,
        "INSERT OR REPLACE INTO own_groups (run, grp, at_once, every_s, delay_s, due_at)",
        ((*key, *_limit_row(g.limit), g.delay_s, g.due_at) for key, g in changes.groups.items()),
    )
    new = sum(o.readable for o in changes.outcomes if o.run == QUEUE_RUN)
    if changes.delivered is not None:
        _write_delivered(db, changes.delivered)
        set_meta(db, UNREAD, changes.delivered.left + new)
    elif new:
        set_meta(db, UNREAD, get_meta(db, UNREAD) + new)


def _write_delivered(db: sqlite3.Connection, delivered: Delivered) -> None:
    """Two numbers, and one value for the few results behind them, where those have changed."""
    set_meta(db, "delivered_seq", delivered.seq)
    set_meta(db, "delivered_index", delivered.place)
    behind = msgspec.msgpack.encode(delivered.behind)
    if behind != one(db, _SELECT_BEHIND):
        db.execute("INSERT OR REPLACE INTO meta VALUES ('delivered_behind', ?)", (behind,))


def read_delivered(db: sqlite3.Connection) -> Delivered:
    """How far readers have come, as it was written last. Counts once, in an older file."""
    if one(db, "SELECT 1 FROM meta WHERE name = ?", UNREAD) is None:
        before = get_meta(db, "delivered_seq") - 1
        unread = count_results(db, QUEUE_RUN, before) - get_meta(db, "delivered_index")
        set_meta(db, UNREAD, unread)
    behind = one(db, _SELECT_BEHIND) or msgspec.msgpack.encode(())
    return Delivered(
        get_meta(db, "delivered_seq"),
        get_meta(db, "delivered_index"),
        msgspec.msgpack.decode(behind, type=tuple[tuple[int, int], ...]),
        get_meta(db, UNREAD),
    )


def _write_tasks(db: sqlite3.Connection, changes: Changes) -> None:
    insert(
        db,
        "INSERT INTO blocks (id, run, priority, first, count, open, grp, keys, body)",
        (
            (
                b.id,
                b.run,
                b.priority,
                b.first,
                b.count,
                1,
                b.group,
                None if b.keys is None else msgspec.msgpack.encode(b.keys),
                b.body,
            )
            for b in changes.blocks
        ),
    )
    insert(
        db,
        "INSERT INTO outcomes (seq, run, block, first, start, stop, results)",
        ((o.seq, o.run, o.block, o.first, o.start, o.stop, o.results) for o in changes.outcomes),
    )


def _revive(db: sqlite3.Connection, revived: dict[int, float]) -> None:
    """Dead letters wait again; their evidence stays until the next try."""
    for run, wall in revived.items():
        db.execute(
            "UPDATE strays SET state = 'waiting', attempts = 0, losses = 0, delay_s = 0,"
            " due_at = ? WHERE run = ? AND state = 'dead'",
            (wall, run),
        )


def _write_runs(db: sqlite3.Connection, changes: Changes) -> None:
    """Forgotten ones first: the key of one may be given to a new run in the same turn."""
    forget(db, changes.forgotten)
    runs = [run for run in changes.runs.values() if run.id not in changes.forgotten]
    insert(db, _RUN_HEAD, (_run_row(run) for run in runs), _RUN_END)
    for run, counts in changes.counts.items():
        db.execute(
            "UPDATE runs SET tasks = ?, accepted = ?, done = ?, dead = ?, strays = ?, last_seq = ?,"
            " pruned = ?"
            " WHERE id = ?",
            (*_counts_row(counts), run),
        )
    drop_later(db, [run.id for run in runs if run.state == "pruned"])


def _write_workers(db: sqlite3.Connection, workers: dict[str, bool]) -> None:
    came = ((worker,) for worker, is_here in workers.items() if is_here)
    insert(db, "INSERT OR IGNORE INTO workers (id)", came)
    for worker in (worker for worker, is_here in workers.items() if not is_here):
        db.execute("DELETE FROM workers WHERE id = ?", (worker,))


def _limit_row(limit: GroupLimit | None) -> tuple[int | None, float | None]:
    return (None, None) if limit is None else (limit.at_once, limit.every_s)


def _counts_row(counts: RunCounts) -> Iterator[int]:
    yield from (counts.tasks, counts.accepted, counts.done)
    yield from (counts.dead, counts.strays, counts.last_seq, counts.pruned)


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
        run.version,
        run.cancelled,
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
        stray.group,
        stray.lease,
        stray.worker,
        stray.error,
        stray.evidence,
        stray.printed,
    )
