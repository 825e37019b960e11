"""What waits for room on the way to the master says nothing of it, and holds no other kind up."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from master.web.link.master import AT_ONCE, AwayError, BusyError, Master
from queue_manager.errors import RefusedError
from queue_manager.settings import load_settings
from queue_manager.wire.messages import (
    LEVEL,
    Accepted,
    AskJobs,
    AskStatus,
    CancelRun,
    JobList,
    Status,
    Welcome,
)
from tests.unit.master.web.loops import in_loop

SOON_S = 0.05


class Session:
    """A session whose master answers all but what it is told to keep."""

    up = True
    welcome = Welcome("0.1.0", 0, level=LEVEL)

    def __init__(self, *kept: type[Any]) -> None:
        self.kept = kept
        self.sent: list[type[Any]] = []

    async def call_once(self, make: Any, answer: type[Any]) -> Any:
        self.sent.append(answer)
        if answer in self.kept:
            await asyncio.Event().wait()
        return answer


def master_of(session: Session) -> Master:
    master = Master(load_settings({}), b"key")
    master._session = cast(Any, session)
    master._first.set()
    master._away_since = None
    return master


async def sent(session: Session, count: int) -> None:
    async with asyncio.timeout(60.0):
        while len(session.sent) < count:
            await asyncio.sleep(0)


@in_loop
async def test_slow_looks_at_jobs_hold_neither_pages_nor_actions_up() -> None:
    session = Session(JobList)
    master = master_of(session)
    looks = [asyncio.ensure_future(master.ask(AskJobs, JobList, 40.0)) for _ in range(50)]
    await sent(session, 4)
    assert await master.ask(AskStatus, Status, 1.0) is cast(Any, Status)
    assert await master.ask(lambda n: CancelRun(n, 1), Accepted, 60.0) is cast(Any, Accepted)
    assert session.sent.count(JobList) == 4
    assert master.away_since is None
    for look in looks:
        look.cancel()
    await asyncio.wait(looks)


@in_loop
async def test_who_finds_no_room_is_told_so_and_the_master_is_not_away_for_that() -> None:
    session = Session(Accepted)
    master = master_of(session)
    acts = [asyncio.ensure_future(master.ask(AskStatus, Accepted)) for _ in range(AT_ONCE)]
    await sent(session, AT_ONCE)
    with pytest.raises(BusyError, match="nothing was sent"):
        await master.ask(AskStatus, Status, SOON_S)
    assert master.away_since is None
    assert Status not in session.sent
    for act in acts:
        act.cancel()
    await asyncio.wait(acts)
    assert await master.ask(AskStatus, Status, SOON_S) is cast(Any, Status)


@in_loop
async def test_a_master_that_does_not_answer_in_time_is_away() -> None:
    session = Session(Status)
    master = master_of(session)
    asks = [master.ask(AskStatus, Status, SOON_S) for _ in range(AT_ONCE + 3)]
    found = await asyncio.gather(*asks, return_exceptions=True)
    assert {type(one) for one in found} <= {AwayError, BusyError}
    away = [one for one in found if isinstance(one, AwayError)]
    assert [one.sent for one in away].count(True) == AT_ONCE
    assert master.away_since is not None


@in_loop
async def test_a_master_that_is_too_old_for_a_page_is_one_line_and_nothing_is_sent() -> None:
    session = Session()
    session.welcome = Welcome("0.1.0", 0, level=2)
    master = master_of(session)
    master.check_level(2, "filters")
    line = r"speaks level 2 of the protocol, and lists of tasks need 3\): update the master"
    with pytest.raises(RefusedError, match=line):
        master.check_level(3, "lists of tasks")
    assert session.sent == []
    session.up = False
    with pytest.raises(AwayError):
        master.check_level(3, "lists of tasks")


@in_loop
async def test_what_was_not_sent_to_a_master_that_is_away_says_so() -> None:
    session = Session()
    session.up = False
    with pytest.raises(AwayError) as told:
        await master_of(session).ask(AskStatus, Status, SOON_S)
    assert not told.value.sent
    assert session.sent == []
