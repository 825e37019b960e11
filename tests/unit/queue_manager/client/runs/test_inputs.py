"""Inputs that come by themselves, beside results that are here already."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, cast

import pytest

from queue_manager.client.asynchronous import AsyncClient
from queue_manager.client.runs import inputs as inputs_module
from queue_manager.client.runs.feeding import Feed
from queue_manager.client.runs.flow import Delivery, Flow
from queue_manager.client.runs.inputs import each_of
from queue_manager.client.runs.mapping import Mapping
from tests.unit.queue_manager.client.runs.test_flow import FakeFeed, part


class OldRun:
    """A run of 20 tasks that has ended. Its results come when the map is begun."""

    def __init__(self) -> None:
        self.over, self.told_bytes = False, 0

    async def begin(
        self, start: Any, key: Any, deliver: Callable[[Delivery], None], how: dict[str, Any]
    ) -> tuple[Mapping, Flow]:
        deliver([part(13, *range(12, 20)), part(1, *range(12))])
        deliver(None)
        return cast(Mapping, self), Flow(cast(Feed, FakeFeed()), 20, **how)

    def took(self, size_bytes: int) -> None:
        self.told_bytes += size_bytes

    def end_inputs(self) -> None:
        pass

    async def finish(self) -> None:
        self.over = True

    abandon = finish


async def slow(count: int) -> AsyncIterator[int]:
    for number in range(count):
        await asyncio.sleep(0)
        yield number


def mapped(*iterables: Any, ordered: bool = True) -> list[Any]:
    async def scene() -> list[Any]:
        client = AsyncClient()
        client.begin_map = old.begin  # type: ignore[method-assign]
        found = [value async for value in client.map("square", *iterables, ordered=ordered)]
        await client.close()
        return found

    old = OldRun()
    found = asyncio.run(asyncio.wait_for(scene(), 60.0))
    assert old.over
    assert old.told_bytes == 0, "results that wait for inputs hold further pages back"
    return found


@pytest.mark.parametrize("ordered", [True, False])
def test_a_map_over_slow_inputs_gives_one_result_of_an_old_run_for_each(ordered: bool) -> None:
    assert mapped(slow(5), ordered=ordered) == [0, 1, 2, 3, 4]
    assert mapped(slow(0), ordered=ordered) == []
    assert mapped(range(5), ordered=ordered) == [0, 1, 2, 3, 4]


def test_each_input_that_comes_wakes_whoever_gives_out_its_result() -> None:
    """The next input may come of the result before."""

    async def scene() -> None:
        results: asyncio.Queue[int] = asyncio.Queue()

        async def inputs() -> AsyncIterator[int]:
            yield 0
            while (last := await results.get()) < 3:
                yield last + 1

        client = AsyncClient()
        client.begin_map = OldRun().begin  # type: ignore[method-assign]
        found = []
        async for value in client.map("square", inputs()):
            found.append(value)
            results.put_nowait(value)
        await client.close()
        assert found == [0, 1, 2, 3]

    asyncio.run(asyncio.wait_for(scene(), 60.0))


class PagedRun(OldRun):
    """The result of its second task comes first, and the other one when that was told as taken."""

    async def begin(
        self, start: Any, key: Any, deliver: Callable[[Delivery], None], how: dict[str, Any]
    ) -> tuple[Mapping, Flow]:
        self.deliver = deliver
        deliver([part(2, 1)])
        return cast(Mapping, self), Flow(cast(Feed, FakeFeed()), 2, **how)

    def took(self, size_bytes: int) -> None:
        super().took(size_bytes)
        if size_bytes and self.told_bytes == size_bytes:
            self.deliver([part(1, 0)])
            self.deliver(None)


def test_an_input_whose_result_is_not_here_has_further_pages_asked_for() -> None:
    """No other input is read before that result: the buffer has room for one."""

    async def scene() -> None:
        client = AsyncClient()
        client.begin_map = PagedRun().begin  # type: ignore[method-assign]
        values = client.map("square", slow(2), ordered=False, buffer=1)
        assert [value async for value in values] == [0, 1]
        await client.close()

    asyncio.run(asyncio.wait_for(scene(), 60.0))


def test_one_of_several_iterables_may_come_by_itself() -> None:
    assert mapped(slow(3), range(9)) == [0, 1, 2]
    assert mapped(range(2), slow(9)) == [0, 1]

    async def given(*iterables: Any) -> list[Any]:
        return [one async for one in each_of(iterables)]

    assert asyncio.run(given(slow(9), "abc")) == [(0, "a"), (1, "b"), (2, "c")]
    assert asyncio.run(given("abc", slow(2))) == [("a", 0), ("b", 1)]


def test_the_end_of_the_program_in_slow_inputs_comes_behind_the_results_before() -> None:
    async def ending() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise SystemExit(3)

    found: list[Any] = []

    async def scene() -> None:
        client = AsyncClient()
        client.begin_map = OldRun().begin  # type: ignore[method-assign]
        values = client.map("square", ending())
        found.extend([await anext(values), await anext(values)])
        with pytest.raises(SystemExit):
            await anext(values)
        await client.close()

    asyncio.run(asyncio.wait_for(scene(), 60.0))
    assert found == [0, 1]


def given_first(inputs: AsyncIterator[int]) -> AsyncGenerator[int, None]:
    client = AsyncClient()
    client.begin_map = OldRun().begin  # type: ignore[method-assign]
    return client.map("square", inputs)


def test_an_input_that_catches_its_cancellation_is_read_no_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inputs_module, "CLOSE_S", 3_600.0)
    ends: list[str] = []

    async def inputs() -> AsyncIterator[int]:
        try:
            yield 1
            for _ in range(2):  # so that the loop of a failed test ends
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
                yield 2
        finally:
            ends.append("closed")

    async def scene() -> None:
        values = given_first(inputs())
        assert await anext(values) == 0
        await values.aclose()
        assert ends == ["closed"]

    asyncio.run(asyncio.wait_for(scene(), 60.0))


def test_an_input_whose_tasks_fail_in_a_group_goes_on() -> None:
    """Python 3.11 leaves `cancelling()` at 1 behind such a group, though nobody has cancelled."""

    async def fails() -> None:
        raise OSError("no such page")

    async def inputs() -> AsyncIterator[int]:
        for number in range(3):
            with contextlib.suppress(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(fails())
            yield number

    assert mapped(inputs()) == [0, 1, 2]


def test_an_input_that_nobody_can_cancel_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(inputs_module, "CLOSE_S", 0.01)

    async def inputs(over: asyncio.Event) -> AsyncIterator[int]:
        yield 1
        for _ in range(2):
            with contextlib.suppress(asyncio.CancelledError):
                await over.wait()

    async def scene() -> None:
        over = asyncio.Event()
        values = given_first(inputs(over))
        assert await anext(values) == 0
        await values.aclose()
        assert "goes on though the map is over: it catches CancelledError" in caplog.text
        over.set()

    asyncio.run(asyncio.wait_for(scene(), 60.0))
