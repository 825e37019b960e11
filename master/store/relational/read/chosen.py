"""Reads dead letters that a filter chooses, in the order of tasks, with all that is told of them.

A page looks at the short columns of letters first. It reads the texts of a letter only when the
letter is chosen, or when the texts alone can tell that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from queue_manager.job.failures import is_chosen, without_failure
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.limits import LAST_NUMBER
from queue_manager.wire.records import BLOCK_TASKS, DeadLetter, ResultBlock

from ....reads import ResultPage
from ..database import Database
from ..failures import tasks_of_groups
from .letters import LOOK_BYTES
from .results import PLACES, dead_blocks, letter_size, read_payloads, rows_of_page

_LISTED = 64
"""How many listed tasks a statement looks at."""


class _Look(NamedTuple):
    """What each tracked task is asked."""

    task: int
    block: int
    position: int
    state: str
    died_at: float
    worker: str


@dataclass(slots=True)
class _Page:
    """A page in the making. size: without the payloads of the block that is read now."""

    db: Database
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
        held = read_payloads(self.db, block)
        self.blocks.append(ResultBlock(held.first, held.count, held.body, held.keys, [], [], {}))
        self.last_block, self.body_bytes = block, held.size


def read_chosen(
    db: Database, run: int, after: int, limit_bytes: int, only: FailureFilter
) -> ResultPage:
    """As `Store.read_chosen`. Places are those of `read_results`."""
    page = _Page(db, run, after)
    first = _task_behind(db, run, after)
    until = only.tasks[-1][1] if only.tasks else LAST_NUMBER
    least = max(first, only.tasks[0][0]) if only.tasks else first
    most = rows_of_page(limit_bytes, LOOK_BYTES)
    listed = tasks_of_groups(db, run, only, (least, until), most)
    short = without_failure(only)
    spans = only.tasks or _dead_spans(db, run, first)
    looks = _in_spans(db, run, spans, first, most) if listed is None else _at(db, run, listed)
    for look in looks:
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
    row = page.db.first("letter_of_task", run=page.run, task=look.task)
    assert row is not None
    letter = DeadLetter(*row)
    if is_chosen(only, letter):
        page.add(look.block, letter)
    else:
        page.size += letter_size(letter)


def _task_behind(db: Database, run: int, after: int) -> int:
    """The first task behind a place; `LAST_NUMBER` if no dead letter is there."""
    block, position = divmod(after, PLACES)
    task: int | None = db.one("task_at_place", run=run, block=block, position=position)
    if task is None:  # the first page, or the block is deleted
        task = db.one("first_dead_behind", run=run, block=block)
    return LAST_NUMBER if task is None else task


# The tracked tasks that may be chosen. None: a look that found nothing. Each of these takes about
# as long, so a page counts them.


def _at(db: Database, run: int, listed: Iterator[int]) -> Iterator[_Look | None]:
    """Tasks of a list."""
    while some := list(islice(listed, _LISTED)):
        yield from map(_Look._make, db.rows("looks_at_tasks", run=run, tasks=some))


def _in_spans(
    db: Database, run: int, spans: Iterable[tuple[int, int]], first: int, most: int
) -> Iterator[_Look | None]:
    """Tasks of ranges, from a task on, at most so many of each."""
    for start, stop in spans:
        if stop > first:
            yield None
            span: dict[str, Any] = {"start": max(start, first), "stop": stop}
            yield from map(_Look._make, db.rows("looks_in_range", run=run, look=most, **span))


def _dead_spans(db: Database, run: int, first: int) -> Iterator[tuple[int, int]]:
    """The tasks of each block that has dead letters, from the block of a task on."""
    behind = first - BLOCK_TASKS
    block = db.one("first_block_of_tasks", run=run, behind=behind, task=first)
    if block is not None:
        for _, start, count in dead_blocks(db, run, block):
            yield start, start + count
