"""Reads ended tasks: outcomes in their order, results in the order of tasks, all of one task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import starmap
from typing import Any

import msgspec

from queue_manager.errors import StoreError
from queue_manager.ranges import Ranges
from queue_manager.wire.records import BLOCK_TASKS, DeadLetter, Ended, ResultBlock

from ....changes import TrackedState
from ....reads import OutcomePage, ResultPage, TaskRecord
from ..database import Database
from ..tables import BLOCKS, OUTCOMES, TRACKED

_ROW_BYTES = 256
"""How many bytes a row counts for in a page beside its payloads. Tiny rows take time, too."""

PLACES = 2 * BLOCK_TASKS
"""How many places a block has: one for each position in it, and some to spare."""

_NEWEST_KEYS = 1024
"""In so many blocks with keys, the newest ones, a key is sought."""

_DEAD_BLOCKS = 64
"""How many blocks with dead letters a statement looks for."""


@dataclass(frozen=True, slots=True)
class _Block:
    """has_ended, has_tracked: whether any of its tasks has an outcome, or is tracked."""

    id: int
    first: int
    count: int
    has_ended: int | None
    has_tracked: int | None


@dataclass(frozen=True, slots=True)
class Payloads:
    """What a block and its tasks hold. keys: None if they have none. size: in bytes."""

    first: int
    count: int
    body: bytes
    keys: list[str] | None
    size: int


def rows_of_page(limit_bytes: int, row_bytes: int = _ROW_BYTES) -> int:
    """So many rows at most, and one more, are read for a page. Each counts for `row_bytes`."""
    return max(limit_bytes, 0) // row_bytes + 2


def read_body(db: Database, block: int) -> bytes:
    """As `Store.read_body`."""
    body: bytes | None = db.one("body_of_block", block=block)
    if body is None:
        raise _missing(block)
    return body


def read_payloads(db: Database, block: int) -> Payloads:
    """The payloads of a block and the keys of its tasks. Raises StoreError: there is no block."""
    row = db.first("payloads_of_block", block=block)
    if row is None:
        raise _missing(block)
    first, count, body, packed = row
    keys = None if packed is None else msgspec.msgpack.decode(packed, type=list[str])
    return Payloads(first, count, body, keys, len(body) + len(packed or b""))


def _missing(block: int) -> StoreError:
    return StoreError(f"there is no block {block} in the store")


def find_blocks(db: Database, run: int, tasks: Ranges, limit: int) -> list[tuple[int, int, int]]:
    """As `Store.find_blocks`."""
    found: list[tuple[int, int, int]] = []
    behind = 0  # the number of the last task of these blocks
    for start, stop in tasks:
        if stop <= behind + 1 or len(found) >= limit:
            continue
        found += db.rows(
            "blocks_of_tasks",
            run=run,
            behind=max(behind, start - BLOCK_TASKS),
            start=start,
            stop=stop,
            look=limit - len(found),
        )
        behind = found[-1][1] + found[-1][2] - 1 if found else 0
    return found


def read_outcomes(db: Database, run: int, after: int, limit_bytes: int) -> OutcomePage:
    """As `Store.read_outcomes`."""
    outcomes = []
    blocks: dict[int, int] = {}
    size = 0
    look = rows_of_page(limit_bytes)
    for *row, body_bytes in db.stream("outcomes_behind", run=run, after=after, look=look):
        outcome = OUTCOMES.load(row)
        outcomes.append(outcome)
        size += len(outcome.results) + _ROW_BYTES
        if outcome.block and not outcome.is_cancelled and outcome.first not in blocks:
            blocks[outcome.first] = outcome.block
            size += body_bytes or 0
        if size >= limit_bytes:
            break
    return OutcomePage(outcomes, _read_bodies(db, blocks))


def _read_bodies(db: Database, blocks: Mapping[int, int]) -> dict[int, bytes]:
    """The payloads of blocks by their first tasks. blocks: by their first tasks, too."""
    if not blocks:
        return {}
    found: dict[int, bytes] = dict(db.rows("bodies_of_blocks", blocks=list(blocks.values())))
    for block in blocks.values():
        if block not in found:
            raise _missing(block)
    return {first: found[block] for first, block in blocks.items()}


def read_letters(
    db: Database, run: int, after: int, limit_bytes: int, until: int
) -> tuple[list[DeadLetter], bool]:
    """As `Store.read_letters`."""
    letters: list[DeadLetter] = []
    size = 0
    look = rows_of_page(limit_bytes)
    for row in db.stream("letters_behind", run=run, after=after, until=until, look=look):
        if letters and size >= limit_bytes:
            return letters, False
        letters.append(DeadLetter(*row))
        size += letter_size(letters[-1])
    return letters, True


def read_last_outcomes(db: Database, run: int, limit: int) -> OutcomePage:
    """As `Store.read_last_outcomes`."""
    rows = list(db.rows("last_outcomes", run=run, look=limit))
    outcomes = [OUTCOMES.load(row) for row in reversed(rows)]
    return OutcomePage(outcomes, _read_bodies(db, {o.first: o.block for o in outcomes if o.block}))


def count_results(db: Database, run: int, after: int) -> int:
    """How many results the outcomes behind sequence number `after` hold. It reads each of them."""
    return int(db.one("unread_results", run=run, after=after))


def read_results(db: Database, run: int, after: int, limit_bytes: int, dead: bool) -> ResultPage:
    """As `Store.read_results`. A place is a block and a position in it; position 0 is its end."""
    blocks: list[ResultBlock] = []
    place, size = after, 0
    last_block, position = divmod(after, PLACES)
    from_block = last_block if position else last_block + 1
    for block in (_dead_blocks if dead else _all_blocks)(db, run, from_block, limit_bytes):
        if size >= limit_bytes:
            return ResultPage(blocks, place, complete=False)
        start = position if block.id == last_block else 0
        result, result_bytes, stop = _result_block(db, block, start, limit_bytes - size, dead)
        place = block.id * PLACES + (stop or 0)
        size += result_bytes + _ROW_BYTES
        if result is not None:
            blocks.append(result)
        if stop is not None:
            return ResultPage(blocks, place, complete=False)
    return ResultPage(blocks, place, complete=True)


def letter_size(letter: DeadLetter) -> int:
    """How many bytes a dead letter counts for in a page."""
    texts = len(letter.error) + len(letter.evidence) + len(letter.printed)
    return texts + len(letter.raised) + _ROW_BYTES


def _all_blocks(db: Database, run: int, block: int, limit_bytes: int) -> Iterator[_Block]:
    """The blocks of a run from a number on, in the order of their tasks, as many as a page has."""
    look = rows_of_page(limit_bytes)
    return starmap(_Block, db.rows("blocks_from", run=run, block=block, look=look))


def _dead_blocks(db: Database, run: int, block: int, limit_bytes: int) -> Iterator[_Block]:
    """The blocks with dead letters from a number on. Other tasks that have ended are left out."""
    for number, first, count in dead_blocks(db, run, block):
        yield _Block(number, first, count, has_ended=None, has_tracked=1)


def dead_blocks(db: Database, run: int, block: int) -> Iterator[tuple[int, int, int]]:
    """The blocks with dead letters from a number on, as (block, first task, count), in order."""
    more = True
    while more:
        rows = list(db.rows("dead_blocks", run=run, block=block, look=_DEAD_BLOCKS))
        for number, first, count in rows:
            if first is not None:
                yield number, first, count
            block = number + 1
        more = len(rows) == _DEAD_BLOCKS


def _result_block(
    db: Database, block: _Block, position: int, limit_bytes: int, only_dead: bool
) -> tuple[ResultBlock | None, int, int | None]:
    """The ended tasks of a block from a position on, and how many bytes they count for.

    None: there are none. Also returns the position at which the next page goes on in the block.
    None: nothing is left.
    """
    ended, stop = _ended_of(db, block, position, limit_bytes) if block.has_ended else ([], None)
    behind = block.count if stop is None else stop
    letters = _letters_of(db, block, position, behind) if block.has_tracked else []
    dead = [letter for state, letter in letters if state == TrackedState.DEAD]
    if not ended and not dead:
        return None, 0, stop
    held = read_payloads(db, block.id)
    told = dead if only_dead else [letter for _, letter in letters]
    result = ResultBlock(
        block.first,
        block.count,
        held.body,
        held.keys,
        ended,
        dead,
        {letter.task: letter.attempts for letter in told},
    )
    size = held.size + sum(len(e.results) + _ROW_BYTES for e in ended) + sum(map(letter_size, dead))
    return result, size, stop


def _ended_of(
    db: Database, block: _Block, position: int, limit_bytes: int
) -> tuple[list[Ended], int | None]:
    """About so many bytes of outcomes from a position on, and where the rest begins, if any."""
    ended: list[Ended] = []
    values: dict[str, Any] = {"row_bytes": _ROW_BYTES, "limit_bytes": limit_bytes}
    for seq, start, stop, results in db.rows(
        "ended_of_block", block=block.id, position=position, **values
    ):
        if ended and limit_bytes <= 0:
            return ended, start
        ended.append(Ended(seq, block.first, start, stop, results))
        limit_bytes -= len(results) + _ROW_BYTES
    return ended, None


def _letters_of(
    db: Database, block: _Block, position: int, behind: int
) -> list[tuple[str, DeadLetter]]:
    """Tracked tasks of a part of a block: the state of each, and its fields as a dead letter's."""
    part: dict[str, Any] = {"task": block.first + position, "before": block.first + behind}
    rows = db.rows("tracked_of_block", block=block.id, **part)
    return [(state, DeadLetter(*letter)) for state, *letter in rows]


def find_task(db: Database, run: int, key: str) -> int:
    """As `Store.find_task`."""
    text = key.encode()
    for first, packed in db.rows("keys_with_text", run=run, text=text, look=_NEWEST_KEYS):
        keys = msgspec.msgpack.decode(packed, type=list[str])
        if key in keys:  # the text may be a part of other keys
            return int(first) + keys.index(key)
    return 0


def read_task(db: Database, run: int, task: int) -> TaskRecord | None:
    """As `Store.read_task`."""
    row = db.first("block_of_task", run=run, task=task)
    block = None if row is None else BLOCKS.load(row)
    if block is None or task >= block.first + block.count:
        return None
    position = task - block.first
    outcome = db.first("outcome_of_position", block=block.id, position=position)
    tracked = db.first("tracked_task", run=run, task=task)
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
