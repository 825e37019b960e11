"""What waits: blocks in the order of their places, strays in the order of their delays."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from typing import Any

from msgspec.structs import replace

from queue_manager.ranges import Ranges, without
from queue_manager.wire.records import NOBODY_COLLECTS

from ...changes import BlockState, GroupRecord, Place, QuotaCounts, TrackedRecord, WaitingBlock
from .rows import look_up
from .tables import OWN_GROUPS, QUOTAS, TRACKED

# Strays of ended runs wait for nothing; there may be a hundred thousand such runs.
ACTIVE = (
    "SELECT id FROM runs WHERE state = 'active'"
    f" AND (state = 'active' OR (state != 'pruned' AND collected < {NOBODY_COLLECTS}))"
)
_TEXTS = ("evidence", "printed")
"""What is long and not needed of a task that waits."""
_STRAY_COLUMNS = TRACKED.select(without=_TEXTS)

_BLOCK_ROWS = """
SELECT b.id, run, first, count, priority, grp,
    EXISTS (SELECT 1 FROM outcomes WHERE block = b.id)
    OR EXISTS (SELECT 1 FROM strays WHERE block = b.id)
FROM json_each(?1) w CROSS JOIN blocks b ON b.id = w.value
"""
"""The last column: whether something of it has left the plain way or ended. Of very many blocks
nothing has, and their rows are all that is read of them."""
_WANTED = """
WITH wanted (block, low, high) AS (
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
    FROM json_each(?1)
)"""
_ENDED_ROWS = f"""{_WANTED}
SELECT o.block, o.start, o.stop FROM wanted w JOIN outcomes o
    ON o.block = w.block AND o.start < w.high AND o.stop > w.low
UNION ALL
SELECT s.block, s.position, s.position + 1 FROM wanted w JOIN strays s
    ON s.block = w.block AND s.position >= w.low AND s.position < w.high
"""
_STRAY_ROWS = f"""{_WANTED}
SELECT {TRACKED.select("s", _TEXTS)} FROM wanted w JOIN strays s
    ON s.block = w.block AND s.position >= w.low AND s.position < w.high
    WHERE state = 'waiting'
