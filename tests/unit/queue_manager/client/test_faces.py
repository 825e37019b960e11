"""The two faces of the client: the same verbs, what an interrupt ends, and no polling."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import os
import signal
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any, cast

import pytest

from queue_manager.client import asynchronous
from queue_manager.client.asynchronous import AsyncClient
from queue_manager.client.connection.holders import Holders
from queue_manager.client.loop_thread import loop_thread
from queue_manager.client.own_session import OwnSession
from queue_manager.client.runs.async_run import AsyncRun
from queue_manager.client.runs.feeding import Feed
from queue_manager.client.runs.flow import Flow
from queue_manager.client.runs.inputs import Mailbox, pump
from queue_manager.client.runs.run import Run
from queue_manager.client.synchronous import Client
from queue_manager.errors import ArgumentError, ConnectionLostError, NotPlainDataError
from queue_manager.wire.messages import (
    Collected,
    OpenRun,
    RunOpened,
    RunStarted,
    StartRun,
    Welcome,
)
from queue_manager.wire.records import NOBODY_COLLECTS

ONE_FACE_ALONE = {"executor"}
"""An executor of `concurrent.futures` blocks: programs with a loop pass it to `run_in_executor`."""


def verbs(face: type) -> dict[str, list[tuple[str, Any, Any]]]:
    """The public methods of a class, with their parameters: names, kinds, defaults."""
    return {
        name: [(p.name, p.kind, p.default) for p in inspect.signature(method).parameters.values()]
        for name, method in inspect.getmembers(face, inspect.isfunction)
        if not name.startswith("_")
    }


OWN = {"open", "begin_map", "feeding", "followed", "later"}
"""What the synchronous client needs of the asynchronous one, and no program."""


@pytest.mark.parametrize(("plain", "with_a_loop"), [(Client, AsyncClient), (Run, AsyncRun)])
def test_both_faces_have_the_same_verbs_with_the_same_parameters(
    plain: type, with_a_loop: type
) -> None:
    left, right = verbs(plain), verbs(with_a_loop)
    assert left.keys() - ONE_FACE_ALONE == right.keys() - OWN
    for name in left.keys() - ONE_FACE_ALONE:
        assert left[name] == right[name], name


class FullMaster:
    """Begins runs, and answers no submit: too many tasks wait for workers."""

    welcome = Welcome("1", 1)
    losses = 0

    def __init__(self) -> None:
        self.submitted = threading.Event()
        self.left = threading.Event()
        self.holders = Holders()

    async def call(self, make: Callable[..., StartRun], answer: Any, what: str) -> RunStarted:
        return RunStarted(1, 7, True)

    async def call_idempotent(self, make: Callable[[int], Any], answer: Any) -> RunOpened:
        assert isinstance(make(1), OpenRun)
        return RunOpened(1, "job", [], 0, False, 0)

    async def call_once(self, make: Callable[[int], Any], answer: Any) -> Any:
        self.submitted.set()
        await asyncio.Event().wait()

    def send(self, message: Any) -> None:
        assert message == Collected(7, NOBODY_COLLECTS)
        self.left.set()


def client_of(master: FullMaster) -> Client:
    client = Client.__new__(Client)
    face = AsyncClient()
    face.session = cast(Any, master)
    client._own = own = OwnSession.__new__(OwnSession)
    own._own = loop_thread(), face
    return client


def interrupt_when(event: threading.Event) -> None:
    assert event.wait(60.0)
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("inputs", [range(3), itertools.count()])
def test_ctrl_c_ends_a_start_at_once_while_the_master_takes_no_more(inputs: Any) -> None:
    """Whether it waits for room, or for all inputs to be on disk."""
    master = FullMaster()
    threading.Thread(target=interrupt_when, args=[master.submitted], daemon=True).start()
    since = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        client_of(master).start("square", inputs)
    assert time.monotonic() - since < 5.0
    assert master.left.wait(60.0), "another program may take the run up"


def test_an_interrupt_in_the_inputs_of_a_start_comes_out_at_once() -> None:
    master = FullMaster()

    def inputs() -> Iterator[int]:
        yield 1
        assert master.submitted.wait(60.0)
        raise KeyboardInterrupt

    answers: list[BaseException] = []

    def started() -> None:
        try:
            client_of(master).start("square", inputs())
        except KeyboardInterrupt as error:
            answers.append(error)

    thread = threading.Thread(target=started, daemon=True)
    thread.start()
    thread.join(60.0)
    assert answers


class CountingFlow:
    """Has no room until somebody makes some. looks: how often it was asked."""

    over = ready = short = False

    def __init__(self) -> None:
        self.looks, self.room = 0, False
        self.given: list[int] = []

    @property
    def roomy(self) -> bool:
        self.looks += 1
        return self.room

    def put(self, item: int) -> None:
        self.given.append(item)


def test_an_asynchronous_input_waits_for_room_without_polling() -> None:
    async def inputs() -> AsyncIterator[int]:
        yield 1

    async def scene() -> None:
        flow, mailbox = CountingFlow(), Mailbox()
        pumping = asyncio.create_task(pump(cast(Flow, flow), inputs(), mailbox))
        await asyncio.sleep(10 * asynchronous.SLICE_S)
        assert (flow.looks, flow.given) == (1, [])
        flow.room = True
        mailbox.put([])
        await pumping
        assert flow.given == [1]

    asyncio.run(asyncio.wait_for(scene(), 60.0))


class TakingFeed:
    """Takes every input."""

    room = True

    def __init__(self) -> None:
        self.taken: list[int] = []

    def add(self, item: int) -> None:
        self.taken.append(item)


class IdleMapping:
    """A map whose tasks never end."""

    over = False

    def took(self, size_bytes: int) -> None:
        pass

    async def abandon(self) -> None:
        self.over = True


def mapped(inputs: AsyncIterator[int]) -> tuple[AsyncGenerator[int, None], TakingFeed]:
    """A map over inputs, one of which is read ahead."""
    client, feed = AsyncClient(), TakingFeed()

    async def begin_map(*_: Any) -> Any:
        return IdleMapping(), Flow(cast(Feed, feed), 0, buffer=1)

    client.begin_map = begin_map  # type: ignore[method-assign]
    return client.map("square", inputs), feed


def test_an_asynchronous_input_that_is_cancelled_ends_the_map() -> None:
    """A task that it awaits may have been cancelled. The map itself was not."""

    async def inputs() -> AsyncIterator[int]:
        raise asyncio.CancelledError("of the inputs")
        yield 1

    async def scene() -> None:
        given, _ = mapped(inputs())
        with pytest.raises(asyncio.CancelledError, match="of the inputs"):
            await anext(given)

    asyncio.run(asyncio.wait_for(scene(), 60.0))


def test_a_map_that_is_closed_early_closes_its_asynchronous_input_first() -> None:
    ends: list[str] = []

    async def inputs() -> AsyncIterator[int]:
        try:
            for number in itertools.count():
                yield number
        finally:
            await asyncio.sleep(0)
            ends.append("closed")

    async def scene() -> None:
        given, feed = mapped(inputs())
        reading = asyncio.ensure_future(anext(given))
        while not feed.taken:
            await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert ends == ["closed"]

    asyncio.run(asyncio.wait_for(scene(), 60.0))


def test_a_start_that_fails_closes_its_asynchronous_input() -> None:
    ends: list[str] = []

    async def inputs() -> AsyncIterator[Any]:
        try:
            yield object()
        finally:
            ends.append("closed")

    async def scene() -> None:
        client = AsyncClient()
        client.session = cast(Any, FullMaster())
        held = inputs()
        with pytest.raises(NotPlainDataError):
            await client.start("square", held)
        assert ends == ["closed"]

    asyncio.run(asyncio.wait_for(scene(), 60.0))


def test_a_closed_client_stays_closed_in_the_child_of_a_fork() -> None:
    client: Any = Client.__new__(Client)
    client._own = own = OwnSession(*cast(Any, [None] * 4))
    assert own.shut()
    own.forked()
    with pytest.raises(ConnectionLostError, match="the client was closed"):
        client.status()


def test_a_function_is_no_job_to_submit() -> None:
    line = "submit takes the name of a job of the master; for a function use start, map or executor"
    with pytest.raises(ArgumentError, match=line):
        client_of(FullMaster()).submit(cast(Any, abs))


def test_an_executor_looks_at_its_options_before_its_first_call() -> None:
    line = r"options={'attempts': 3} are no options of tasks: pass Options\(\.\.\.\)"
    with pytest.raises(ArgumentError, match=line):
        client_of(FullMaster()).executor(cast(Any, {"attempts": 3}))
