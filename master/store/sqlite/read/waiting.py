"""Reads waiting tasks: blocks in the order of their places, tracked tasks as they are due."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator
from itertools import chain
from typing import Any

from queue_manager.wire.records import NOBODY_COLLECTS

from ....changes import Place, WaitingBlock
from ....reads import DuePage, GroupPage, TrackedPage, WaitingPage
from ..schema.tables import TRACKED

# Tracked tasks of ended runs wait for nothing, and there may be a hundred thousand such runs. The
# condition is the same as in the index `runs_open`.
_ACTIVE = (
    "SELECT id FROM runs WHERE state = 'active'"
    f" AND (state = 'active' OR (state != 'pruned' AND collected < {NOBODY_COLLECTS}))"
)
TEXTS = ("evidence", "printed", "raised")
"""The columns of a tracked task that are long, and not needed while it waits."""
_TRACKED_COLUMNS = TRACKED.select(without=TEXTS)


def active_runs(db: sqlite3.Connection) -> list[int]:
    """The numbers of the active runs."""
    return [run for (run,) in db.execute(_ACTIVE)]


def read_waiting(
    db: sqlite3.Connection, run: int, group: str | None, after: Place | None, tasks: int
) -> tuple[WaitingPage, list[int]]:
    """As `Store.read_waiting`; also the blocks of which nothing waits any more."""
    blocks: list[WaitingBlock] = []
    ended: list[int] = []
    count = 0
    for block, first, size, priority, is_touched in _open_blocks(db, run, group, after):
        ranges = waiting_ranges(db, block, size) if is_touched else [(0, size)]
        if not ranges:
            ended.append(block)
        elif blocks and count >= tasks:
            return WaitingPage(blocks, Place(blocks[-1].priority, blocks[-1].id)), ended
        else:
            blocks.append(WaitingBlock(block, first, priority, ranges))
            count += sum(stop - start for start, stop in ranges)
    return WaitingPage(blocks, None), ended


def _open_blocks(
    db: sqlite3.Connection, run: int, group: str | None, after: Place | None
) -> Iterator[tuple[Any, ...]]:
    """The open blocks of the same priority behind `after`, then those of lower priorities."""
    query = (
        "SELECT id, first, count, priority,"
        " EXISTS (SELECT 1 FROM outcomes WHERE block = b.id)"
        " OR EXISTS (SELECT 1 FROM strays WHERE block = b.id)"
        " FROM blocks b WHERE run = ? AND open = 1 AND grp "
    )
    query += "IS NULL" if group is None else "= ?"
    values: tuple[Any, ...] = (run,) if group is None else (run, group)
    order = " ORDER BY priority DESC, id"
    if after is None:
        return db.execute(query + order, values)
    return chain(
        db.execute(query + " AND priority = ? AND id > ?" + order, (*values, *after)),
        db.execute(query + " AND priority < ?" + order, (*values, after.priority)),
    )


def waiting_ranges(db: sqlite3.Connection, block: int, count: int) -> list[tuple[int, int]]:
    """The ranges of a block whose tasks neither ended nor are tracked."""
    return between(ended_ranges(db, block), count)


def ended_ranges(db: sqlite3.Connection, block: int) -> list[tuple[int, int]]:
    """The ranges of a block whose tasks have ended or are tracked, in order; they may touch."""
    return db.execute(
        "SELECT start, stop FROM outcomes WHERE block = ?1"
        " UNION SELECT position, position + 1 FROM strays WHERE block = ?1"
        " ORDER BY 1",
        (block,),
    ).fetchall()


def between(ended: list[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    """The ranges of a block of so many tasks that are in none of these."""
    ranges, at = [], 0
    for start, stop in ended:
        if start > at:
            ranges.append((at, start))
        at = max(at, stop)
    if at < count:
        ranges.append((at, count))
    return ranges


# A tracked task that has an outcome, too, is counted once. Outcomes of a block don't overlap.
CLOSE = (
    "UPDATE blocks SET open = 0 WHERE open = 1"
    " AND count <= (SELECT TOTAL(stop - start) FROM outcomes WHERE block = blocks.id)"
    " + (SELECT COUNT(*) FROM strays s WHERE s.block = blocks.id AND s.position >="
    "  COALESCE((SELECT stop FROM outcomes WHERE block = s.block AND start <= s.position"
    "   ORDER BY start DESC LIMIT 1), 0))"
)
"""Closes the blocks in which every task has ended or is tracked: nothing of them waits."""


def close_blocks(db: sqlite3.Connection, blocks: Collection[int]) -> None:
    """Close those of these blocks of which nothing waits, in the transaction that is open."""
    # The text is the same however many blocks there are: SQLite compiles it once.
    db.execute(f"{CLOSE} AND id IN (SELECT value FROM json_each(?))", (json.dumps(list(blocks)),))


def read_tracked(
    db: sqlite3.Connection,
    run: int,
    group: str | None,
    after: tuple[float, int] | None,
    limit: int,
) -> TrackedPage:
    """As `Store.read_tracked`."""
    rows = db.execute(
        f"SELECT {_TRACKED_COLUMNS} FROM strays WHERE run = ? AND grp IS ? AND state = 'waiting'"
        " AND (due_at, task) > (?, ?) ORDER BY due_at, task LIMIT ?",
        (run, group, *(after or (float("-inf"), 0)), limit + 1),
    ).fetchall()
    tasks = [TRACKED.load(row) for row in rows[:limit]]
    has_more = len(rows) > limit and bool(tasks)
    return TrackedPage(tasks, (tasks[-1].due_at, tasks[-1].task) if has_more else None)


_GROUP_OF = (
    "SELECT priority, grp FROM blocks INDEXED BY blocks_groups"
    " WHERE run = ? AND open = 1 AND grp IS NOT NULL AND "
)


def next_groups(
    db: sqlite3.Connection, run: int, after: tuple[int, str] | None, limit: int
) -> GroupPage:
    """As `Store.next_groups`. A group takes one step in an index, however many tasks it has."""
    groups: list[tuple[int, str]] = []
    place = after
    while len(groups) < limit:
        row: tuple[int, str] | None = None
        if place is not None:
            same = f"{_GROUP_OF} priority = ? AND grp > ? ORDER BY grp LIMIT 1"
            row = db.execute(same, (run, *place)).fetchone()
        if row is None:
            below = (run, (1 << 63) - 1) if place is None else (run, place[0])
            compare = "<=" if place is None else "<"
            row = db.execute(
                f"{_GROUP_OF} priority {compare} ? ORDER BY priority DESC, grp LIMIT 1", below
            ).fetchone()
        if row is None:
            return GroupPage(groups, complete=True)
        place = row[0], row[1]
        groups.append(place)
    return GroupPage(groups, complete=False)


def due_groups(
    db: sqlite3.Connection, run: int, after: tuple[float, int], due_by: float, limit: int
) -> DuePage:
    """As `Store.due_groups`."""
    rows = db.execute(
        "SELECT due_at, task, grp FROM strays INDEXED BY strays_due WHERE run = ?"
        " AND state = 'waiting' AND grp IS NOT NULL AND (due_at, task) > (?, ?)"
        " ORDER BY due_at, task LIMIT ?",
        (run, *after, limit + 1),
    ).fetchall()
    due = [row for row in rows[:limit] if row[0] <= due_by]
    place = (due[-1][0], due[-1][1]) if due else after
    next_due_at = rows[len(due)][0] if len(due) < len(rows) else None
    return DuePage([row[2] for row in due], place, next_due_at)


def cap_delays(db: sqlite3.Connection, wall: float) -> None:
    """As `Store.cap_delays`, in the transaction that is open."""
    for run in active_runs(db):
        db.execute(
            "UPDATE strays SET due_at = ?1 + delay_s WHERE run = ?2 AND state = 'waiting'"
            " AND due_at > ?1 AND due_at > ?1 + delay_s",
            (wall, run),
        )
    db.execute("DELETE FROM own_groups WHERE every_s IS NULL AND due_at <= ?", (wall,))
    db.execute("UPDATE own_groups SET due_at = ?1 + delay_s WHERE due_at > ?1 + delay_s", (wall,))
