"""How long whoever cancels a future, or asks whether it runs, waits for the master."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, wait
from typing import Any, cast

import pytest

from queue_manager.client.answer import Answer
from queue_manager.client.executor import future as future_module
from queue_manager.client.executor.broken import BrokenQueueError
from queue_manager.client.executor.calls import Calls
from queue_manager.client.executor.future import QueueFuture, cancel_all
from tests.unit.queue_manager.client.executor.conftest import PATIENCE_S, Scene, eventually

pytestmark = pytest.mark.timeout(60)


def test_a_silent_master_is_waited_for_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    real = Answer.wait

    def waiting(answer: Answer[Any], timeout_s: float | None = None) -> bool:
        waits.append(timeout_s or 0.0)
        return real(answer, 0.01)

    futures = scene.accepted(4)
    scene.master.mute = True
    monkeypatch.setattr(Answer, "wait", waiting)
    assert not any(future.cancel() for future in futures[:3])
    assert not futures[3].running()
    assert len(waits) == 1
    assert 9.0 < waits[0] <= future_module.CANCEL_S
    monkeypatch.undo()
    scene.master.mute = False
    assert not wait(futures[:3], PATIENCE_S).not_done
    assert futures[3].cancel(), "the master is waited for again"


def test_runs_that_are_cancelled_together_have_one_limit(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[float] = []
    futures = [QueueFuture(cast(Calls, Silent(limits))) for _ in range(2)]
    monkeypatch.setattr(future_module, "CANCEL_S", 0.01)
    cancel_all(futures)
    assert len(limits) == 2
    assert limits[0] == limits[1]


class Silent:
    """Calls whose master says nothing. limits: gets until when an answer is waited for."""

    def __init__(self, limits: list[float]) -> None:
        self.limits = limits

    def withdraw(self, futures: Any) -> Any:
        return [Future()]

    def answer(self, asking: Any, until: float) -> None:
        self.limits.append(until)


def test_a_thread_with_a_running_loop_waits_for_no_answer(scene: Scene) -> None:
    futures = scene.accepted(3)
    scene.master.leased.add(3)
    scene.master.mute = True

    async def program() -> tuple[bool, bool]:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        answers = futures[0].cancel(), futures[2].running()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(futures[1]), 0.01)
        assert loop.time() - begun < future_module.CANCEL_S / 2
        return answers

    assert asyncio.run(program()) == (False, False)
    scene.master.mute = False
    assert not wait(futures[:2], PATIENCE_S).not_done
    assert [one.cancelled() for one in futures] == [True, True, False]
    eventually(lambda: futures[2]._state == "RUNNING", "the answer is heard nevertheless")


def test_a_future_is_asked_for_once_at_a_time(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    [future] = scene.accepted(1)
    scene.master.mute = True
    asked: list[QueueFuture] = []
    look = scene.calls.look
    monkeypatch.setattr(scene.calls, "look", lambda one: asked.append(one) or look(one))

    async def program() -> None:
        for _ in range(5):
            assert not future.running()

    asyncio.run(program())
    assert asked == [future]
    scene.master.mute = False
    scene.master.leased.add(1)
    eventually(future.running, "the answer comes")


def test_a_future_of_the_parent_has_an_error_at_once_in_the_child_of_a_fork(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its result goes to the parent, and so do its callbacks."""
    placed, ended = scene.accepted(2)
    ended.end("here before")
    heard: list[Any] = []
    placed.add_done_callback(heard.append)
    monkeypatch.setattr(future_module, "_forks", 1)
    with pytest.raises(BrokenQueueError, match="of the process that this one was forked from"):
        placed.result(1.0)
    assert not wait([placed, ended], 1.0).not_done
    assert (heard, ended.result()) == ([], "here before")
