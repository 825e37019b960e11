"""Results of a run that goes on while they are read: each of them once, none is passed over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from master.changes import BlockRecord
from master.server.letters import trimmed
from master.store.contract import Store
from queue_manager.client.connection.session import Session
from queue_manager.client.runs import reading
from queue_manager.client.runs.reading import opened
from queue_manager.errors import QueueError
from queue_manager.job.raised import write_raised
from queue_manager.wire.messages import AskResults, AskTask, Results, TaskShown
from queue_manager.wire.records import RunStatus, TaskStatus
from tests.unit.master.store_records import SqliteEngine, block, commit, outcome, tracked

PAGE_BYTES = 5_000  # some 19 blocks, or as many outcomes of one


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    engine = SqliteEngine(tmp_path)
    yield engine.open()
    engine.close()


Ends = tuple[BlockRecord, int, int]
"""Tasks of a block that end together: the first position, and the one behind the last."""


class FakeSession:
    """Reads pages of a store. One part of the tasks ends before each news of the run.

    asked: the places behind which a page of results was asked for, in order. pages, single: how
    many pages and single tasks were asked for.
    """

    def __init__(self, store: Store, tasks: int, end: str, *parts: list[Ends]) -> None:
        self._store = store
        self._tasks = tasks
        self._end = end
        self._parts = parts
        self._seq = 0
        self.asked: list[int] = []
        self.pages = self.single = 0

    async def watch(self, run: int) -> AsyncGenerator[RunStatus, None]:
        for part in self._parts:
            first = self._seq + 1
            commit(self._store, outcomes=[outcome(n, *ends) for n, ends in enumerate(part, first)])
            self._seq += len(part)
            state = self._end if part is self._parts[-1] else "active"
            counts = {"waiting": 0, "leased": 0, "delayed": 0, "done": 0, "dead": 0}
            ends = {"exhausted": True, "collect_errors": 0, "started_at": 0.0, "ended_at": None}
            yield RunStatus(run, "job", [], state, self._tasks, **counts, **ends)  # type: ignore[arg-type]

    async def call_idempotent(self, make: Callable[[int], Any], answer: Any) -> Any:
        asked = make(1)
        if isinstance(asked, AskTask):
            self.single += 1
            error, told = f"ValueError: {asked.task}", raised(asked.task)
            status = TaskStatus(asked.run, "job", asked.task, "dead", b"", 0, error=error)
            return TaskShown(1, msgspec.structs.replace(status, raised=told))
        assert isinstance(asked, AskResults)
        if not asked.dead:
            self.asked.append(asked.after)
        self.pages += 1
        blocks, *more = self._store.read_results(asked.run, asked.after, PAGE_BYTES, asked.dead)
        return Results(1, trimmed(blocks, asked.dead), *more)


def singles(of: BlockRecord, start: int, stop: int) -> list[Ends]:
    return [(of, position, position + 1) for position in range(start, stop)]


def read(store: Store, tasks: int, *parts: list[Ends], end: str = "done") -> list[Any]:
    return read_by(FakeSession(store, tasks, end, *parts))


def read_by(session: FakeSession) -> list[Any]:
    async def all_of_it() -> list[Any]:
        pages = reading.results(cast(Session, session), 1)
        return [result async for values in pages for result in opened(values, False)]

    return asyncio.run(all_of_it())


def results(tasks: int) -> list[int]:
    return [-task for task in range(1, tasks + 1)]


def test_the_rest_of_a_block_is_read_behind_which_a_page_has_ended(store: Store) -> None:
    one, two = block(1, 1, 60), block(2, 61, 4)
    commit(store, one, two)
    parts = [singles(one, 0, 19), [(one, 19, 60)], [(two, 0, 4)]]
    assert read(store, 64, *parts) == results(64)


def test_blocks_of_which_nothing_has_ended_are_not_passed_over(store: Store) -> None:
    blocks = [block(n, n, 1) for n in range(1, 101)]
    commit(store, *blocks)
    first, rest = blocks[:50], blocks[50:]
    parts: list[list[Ends]] = [[], [(b, 0, 1) for b in rest], [(b, 0, 1) for b in first]]
    session = FakeSession(store, 100, "done", *parts)
    assert read_by(session) == results(100)
    one, two, again, *_ = session.asked
    assert one == again == 0  # it does not look through all waiting blocks at each news
    assert two > 0


def test_tasks_before_the_place_where_a_page_is_cut_are_read(store: Store) -> None:
    one = block(1, 1, 100)
    commit(store, one)
    parts = [singles(one, 0, 20) + singles(one, 50, 100), singles(one, 20, 50)]
    assert read(store, 100, *parts) == results(100)


def test_each_page_of_a_run_that_is_over_is_read_once(store: Store) -> None:
    blocks = [block(n, n, 1) for n in range(1, 101)]
    commit(store, *blocks)
    session = FakeSession(store, 100, "done", [(b, 0, 1) for b in blocks])
    assert read_by(session) == results(100)
    assert len(session.asked) > 3
    assert session.asked == sorted(set(session.asked))


def test_a_page_is_not_read_again_when_one_behind_it_goes_on_without_a_hole(store: Store) -> None:
    blocks = [block(n, n, 1) for n in range(1, 101)]
    commit(store, *blocks)
    ends = [(b, 0, 1) for b in blocks]
    session = FakeSession(store, 100, "done", ends[:60], ends[60:])
    assert read_by(session) == results(100)
    assert session.asked.count(0) == 1


def test_a_run_that_was_cancelled_says_so_behind_what_it_has(store: Store) -> None:
    blocks = [block(n, n, 1) for n in range(1, 101)]
    commit(store, *blocks)
    with pytest.raises(QueueError, match="cancelled before all its tasks were done"):
        read(store, 100, [(b, 0, 1) for b in blocks[:50]], end="cancelled")


def raised(task: int) -> bytes:
    return write_raised(ValueError(task))


def letters_of(store: Store, tasks: list[int], of: int) -> FakeSession:
    """A session with a run of so many blocks of one task, some of which have failed for good."""
    blocks = [block(n, n, 1) for n in range(1, of + 1)]
    commit(store, *blocks)
    dead: dict[Any, Any] = {}
    for task in tasks:
        told = {"error": f"ValueError: {task}", "evidence": f"line {task}", "raised": raised(task)}
        dead |= tracked(blocks[task - 1], 0, "dead", **told)
    commit(store, tracked=dead)
    ends = [(one, 0, 1) for one in blocks if one.first not in tasks]
    return FakeSession(store, of, "failed", ends)


@pytest.mark.parametrize(
    ("tasks", "single", "pages"), [([3, 50], 2, 0), (list(range(1, 101)), reading._FEW, 40)]
)
def test_dead_letters_are_asked_for_in_pages(
    tasks: list[int], single: int, pages: int, store: Store
) -> None:
    """One by one, results of a run with 100,000 dead letters took as many round trips."""
    session = letters_of(store, tasks, 100)

    async def all_of_it() -> list[Any]:
        found = reading.results(cast(Session, session), 1)
        return [result async for values in found for result in opened(values, True)]

    values = asyncio.run(all_of_it())
    assert [n for n, value in enumerate(values, 1) if isinstance(value, ValueError)] == tasks
    assert [value.args for value in values if isinstance(value, ValueError)] == [
        (task,) for task in tasks
    ]
    assert session.single <= single
    assert session.pages - len(session.asked) <= pages
