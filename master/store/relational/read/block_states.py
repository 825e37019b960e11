"""Reads how the tasks of many blocks stand, in three statements."""

from __future__ import annotations

import json
from collections.abc import Mapping

from msgspec.structs import replace

from queue_manager.ranges import without
from queue_manager.wire.limits import LAST_NUMBER

from ....changes import BlockState
from ..database import Database
from ..tables import TRACKED
from .waiting import ended_in


def read_blocks(db: Database, parts: Mapping[int, tuple[int, int]]) -> dict[int, BlockState]:
    """How parts of blocks stand: three statements, however many blocks there are."""
    wanted = sorted(
        block for block, (low, _) in parts.items() if 0 < block < LAST_NUMBER and low < LAST_NUMBER
    )
    states: dict[int, BlockState] = {}
    touched: list[tuple[int, int, int]] = []
    for block, run, first, count, priority, group, is_touched in db.rows(
        "blocks_by_number", blocks=wanted
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
    db: Database, states: dict[int, BlockState], parts: list[tuple[int, int, int]]
) -> None:
    """Take ended and tracked tasks out of the waiting ranges, and list the tracked ones."""
    for block, ranges in ended_in(db, parts).items():
        state = states[block]
        states[block] = replace(state, waiting=without(state.waiting, ranges))
    rows = db.rows("tracked_in_parts", ranges=json.dumps(parts))
    tracked = [TRACKED.load(row) for row in rows]
    for record in sorted(tracked, key=lambda record: record.position):
        states[record.block].tracked.append(record)
