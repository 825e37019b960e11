"""One timer for all tasks of a lease: each is cancelled at its own time, and no other."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from worker.slot import time_limit
from worker.slot.running_lease import RunningTask
from worker.slot.stdio import TaskOutput
from worker.slot.time_limit import TimeLimit


class Tasks:
    """Coroutines under one limit."""

    def __init__(self, limit_s: float) -> None:
        self.running: dict[int, RunningTask] = {}
        self.hung: list[int] = []
        self.ended_at: dict[int, float] = {}
        self.limit = TimeLimit(limit_s, self.running, self._hangs)

    def _hangs(self, running: RunningTask) -> None:
        self.hung.append(running.position)
        del self.running[running.position]

    def begin(self, position: int, work: Callable[[], Awaitable[object]]) -> RunningTask:
        running = RunningTask(position, None, TaskOutput(1, position), time.monotonic())
        self.running[position] = running
        running.task = asyncio.ensure_future(self._one(running, work))
        return running

    async def _one(self, running: RunningTask, work: Callable[[], Awaitable[object]]) -> None:
        self.limit.begin(running)
        try:
            await work()
        finally:
            self.ended_at[running.position] = time.monotonic()
            self.running.pop(running.position, None)


async def _wait(*tasks: RunningTask) -> None:
    await asyncio.wait([one.task for one in tasks if one.task is not None], timeout=20)


def test_tasks_that_end_in_time_share_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Setting and cancelling a timer for each task was a quarter of what a short task costs."""

    async def body() -> None:
        loop, timers = asyncio.get_running_loop(), list[float]()
        call_later = loop.call_later

        def counted(wait_s: float, *how: Any) -> asyncio.TimerHandle:
            timers.append(wait_s)
            return call_later(wait_s, *how)

        monkeypatch.setattr(loop, "call_later", counted)
        tasks = Tasks(60.0)
        for position in range(100):
            await _wait(tasks.begin(position, lambda: asyncio.sleep(0)))
        assert timers.count(60.0) == 1
        assert not any(one.is_late for one in tasks.running.values())

    asyncio.run(body())


def test_each_task_is_cancelled_at_its_own_time() -> None:
    """The timer was set for a task that ended long before."""

    async def body() -> None:
        tasks = Tasks(0.3)
        first = tasks.begin(0, lambda: asyncio.sleep(0.01))
        await asyncio.sleep(0.1)
        second = tasks.begin(1, lambda: asyncio.sleep(60))
        await asyncio.sleep(0.1)
        third = tasks.begin(2, lambda: asyncio.sleep(60))
        await _wait(first, second, third)
        assert (first.is_late, second.is_late, third.is_late) == (False, True, True)
        for one in (second, third):
            assert tasks.ended_at[one.position] - one.begun >= 0.3
        assert tasks.ended_at[2] >= tasks.ended_at[1]
        assert not tasks.hung

    asyncio.run(body())


def test_a_task_that_goes_on_after_it_was_cancelled_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its neighbour, which lets go, does not."""
    monkeypatch.setattr(time_limit, "CANCEL_S", 0.2)
    over = asyncio.Event()

    async def stubborn() -> None:
        while not over.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await over.wait()

    async def body() -> None:
        tasks = Tasks(0.1)
        one = tasks.begin(0, stubborn)
        other = tasks.begin(1, lambda: asyncio.sleep(60))
        until = time.monotonic() + 20
        while not tasks.hung:
            assert time.monotonic() < until
            await asyncio.sleep(0.005)
        assert tasks.hung == [0]
        assert time.monotonic() - one.late_at >= 0.2
        over.set()
        await _wait(one, other)

    asyncio.run(body())


def test_a_task_that_begins_behind_a_late_one_has_the_same_limit() -> None:
    """The timer waited for the end of the late one, which is given 2 s."""

    async def body() -> None:
        tasks = Tasks(0.2)
        await _wait(tasks.begin(0, lambda: asyncio.sleep(60)))
        began = time.monotonic()
        second = tasks.begin(1, lambda: asyncio.sleep(60))
        await _wait(second)
        assert second.is_late
        assert tasks.ended_at[1] - began < 0.9 * time_limit.CANCEL_S

    asyncio.run(body())


def test_a_closed_limit_keeps_nothing_in_memory() -> None:
    async def body() -> None:
        tasks = Tasks(300.0)
        await _wait(tasks.begin(0, lambda: asyncio.sleep(0)))
        kept = weakref.ref(tasks.limit)
        tasks.limit.close()
        del tasks
        gc.collect()
        assert kept() is None

    asyncio.run(body())
