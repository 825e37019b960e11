"""An interrupt in the worst moments: nothing hangs behind it, and no run is left."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from types import CodeType, FrameType
from typing import Any, cast

import pytest

from queue_manager.client.asynchronous import AsyncClient
from queue_manager.client.executor.calls import Calls
from queue_manager.client.executor.future import QueueFuture
from queue_manager.client.loop_thread import LoopThread
from queue_manager.client.runs.feeding import Feed
from queue_manager.client.synchronous import _Items
from queue_manager.wire.messages import CancelRun, ForgetRun, StartRun
from tests.unit.queue_manager.client.executor.conftest import Scene, eventually
from tests.unit.queue_manager.client.executor.test_executor import Desk
from tests.unit.queue_manager.client.test_leaving import SilentMaster

pytestmark = pytest.mark.timeout(60)


class Interrupted:
    """An interrupt at the call, or the return, of a function that another one has called."""

    def __init__(self, code: CodeType, caller: str, event: str = "call") -> None:
        self._code, self._caller, self._event = code, caller, event
        self.came = False

    def __enter__(self) -> Interrupted:
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *error: object) -> None:
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        back = frame.f_back
        if self.came or frame.f_code is not self._code or back is None:
            return None
        if back.f_code.co_name != self._caller:
            return None
        if event == self._event:
            self.came = True
            sys.settrace(None)
            raise KeyboardInterrupt
        return self._trace


def take(future: QueueFuture) -> None:
    future.result(0.001)


ENTER = cast(Any, threading.Condition.__enter__).__code__


def test_an_interrupt_leaves_no_lock_that_the_loop_waits_for() -> None:
    thread = LoopThread()

    async def number() -> int:
        return 5

    with Interrupted(ENTER, "result", "return") as interrupted:
        assert thread.call(number()) == 5
    assert not interrupted.came, "there is no such moment"
    assert thread.call(number()) == 5
    thread.soon(thread.loop.stop)


def test_an_interrupt_leaves_no_future_locked() -> None:
    future = QueueFuture(cast(Any, None))
    with Interrupted(ENTER, "result", "return") as interrupted, pytest.raises(TimeoutError):
        take(future)
    assert not interrupted.came, "there is no such moment"
    threading.Thread(target=future.end, args=[5], daemon=True).start()
    assert future.result(20.0) == 5


def test_a_future_that_somebody_has_locked_does_not_hold_up_the_loop() -> None:
    future = QueueFuture(cast(Any, None))
    future.number = 1
    done = threading.Event()

    def begun() -> None:
        future.has_begun()
        done.set()

    with future._condition:
        threading.Thread(target=begun, daemon=True).start()
        assert done.wait(20.0)


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    eventually(lambda: made.calls._feed is not None, "the run has begun")
    yield made
    made.close()


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.close()


SOON = LoopThread.soon.__code__


def test_calls_behind_an_interrupted_submit_are_made(scene: Scene) -> None:
    with Interrupted(SOON, Calls.submit.__name__) as interrupted, pytest.raises(KeyboardInterrupt):
        scene.submit(1)
    assert interrupted.came
    scene.submit(2)
    eventually(lambda: scene.master.tasks == [1, 2], "both are made")


def test_inputs_behind_an_interrupted_one_are_sent(scene: Scene) -> None:
    feed = scene.calls._feed
    assert isinstance(feed, Feed)
    threadsafe = asyncio.BaseEventLoop.call_soon_threadsafe.__code__
    with Interrupted(threadsafe, "add") as interrupted, pytest.raises(KeyboardInterrupt):
        feed.add(1)
    assert interrupted.came
    feed.add(2)
    eventually(lambda: scene.master.tasks == [1, 2], "both are sent")


START = threading.Thread.start.__code__


def test_an_interrupt_while_the_thread_of_an_executor_starts_ends_it(desk: Desk) -> None:
    before = set(threading.enumerate())
    with Interrupted(START, "start", "return") as interrupted, pytest.raises(KeyboardInterrupt):
        desk.executor.submit(abs, -1)
    assert interrupted.came
    eventually(lambda: set(threading.enumerate()) <= before, "the thread has ended")
    desk.executor.submit(abs, -2)
    eventually(lambda: desk.master.tasks, "the next call is made")


@pytest.mark.parametrize("event", ["call", "return"])
def test_an_interrupt_while_the_run_of_an_executor_begins_ends_that_run(
    desk: Desk, event: str
) -> None:
    with Interrupted(SOON, "begin", event) as interrupted, pytest.raises(KeyboardInterrupt):
        desk.executor.submit(abs, -1)
    assert interrupted.came
    if event == "return":
        asked = desk.master.asked
        eventually(lambda: any(isinstance(one, ForgetRun) for one in asked), "it is removed")
    desk.executor.submit(abs, -2)
    eventually(lambda: desk.master.tasks, "the executor goes on")


class SlowMaster(SilentMaster):
    """Takes its time to begin a run."""

    up = True

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.going = asyncio.Event(), asyncio.Event()

    async def call_idempotent(self, make: Callable[[int], Any], answer: Any) -> Any:
        if isinstance(make(1), StartRun):
            self.asked.set()
            await self.going.wait()
        return await super().call_idempotent(make, answer)


def test_a_map_that_is_cancelled_while_its_run_begins_is_removed() -> None:
    async def scene() -> SlowMaster:
        master = SlowMaster()
        client = AsyncClient()
        client.session = cast(Any, master)
        mapping = asyncio.create_task(anext(client.map("square", [1])))
        await master.asked.wait()
        mapping.cancel()
        await asyncio.wait([mapping])
        master.going.set()
        async with asyncio.timeout(20.0):
            while client._after:
                await asyncio.sleep(0)
        return master

    assert asyncio.run(scene()).removed == [CancelRun, ForgetRun]


def test_an_iterator_is_closed_when_its_interrupted_turn_has_ended() -> None:
    closed: list[bool] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    async def scene() -> None:
        items = _Items(numbers())
        assert await items.next() == 1
        turn = asyncio.create_task(items.next())
        await asyncio.sleep(0)
        turn.cancel()
        await items.close()

    asyncio.run(scene())
    assert closed == [True]
