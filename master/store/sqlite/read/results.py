"""Reads ended tasks: outcomes in their order, results in the order of tasks, all of one task."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import starmap

import msgspec

from queue_manager.codec import NOTHING
from queue_manager.errors import StoreError
from queue_manager.ranges import Ranges
from queue_manager.wire.records import BLOCK_TASKS, DeadLetter, Ended, ResultBlock

from ....changes import CANCELLED, TrackedState
from ....reads import OutcomePage, ResultPage, TaskRecord
from ..schema.rows import one
from ..schema.tables import BLOCKS, OUTCOMES, TRACKED

READABLE = f"(stop - start) * (results != x'{NOTHING.hex()}')"
"""As `OutcomeRecord.readable`."""

_ROW_BYTES = 256
"""How many bytes a row counts for in a page beside its payloads. Tiny rows take time, too."""

LETTER = "task, attempts, losses, error, evidence, worker, printed, raised, seq, due_at"
"""The columns of a tracked task that are the fields of a dead letter."""

PLACES = 2 * BLOCK_TASKS
"""How many places a block has: one for each position in it, and some to spare."""


@dataclass(frozen=True, slots=True)
class _Block:
    id: int
    first: int
    count: int
    keys: bytes | None


def read_body(db: sqlite3.Connection, block: int) -> bytes:
    """As `Store.read_body`."""
    body: bytes | None = one(db, "SELECT body FROM blocks WHERE id = ?", block)
    if body is None:
        raise StoreError(f"there is no block {block} in the store")
    return body


def find_blocks(
    db: sqlite3.Connection, run: int, tasks: Ranges, limit: int
) -> list[tuple[int, int, int]]:
    """As `Store.find_blocks`."""
    found: list[tuple[int, int, int]] = []
    behind = 0  # the number of the last task of these blocks
    for start, stop in tasks:
        if stop <= behind + 1 or len(found) >= limit:
            continue
        # A block has at most so many tasks, so the index has few entries to pass over.
        rows = db.execute(
            "SELECT id, first, count FROM blocks WHERE run = ? AND first > ? AND first < ?"
            " AND first + count > ? ORDER BY first LIMIT ?",
            (run, max(behind, start - BLOCK_TASKS), stop, start, limit - len(found)),
        )
        found += rows
        behind = found[-1][1] + found[-1][2] - 1 if found else 0
    return found


def read_outcomes(db: sqlite3.Connection, run: int, after: int, limit_bytes: int) -> OutcomePage:
    """As `Store.read_outcomes`."""
    page = OutcomePage([], {})
    size = 0
    for row in db.execute(
        f"SELECT {OUTCOMES.columns} FROM outcomes WHERE run = ? AND seq > ? ORDER BY seq",
        (run, after),
    ):
        outcome = OUTCOMES.load(row)
        page.outcomes.append(outcome)
        size += len(outcome.results) + _ROW_BYTES
        if outcome.block and not outcome.is_cancelled and outcome.first not in page.bodies:
            body = page.bodies[outcome.first] = read_body(db, outcome.block)
            size += len(body)
        if size >= limit_bytes:
            break
    return page


def read_letters(
    db: sqlite3.Connection, run: int, after: int, limit_bytes: int, until: int
) -> tuple[list[DeadLetter], bool]:
    """As `Store.read_letters`."""
    letters: list[DeadLetter] = []
    size = 0
    for row in db.execute(
        f"SELECT {LETTER} FROM strays INDEXED BY strays_letters"
        " WHERE run = ? AND state = 'dead' AND seq > ? AND seq <= ? ORDER BY seq",
        (run, after, until),
    ):
        if letters and size >= limit_bytes:
            return letters, False
        letters.append(DeadLetter(*row))
        size += letter_size(letters[-1])
    return letters, True


def read_last_outcomes(db: sqlite3.Connection, run: int, limit: int) -> OutcomePage:
    """As `Store.read_last_outcomes`."""
    rows = db.execute(
        f"SELECT {OUTCOMES.columns} FROM outcomes WHERE run = ? ORDER BY seq DESC LIMIT ?",
        (run, limit),
    ).fetchall()
    outcomes = [OUTCOMES.load(row) for row in reversed(rows)]
    return OutcomePage(outcomes, {o.first: read_body(db, o.block) for o in outcomes if o.block})


def count_results(db: sqlite3.Connection, run: int, after: int) -> int:
    """How many results the outcomes behind sequence number `after` hold. It reads each of them."""
    count: int = one(
        db,
        f"SELECT COALESCE(SUM({READABLE}), 0) FROM outcomes WHERE run = ? AND seq > ?",
        run,
        after,
    )
    return count


def read_results(
    db: sqlite3.Connection, run: int, after: int, limit_bytes: int, dead: bool
) -> ResultPage:
    """As `Store.read_results`. A place is a block and a position in it; position 0 is its end."""
    blocks: list[ResultBlock] = []
    place, size = after, 0
    last_block, position = divmod(after, PLACES)
    from_block = last_block if position else last_block + 1
    for block in (_dead_blocks if dead else _all_blocks)(db, run, from_block):
        if size >= limit_bytes:
            return ResultPage(blocks, place, complete=False)
        start = position if block.id == last_block else 0
        result, stop = _result_block(db, block, start, limit_bytes - size, dead)
        place = block.id * PLACES + (stop or 0)
        size += _ROW_BYTES
        if result is not None:
            blocks.append(result)
            size += _size(result) + len(block.keys or b"")
        if stop is not None:
            return ResultPage(blocks, place, complete=False)
    return ResultPage(blocks, place, complete=True)


def _size(result: ResultBlock) -> int:
    """How many bytes it counts for in a page, without its keys."""
    return (
        len(result.body)
        + sum(len(e.results) + _ROW_BYTES for e in result.ended)
        + sum(map(letter_size, result.dead))
    )


def letter_size(letter: DeadLetter) -> int:
    """How many bytes a dead letter counts for in a page."""
    texts = len(letter.error) + len(letter.evidence) + len(letter.printed)
    return texts + len(letter.raised) + _ROW_BYTES


def _all_blocks(db: sqlite3.Connection, run: int, block: int) -> Iterator[_Block]:
    """The blocks of a run from a number on, in the order of their tasks."""
    # `first` is where the index begins. `id` is compared as well: `block` may be of another run.
    rows = db.execute(
        "SELECT id, first, count, keys FROM blocks WHERE run = ?1 AND id >= ?2 AND first >="
        " COALESCE((SELECT first FROM blocks WHERE run = ?1 AND id = ?2),"
        "  (SELECT first FROM blocks WHERE run = ?1 AND id = ?2 - 1), 0) ORDER BY first",
        (run, block),
    )
    return starmap(_Block, rows)


def _dead_blocks(db: sqlite3.Connection, run: int, block: int) -> Iterator[_Block]:
    """The blocks with dead letters from a number on."""
    for (number,) in db.execute(
        "SELECT DISTINCT block FROM strays WHERE run = ? AND state = 'dead' AND block >= ?"
        " ORDER BY block",
        (run, block),
    ):
        rows = db.execute("SELECT id, first, count, keys FROM blocks WHERE id = ?", (number,))
        yield from starmap(_Block, rows)


def _result_block(
    db: sqlite3.Connection, block: _Block, position: int, limit_bytes: int, only_dead: bool
) -> tuple[ResultBlock | None, int | None]:
    """The ended tasks of a block from a position on. None: there are none.

    Also returns the position at which the next page goes on in the block. None: nothing is left.
    """
    ended, stop = ([], None) if only_dead else _ended_of(db, block, position, limit_bytes)
    behind = block.count if stop is None else stop
    letters = _letters_of(db, block.id, block.first + position, block.first + behind)
    dead = [letter for state, letter in letters if state == TrackedState.DEAD]
    if not ended and not dead:
        return None, stop
    told = dead if only_dead else [letter for _, letter in letters]
    result = ResultBlock(
        block.first,
        block.count,
        read_body(db, block.id),
        None if block.keys is None else msgspec.msgpack.decode(block.keys, type=list[str]),
        ended,
        dead,
        {letter.task: letter.attempts for letter in told},
    )
    return result, stop


def _ended_of(
    db: sqlite3.Connection, block: _Block, position: int, limit_bytes: int
) -> tuple[list[Ended], int | None]:
    """About so many bytes of outcomes from a position on, and where the rest begins, if any."""
    ended: list[Ended] = []
    for seq, start, stop, results in db.execute(
        "SELECT seq, start, stop, results FROM outcomes WHERE block = ? AND start >= ?"
        f" AND results != x'{CANCELLED.hex()}' ORDER BY start",
        (block.id, position),
    ):
        if ended and limit_bytes <= 0:
            return ended, start
        ended.append(Ended(seq, block.first, start, stop, results))
        limit_bytes -= len(results) + _ROW_BYTES
    return ended, None


def _letters_of(
    db: sqlite3.Connection, block: int, task: int, before: int
) -> list[tuple[str, DeadLetter]]:
    """Tracked tasks of a block: the state of each, and its fields in the form of a dead letter."""
    return [
        (state, DeadLetter(*letter))
        for state, *letter in db.execute(
            f"SELECT state, {LETTER} FROM strays"
            " WHERE block = ? AND task >= ? AND task < ? ORDER BY position",
            (block, task, before),
        )
    ]


def find_task(db: sqlite3.Connection, run: int, key: str) -> int:
    """As `Store.find_task`."""
    rows = db.execute(
        "SELECT first, keys FROM blocks WHERE run = ? AND keys IS NOT NULL"
        " ORDER BY first DESC LIMIT 1024",
        (run,),
    )
    sought = key.encode()
    for first, packed in rows:
        if sought in packed:  # most rows need not be decoded
            keys = msgspec.msgpack.decode(packed, type=list[str])
            if key in keys:
                return int(first) + keys.index(key)
    return 0


def read_task(db: sqlite3.Connection, run: int, task: int) -> TaskRecord | None:
    """As `Store.read_task`."""
    row = db.execute(
        f"SELECT {BLOCKS.columns} FROM blocks WHERE run = ? AND first <= ?"
        " ORDER BY first DESC LIMIT 1",
        (run, task),
    ).fetchone()
    block = None if row is None else BLOCKS.load(row)
    if block is None or task >= block.first + block.count:
        return None
    position = task - block.first
    outcome = db.execute(
        f"SELECT {OUTCOMES.columns} FROM outcomes WHERE block = ? AND start <= ? AND stop > ?"
        " ORDER BY start DESC LIMIT 1",
        (block.id, position, position),
    ).fetchone()
    tracked = db.execute(
        f"SELECT {TRACKED.columns} FROM strays WHERE run = ? AND task = ?", (run, task)
    ).fetchone()
    return TaskRecord(
        run,
        block.id,
        position,
        block.body,
        None if block.keys is None else block.keys[position],
        block.group,
        block.priority,
        None if outcome is None else OUTCOMES.load(outcome),
        None if tracked is None else TRACKED.load(tracked),
    )
