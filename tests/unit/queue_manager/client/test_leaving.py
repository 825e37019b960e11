"""What is left of a start and of a map that ended early: by an interrupt, or by their inputs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, cast

import pytest

from queue_manager.client import asynchronous
from queue_manager.client.asynchronous import AsyncClient
from queue_manager.client.loop_thread import loop_thread
from queue_manager.wire.messages import (
    Accepted,
    CancelRun,
    ForgetRun,
    OpenRun,
    RunOpened,
    RunStarted,
    StartRun,
    SubmitTasks,
)
from tests.unit.queue_manager.client.test_faces import FullMaster, client_of


class SilentMaster(FullMaster):
    """Begins runs, and lets no program take one up."""

    def __init__(self) -> None:
        super().__init__()
        self.removed: list[type] = []
        self.forgotten = threading.Event()

    async def call_idempotent(self, make: Callable[[int], Any], answer: Any) -> Any:
        message = make(1)
        if isinstance(message, StartRun):
            return RunStarted(1, 7, True)
        if isinstance(message, OpenRun):
            self.submitted.set()
            await asyncio.Event().wait()
        self.removed.append(type(message))
        if isinstance(message, ForgetRun):
            self.forgotten.set()
        return Accepted(1, 0)


Interrupt = Callable[[threading.Event], None]


@pytest.fixture
def interrupt_when(monkeypatch: pytest.MonkeyPatch) -> Interrupt:
    """Has an interrupt come out of the next call in the loop, when something has happened there.

    A real signal may come just before the thread waits, and is not heard then.
    """
    thread = loop_thread()
    begin = thread.begin

    def prepare(event: threading.Event) -> None:
        def interrupted(coroutine: Coroutine[Any, Any, Any]) -> None:
            begin(coroutine)
            assert event.wait(10.0)
            raise KeyboardInterrupt

        monkeypatch.setattr(thread, "begin", interrupted)

    return prepare


@pytest.mark.parametrize("verb", ["start", "map"])
def test_a_run_with_a_key_is_free_after_ctrl_c_while_it_is_taken_up(
    verb: str, interrupt_when: Interrupt
) -> None:
    master = SilentMaster()
    interrupt_when(master.submitted)
    with pytest.raises(KeyboardInterrupt):
        getattr(client_of(master), verb)("square", [1], key="words")
    assert master.left.wait(10.0), "another program may take the run up"
    assert master.removed == []


def test_a_map_is_removed_after_ctrl_c_while_it_is_taken_up(interrupt_when: Interrupt) -> None:
    master = SilentMaster()
    interrupt_when(master.submitted)
    with pytest.raises(KeyboardInterrupt):
        client_of(master).map("square", [1])
    assert master.forgotten.wait(10.0)
    assert master.removed == [CancelRun, ForgetRun]


class TakingMaster(FullMaster):
    """Takes all tasks. accepted: how many."""

    accepted = 0

    async def call_idempotent(self, make: Callable[[int], Any], answer: Any) -> RunOpened:
        return RunOpened(1, "job", [], 0, False, 0)

    async def call_once(self, make: Callable[[int], Any], answer: Any) -> Any:
        message = make(1)
        assert isinstance(message, SubmitTasks)
        for _ in range(100):  # a feed that is closed meanwhile has not given them
            await asyncio.sleep(0)
        count = sum(block.count for block in message.blocks)
        self.accepted += count
        return Accepted(1, count)


ENDS = [SystemExit(3), ValueError("odd")]


@pytest.mark.parametrize("ends", ENDS)
def test_what_ends_the_inputs_of_a_start_leaves_those_before(ends: BaseException) -> None:
    def inputs() -> Iterator[int]:
        yield from range(5)
        raise ends

    master = TakingMaster()
    with pytest.raises(type(ends)):
        client_of(master).start("square", inputs())
    assert master.accepted == 5
    assert master.left.wait(10.0), "another program may take the run up"


@pytest.mark.parametrize("ends", ENDS)
def test_what_ends_the_inputs_of_a_start_with_a_loop_leaves_those_before(
    ends: BaseException,
) -> None:
    async def inputs() -> AsyncIterator[int]:
        for number in range(5):
            yield number
        raise ends

    master = TakingMaster()

    async def scene() -> None:
        client = AsyncClient()
        client.session = cast(Any, master)
        async with asyncio.timeout(10.0):
            await client.start("square", inputs())

    with pytest.raises(type(ends)):
        asyncio.run(scene())
    assert master.accepted == 5
    assert master.left.is_set(), "another program may take the run up"


def test_an_exit_while_the_master_takes_no_more_does_not_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As `sys.exit` in the handler of a SIGTERM."""
    monkeypatch.setattr(asynchronous, "GOODBYE_S", 0.01)
    master = FullMaster()

    def inputs() -> Iterator[int]:
        yield 1
        assert master.submitted.wait(10.0)
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        client_of(master).start("square", inputs())
    assert master.left.wait(10.0), "another program may take the run up"


def test_an_interrupt_that_comes_while_a_call_begins_cancels_it(interrupt_when: Interrupt) -> None:
    begun, ended = threading.Event(), threading.Event()

    async def waiting() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    interrupt_when(begun)
    with pytest.raises(KeyboardInterrupt):
        loop_thread().call(waiting())
    assert ended.wait(10.0)
