"""What a program may do in the middle of a call of its executor, with a master in memory."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest

from queue_manager.client.executor import executor as executor_module
from queue_manager.client.executor.broken import BrokenQueueError
from queue_manager.client.executor.executor import QueueExecutor
from queue_manager.client.loop_thread import LoopThread
from queue_manager.client.synchronous import Client
from queue_manager.errors import QueueError
from tests.unit.queue_manager.client.executor.conftest import (
    PATIENCE_S,
    FakeMaster,
    eventually,
    in_a_thread,
)

pytestmark = pytest.mark.timeout(60)


class Desk:
    """An executor whose client has a master in memory."""

    def __init__(self) -> None:
        self.thread = LoopThread()
        self.master = FakeMaster(self.thread)
        face = SimpleNamespace(session=self.master)
        client = SimpleNamespace(_calling=weakref.WeakSet(), _here=lambda: (self.thread, face))
        self.executor = QueueExecutor(cast(Client, client))

    def close(self) -> None:
        self.executor._core._abandon(QueueError("the test is over"))
        self.executor._core.join()
        self.thread.soon(self.thread.loop.stop)
        self.thread._thread.join(PATIENCE_S)
        self.thread.loop.close()


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.close()


class Pickled:
    """An argument that does something when it is pickled."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act

    def __getstate__(self) -> dict[str, Any]:
        self.act()
        return {}


def test_the_loop_ends_runs_while_an_argument_is_pickled(desk: Desk) -> None:
    core = desk.executor._core
    desk.executor.submit(abs, 1)
    [calls] = core._runs.values()
    seen: list[bool] = []

    async def ended() -> bool:
        core._run_ended(calls, None)
        return True

    def act() -> None:
        if not seen:
            ending = desk.thread.begin(ended())
            seen.append(ending.result(PATIENCE_S / 10))

    future = in_a_thread(lambda: desk.executor.submit(abs, Pickled(act)))
    assert not future.done(), "the call is made in a run of its own"
    assert seen == [True]


def test_an_argument_that_is_pickled_may_submit(desk: Desk) -> None:
    inner: list[Future[Any]] = []
    outer = in_a_thread(
        lambda: desk.executor.submit(
            abs, Pickled(lambda: inner.append(desk.executor.submit(len, {1: object})))
        )
    )
    assert not outer.done()
    assert inner
    eventually(lambda: len(desk.master.tasks) == 1 + len(inner), "all calls are made")


def test_a_finalizer_in_the_middle_of_a_submit_may_shut_its_executor_down(desk: Desk) -> None:
    desk.executor.submit(abs, 1)

    def finalizer() -> bool:
        with desk.executor._core._lock:
            desk.executor.shutdown(wait=True)
        return True

    assert in_a_thread(finalizer)
    desk.executor._core.join()


def test_two_threads_may_pack_while_an_argument_that_is_pickled_submits(desk: Desk) -> None:
    made: list[Future[Any]] = []
    beside = threading.Thread(
        target=lambda: made.append(desk.executor.submit(lambda: 1)), daemon=True
    )

    def act() -> None:
        if beside.ident is None:
            beside.start()
            beside.join(0.1)  # it is in the middle of its packing by then, if it may be
            made.append(desk.executor.submit(lambda: 2))

    desk.executor.submit(len, "abc")  # the functions below have no run of their own
    made.append(in_a_thread(lambda: desk.executor.submit(abs, Pickled(act))))
    beside.join(PATIENCE_S)
    assert len(made) == 3


def test_a_map_whose_time_is_over_waits_for_no_master(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, bool]] = []
    cancel_all = executor_module.cancel_all

    def noting(futures: Any, wait: bool = True) -> None:
        asked.append((len(futures), wait))
        cancel_all(futures, wait)

    monkeypatch.setattr(executor_module, "cancel_all", noting)
    results = desk.executor.map(abs, [1, 2, 3], timeout=0.05)
    eventually(lambda: len(desk.master.tasks) == 3, "the master has the calls")
    desk.master.mute = True
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        next(results)
    assert time.monotonic() - begun < 5.0
    assert asked == [(3, False)]
    desk.master.mute = False
    eventually(lambda: desk.master.cancelled == {1, 2, 3}, "all of them are cancelled")


def test_an_iterator_of_the_parent_makes_no_calls_in_the_child_of_a_fork(desk: Desk) -> None:
    results = desk.executor.map(abs, range(10), buffersize=2)
    core = desk.executor._core
    core._pid += 1
    with pytest.raises(BrokenQueueError, match="of the process that this one was forked from"):
        next(results)
    core._pid -= 1
