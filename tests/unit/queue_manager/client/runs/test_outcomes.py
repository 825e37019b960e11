"""Outcomes of a run, over the loss of a session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from queue_manager.client.connection.link import Link
from queue_manager.client.connection.news import News
from queue_manager.client.connection.session import Session
from queue_manager.client.runs import outcomes as outcomes_module
from queue_manager.client.runs.mapping import Mapping
from queue_manager.client.runs.outcomes import (
    GATHER_S,
    HELD_BYTES,
    Cancelled,
    Outcome,
    Outcomes,
    Part,
    Staying,
    size_of,
)
from queue_manager.errors import ConnectionLostError
from queue_manager.wire.messages import Collect, OpenRun, Page, Request, RunOpened
from queue_manager.wire.records import DeadLetter, Ended


class FakeLink:
    """A link whose session is lost at the first request. up: it is there again at once."""

    up = True

    def __init__(self) -> None:
        self.asked: list[type[Request]] = []

    async def request(self, make: Callable[[int], Request], answer: Any) -> Any:
        message = make(1)
        self.asked.append(type(message))
        if len(self.asked) == 1:
            raise ConnectionLostError("lost the master")
        if isinstance(message, OpenRun):
            return RunOpened(1, "square", [], 3, True, 0)
        return Page(1, [], {}, 0, True)


def test_a_run_is_opened_again_in_a_new_session_so_that_the_master_does_not_end_it() -> None:
    link = FakeLink()
    delivered: list[list[Outcome] | None] = []
    session = Session(cast(Link, link))
    asyncio.run(Outcomes(session, 7, delivered.append).collect())
    assert link.asked == [Collect, OpenRun, Collect]
    assert delivered == [[], None]


class PagesLink:
    """A link that gives out answers. asked: how many were asked for; kinds: by which messages."""

    up = True

    def __init__(self, *answers: Page | RunOpened) -> None:
        self.answers = list(answers)
        self.kinds: list[type[Request]] = []

    @property
    def asked(self) -> int:
        return len(self.kinds)

    async def request(self, make: Callable[[int], Request], answer: Any) -> Any:
        self.kinds.append(type(make(1)))
        return self.answers.pop(0)


def test_dead_letters_come_in_their_places_and_cancelled_tasks_behind_them() -> None:
    ended = [Ended(5, 1, 0, 2, b"results"), Ended(9, 1, 4, 5, b"result")]
    letter = DeadLetter(3, 1, 0, "bad", "", seq=7)
    page = Page(1, ended, {}, 9, True, 1.0, [letter], [(4, 5), (6, 8)])
    delivered: list[list[Outcome] | None] = []
    session = Session(cast(Link, PagesLink(page)))
    asyncio.run(Outcomes(session, 7, delivered.append).collect())
    parts = Part(1, 2, b"results"), Part(5, 1, b"result")
    assert delivered == [[parts[0], letter, parts[1], Cancelled(4, 1), Cancelled(6, 2)], None]


def test_no_page_is_asked_for_while_failures_take_too_much_memory() -> None:
    letter = DeadLetter(1, 1, 0, "bad", "x" * HELD_BYTES, seq=1)
    link = PagesLink(Page(1, [], {}, 1, False, None, [letter]), Page(2, [], {}, 1, True, 1.0))

    async def scene() -> None:
        delivered: list[list[Outcome] | None] = []
        outcomes = Outcomes(Session(cast(Link, link)), 7, delivered.append)
        collecting = asyncio.create_task(outcomes.collect())
        await asyncio.sleep(3 * GATHER_S)
        assert (link.asked, delivered) == (1, [[letter]])
        outcomes.took(size_of(letter))
        await asyncio.wait_for(collecting, 60.0)

    asyncio.run(scene())


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_whoever_is_cancelled_just_as_something_is_taken_is_cancelled(turns: int) -> None:
    """The `wait_for` of Python 3.11 loses such a cancel, and an executor never ended then."""

    async def scene() -> None:
        taken = asyncio.Event()
        staying = Staying(Session(cast(Link, FakeLink())), 7)
        waiting = asyncio.create_task(staying.until(taken))
        for _ in range(5):
            await asyncio.sleep(0)
        taken.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        if waiting.cancel():
            with pytest.raises(asyncio.CancelledError):
                await waiting
        else:
            await waiting

    asyncio.run(scene())


def test_a_program_that_takes_no_outcomes_opens_its_run_in_each_new_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outcomes_module, "STAY_S", GATHER_S)
    part = Ended(1, 1, 0, 1, b"x" * (HELD_BYTES + 1))
    opened = RunOpened(1, "square", [], 1, True, 0)
    link = PagesLink(Page(1, [part], {}, 1, False), opened, opened, Page(2, [], {}, 1, True))

    async def scene() -> None:
        news = News()
        outcomes = Outcomes(Session(cast(Link, link), news), 7, lambda delivery: None)
        collecting = asyncio.create_task(outcomes.collect())
        for asked in (1, 2):
            while link.asked < asked:
                await asyncio.sleep(0)
            news.lost("the master restarts")
        while link.asked < 3:
            await asyncio.sleep(0)
        outcomes.took(len(part.results))
        await collecting

    asyncio.run(asyncio.wait_for(scene(), 60.0))
    assert link.kinds == [Collect, OpenRun, OpenRun, Collect]


@pytest.mark.parametrize("key", [None, "night"])
def test_a_map_without_a_key_keeps_its_run_behind_the_last_page(
    monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    """What it left with the master is read again later. A run with a key stays by itself."""
    monkeypatch.setattr(outcomes_module, "STAY_S", GATHER_S)
    opened = RunOpened(1, "square", [], 1, True, 0)
    link = PagesLink(opened, Page(1, [], {}, 1, True), opened, opened)

    async def scene() -> None:
        news, complete = News(), asyncio.Event()
        session = Session(cast(Link, link), news)
        mapping = Mapping(session, 7, key, lambda delivery: complete.set())
        await mapping.open()
        await complete.wait()
        for asked in (3, 4) if key is None else ():
            news.lost("the master restarts")
            while link.asked < asked:
                await asyncio.sleep(0)
        collecting = mapping._collecting
        assert collecting is not None
        if key is None:
            assert not collecting.done()
        else:
            await collecting
        await mapping._stop()

    asyncio.run(asyncio.wait_for(scene(), 60.0))
    assert link.kinds == [OpenRun, Collect] + [OpenRun, OpenRun] * (key is None)
