"""Reads dead letters that a filter chooses, in the order of tasks, with all that is told of them.

A page looks at the short columns of letters first. It reads the texts of a letter only when the
letter is chosen, or when the texts alone can tell that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from queue_manager.job.failures import is_chosen, without_failure
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.limits import LAST_NUMBER
from queue_manager.wire.records import BLOCK_TASKS, DeadLetter, ResultBlock

from ....reads import ResultPage
from ..failures import tasks_of_groups
from ..schema.rows import one
from .letters import LOOK_BYTES
from .results import LETTER, PLACES, letter_size, read_body


class _Look(NamedTuple):
    """What each tracked task is asked. SQLite passes over no long text for these columns."""

    task: int
    block: int
    position: int
    state: str
    died_at: float
    worker: str


_LOOK = "task, block, position, state, due_at, worker"


@dataclass(slots=True)
class _Page:
    """A page in the making. size: without the payloads of the block that is read now."""

    db: sqlite3.Connection
    run: int
    place: int
    blocks: list[ResultBlock] = field(default_factory=list)
    size: int = 0
    last_block: int = 0
    body_bytes: int = 0

    def add(self, block: int, letter: DeadLetter) -> None:
        """Add a letter to its block. A page that ends in a block reads its payloads once more."""
        if block != self.last_block:
            self.size += self.body_bytes
            self._begin(block)
        self.blocks[-1].dead.append(letter)
        self.blocks[-1].attempts[letter.task] = letter.attempts
        self.size += letter_size(letter)

    def _begin(self, block: int) -> None:
        body = read_body(self.db, block)
        query = "SELECT first, count, keys FROM blocks WHERE id = ?"
        first, count, packed = self.db.execute(query, (block,)).fetchone()
        keys = None if packed is None else msgspec.msgpack.decode(packed, type=list[str])
        self.blocks.append(ResultBlock(first, count, body, keys, [], [], {}))
        self.last_block, self.body_bytes = block, len(body) + len(packed or b"")


def read_chosen(
    db: sqlite3.Connection, run: int, after: int, limit_bytes: int, only: FailureFilter
) -> ResultPage:
    """As `Store.read_chosen`. Places are those of `read_results`."""
    page = _Page(db, run, after)
    first = _task_behind(db, run, after)
    until = only.tasks[-1][1] if only.tasks else LAST_NUMBER
    least = max(first, only.tasks[0][0]) if only.tasks else first
    listed = tasks_of_groups(db, run, only, (least, until))
    short = without_failure(only)
    for look in _looks(db, run, only, first, listed):
        page.size += LOOK_BYTES
        if look is not None:
            page.place = look.block * PLACES + look.position + 1
            known = DeadLetter(look.task, 0, 0, "", "", look.worker, died_at=look.died_at)
            if look.state == "dead" and is_chosen(short, known):
                _add_chosen(page, look, only)
            if page.size >= limit_bytes:
                return ResultPage(page.blocks, page.place, complete=False)
    return ResultPage(page.blocks, page.place, complete=True)


def _add_chosen(page: _Page, look: _Look, only: FailureFilter) -> None:
    """Read the texts of a letter, and add it to the page if they are what is sought, too."""
    query = f"SELECT {LETTER} FROM strays WHERE run = ? AND task = ?"
    letter = DeadLetter(*page.db.execute(query, (page.run, look.task)).fetchone())
    if is_chosen(only, letter):
        page.add(look.block, letter)
    else:
        page.size += letter_size(letter)


def _task_behind(db: sqlite3.Connection, run: int, after: int) -> int:
    """The first task behind a place; `LAST_NUMBER` if no dead letter is there."""
    block, position = divmod(after, PLACES)
    query = "SELECT first + COALESCE(NULLIF(?, 0), count) FROM blocks WHERE id = ? AND run = ?"
    task: int | None = one(db, query, position, block, run)
    if task is None:  # the first page, or the block is deleted
        task = one(
            db,
            "SELECT MIN(task) FROM strays INDEXED BY strays_dead"
            " WHERE run = ?1 AND state = 'dead' AND block = (SELECT MIN(block) FROM strays"
            "  INDEXED BY strays_dead WHERE run = ?1 AND state = 'dead' AND block > ?2)",
            run,
            block,
        )
    return LAST_NUMBER if task is None else task


def _looks(
    db: sqlite3.Connection, run: int, only: FailureFilter, first: int, listed: Iterator[int] | None
) -> Iterator[_Look | None]:
    """The tracked tasks that may be chosen, from a task on. None: a look that found nothing.

    Each of these takes about as long, so a page counts them.
    """
    if listed is not None:
        for task in listed:
            yield from _between(db, run, task, task + 1)
        return
    for start, stop in only.tasks or _dead_spans(db, run, first):
        if stop > first:
            yield None
            yield from _between(db, run, max(start, first), stop)


def _between(db: sqlite3.Connection, run: int, start: int, stop: int) -> Iterator[_Look]:
    query = f"SELECT {_LOOK} FROM strays WHERE run = ? AND task >= ? AND task < ? ORDER BY task"
    return map(_Look._make, db.execute(query, (run, start, stop)))


def _dead_spans(db: sqlite3.Connection, run: int, first: int) -> Iterator[tuple[int, int]]:
    """The tasks of each block that has dead letters, from the block of a task on."""
    block = one(
        db,
        "SELECT id FROM blocks WHERE run = ? AND first > ? AND first + count > ? ORDER BY first",
        run,
        first - BLOCK_TASKS,
        first,
    )
    # DISTINCT would look at each letter: the index alone does not tell SQLite that it is dead.
    after = (
        "SELECT block FROM strays INDEXED BY strays_dead"
        " WHERE run = ? AND state = 'dead' AND block >= ? ORDER BY block LIMIT 1"
    )
    span = "SELECT first, first + count FROM blocks WHERE id = ?"
    while block is not None and (block := one(db, after, run, block)) is not None:
        yield from db.execute(span, (block,))
        block += 1
