"""Reads how the tasks of many blocks stand, in three statements."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping

from msgspec.structs import replace

from queue_manager.ranges import Ranges, without
from queue_manager.wire.limits import LAST_NUMBER

from ....changes import BlockState
from ..schema.tables import TRACKED
from .waiting import TEXTS

_BLOCK_ROWS = """
SELECT b.id, run, first, count, priority, grp,
    EXISTS (SELECT 1 FROM outcomes WHERE block = b.id)
    OR EXISTS (SELECT 1 FROM strays WHERE block = b.id)
FROM json_each(?1) w CROSS JOIN blocks b ON b.id = w.value
"""
"""The last column tells whether any task of the block has ended or is tracked. Most blocks have no
such task, and nothing more is read of them."""
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
_TRACKED_ROWS = f"""{_WANTED}
SELECT {TRACKED.select("s", TEXTS)} FROM wanted w JOIN strays s
    ON s.block = w.block AND s.position >= w.low AND s.position < w.high
    WHERE state = 'waiting'
"""


def read_blocks(
    db: sqlite3.Connection, parts: Mapping[int, tuple[int, int]]
) -> dict[int, BlockState]:
    """How parts of blocks stand: three statements, however many blocks there are."""
    wanted = sorted(
        block for block, (low, _) in parts.items() if 0 < block < LAST_NUMBER and low < LAST_NUMBER
    )
    states: dict[int, BlockState] = {}
    touched: list[tuple[int, int, int]] = []
    for block, run, first, count, priority, group, is_touched in db.execute(
        _BLOCK_ROWS, (json.dumps(wanted),)
    ):
        low, high = parts[block]
        part = (max(0, low), min(high, count))
        waiting = [part] if part[0] < part[1] else []
        states[block] = BlockState(block, run, first, count, priority, group, waiting, [])
        if is_touched and waiting:
            touched.append((block, *part))
    if touched:
        _take_out_touched(db, states, touched)
    return states


def _take_out_touched(
    db: sqlite3.Connection, states: dict[int, BlockState], parts: list[tuple[int, int, int]]
) -> None:
    """Take ended and tracked tasks out of the waiting ranges, and list the tracked ones."""
    some = json.dumps(parts)
    ended: dict[int, Ranges] = {}
    for block, start, stop in db.execute(_ENDED_ROWS, (some,)):
        ended.setdefault(block, []).append((start, stop))
    for block, ranges in ended.items():
        state = states[block]
        states[block] = replace(state, waiting=without(state.waiting, ranges))
    tracked = [TRACKED.load(row) for row in db.execute(_TRACKED_ROWS, (some,))]
    for record in sorted(tracked, key=lambda record: record.position):
        states[record.block].tracked.append(record)
