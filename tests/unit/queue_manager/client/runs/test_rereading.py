"""Results that are read once more, from any task on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from queue_manager import codec
from queue_manager.client.connection.session import Session
from queue_manager.client.runs.ordering import NONE_LEFT
from queue_manager.client.runs.outcomes import Reread
from queue_manager.client.runs.rereading import Rereading
from queue_manager.wire.messages import AskResults, Results
from queue_manager.wire.records import DeadLetter, Ended, ResultBlock
from tests.unit.queue_manager.client.runs.test_flow import part

BLOCK = 4


class Master:
    """Blocks of `BLOCK` tasks, one a page; its place is the number of the page.

    ended: the tasks that have. dead: those that have failed. asked: the places of the pages.
    """

    def __init__(self, blocks: int, ended: set[int], dead: set[int]) -> None:
        self.blocks, self.ended, self.dead = blocks, ended, dead
        self.asked: list[int] = []

    async def call_idempotent(self, make: Callable[[int], Any], answer: Any) -> Results:
        ask = make(1)
        assert isinstance(ask, AskResults)
        if not ask.dead:
            self.asked.append(ask.after)
        block = self._block(BLOCK * ask.after + 1, evidence="trace" if ask.dead else "")
        found = block.dead or (block.ended and not ask.dead)
        last = ask.after + 1
        return Results(1, [block] if found else [], last, last == self.blocks)

    def _block(self, first: int, evidence: str) -> ResultBlock:
        tasks = range(first, first + BLOCK)
        ended = [
            Ended(1, first, task - first, task - first + 1, codec.encode_batch([task]))
            for task in tasks
            if task in self.ended
        ]
        dead = [DeadLetter(task, 1, 0, "bad", evidence) for task in tasks if task in self.dead]
        return ResultBlock(first, BLOCK, b"", None, ended, dead, {})


def reading(master: Master) -> Callable[[int], Reread]:
    rereading = Rereading(cast(Session, master), 7)
    return lambda first: asyncio.run(rereading.read(first))


def test_outcomes_are_read_from_a_task_on_page_by_page() -> None:
    read = reading(Master(3, set(range(1, 13)), set()))
    assert read(3) == Reread([part(3, 3), part(4, 4)], 5)
    assert read(5) == Reread([part(n, n) for n in range(5, 9)], 9)
    assert read(9) == Reread([part(n, n) for n in range(9, 13)], NONE_LEFT)
    assert read(13) == Reread([], NONE_LEFT)


def test_a_failure_comes_with_its_evidence() -> None:
    read = reading(Master(2, {1, 2, 4, 5}, {3}))
    letter = DeadLetter(3, 1, 0, "bad", "trace")
    assert read(2) == Reread([part(2, 2), letter, part(4, 4)], 5)


def test_a_page_before_which_all_is_known_is_where_reading_begins() -> None:
    master = Master(50, set(range(1, 201)), set())
    read = reading(master)
    assert read(199).outcomes == [part(199, 199), part(200, 200)]
    assert master.asked == list(range(50))
    master.asked.clear()
    assert read(150).outcomes == [part(150, 150), part(151, 151), part(152, 152)]
    assert master.asked == [37]


def test_tasks_that_have_ended_since_are_found_though_reading_was_behind_them() -> None:
    """The first time, the blocks between had nothing, and their page was passed over."""
    master = Master(10, {1, 2, 37}, set())
    read = reading(master)
    assert read(3) == Reread([part(37, 37)], NONE_LEFT)
    master.ended |= {3, 17, 18}
    assert read(18) == Reread([part(18, 18)], 19)
    assert read(3) == Reread([part(3, 3)], 4)
