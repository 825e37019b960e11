"""Answers that are shared: many pages ask the master once, and never get an old answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from master.web.link.recent import MOST_BYTES, YOUNG_S, Recent
from queue_manager.errors import RefusedError
from queue_manager.wire.messages import AskRun, Request, RunShown
from tests.unit.master.web.live.test_rates import Clock, run
from tests.unit.master.web.loops import in_loop


class Asked:
    """A master that counts what it is asked. error: raised in place of an answer."""

    def __init__(self) -> None:
        self.count = 0
        self.error: Exception | None = None

    async def ask(self, make: Callable[[int], Request], answer: type[Any]) -> Any:
        self.count += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return RunShown(1, run(7, self.count))


@in_loop
async def test_who_asks_the_same_at_the_same_time_shares_the_answer() -> None:
    master = Asked()
    recent = Recent(master, Clock())
    found = await asyncio.gather(*(recent.run(7) for _ in range(100)))
    assert {one.done for one in found} == {1}
    assert master.count == 1


@in_loop
async def test_an_answer_is_young() -> None:
    master, clock = Asked(), Clock()
    recent = Recent(master, clock)
    assert (await recent.run(7)).done == 1
    clock.now += YOUNG_S / 2
    assert (await recent.run(7)).done == 1
    clock.now += YOUNG_S
    assert (await recent.run(7)).done == 2
    recent.forget()
    assert (await recent.run(7)).done == 3


@in_loop
async def test_a_refusal_is_not_kept() -> None:
    master = Asked()
    recent = Recent(master, Clock())
    master.error = RefusedError("there is no run 7")
    with pytest.raises(RefusedError, match="no run 7"):
        await recent.run(7)
    master.error = None
    assert (await recent.run(7)).done == 2


@in_loop
async def test_one_visitor_who_goes_takes_the_answer_from_no_other() -> None:
    master = Asked()
    recent = Recent(master, Clock())
    first = asyncio.create_task(recent.run(7))
    second = asyncio.create_task(recent.run(7))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).done == 1


@in_loop
async def test_what_is_kept_is_bounded() -> None:
    recent = Recent(Asked(), Clock())
    for number in range(1_000):
        await recent.get(("run", number), partial(AskRun, run=number), RunShown)
    assert len(recent._kept) == 64


@in_loop
async def test_an_answer_is_kept_no_longer_than_it_is_young() -> None:
    """An answer of 14 MiB that nobody asks for again would stay for ever."""
    recent = Recent(Asked(), Clock(), young_s=0.01)
    await recent.run(7)
    async with asyncio.timeout(60.0):
        while recent._kept:
            await asyncio.sleep(0.001)
    assert not recent._sizes


@in_loop
async def test_large_answers_are_few() -> None:
    class Large(Asked):
        async def ask(self, make: Callable[[int], Request], answer: type[Any]) -> Any:
            shown = await super().ask(make, answer)
            return replace(shown, printed="x" * (MOST_BYTES // 4))

    recent = Recent(Large(), Clock())
    for number in range(10):
        await recent.run(number)
    assert list(recent._kept) == [("run", number) for number in (7, 8, 9)]
    assert sum(recent._sizes.values()) <= MOST_BYTES
