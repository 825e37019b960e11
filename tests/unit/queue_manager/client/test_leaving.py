"""What is left of a start and of a map that ended early: by an interrupt, or by their inputs."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

import pytest

from queue_manager.client import asynchronous
from queue_manager.client.answer import Answer
from queue_manager.client.asynchronous import AsyncClient
from queue_manager.client.executor.asking import Asking, Patience
from queue_manager.client.loop_thread import LoopThread, loop_thread
from queue_manager.client.synchronous import Client
from queue_manager.errors import QueueError
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


Interrupt = Callable[..., None]


@pytest.fixture
def interrupt_when(monkeypatch: pytest.MonkeyPatch) -> Interrupt:
    """Has an interrupt come out of the next call in the loop, when something has happened there.

    A real signal may come just before the thread waits, and is not heard then. event: what has
    happened; None: the call has returned.
    """
    thread = loop_thread()
    soon = thread.soon

    def prepare(
        event: threading.Event | None, error: type[BaseException] = KeyboardInterrupt
    ) -> None:
        def interrupted(begin: Any) -> None:
            monkeypatch.undo()
            soon(begin)
            if event is None:
                begin.__self__.wait(60.0)
            else:
                assert event.wait(60.0)
            raise error

        monkeypatch.setattr(thread, "soon", interrupted)

    return prepare


@pytest.mark.parametrize("verb", ["start", "map"])
def test_a_run_with_a_key_is_free_after_ctrl_c_while_it_is_taken_up(
    verb: str, interrupt_when: Interrupt
) -> None:
    master = SilentMaster()
    interrupt_when(master.submitted)
    with pytest.raises(KeyboardInterrupt):
        getattr(client_of(master), verb)("square", [1], key="words")
    assert master.left.wait(60.0), "another program may take the run up"
    assert master.removed == []


def test_a_map_is_removed_after_ctrl_c_while_it_is_taken_up(interrupt_when: Interrupt) -> None:
    master = SilentMaster()
    interrupt_when(master.submitted)
    with pytest.raises(KeyboardInterrupt):
        client_of(master).map("square", [1])
    assert master.forgotten.wait(60.0)
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
    assert master.left.wait(60.0), "another program may take the run up"


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
        async with asyncio.timeout(60.0):
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
        assert master.submitted.wait(60.0)
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        client_of(master).start("square", inputs())
    assert master.left.wait(60.0), "another program may take the run up"


@pytest.mark.parametrize("error", [KeyboardInterrupt, TimeoutError])
def test_an_interrupt_that_comes_while_a_call_begins_cancels_it(
    error: type[BaseException], interrupt_when: Interrupt
) -> None:
    """Also the TimeoutError that the usual handler of `signal.alarm` raises."""
    begun, ended = threading.Event(), threading.Event()

    async def waiting() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    interrupt_when(begun, error)
    with pytest.raises(error):
        loop_thread().call(waiting())
    assert ended.wait(60.0)


class OpenMaster(SilentMaster):
    """Lets programs take runs up, and gives no outcomes."""

    async def call_idempotent(self, make: Callable[[int], Any], answer: Any, _: Any = None) -> Any:
        message = make(1)
        if isinstance(message, OpenRun):
            return RunOpened(1, "job", [], 0, False, 0)
        if isinstance(message, StartRun | CancelRun | ForgetRun):
            return await super().call_idempotent(make, answer)
        return await asyncio.Event().wait()


def test_a_map_is_removed_after_an_interrupt_that_comes_when_it_was_just_taken_up(
    interrupt_when: Interrupt,
) -> None:
    master = OpenMaster()
    interrupt_when(None)
    with pytest.raises(KeyboardInterrupt):
        client_of(master).map("square", [1])
    assert master.forgotten.wait(60.0)
    assert master.removed == [CancelRun, ForgetRun]


def test_a_run_is_free_after_an_interrupt_that_comes_when_it_was_just_taken_up(
    interrupt_when: Interrupt,
) -> None:
    master = OpenMaster()
    interrupt_when(None)
    with pytest.raises(KeyboardInterrupt):
        client_of(master).start("square", [1], key="words")
    assert master.left.wait(60.0), "another program may take the run up"


@pytest.fixture
def alarm() -> Iterator[None]:
    """Has the handler of a signal raise a TimeoutError in a moment, once, as programs do."""
    raised = False

    def handler(number: int, frame: Any) -> None:
        nonlocal raised
        if not raised:
            raised = True
            raise TimeoutError("alarm")

    before = signal.signal(signal.SIGALRM, handler)
    # again and again: one that comes just before the thread waits is heard with the next one
    timer = signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    yield
    signal.setitimer(signal.ITIMER_REAL, *timer)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("alarm")
def test_an_alarm_while_a_session_ends_comes_out_and_the_session_ends_all_the_same() -> None:
    going, ended = asyncio.Event(), threading.Event()

    async def ending() -> None:
        await going.wait()
        ended.set()

    thread = loop_thread()
    with pytest.raises(TimeoutError, match="alarm"):
        thread.finish(ending(), 20.0)
    thread.soon(going.set)
    assert ended.wait(60.0)


@pytest.mark.usefixtures("alarm")
def test_an_alarm_while_a_thread_waits_for_an_answer_about_its_calls_comes_out() -> None:
    with pytest.raises(TimeoutError, match="alarm"):
        Patience().wait(Asking(Answer[None](cast(Any, None))), time.monotonic() + 20.0)


class Others:
    """What another process has: iterators that the child of a fork goes on with."""

    @staticmethod
    def map(client: Client) -> Iterator[Any]:
        return client.map("square", [1])

    @staticmethod
    def iterate(client: Client) -> Iterator[Any]:
        async def never(_: Any) -> AsyncIterator[int]:
            yield 1
            await asyncio.Event().wait()

        items = client._iterate(never)
        assert next(items) == 1
        return items


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (Others.map, "the iterator of this map is of the"),
        (Others.iterate, "this iterator is of the"),
    ],
)
def test_an_iterator_of_the_parent_raises_in_the_child_of_a_fork(
    make: Callable[[Client], Iterator[Any]], line: str
) -> None:
    items = make(client_of(OpenMaster()))
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10)
            try:
                next(items)
            except QueueError as error:
                os._exit(0 if str(error).startswith(line) else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    items.close()  # type: ignore[attr-defined]


def test_nothing_waits_for_a_thread_that_is_in_another_process() -> None:
    thread = LoopThread.__new__(LoopThread)
    thread.pid = os.getpid() + 1
    line = "this is of the process that this one was forked from: make another one here"
    for ask in (
        lambda: thread.call(asyncio.sleep(0)),
        lambda: thread.begin(asyncio.sleep(0)),
        lambda: thread.finish(asyncio.sleep(0), 1.0),
        lambda: thread.soon(print),
    ):
        with pytest.raises(QueueError, match=line):
            ask()
