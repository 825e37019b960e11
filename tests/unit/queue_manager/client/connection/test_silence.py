"""When a session leaves a silent master: only for another one that is active."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest

from queue_manager.client.connection import silence
from queue_manager.client.connection.silence import lost
from queue_manager.wire.reach.masters import Masters
from queue_manager.wire.reach.places import Place

HERE = Place(("a", 1), "a:1", 2, ("10.0.0.1", 1))
THERE = Place(("b", 1), "b:1", 2, ("10.0.0.2", 1))


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SILENT_S", 0.05), ("ANSWER_S", 0.03), ("GRACE_S", 0.03)):
        monkeypatch.setattr(silence, name, value)
    monkeypatch.setattr(silence, "LOOK_S", (0.001, 0.002))


class Scene:
    """A connection, and what a look at the other masters finds. answers: the master is there."""

    owes = True

    def __init__(self, *, answers: bool = False) -> None:
        self.heard_at = time.monotonic()
        self.answers = answers
        self.found: Any = None
        self.asked = self.looks = 0
        self.place, self.several, self.may_grow = HERE, True, False
        self.refreshed = 0
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def ask(self) -> bool:
        self.asked += 1
        if self.answers:
            self.heard_at = time.monotonic()
        return self.owes

    def look(self, but: Place) -> Place | None:
        assert but is HERE
        self.looks += 1
        if isinstance(self.found, Exception):
            raise self.found
        return cast("Place | None", self.found)

    def refresh(self) -> None:
        self.refreshed += 1
        self.several = self.refreshed == 3

    def begin(self) -> asyncio.Task[str]:
        return asyncio.create_task(lost(self, cast(Masters, self), self.ask))

    def end(self, reason: str = "") -> None:
        self.lost.set_result(reason)


async def until(condition: Any) -> None:
    async with asyncio.timeout(20.0):
        while not condition():
            await asyncio.sleep(0.001)


def test_a_master_that_answers_is_asked_seldom_and_never_left() -> None:
    async def play() -> None:
        scene = Scene(answers=True)
        scene.found = THERE
        watching = scene.begin()
        began = time.monotonic()
        await until(lambda: scene.asked == 3)
        assert time.monotonic() - began >= 2 * silence.SILENT_S
        assert scene.looks == 0
        watching.cancel()

    asyncio.run(play())


@pytest.mark.parametrize("nobody", [None, OSError("Too many open files")])
def test_a_busy_master_is_not_left_while_no_other_is_active(nobody: Any) -> None:
    async def play() -> None:
        scene = Scene()
        scene.found = nobody
        watching = scene.begin()
        await until(lambda: scene.looks == 5)
        assert not watching.done()
        assert scene.asked == 1
        scene.heard_at = time.monotonic()  # it was busy
        scene.answers = True
        await until(lambda: scene.asked == 2)
        looks = scene.looks
        await until(lambda: scene.asked == 4)
        assert scene.looks == looks
        watching.cancel()

    asyncio.run(play())


def test_a_silent_master_is_left_for_one_that_has_taken_over() -> None:
    async def play() -> None:
        scene = Scene()
        watching = scene.begin()
        await until(lambda: scene.looks == 3)
        scene.found = THERE
        reason = await asyncio.wait_for(watching, 20.0)
        assert reason == "a:1 is silent, and b:1 is the active master"

    asyncio.run(play())


def test_a_master_that_owes_no_answer_may_be_silent() -> None:
    """One of before `ping`."""

    async def play() -> None:
        scene = Scene()
        scene.owes, scene.found = False, THERE
        watching = scene.begin()
        await until(lambda: scene.asked == 4)
        assert scene.looks == 0
        watching.cancel()

    asyncio.run(play())


def test_a_session_with_a_single_master_is_never_asked() -> None:
    async def play() -> None:
        scene = Scene()
        scene.several, scene.found = False, THERE
        waiting = scene.begin()
        await asyncio.sleep(0.2)  # else it would have been asked by now, and left
        assert (scene.asked, waiting.done()) == (0, False)
        scene.end("reset")
        assert await waiting == "reset"

    asyncio.run(play())


def test_a_second_master_of_a_name_is_found_in_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "NAMES_S", 0.01)

    async def play() -> None:
        scene = Scene()
        scene.several, scene.may_grow, scene.found = False, True, THERE
        assert await asyncio.wait_for(scene.begin(), 20.0) == (
            "a:1 is silent, and b:1 is the active master"
        )
        assert scene.refreshed == 3
        scene = Scene()
        scene.several, scene.may_grow = False, True
        waiting = scene.begin()
        await until(lambda: scene.refreshed == 1)
        scene.end("reset")
        assert await waiting == "reset"

    asyncio.run(play())


def test_an_answer_that_comes_while_another_greets_is_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One busy master may have two addresses: it answers on both when it goes on."""
    monkeypatch.setattr(silence, "GRACE_S", 0.3)

    async def play() -> None:
        scene = Scene()
        scene.found = THERE
        watching = scene.begin()
        await until(lambda: scene.looks == 1)
        scene.heard_at = time.monotonic()
        scene.answers = True
        await until(lambda: scene.asked == 3)
        assert not watching.done()
        watching.cancel()

    asyncio.run(play())
