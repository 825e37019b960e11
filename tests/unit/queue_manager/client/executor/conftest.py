"""A master in memory for the calls of an executor."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from queue_manager import codec
from queue_manager.client.code import Packed
from queue_manager.client.connection.session import Session
from queue_manager.client.executor.calls import Calls
from queue_manager.client.executor.completion import Completion
from queue_manager.client.executor.future import QueueFuture
from queue_manager.client.loop_thread import LoopThread
from queue_manager.errors import ConnectionLostError, QueueError
from queue_manager.wire.messages import (
    Accepted,
    AskRun,
    AskStatus,
    AskTask,
    CancelRun,
    Collect,
    ForgetRun,
    Page,
    RunOpened,
    RunShown,
    RunStarted,
    StartRun,
    Status,
    SubmitTasks,
    TasksCancelled,
    TasksEnded,
    TaskShown,
    Welcome,
)
from queue_manager.wire.records import Ended, RunOptions, RunStatus, TaskStatus

PATIENCE_S = 20.0


def eventually(true: Callable[[], Any], what: str) -> None:
    """Wait until something is true."""
    until = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < until, what
        time.sleep(0.002)


def in_a_thread(function: Callable[[], Any]) -> Any:
    """What a function returns in a thread, which is not waited for for ever."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()), daemon=True)
    thread.start()
    thread.join(PATIENCE_S / 2)
    assert found, "it hangs, or has raised"
    return found[0]


class FakeMaster:
    """A session with a master that has one run, number 7.

    hold: it answers no submits, and removes no run. mute: it does not say how tasks are, and
    cancels none. up: it is there; else a request waits until it is. leased: the tasks that workers
    have. ended: the run gets no more. asked: the requests that it has answered.
    """

    def __init__(self, thread: LoopThread) -> None:
        self._thread = thread
        self.welcome = Welcome("1", 10_000)
        self.losses, self.up, self.ended = 0, True, False
        self.hold = self.mute = False
        self.tasks: list[Any] = []
        self.leased: set[int] = set()
        self.cancelled: set[int] = set()
        self.asked: list[Any] = []
        self.pages: asyncio.Queue[Page | Exception] = asyncio.Queue()
        self._number = 0

    # --- for tests, in their thread ---

    def tell(self, page: Page | Exception) -> None:
        """Answer a request for the next page."""
        self._thread.soon(self.pages.put_nowait, page)

    def done(self, first: int, *results: Any, complete: bool = False) -> None:
        """Tasks from number `first` on are done."""
        ended = Ended(1, first, 0, len(results), codec.encode_batch(list(results)))
        self.tell(Page(1, [ended] if results else [], {}, 1, complete))

    def cancel(self, *numbers: int, complete: bool = False) -> None:
        """Tasks were cancelled."""
        self.tell(Page(1, [], {}, 1, complete, cancelled=[(n, n + 1) for n in numbers]))

    # --- the session ---

    async def call_once(self, make: Callable[[int], Any], answer: Any) -> Any:
        if not self.up:
            raise ConnectionLostError("lost")
        message = make(1)
        while self.hold and isinstance(message, SubmitTasks | ForgetRun):
            await asyncio.sleep(0.001)
        while self.mute and isinstance(message, CancelRun | AskTask):
            await asyncio.sleep(0.001)
        self.asked.append(message)
        return await self._answer(message)

    async def call_idempotent(
        self, make: Callable[[int], Any], answer: Any, again: Any = None
    ) -> Any:
        while not self.up:
            await asyncio.sleep(0.001)
        if again is not None:
            await again()
        return await self.call_once(make, answer)

    async def come_back(self) -> None:
        while not self.up:
            await asyncio.sleep(0.001)

    async def _answer(self, message: Any) -> Any:
        if isinstance(message, StartRun):
            return RunStarted(1, 7, True)
        if isinstance(message, SubmitTasks):
            for block in message.blocks:
                self.tasks += codec.decode_batch(block.body)
            return Accepted(1, 1)
        if isinstance(message, CancelRun):
            return TasksCancelled(1, self._cancel(message))
        if isinstance(message, AskRun):
            why = ["no worker is connected"]
            status = RunStatus(7, "job", [], "active", 1, 1, 0, 0, 0, 0, False, 0, 1.0, None, why)
            return RunShown(1, status)
        if isinstance(message, AskStatus):
            return Status(1, "1", "here:1", 9.0, 0, [], 1, 0, 1)
        if isinstance(message, AskTask):
            state = "leased" if message.task in self.leased else "waiting"
            return TaskShown(1, TaskStatus(7, "job", message.task, state, b"", 0))
        if isinstance(message, Collect):
            page = await self.pages.get()
            if isinstance(page, Exception):
                raise page
            return page
        if isinstance(message, TasksEnded):
            self.ended = True
            self.pages.put_nowait(Page(1, [], {}, 1, not self.leased))
            return Accepted(1, 0)
        if type(message).__name__ == "OpenRun":
            return RunOpened(1, "job", [], len(self.tasks), False, 0)
        return Accepted(1, 0)

    def _cancel(self, message: CancelRun) -> list[tuple[int, int]]:
        wanted = {n for a, b in message.tasks for n in range(a, b)}
        if message.unstarted:
            wanted = set(range(1, len(self.tasks) + 1))
        gone = wanted & set(range(1, len(self.tasks) + 1)) - self.leased - self.cancelled
        self.cancelled |= gone
        if gone:
            ranges = [(n, n + 1) for n in sorted(gone)]
            self.pages.put_nowait(Page(1, [], {}, 1, False, cancelled=ranges))
        return [(n, n + 1) for n in sorted(gone)]


class Scene:
    """The calls of one run, with a master in memory."""

    def __init__(self) -> None:
        self.thread = LoopThread()
        self.master = FakeMaster(self.thread)
        self.completion = Completion()
        self.completion.start()
        self.ended: list[QueueError | None] = []
        self._over = threading.Event()
        packed = Packed("job", "v", {}, RunOptions())
        session = cast(Session, self.master)
        self.calls = Calls(self.thread, session, packed, self.completion, self._end)
        self.calls.begin()

    def _end(self, calls: Calls, error: QueueError | None) -> None:
        self.ended.append(error)
        self.completion.end()
        self._over.set()

    def submit(self, payload: Any = 0) -> QueueFuture:
        """A call."""
        future = QueueFuture(self.calls)
        self.calls.submit(future, payload)
        return future

    def accepted(self, count: int) -> list[QueueFuture]:
        """Calls that the master has."""
        futures = [self.submit(n) for n in range(count)]
        feed = self.calls._feed
        eventually(lambda: feed and feed.accepted >= count, "the master has them")
        return futures

    def wait_end(self) -> None:
        """Wait until nothing more comes, and all futures are done."""
        assert self._over.wait(PATIENCE_S), "the run goes on"
        self.completion.join()

    def close(self) -> None:
        """End everything."""
        self.calls.abandon(QueueError("the test is over"))
        self.wait_end()
        self.thread.soon(self.thread.loop.stop)
        self.thread._thread.join(PATIENCE_S)
        self.thread.loop.close()


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Calls, whose run has begun."""
    made = Scene()
    eventually(lambda: made.calls._feed is not None, "the run has begun")
    yield made
    made.close()
