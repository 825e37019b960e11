"""What has ended: outcomes in their order, results in the order of tasks, one task with all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import msgspec

from queue_manager.codec import NOTHING
from queue_manager.errors import StoreError
from queue_manager.wire.records import BLOCK_TASKS, DeadLetter, Ended, ResultBlock

from ...changes import OutcomeRecord
from ...reads import TaskRecord
from .rows import one
from .tables import OUTCOMES, TRACKED

READABLE = f"(stop - start) * (results != x'{NOTHING.hex()}')"
"""As `OutcomeRecord.readable`."""

_ROW_BYTES = 256
"""What a row counts for in a page beside its payloads: a page of tiny rows takes time too."""

_PLACES = 2 * BLOCK_TASKS
"""A block's places: one for each position in it, and to spare."""

_Block = tuple[int, int, int, bytes | None]


def read_body(db: sqlite3.Connection, block: int) -> bytes:
    """As `Store.read_body`."""
    body: bytes | None = one(db, "SELECT body FROM blocks WHERE id = ?", block)
    if body is None:
        raise StoreError(f"there is no block {block} in the store")
    return body


def read_outcomes(
    db: sqlite3.Connection, run: int, after: int, most_bytes: int
) -> tuple[list[OutcomeRecord], dict[int, bytes]]:
    """As `Store.read_outcomes`."""
    found: list[OutcomeRecord] = []
    bodies: dict[int, bytes] = {}
    size = 0
    for row in db.execute(
        f"SELECT {OUTCOMES.columns} FROM outcomes WHERE run = ? AND seq > ? ORDER BY seq",
        (run, after),
    ):
        outcome = OUTCOMES.load(row)
        found.append(outcome)
        size += len(outcome.results) + _ROW_BYTES
        if outcome.block and outcome.first not in bodies:
            body = bodies[outcome.first] = read_body(db, outcome.block)
            size += len(body)
        if size >= most_bytes:
            break
    return found, bodies


def read_last_outcomes(
    db: sqlite3.Connection, run: int, most: int
) -> tuple[list[OutcomeRecord], dict[int, bytes]]:
    """As `Store.read_last_outcomes`."""
    rows = db.execute(
        f"SELECT {OUTCOMES.columns} FROM outcomes WHERE run = ? ORDER BY seq DESC LIMIT ?",
        (run, most),
    ).fetchall()
    found = [OUTCOMES.load(row) for row in reversed(rows)]
    return found, {o.first: read_body(db, o.block) for o in found if o.block}


def count_results(db: sqlite3.Connection, run: int, after: int) -> int:
    """How many results the outcomes behind sequence number `after` hold: each of them is read."""
    count: int = one(
        db,
        f"SELECT COALESCE(SUM({READABLE}), 0) FROM outcomes WHERE run = ? AND seq > ?",
        run,
        after,
    )
    return count


def read_results(
    db: sqlite3.Connection, run: int, after: int, most_bytes: int, dead: bool
) -> tuple[list[ResultBlock], int, bool]:
    """As `Store.read_results`. A place is a block, and how far into it; 0 is all of it."""
    found: list[ResultBlock] = []
    last, size = after, 0
    block, into = divmod(after, _PLACES)
    from_block = block if into else block + 1
    for of in (_dead_blocks if dead else _all_blocks)(db, run, from_block):
        if size >= most_bytes:
            return found, last, False
        start = into if of[0] == block else 0
        result, stop = _result_block(db, of, start, most_bytes - size, dead)
        last = of[0] * _PLACES + stop
        size += _ROW_BYTES
        if result is not None:
            found.append(result)
            size += len(result.body) + len(of[3] or b"")
            size += sum(len(e.results) + _ROW_BYTES for e in result.ended)
            size += sum(
                len(d.error) + len(d.evidence) + len(d.printed) + _ROW_BYTES for d in result.dead
            )
        if stop:
            return found, last, False
    return found, last, True


