"""Lists tasks of a run by how they stand, a page at a time, in the order of their numbers.

Each way to stand has rows of its own, which are read in that order and merged. So a page costs what
it looks at, however many tasks the run has.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterator
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

from queue_manager.ranges import Ranges
from queue_manager.wire.limits import LAST_NUMBER
from queue_manager.wire.records import BLOCK_TASKS

from ....changes import CANCELLED
from ....task_lists import SHOWN_BATCH_BYTES, FoundTask, Stand, TasksFound, TasksSought
from ..schema.rows import one
from .waiting import between, ended_ranges

_TOUCHED = 10
"""How many rows a block counts for of which tasks have ended, beside those that say which."""

_STRAY = "task, attempts, due_at, delay_s, worker, substr(error, 1, 1000)"


class _Place(NamedTuple):
    """A task in the merged order. found: None if a part ends here, and has more behind it."""

    task: int
    ends: bool
    found: FoundTask | None


Part = Iterator[_Place]


def find_tasks(db: sqlite3.Connection, sought: TasksSought) -> TasksFound:
    """As `Store.find_tasks`."""
    tasks: list[FoundTask] = []
    place = sought.after
    for task, ends, found in heapq.merge(*_parts(db, sought), key=lambda place: place[:2]):
        if ends or found is None:
            return TasksFound(tasks, task, complete=False)
        if len(tasks) == sought.limit:
            return TasksFound(tasks, place, complete=False)
        tasks.append(found)
        place = task
    return TasksFound(tasks, place, complete=True)


def _parts(db: sqlite3.Connection, sought: TasksSought) -> list[Part]:
    stands = sought.stands
    parts = []
    if Stand.WAITING in stands:
        parts.append(_on_block_path(db, sought))
    if stands & {Stand.WAITING, Stand.DELAYED}:
        parts.append(_tracked(db, sought))
    if stands & {Stand.DONE, Stand.CANCELLED}:
        parts.append(_ended(db, sought))
    if Stand.DEAD in stands:
        parts.append(_dead(db, sought))
    return parts


def _end(task: int) -> _Place:
    return _Place(task, True, None)


def _placed(found: FoundTask) -> _Place:
    return _Place(found.task, False, found)


# --- what waits ---


def _on_block_path(db: sqlite3.Connection, sought: TasksSought) -> Part:
    """Tasks that neither ended nor are tracked."""
    looked = 0
    rows = db.execute(
        "SELECT id, first, count, open,"
        " open AND (EXISTS (SELECT 1 FROM outcomes WHERE block = b.id)"
        "  OR EXISTS (SELECT 1 FROM strays WHERE block = b.id)) FROM blocks b"
        " WHERE run = ? AND first > ? AND first + count > ? ORDER BY first",
        (sought.run, sought.after - BLOCK_TASKS, sought.after + 1),
    )
    for block, first, count, is_open, is_touched in rows:
        if looked >= sought.look:
            yield _end(first - 1)
            return
        ended = ended_ranges(db, block) if is_touched else []
        looked += 1 + len(ended) + _TOUCHED * is_touched
        if not is_open:
            continue
        for position in _free(between(ended, count), sought.held.get(block, 0)):
            if first + position > sought.after:
                yield _placed(FoundTask(first + position))


def _free(ranges: Ranges, held: int) -> Iterator[int]:
    """Positions of these ranges that nobody holds."""
    positions = chain.from_iterable(range(start, stop) for start, stop in ranges)
    return (at for at in positions if not held >> at & 1)


def _tracked(db: sqlite3.Connection, sought: TasksSought) -> Part:
    """Tracked tasks that are due, or that are not, or both."""
    for looked, (state, block, position, *row) in enumerate(_tracked_rows(db, sought)):
        found = FoundTask(*row)
        if looked >= sought.look:
            yield _end(found.task - 1)
            return
        stand = Stand.DELAYED if found.due_at > sought.now else Stand.WAITING
        is_held = sought.held.get(block, 0) >> position & 1
        if state == "waiting" and stand in sought.stands and not is_held:
            yield _placed(found)


def _tracked_rows(db: sqlite3.Connection, sought: TasksSought) -> Iterator[tuple[Any, ...]]:
    """Tracked tasks in order: those that wait if they are few, else those that have ended, too.

    There is no index of those that wait by their numbers, and a million others may be before them.
    """
    columns = f"SELECT state, block, position, {_STRAY} FROM strays WHERE run = ? AND task"
    waiting = db.execute(
        "SELECT task FROM strays INDEXED BY strays_waiting WHERE run = ? AND state = 'waiting'"
        " LIMIT ?",
        (sought.run, sought.look + 1),
    ).fetchall()
    if len(waiting) > sought.look:
        yield from db.execute(f"{columns} > ? ORDER BY task", (sought.run, sought.after))
        return
    for task in sorted(task for (task,) in waiting if task > sought.after):
        yield from db.execute(f"{columns} = ?", (sought.run, task))


# --- what has ended ---


def _ended(db: sqlite3.Connection, sought: TasksSought) -> Part:
    """Tasks with an outcome: done, or cancelled."""
    behind = _first_behind(db, sought)
    cancelled = f"(length(o.results) = {len(CANCELLED)} AND o.results = x'{CANCELLED.hex()}')"
    is_told = (
        f"length(o.results) <= {SHOWN_BATCH_BYTES}" if Stand.DONE in sought.stands else "FALSE"
    )
    rows = db.execute(
        f"SELECT b.first, o.start, o.stop, {cancelled}, CASE WHEN {is_told} THEN o.results END"
        " FROM blocks b CROSS JOIN outcomes o ON o.block = b.id"
        " WHERE b.run = ? AND b.first > ? AND b.first < ? AND b.first + o.stop > ?"
        " ORDER BY b.first, b.count, b.id, o.start",
        (sought.run, sought.after - BLOCK_TASKS, behind, sought.after + 1),
    )
    for looked, (first, start, stop, is_cancelled, results) in enumerate(rows):
        if looked >= sought.look:
            yield _end(first + start - 1)
            return
        if (Stand.CANCELLED if is_cancelled else Stand.DONE) not in sought.stands:
            continue
        told = None if is_cancelled else results
        for position in range(max(start, sought.after + 1 - first), stop):
            yield _placed(FoundTask(first + position, results=told, position=position - start))
    if behind < LAST_NUMBER:
        yield _end(behind - 1)


def _dead(db: sqlite3.Connection, sought: TasksSought) -> Part:
    """Dead letters. Blocks have numbers in the order of their tasks."""
    block = one(
        db,
        "SELECT id FROM blocks WHERE run = ? AND first > ? AND first + count > ? ORDER BY first",
        sought.run,
        sought.after - BLOCK_TASKS,
        sought.after + 1,
    )
    following = (
        "SELECT block FROM strays INDEXED BY strays_dead"
        " WHERE run = ? AND state = 'dead' AND block >= ? ORDER BY block LIMIT 1"
    )
    while block is not None and (block := one(db, following, sought.run, block)) is not None:
        rows = db.execute(
            f"SELECT {_STRAY} FROM strays INDEXED BY strays_dead"
            " WHERE run = ? AND block = ? AND task > ? AND state = 'dead'",
            (sought.run, block, sought.after),
        )
        # The index has the letters of one block by their groups.
        yield from (_placed(FoundTask(*row)) for row in sorted(rows, key=itemgetter(0)))
        block += 1


def _first_behind(db: sqlite3.Connection, sought: TasksSought) -> int:
    """The first task of the block that is not looked at any more; `LAST_NUMBER` if all are."""
    first: int | None = one(
        db,
        "SELECT first FROM blocks WHERE run = ? AND first > ? ORDER BY first LIMIT 1 OFFSET ?",
        sought.run,
        sought.after - BLOCK_TASKS,
        sought.look + BLOCK_TASKS,
    )
    return LAST_NUMBER if first is None else first
