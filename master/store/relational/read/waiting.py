"""Reads waiting tasks: blocks in the order of their places, tracked tasks as they are due."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from queue_manager.ranges import Ranges

from ....changes import Place, WaitingBlock
from ....reads import DuePage, GroupPage, TrackedPage, WaitingPage
from ..database import Database, Row
from ..tables import TRACKED

_LOOK = 256
"""How many open blocks a statement reads at most."""

_FIRST_GROUP = ((1 << 63) - 1, "")
"""The place in front of all groups. No name of a group is empty."""


def active_runs(db: Database) -> list[int]:
    """The numbers of the active runs."""
    return [run for (run,) in db.rows("active_runs")]


def read_waiting(
    db: Database, run: int, group: str | None, after: Place | None, tasks: int
) -> tuple[WaitingPage, list[int]]:
    """As `Store.read_waiting`; also the blocks of which nothing waits any more."""
    blocks: list[WaitingBlock] = []
    ended: list[int] = []
    count = 0
    rows = _open_blocks(db, run, group, after, min(tasks + 1, _LOOK))
    while some := list(_of_tasks(rows, tasks - count)):
        gone = ended_in(db, [(block, 0, size) for block, _, size, _, touched in some if touched])
        for block, first, size, priority, _ in some:
            ranges = between(gone.get(block, []), size)
            if not ranges:
                ended.append(block)
            elif blocks and count >= tasks:
                return WaitingPage(blocks, Place(blocks[-1].priority, blocks[-1].id)), ended
            else:
                blocks.append(WaitingBlock(block, first, priority, ranges))
                count += sum(stop - start for start, stop in ranges)
    return WaitingPage(blocks, None), ended


def _open_blocks(
    db: Database, run: int, group: str | None, after: Place | None, look: int
) -> Iterator[Row]:
    """The open blocks of the same priority behind `after`, then those of lower priorities.

    look: how many a statement reads.
    """
    same, lower = "AND priority = :priority AND id > :block", "AND priority < :priority"
    place, read = after, look
    while read >= look:
        read = 0
        values: dict[str, Any] = (
            {} if place is None else {"priority": place.priority, "block": place.block}
        )
        for behind in [""] if place is None else [same, lower]:
            if read < look:
                parts = {"group": _is_of(group), "behind": behind}
                values |= {"run": run, "group": group, "look": look - read}
                for row in db.rows("open_blocks", parts, **values):
                    read += 1
                    place = Place(row[3], row[0])
                    yield row


def _is_of(group: str | None) -> str:
    """The condition for what is of a group, which is the value `:group`, or of none."""
    return "grp IS NULL" if group is None else "grp = :group"


def _of_tasks(blocks: Iterator[Row], tasks: int) -> Iterator[Row]:
    """The next block, and those behind it until they have so many tasks together."""
    for row in blocks:
        yield row
        tasks -= row[2]
        if tasks <= 0:
            return


def waiting_ranges(db: Database, block: int, count: int) -> list[tuple[int, int]]:
    """The ranges of a block whose tasks neither ended nor are tracked."""
    return between(ended_ranges(db, block), count)


def ended_ranges(db: Database, block: int) -> list[tuple[int, int]]:
    """The ranges of a block whose tasks have ended or are tracked, in order; they may touch."""
    return [(start, stop) for start, stop in db.rows("ended_ranges", block=block)]


def ended_in(db: Database, parts: Sequence[tuple[int, int, int]]) -> dict[int, Ranges]:
    """The same for parts of blocks, which are (block, start, stop): what overlaps them, by block.

    It leaves out blocks that have no such ranges. The ranges may overlap.
    """
    ended: dict[int, Ranges] = {}
    if parts:
        for block, start, stop in sorted(db.rows("ended_in_parts", ranges=json.dumps(parts))):
            ended.setdefault(block, []).append((start, stop))
    return ended


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


def close_blocks(db: Database, blocks: Collection[int]) -> None:
    """Close those of these blocks of which nothing waits, in the transaction that is open."""
    db.run("close_blocks", {"which": "AND id {in_blocks}"}, blocks=list(blocks))


def read_tracked(
    db: Database,
    run: int,
    group: str | None,
    after: tuple[float, int] | None,
    limit: int,
) -> TrackedPage:
    """As `Store.read_tracked`."""
    due_at, task = after or (float("-inf"), 0)
    values = {"run": run, "group": group, "due_at": due_at, "task": task, "look": limit + 1}
    rows = list(db.rows("tracked_page", {"group": _is_of(group)}, **values))
    tasks = [TRACKED.load(row) for row in rows[:limit]]
    has_more = len(rows) > limit and bool(tasks)
    return TrackedPage(tasks, (tasks[-1].due_at, tasks[-1].task) if has_more else None)


def next_groups(db: Database, run: int, after: tuple[int, str] | None, limit: int) -> GroupPage:
    """As `Store.next_groups`. A group takes one step in an index, however many tasks it has."""
    priority, group = after or _FIRST_GROUP
    rows = db.rows("next_groups", run=run, priority=priority, group=group, look=limit)
    groups = [(of, name) for of, name in rows]
    return GroupPage(groups, complete=len(groups) < limit)


def due_groups(
    db: Database, run: int, after: tuple[float, int], due_by: float, limit: int
) -> DuePage:
    """As `Store.due_groups`."""
    due_at, task = after
    rows = list(db.rows("due_groups", run=run, due_at=due_at, task=task, look=limit + 1))
    due = [row for row in rows[:limit] if row[0] <= due_by]
    place = (due[-1][0], due[-1][1]) if due else after
    next_due_at = rows[len(due)][0] if len(due) < len(rows) else None
    return DuePage([row[2] for row in due], place, next_due_at)


def cap_delays(db: Database, wall: float) -> None:
    """As `Store.cap_delays`, in the transaction that is open."""
    for run in active_runs(db):
        db.run("cap_delays", run=run, wall=wall)
    db.run("drop_ended_pauses", wall=wall)
    db.run("cap_pauses", wall=wall)
