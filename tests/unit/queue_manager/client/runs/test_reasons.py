"""Why a run does not move, in the log of the program that waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Any, cast

import msgspec
import pytest

from master.broker.runs.run import Run
from master.observe.diagnosis import unfed
from queue_manager.client.asynchronous import AsyncClient
from queue_manager.client.connection.holders import Holders
from queue_manager.client.connection.session import Session
from queue_manager.client.runs import reasons
from queue_manager.client.runs.async_run import AsyncRun
from queue_manager.errors import ConnectionLostError, RefusedError
from queue_manager.wire.messages import (
    AskRun,
    AskStatus,
    OpenRun,
    RunOpened,
    RunShown,
    RunStarted,
    StartRun,
    Status,
    Welcome,
)
from queue_manager.wire.records import RunOptions, RunStatus

NOBODY = "no worker is connected: start one"
RUN = RunStatus(7, "square", [], "active", 5, 5, 0, 0, 0, 0, True, 0, 1.0, None)


class FakeSession:
    """Answers with one status after the other, and then for ever with the last one."""

    def __init__(self, answers: list[RunStatus | Exception]) -> None:
        self.answers = answers
        self.asked = 0
        self.troubles: list[str] | Exception = []

    async def call_once(self, make: Callable[[int], Any], answer: Any) -> Any:
        message = make(1)
        if isinstance(message, AskStatus):
            if isinstance(self.troubles, Exception):
                raise self.troubles
            return Status(1, "1", "here:1", 9.0, 0, self.troubles, 1, 0, 1)
        assert message.run == 7
        answered = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if isinstance(answered, Exception):
            raise answered
        return RunShown(1, answered)


def told(
    caplog: pytest.LogCaptureFixture,
    *answers: RunStatus | Exception,
    troubles: Sequence[str] | Exception = (),
) -> list[str]:
    """What is said of these answers. troubles: those of the whole master."""
    session = FakeSession(list(answers))
    session.troubles = troubles if isinstance(troubles, Exception) else list(troubles)

    async def asked() -> None:
        async with reasons.saying_why(cast(Session, session), 7):
            while session.asked <= len(answers):
                await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(asked(), 20.0))
    return caplog.messages


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reasons, "ASK_S", 0.0)
    monkeypatch.setattr(reasons, "TELL_S", 0.0)


def why(*lines: str, **how: Any) -> RunStatus:
    return msgspec.structs.replace(RUN, why=list(lines), **how)


def test_each_reason_is_said_once_whatever_its_numbers_are(
    caplog: pytest.LogCaptureFixture,
) -> None:
    busy = [why(f"all slots are busy with run {n}: start more workers") for n in (3, 4)]
    assert told(caplog, RUN, why(NOBODY), ConnectionLostError("lost"), why(NOBODY), *busy) == [
        f"run 7 (square) waits: {NOBODY}",
        "run 7 (square) waits: all slots are busy with run 3: start more workers",
    ]


def test_a_run_that_waits_as_it_was_asked_to_is_not_spoken_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inputs = "its program is connected, and has not given its next input"
    delay = "its one task waits for a delay or a back-off to end: nothing to do"
    assert told(
        caplog,
        why(inputs, waiting=0),
        why(delay, waiting=0, delayed=1),
        why("waits for run 3", state="pending"),
    ) == []  # fmt: skip


def test_a_run_that_can_not_go_on_by_itself_is(caplog: pytest.LogCaptureFixture) -> None:
    kept = Run(7, "square", [], None, RunOptions(feeder="client"), 1.0)
    passing = Run(7, "square", [], None, RunOptions(feeder="client", lasting=False), 1.0)
    lines = ["can't begin: run 3 has failed", "its runner was given up"]
    lines += [unfed(kept, False), unfed(passing, False)]
    said = told(
        caplog,
        why(lines[0], state="pending", waiting=0),
        why(lines[1], state="stalled", waiting=0),
        why(lines[2], waiting=0),
        why(lines[3], waiting=0),
    )
    assert said == [f"run 7 (square) waits: {line}" for line in lines]


def test_what_holds_up_the_whole_master_is_said_for_a_run_that_has_no_reason_of_its_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    full = "database or disk is full; nothing is lost: make room, and it goes on by itself"
    restarted = "it has just started again and waits for the workers that it knew: nothing to do"
    running = msgspec.structs.replace(RUN, waiting=0, leased=5)
    assert told(caplog, running, running, troubles=[restarted, full]) == [
        f"run 7 (square) waits: {full}"
    ]


def test_the_reasons_of_a_run_are_said_though_the_master_can_not_say_how_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    troubles = RefusedError("the store can't be read")
    assert told(caplog, why(NOBODY), troubles=troubles) == [f"run 7 (square) waits: {NOBODY}"]


@pytest.mark.parametrize("last", [RefusedError("no such run"), why(state="done")])
def test_nobody_asks_when_nothing_is_waited_for(
    last: RunStatus | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    session = FakeSession([why(NOBODY), last])
    wanted = False

    async def asked() -> None:
        nonlocal wanted
        async with reasons.saying_why(cast(Session, session), 7, lambda: wanted):
            for _ in range(100):
                await asyncio.sleep(0)
            assert session.asked == 0
            wanted = True
            for _ in range(100):
                await asyncio.sleep(0)
        assert session.asked == 2

    asyncio.run(asked())
    assert caplog.messages == [f"run 7 (square) waits: {NOBODY}"]


# --- what a person is told ---


def told_a_person(*answers: RunStatus | Exception, troubles: Sequence[str] = ()) -> list[str]:
    session = FakeSession(list(answers))
    session.troubles = list(troubles)
    lines: list[str] = []

    async def asked() -> None:
        async with reasons.telling_why(cast(Session, session), 7, lines.append):
            while session.asked <= len(answers):
                await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(asked(), 20.0))
    return lines


def test_a_person_is_told_a_reason_when_it_is_new_and_when_it_comes_back() -> None:
    busy = "all slots are busy with run 3: start more workers"
    lines = told_a_person(
        RUN, why(NOBODY), ConnectionLostError("lost"), why(NOBODY), why(busy), RUN, why(busy), RUN
    )
    assert lines == [NOBODY, busy, busy]


def test_a_person_is_told_what_passes_by_itself_too_once_though_its_numbers_change() -> None:
    delays = [
        why(f"its one task waits for a delay or a back-off to end, in {n} s: nothing to do")
        for n in (300, 295)
    ]
    full = "database or disk is full: make room"
    assert told_a_person(*delays, troubles=[full]) == [full, *delays[0].why]


def test_what_a_pending_run_waits_for_is_left_to_its_watcher() -> None:
    assert told_a_person(why("waits for run 3", state="pending"), why(NOBODY)) == [NOBODY]


# --- who says it ---


class Workerless(FakeSession):
    """A master whose run is taken by nobody. It takes no inputs, either."""

    losses = 0
    welcome = Welcome("1", 10_000)

    def __init__(self) -> None:
        super().__init__([why(NOBODY)])
        self.holders = Holders()

    async def call_once(self, make: Callable[[int], Any], answer: Any) -> Any:
        if isinstance(make(1), AskRun | AskStatus):
            return await super().call_once(make, answer)
        return await asyncio.Event().wait()

    async def call_idempotent(
        self, make: Callable[[int], Any], answer: Any, again: Any = None
    ) -> Any:
        message = make(1)
        if isinstance(message, StartRun):
            return RunStarted(1, 7, True)
        if isinstance(message, OpenRun):
            return RunOpened(1, "square", [], 0, False, 0)
        return await asyncio.Event().wait()

    def send(self, message: Any) -> None:
        """It hears that nobody reads the run any more."""

    async def watch(self, run: int) -> AsyncGenerator[RunStatus, None]:
        yield RUN
        await asyncio.Event().wait()


async def mapped(client: AsyncClient) -> None:
    async for _ in client.map("square", [1, 2]):
        pass


async def started(client: AsyncClient) -> None:
    await client.start("square", [1, 2], key="words")


async def waited(client: AsyncClient) -> None:
    await AsyncRun(client.session, 7).wait()


async def read(client: AsyncClient) -> None:
    async for _ in AsyncRun(client.session, 7).results():
        pass


@pytest.mark.parametrize("verb", [mapped, started, waited, read])
def test_whoever_waits_for_a_run_is_told_why_it_does_not_move(
    verb: Callable[[AsyncClient], Coroutine[Any, Any, None]], caplog: pytest.LogCaptureFixture
) -> None:
    async def told_once() -> None:
        client = AsyncClient()
        client.session = cast(Session, Workerless())
        waiting = asyncio.create_task(verb(client))
        while not caplog.messages:
            assert not waiting.done()
            await asyncio.sleep(0.001)
        waiting.cancel()
        await asyncio.wait([waiting])

    asyncio.run(asyncio.wait_for(told_once(), 20.0))
    assert caplog.messages == [f"run 7 (square) waits: {NOBODY}"]
