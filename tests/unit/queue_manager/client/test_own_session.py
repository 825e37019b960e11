"""The session of a process: opened once for all threads, and closed at any moment."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, cast

import pytest

from queue_manager.client import own_session as module
from queue_manager.client.own_session import OwnSession
from queue_manager.errors import ConnectionLostError, UnreachableError

PATIENCE_S = 10.0

pytestmark = pytest.mark.timeout(60)


class Face:
    """Stands for the client with a loop. made: all of them. opened: is called by each `open`."""

    made: ClassVar[list[Face]]
    opened: Callable[[], Any]

    def __init__(self) -> None:
        self.made.append(self)
        self.closed = threading.Event()
        self.begun = threading.Event()
        self.left = threading.Event()

    async def open(self, *_: Any) -> None:
        self.begun.set()
        try:
            await type(self).opened()
        finally:
            self.left.set()

    async def close(self) -> None:
        self.closed.set()


@pytest.fixture
def faces(monkeypatch: pytest.MonkeyPatch) -> type[Face]:
    """Those of the test, whose master answers at once."""

    class Faces(Face):
        made: ClassVar[list[Face]] = []

        @staticmethod
        async def opened() -> None:
            await asyncio.sleep(0)

    monkeypatch.setattr(module, "AsyncClient", Faces)
    return Faces


@pytest.fixture
def own() -> OwnSession:
    return OwnSession(*cast(Any, [None] * 4))


async def never() -> None:
    await asyncio.Event().wait()


def test_threads_wait_for_one_session(faces: type[Face], own: OwnSession) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = {pool.submit(own.here) for _ in range(8)}
    assert len({future.result() for future in found}) == 1
    assert len(faces.made) == 1


def test_a_session_that_could_not_be_opened_is_tried_again(
    faces: type[Face], own: OwnSession
) -> None:
    async def away() -> None:
        raise UnreachableError("no master")

    answers, faces.opened = faces.opened, away
    for _ in range(2):
        with pytest.raises(UnreachableError):
            own.here()
    faces.opened = answers
    assert own.here()[1] is cast(Any, faces.made[2])


@pytest.fixture
def on_signal() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Has a handler of a signal do something in a moment, in the main thread."""

    def prepare(act: Callable[[], None]) -> None:
        signal.signal(signal.SIGALRM, lambda *_: act())
        signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)

    before = signal.getsignal(signal.SIGALRM)
    timer = signal.getitimer(signal.ITIMER_REAL)
    yield prepare
    signal.setitimer(signal.ITIMER_REAL, *timer)
    signal.signal(signal.SIGALRM, before)


def test_a_handler_that_closes_ends_the_wait_of_the_thread_that_it_has_interrupted(
    faces: type[Face], own: OwnSession, on_signal: Callable[[Callable[[], None]], None]
) -> None:
    faces.opened = never

    def close() -> None:
        if own.shut():
            own.end(PATIENCE_S)

    on_signal(close)
    with pytest.raises(ConnectionLostError, match="the client was closed"):
        own.here()
    assert faces.made[0].left.wait(PATIENCE_S)


def test_a_handler_may_close_in_the_thread_that_has_the_lock(own: OwnSession) -> None:
    with own._lock:
        assert own.shut()
    with pytest.raises(ConnectionLostError, match="the client was closed"):
        own.here()


def test_a_session_that_is_opened_while_it_is_closed_is_closed(
    faces: type[Face], own: OwnSession
) -> None:
    async def closed_meanwhile() -> None:
        own.shut()

    faces.opened = closed_meanwhile
    with pytest.raises(ConnectionLostError, match="the client was closed"):
        own.here()
    assert faces.made[0].closed.is_set()


def test_an_interrupt_while_a_client_is_made_leaves_no_session(
    faces: type[Face], own: OwnSession, on_signal: Callable[[Callable[[], None]], None]
) -> None:
    """The handler of an alarm often raises a TimeoutError."""
    faces.opened = never
    raised = []

    def alarm() -> None:
        if not raised:
            raised.append(True)
            raise TimeoutError("alarm")

    on_signal(alarm)
    with pytest.raises(TimeoutError, match="alarm"):
        own.open()
    assert faces.made[0].left.wait(PATIENCE_S)


def test_an_interrupt_that_comes_when_a_client_was_just_made_leaves_no_session(
    faces: type[Face], own: OwnSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = own.here

    def interrupted() -> None:
        here()
        raise KeyboardInterrupt

    monkeypatch.setattr(own, "here", interrupted)
    with pytest.raises(KeyboardInterrupt):
        own.open()
    assert faces.made[0].closed.wait(PATIENCE_S)


def test_the_child_of_a_fork_opens_a_session_of_its_own(faces: type[Face], own: OwnSession) -> None:
    _, parents = own.here()
    left: list[bool] = []
    cast(Any, parents).session = type("Left", (), {"abandon": lambda _: left.append(True)})()
    own.forked()
    assert left == [True]
    assert own.here()[1] is not parents
    own.shut()
    own.end(PATIENCE_S)
    assert [face.closed.is_set() for face in faces.made] == [False, True]
