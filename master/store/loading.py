"""All runs as the store has them, counted without reading a payload."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import msgspec

from queue_manager.records import RunOptions

from ..changes import (
    LoadedRun,
    RunRecord,
    StrayRecord,
)


def load(db: sqlite3.Connection) -> list[LoadedRun]:
    """All runs as they stand, the queue run first."""
    tasks: dict[int, dict[int, int]] = {}
    total: dict[int, tuple[int, int]] = {}
    for run, priority, count, accepted in db.execute(
        "SELECT run, priority, SUM(count), SUM(accepted) FROM blocks GROUP BY run, priority"
    ):
        tasks.setdefault(run, {})[priority] = count
        before = total.get(run, (0, 0))
        total[run] = (before[0] + count, before[1] + accepted)
    done: dict[int, int] = {}
    for run, priority, count in db.execute(
        "SELECT b.run, b.priority, SUM(o.stop - o.start) FROM outcomes o"
        " JOIN blocks b ON b.id = o.block GROUP BY b.run, b.priority"
    ):
        done[run] = done.get(run, 0) + count
        tasks[run][priority] -= count
    strays, dead = _load_strays(db, tasks)
    last = dict(db.execute("SELECT run, MAX(seq) FROM outcomes GROUP BY run"))
    return [
        LoadedRun(
            record,
            *total.get(record.id, (0, 0)),
            done.get(record.id, 0),
            last.get(record.id, 0),
            {p: n for p, n in tasks.get(record.id, {}).items() if n},
            strays.get(record.id, []),
            dead.get(record.id, 0),
        )
        for record in _load_runs(db)
    ]


def _load_strays(
    db: sqlite3.Connection, tasks: dict[int, dict[int, int]]
) -> tuple[dict[int, list[StrayRecord]], dict[int, int]]:
    strays: dict[int, list[StrayRecord]] = {}
    dead: dict[int, int] = {}
    for row in db.execute(
        "SELECT run, task, block, position, state, attempts, losses, delay_s, due_at, '', '',"
        " priority FROM strays WHERE state != 'done'"
    ):
        stray = StrayRecord(*row)
        tasks[stray.run][stray.priority] -= 1
        if stray.state == "dead":
            dead[stray.run] = dead.get(stray.run, 0) + 1
        else:
            strays.setdefault(stray.run, []).append(stray)
    return strays, dead


def _load_runs(db: sqlite3.Connection) -> Iterator[RunRecord]:
    for row in db.execute(
        "SELECT id, job, words, key, options, state, exhausted, started_at, ended_at,"
        " collected, collect_errors, collected_into FROM runs ORDER BY id"
    ):
        run, job, words, key, options, state, exhausted, *rest = row
        yield RunRecord(
            run,
            job,
            msgspec.msgpack.decode(words, type=list[str]),
            key,
            msgspec.msgpack.decode(options, type=RunOptions),
            state,
            bool(exhausted),
            *rest,
        )