def _all_blocks(db: sqlite3.Connection, run: int, block: int) -> Iterator[_Block]:
    """The blocks of a run from a number on, in the order of their tasks."""
    # `first` says where to begin in the index, `id` what is meant: `block` may be of another run.
    return db.execute(
        "SELECT id, first, count, keys FROM blocks WHERE run = ?1 AND id >= ?2 AND first >="
        " COALESCE((SELECT first FROM blocks WHERE run = ?1 AND id = ?2),"
        "  (SELECT first FROM blocks WHERE run = ?1 AND id = ?2 - 1), 0) ORDER BY first",
        (run, block),
    )


def _dead_blocks(db: sqlite3.Connection, run: int, block: int) -> Iterator[_Block]:
    for (number,) in db.execute(
        "SELECT DISTINCT block FROM strays WHERE run = ? AND state = 'dead' AND block >= ?"
        " ORDER BY block",
        (run, block),
    ):
        yield from db.execute("SELECT id, first, count, keys FROM blocks WHERE id = ?", (number,))


def _result_block(
    db: sqlite3.Connection, of: _Block, into: int, most_bytes: int, only_dead: bool
) -> tuple[ResultBlock | None, int]:
    """What has ended of a block from the position `into` on, None when nothing has.

    Returns also where the next page goes on in it; 0 when that was all.
    """
    block, first, count, keys = of
    ended, stop = ([], 0) if only_dead else _ended_of(db, block, first, into, most_bytes)
    strays = _strays_of(db, block, first + into, first + (stop or count))
    dead = [letter for state, letter in strays if state == "dead"]
    if not ended and not dead:
        return None, stop
    told = dead if only_dead else [letter for _, letter in strays]
    found = ResultBlock(
        first,
        count,
        read_body(db, block),
        None if keys is None else msgspec.msgpack.decode(keys, type=list[str]),
        ended,
        dead,
        {letter.task: letter.attempts for letter in told},
    )
    return found, stop


def _ended_of(
    db: sqlite3.Connection, block: int, first: int, into: int, most_bytes: int
) -> tuple[list[Ended], int]:
    """Outcomes from a position on, about so many bytes; and where the others begin, or 0."""
    found: list[Ended] = []
    for seq, start, stop, results in db.execute(
        "SELECT seq, start, stop, results FROM outcomes WHERE block = ? AND start >= ?"
        " ORDER BY start",
        (block, into),
    ):
        if found and most_bytes <= 0:
            return found, start
        found.append(Ended(seq, first, start, stop, results))
        most_bytes -= len(results) + _ROW_BYTES
    return found, 0


def _strays_of(
    db: sqlite3.Connection, block: int, task: int, before: int
) -> list[tuple[str, DeadLetter]]:
    """Strays of a block by their states, each as the dead letter that it would be."""
    return [
        (state, DeadLetter(*letter))
        for state, *letter in db.execute(
            "SELECT state, task, attempts, losses, error, evidence, worker, printed FROM strays"
            " WHERE block = ? AND task >= ? AND task < ? ORDER BY position",
            (block, task, before),
        )
    ]


def read_task(db: sqlite3.Connection, run: int, task: int) -> TaskRecord | None:
    """As `Store.read_task`."""
    row = db.execute(
        "SELECT id, first, count, grp, priority, keys, body FROM blocks"
        " WHERE run = ? AND first <= ? ORDER BY first DESC LIMIT 1",
        (run, task),
    ).fetchone()
    if row is None or task >= row[1] + row[2]:
        return None
    block, first, _, group, priority, keys, body = row
    position = task - first
    outcome = db.execute(
        f"SELECT {OUTCOMES.columns} FROM outcomes WHERE block = ? AND start <= ? AND stop > ?"
        " ORDER BY start DESC LIMIT 1",
        (block, position, position),
    ).fetchone()
    stray = db.execute(
        f"SELECT {TRACKED.columns} FROM strays WHERE run = ? AND task = ?", (run, task)
    ).fetchone()
    return TaskRecord(
        run,
        block,
        position,
        body,
        None if keys is None else msgspec.msgpack.decode(keys, type=list[str])[position],
        group,
        priority,
        None if outcome is None else OUTCOMES.load(outcome),
        None if stray is None else TRACKED.load(stray),
    )
