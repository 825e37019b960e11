"""Lists tasks of a run by how they stand, a page at a time, in the order of their numbers.

Each way to stand has rows of its own, which are read in that order and merged. So a page costs what
it looks at, however many tasks the run has.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from queue_manager.ranges import Ranges
from queue_manager.wire.limits import LAST_NUMBER
from queue_manager.wire.records import BLOCK_TASKS

from ....task_lists import SHOWN_BATCH_BYTES, FoundTask, Stand, TasksFound, TasksSought
from ..database import Database, Row
from .waiting import between, ended_ranges

_TOUCHED = 10
"""How many rows a block counts for of which tasks have ended, beside those that say which."""

_LISTED = 64
"""How many waiting tasks a statement reads."""


class _Place(NamedTuple):
    """A task in the merged order. found: None if a part ends here, and has more behind it."""

    task: int
    ends: bool
    found: FoundTask | None


Part = Iterator[_Place]


def find_tasks(db: Database, sought: TasksSought) -> TasksFound:
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


def _parts(db: Database, sought: TasksSought) -> list[Part]:
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


def _on_block_path(db: Database, sought: TasksSought) -> Part:
    """Tasks that neither ended nor are tracked."""
    looked = 0
    rows = db.rows(
        "listed_blocks",
        run=sought.run,
        behind=sought.after - BLOCK_TASKS,
        task=sought.after + 1,
        look=sought.look + 1,
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


def _tracked(db: Database, sought: TasksSought) -> Part:
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


def _tracked_rows(db: Database, sought: TasksSought) -> Iterator[Row]:
    """Tracked tasks in order: those that wait if they are few, else those that have ended, too.

    There is no index of those that wait by their numbers, and a million others may be before them.
    """
    look = sought.look + 1
    waiting = list(db.rows("waiting_tasks", run=sought.run, look=look))
    if len(waiting) == look:
        yield from db.rows("listed_behind", run=sought.run, after=sought.after, look=look)
        return
    tasks = sorted(task for (task,) in waiting if task > sought.after)
    for at in range(0, len(tasks), _LISTED):
        yield from db.rows("listed_tasks", run=sought.run, tasks=tasks[at : at + _LISTED])


# --- what has ended ---


def _ended(db: Database, sought: TasksSought) -> Part:
    """Tasks with an outcome: done, or cancelled."""
    behind = _first_behind(db, sought)
    rows = db.rows(
        "listed_ended",
        run=sought.run,
        behind=sought.after - BLOCK_TASKS,
        before=behind,
        task=sought.after + 1,
        shown=SHOWN_BATCH_BYTES if Stand.DONE in sought.stands else -1,
        look=sought.look + 1,
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


def _dead(db: Database, sought: TasksSought) -> Part:
    """Dead letters. Blocks have numbers in the order of their tasks."""
    behind = sought.after - BLOCK_TASKS
    block = db.one("first_block_of_tasks", run=sought.run, behind=behind, task=sought.after + 1)
    if block is not None:
        values = {"block": block, "after": sought.after, "look": sought.limit + 1}
        for row in db.rows("listed_dead", run=sought.run, **values):
            yield _placed(FoundTask(*row))


def _first_behind(db: Database, sought: TasksSought) -> int:
    """The first task of the block that is not looked at any more; `LAST_NUMBER` if all are."""
    first: int | None = db.one(
        "first_behind",
        run=sought.run,
        behind=sought.after - BLOCK_TASKS,
        skip=sought.look + BLOCK_TASKS,
    )
    return LAST_NUMBER if first is None else first