"""


def read_waiting(
    db: sqlite3.Connection, run: int, group: str | None, after: Place | None, tasks: int
) -> tuple[list[WaitingBlock], Place | None, list[int]]:
    """As `Store.read_waiting`; also the blocks that were looked at in vain."""
    found: list[WaitingBlock] = []
    ended: list[int] = []
    count = 0
    for block, first, size, priority, is_touched in _open_blocks(db, run, group, after):
        ranges = waiting_ranges(db, block, size) if is_touched else [(0, size)]
        if not ranges:
            ended.append(block)
        elif found and count >= tasks:
            return found, Place(found[-1].priority, found[-1].id), ended
        else:
            found.append(WaitingBlock(block, first, priority, ranges))
            count += sum(stop - start for start, stop in ranges)
    return found, None, ended


def _open_blocks(
    db: sqlite3.Connection, run: int, group: str | None, after: Place | None
) -> Iterator[tuple[Any, ...]]:
    """Those of the same priority behind `after`, then those of lower ones."""
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
    """The ranges of a block that neither ended nor strayed."""
    ended = db.execute(
        "SELECT start, stop FROM outcomes WHERE block = ?1"
        " UNION SELECT position, position + 1 FROM strays WHERE block = ?1"
        " ORDER BY 1",
        (block,),
    ).fetchall()
    ranges, at = [], 0
    for start, stop in ended:
        if start > at:
            ranges.append((at, start))
        at = max(at, stop)
    if at < count:
        ranges.append((at, count))
    return ranges


# A stray that has an outcome, too, is counted once. Outcomes of a block don't overlap.
CLOSE = (
    "UPDATE blocks SET open = 0 WHERE open = 1"
    " AND count <= (SELECT TOTAL(stop - start) FROM outcomes WHERE block = blocks.id)"
    " + (SELECT COUNT(*) FROM strays s WHERE s.block = blocks.id AND s.position >="
    "  COALESCE((SELECT stop FROM outcomes WHERE block = s.block AND start <= s.position"
    "   ORDER BY start DESC LIMIT 1), 0))"
)
"""Take blocks that have no task left on the plain way out of what waits."""


def close_blocks(db: sqlite3.Connection, blocks: Collection[int]) -> None:
    """Look which of these have no task left on the plain way, in the transaction that is open."""
    # One text, however many there are: it is compiled once.
    db.execute(f"{CLOSE} AND id IN (SELECT value FROM json_each(?))", (json.dumps(list(blocks)),))


def read_tracked(
    db: sqlite3.Connection,
    run: int,
    group: str | None,
    after: tuple[float, int] | None,
    most: int,
) -> tuple[list[TrackedRecord], tuple[float, int] | None]:
    """As `Store.read_tracked`."""
    rows = db.execute(
        f"SELECT {_STRAY_COLUMNS} FROM strays WHERE run = ? AND grp IS ? AND state = 'waiting'"
        " AND (due_at, task) > (?, ?) ORDER BY due_at, task LIMIT ?",
        (run, group, *(after or (float("-inf"), 0)), most + 1),
    ).fetchall()
    found = [TRACKED.load(row) for row in rows[:most]]
    more = len(rows) > most and bool(found)
    return found, (found[-1].due_at, found[-1].task) if more else None


_GROUP_OF = (
    "SELECT priority, grp FROM blocks INDEXED BY blocks_groups"
    " WHERE run = ? AND open = 1 AND grp IS NOT NULL AND "
)


def next_groups(
    db: sqlite3.Connection, run: int, after: tuple[int, str] | None, most: int
) -> tuple[list[tuple[int, str]], bool]:
    """As `Store.next_groups`: one step down an index for each, however many tasks it has."""
    found: list[tuple[int, str]] = []
    place = after
    while len(found) < most:
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
            return found, True
        place = row[0], row[1]
        found.append(place)
    return found, False


def due_groups(
    db: sqlite3.Connection, run: int, after: tuple[float, int], due_by: float, most: int
) -> tuple[list[str], tuple[float, int], float | None]:
    """As `Store.due_groups`."""
    rows = db.execute(
        "SELECT due_at, task, grp FROM strays INDEXED BY strays_due WHERE run = ?"
        " AND state = 'waiting' AND grp IS NOT NULL AND (due_at, task) > (?, ?)"
        " ORDER BY due_at, task LIMIT ?",
        (run, *after, most + 1),
    ).fetchall()
    due = [row for row in rows[:most] if row[0] <= due_by]
    last = (due[-1][0], due[-1][1]) if due else after
    return [row[2] for row in due], last, rows[len(due)][0] if len(due) < len(rows) else None


def quota(db: sqlite3.Connection, run: int, name: str) -> QuotaCounts:
    """As `Store.quota`."""
    query = f"SELECT {QUOTAS.columns} FROM quotas WHERE run = ? AND name = ?"
    row = db.execute(query, (run, name)).fetchone()
    return QuotaCounts() if row is None else QUOTAS.load(row)


def quotas(db: sqlite3.Connection, run: int, most: int) -> dict[str, QuotaCounts]:
    """As `Store.quotas`."""
    rows = db.execute(
        f"SELECT name, {QUOTAS.columns} FROM quotas WHERE run = ? ORDER BY name LIMIT ?",
        (run, most),
    )
    return {name: QUOTAS.load(counts) for name, *counts in rows}


_OWN = f"SELECT grp, {OWN_GROUPS.columns} FROM own_groups WHERE run = ?"


def own_groups(
    db: sqlite3.Connection, run: int, groups: Collection[str] | None = None, most: int = -1
) -> dict[str, GroupRecord]:
    """As `Store.own_groups`; so many of them at most, -1: all."""
    if groups is None:
        rows: Iterator[tuple[Any, ...]] = db.execute(f"{_OWN} LIMIT ?", (run, most))
    else:  # not as JSON, where a name ends at its first NUL
        rows = look_up(db, f"{_OWN} AND grp IN ({{}})", [(group,) for group in groups], (run,))
    return {group: OWN_GROUPS.load(own) for group, *own in rows}


def cap_delays(db: sqlite3.Connection, wall: float) -> None:
    """As `Store.cap_delays`, in the transaction that is open."""
    for (run,) in db.execute(ACTIVE).fetchall():
        db.execute(
            "UPDATE strays SET due_at = ?1 + delay_s WHERE run = ?2 AND state = 'waiting'"
            " AND due_at > ?1 AND due_at > ?1 + delay_s",
            (wall, run),
        )
    db.execute("DELETE FROM own_groups WHERE every_s IS NULL AND due_at <= ?", (wall,))
    db.execute("UPDATE own_groups SET due_at = ?1 + delay_s WHERE due_at > ?1 + delay_s", (wall,))


def read_blocks(
    db: sqlite3.Connection, parts: Mapping[int, tuple[int, int]]
) -> dict[int, BlockState]:
    """As `Store.read_blocks`: three statements, however many they are."""
    most = 2**62  # numbers that no block and no position has are none that SQL takes
    wanted = sorted(block for block, (low, _) in parts.items() if 0 < block < most and low < most)
    found: dict[int, BlockState] = {}
    touched: list[tuple[int, int, int]] = []
    for block, run, first, count, priority, group, is_touched in db.execute(
        _BLOCK_ROWS, (json.dumps(wanted),)
    ):
        low, high = parts[block]
        part = (max(0, low), min(high, count))
        waiting = [part] if part[0] < part[1] else []
        found[block] = BlockState(block, run, first, count, priority, group, waiting, [])
        if is_touched and waiting:
            touched.append((block, *part))
    if touched:
        _take_out_touched(db, found, touched)
    return found


def _take_out_touched(
    db: sqlite3.Connection, found: dict[int, BlockState], parts: list[tuple[int, int, int]]
) -> None:
    """What of these parts of blocks has ended does not wait, what has strayed does so by itself."""
    some = json.dumps(parts)
    ended: dict[int, Ranges] = {}
    for block, start, stop in db.execute(_ENDED_ROWS, (some,)):
        ended.setdefault(block, []).append((start, stop))
    for block, ranges in ended.items():
        state = found[block]
        found[block] = replace(state, waiting=without(state.waiting, ranges))
    strays = [TRACKED.load(row) for row in db.execute(_STRAY_ROWS, (some,))]
    for stray in sorted(strays, key=lambda stray: stray.position):
        found[stray.block].tracked.append(stray)
