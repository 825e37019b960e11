"""A program and a master that comes and goes: what is asked again, and what is not."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any, cast

import pytest

from queue_manager.client.connection import session as session_module
from queue_manager.client.connection import suspicion
from queue_manager.client.connection.link import Link
from queue_manager.client.connection.news import News
from queue_manager.client.connection.session import Session
from queue_manager.client.connection.suspicion import FaultyRequestError
from queue_manager.errors import (
    ConnectionLostError,
    RefusedError,
    UnreachableError,
    WrongKeyError,
)
from queue_manager.settings import load_settings
from queue_manager.wire.messages import (
    NOT_OURS,
    Accepted,
    Collected,
    Refused,
    RetryRun,
    RunShown,
    RunStarted,
    WatchRun,
)
from queue_manager.wire.reach.masters import Masters
from queue_manager.wire.records import NOBODY_COLLECTS, RunStatus


class FakeLink:
    """Loses the master a few times, then answers."""

    def __init__(
        self, losses: int, failure: Exception | None = None, *, faulty: bool = False
    ) -> None:
        self.losses, self.faulty = losses, faulty
        self.failure = failure
        self.asked = 0
        self.up = self.closed = False
        self.masters = Masters([("h", 1)])
        self.end = "the client was closed"

    async def request(self, make: Any, answer: Any) -> Any:
        self.asked += 1
        if self.asked <= self.losses:
            self.up = False
            if self.faulty:
                raise FaultyRequestError(f"lost the master: the master says: closed: {NOT_OURS}")
            raise ConnectionLostError("lost the master: reset")
        return Accepted(1, 5)

    async def wait_up(self) -> None:
        await asyncio.sleep(0)
        if self.failure is None:
            self.up = True


said: list[str] = []


def ask(link: Any, *, again: bool) -> Any:
    said.clear()
    client = Session(link, tell=said.append)

    def make(seq: int) -> RetryRun:
        return RetryRun(seq, 1)

    if again:
        return asyncio.run(client.call_idempotent(make, Accepted))
    return asyncio.run(client.call(make, Accepted, "whether it was done"))


def test_what_may_be_repeated_is_and_each_loss_is_said() -> None:
    link = FakeLink(2)
    assert ask(link, again=True) == Accepted(1, 5)
    assert link.asked == 3
    assert said == ["lost the master; waiting for it"] * 2


def test_what_may_not_be_repeated_is_said_to_be_unknown() -> None:
    link = FakeLink(1)
    with pytest.raises(ConnectionLostError, match="whether it was done is unknown: see `qm status"):
        ask(link, again=False)
    assert link.asked == 1


def test_a_request_that_must_not_be_repeated_waits_for_a_master_that_is_away() -> None:
    link = FakeLink(0)
    assert not link.up
    assert ask(link, again=False) == Accepted(1, 5)
    assert link.asked == 1


def test_it_is_not_sent_when_the_master_does_not_come_back_in_time() -> None:
    link = FakeLink(0, ConnectionRefusedError("nobody listens"))
    client = Session(cast(Link, link), timeout_s=0.05)
    with pytest.raises(UnreachableError, match=r"no master at h:1 .*: nobody listens"):
        asyncio.run(client.call(lambda seq: RetryRun(seq, 1), Accepted, "whether"))
    assert link.asked == 0


def test_losses_far_apart_do_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of results may be waited for over any number of restarts of the master."""
    link = FakeLink(50)
    monkeypatch.setattr(suspicion.time, "monotonic", lambda: 6.0 * link.asked)
    assert ask(link, again=True) == Accepted(1, 5)
    assert link.asked == 51


def test_a_request_that_always_ends_the_session_is_given_up() -> None:
    link = FakeLink(10**6)
    with pytest.raises(ConnectionLostError, match="10 times at the same request"):
        ask(link, again=True)
    assert link.asked == 10


def test_a_request_that_the_master_cannot_read_is_not_sent_again() -> None:
    """It would end each further session, and with it all other work of the client."""
    link = FakeLink(10**6, faulty=True)
    with pytest.raises(ConnectionLostError, match="not a request of ours"):
        ask(link, again=True)
    assert link.asked == 1


@pytest.mark.parametrize(("given", "whence"), [(True, ""), (False, " (QUEUE_HOST, QUEUE_PORT)")])
def test_no_variable_is_blamed_for_an_address_that_the_program_has_said(
    given: bool, whence: str
) -> None:
    link = FakeLink(0, ConnectionRefusedError("nobody listens"))
    late = Session(cast(Link, link), given=given).late()
    assert str(late) == f"no master at h:1{whence}: nobody listens"


def test_a_master_that_comes_back_with_another_key_is_said_once_and_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may get the old one back."""
    monkeypatch.setattr(session_module, "_POLL_S", 0.001)
    link = FakeLink(1, WrongKeyError("wrong authkey for h:1"))
    looks = iter([link.failure] * 3)

    async def wait_up(_: Any) -> None:
        link.failure = next(looks, None)
        if link.failure is not None:
            raise link.failure
        link.up = True

    monkeypatch.setattr(session_module, "wait_up", wait_up)
    assert ask(link, again=True) == Accepted(1, 5)
    assert said == ["lost the master; waiting for it", "wrong authkey for h:1; trying again"]


class WatchedLink:
    """A master that shows one run: `script` has what it says after each `watch`, or a loss."""

    def __init__(self, news: News, *scripts: list[Any]) -> None:
        self.news, self.scripts = news, list(scripts)
        self.up, self.seq = True, 0

    async def request(self, make: Any, answer: Any) -> Any:
        self.seq += 1
        assert isinstance(make(self.seq), WatchRun)
        first, *others = self.scripts.pop(0)
        asyncio.get_running_loop().call_soon(self._say, others, self.seq)
        return RunShown(self.seq, first)

    def send(self, message: Any) -> None:
        self.sent = message

    def _say(self, others: list[Any], seq: int) -> None:
        for other in others:
            if other is None:
                self.news.lost("reset")
            elif isinstance(other, str):
                self.news.heard(Refused(seq, other))
            else:
                self.news.heard(RunShown(seq, other))


def shown(state: str, done: int) -> RunStatus:
    return RunStatus(3, "job", [], state, 9, 0, 0, 0, done, 0, True, 0, 0.0, None)


def watched(*scripts: list[Any]) -> list[tuple[str, int]]:
    async def scene() -> None:
        news = News()
        client = Session(cast(Link, WatchedLink(news, *scripts)), news)
        async for run in client.watch(3):
            found.append((run.state, run.done))

    found: list[tuple[str, int]] = []
    asyncio.run(asyncio.wait_for(scene(), 60.0))
    return found


def test_a_watched_run_is_told_until_its_end() -> None:
    assert watched([shown("done", 9)]) == [("done", 9)]
    script = [shown("active", 1), shown("active", 2), shown("done", 9)]
    assert watched(script) == [("active", 1), ("done", 9)], "the newest, and no queue"


def test_a_run_is_watched_again_when_the_master_was_lost() -> None:
    scripts = [shown("active", 1), None], [shown("active", 5), shown("failed", 9)]
    assert watched(*scripts) == [("active", 1), ("active", 5), ("failed", 9)]


def test_a_watched_run_that_is_forgotten_is_the_masters_line() -> None:
    with pytest.raises(RefusedError, match="run 3 was forgotten"):
        watched([shown("active", 1), "run 3 was forgotten"])


@pytest.mark.parametrize("end", [shown("done", 9), "run 3 was forgotten"])
def test_the_end_is_not_lost_when_it_comes_before_the_first_answer_was_looked_at(end: Any) -> None:
    """The loop may have been busy: it reads both at once, and the master tells the end once."""

    class AtOnce(WatchedLink):
        async def request(self, make: Any, answer: Any) -> Any:
            reply = await super().request(make, answer)
            await asyncio.sleep(0)  # what was told behind it is heard first
            return reply

    async def scene() -> None:
        news = News()
        client = Session(cast(Link, AtOnce(news, [shown("active", 1), end])), news)
        watching = client.watch(3)
        assert (await anext(watching)).state == "active"
        if isinstance(end, str):
            with pytest.raises(RefusedError, match="was forgotten"):
                await anext(watching)
        else:
            assert (await anext(watching)).state == "done"

    asyncio.run(asyncio.wait_for(scene(), 60.0))


def test_several_may_watch_one_run_though_the_master_tells_a_session_once() -> None:
    async def scene() -> None:
        news = News()
        script = [shown("active", 2)], [shown("done", 9)]
        link = WatchedLink(news, *script)
        client = Session(cast(Link, link), news)
        first, second = client.watch(3), client.watch(3)
        assert (await anext(first)).done == 2
        assert (await anext(second)).done == 9
        assert (await anext(first)).done == 9, "it is told what the second one was answered"
        await first.aclose()
        await second.aclose()
        assert not link.sent.on

    asyncio.run(asyncio.wait_for(scene(), 60.0))


def test_the_timeout_is_the_limit_of_the_whole_connect_to_a_silent_address() -> None:
    """One that takes the connection and says nothing, or drops every packet, as a firewall does."""

    async def scene(port: int) -> None:
        settings = load_settings({"QUEUE_HOST": "127.0.0.1", "QUEUE_PORT": str(port)})
        async with session_module.connected(settings, b"key", timeout_s=0.2):
            pass

    with socket.create_server(("127.0.0.1", 0)) as silent:
        since = time.monotonic()
        with pytest.raises(UnreachableError, match=r"no master at 127\.0\.0\.1"):
            asyncio.run(scene(silent.getsockname()[1]))
        assert time.monotonic() - since < 4.0  # it was 5 s


def test_whoever_waits_for_a_master_learns_that_the_session_has_ended_for_good() -> None:
    link = FakeLink(0)
    link.closed, link.end = True, "an error of ours has ended the session with the master: no"
    with pytest.raises(ConnectionLostError, match="an error of ours"):
        asyncio.run(Session(cast(Link, link)).come_back())


class EndingLink(FakeLink):
    """Shows a run that goes on, until it is closed or an error of ours ends it."""

    made: EndingLink

    def __init__(self, *_: Any, **how: Any) -> None:
        super().__init__(0)
        EndingLink.made, self.up = self, True
        self.hear, self.messages = how["on_message"], list[Any]()
        self.ended = asyncio.Event()
        self.error: Exception | None = None

    async def request(self, make: Any, answer: Any) -> Any:
        if self.closed:
            raise ConnectionLostError("no connection to the master")
        make(1)
        return RunShown(1, shown("active", 1))

    def send(self, message: Any) -> None:
        self.messages.append(message)

    async def run(self) -> None:
        await self.ended.wait()
        self.up, self.closed = False, True
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.ended.set()


@pytest.mark.parametrize("error", [None, KeyError("a mistake")])
def test_whoever_watches_a_run_learns_that_the_session_has_ended_for_good(
    error: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "Link", EndingLink)

    async def scene() -> None:
        async with session_module.connecting(load_settings({}), b"key") as session:
            watching = session.watch(3)
            assert (await anext(watching)).done == 1
            following = asyncio.ensure_future(anext(watching))
            await asyncio.sleep(0)
            if error is not None:
                EndingLink.made.error = error
                EndingLink.made.close()
                await asyncio.wait([following])
        with pytest.raises(ConnectionLostError, match="the client was closed"):
            await following

    asyncio.run(asyncio.wait_for(scene(), 60.0))


def test_a_run_whose_start_was_cancelled_before_its_answer_is_left_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The master kept the run for this session, for days, and refused every other program."""
    monkeypatch.setattr(session_module, "Link", EndingLink)

    async def scene() -> None:
        async with session_module.connecting(load_settings({}), b"key"):
            EndingLink.made.hear(RunStarted(5, 3, True))
            assert EndingLink.made.messages == [Collected(3, NOBODY_COLLECTS)]

    asyncio.run(asyncio.wait_for(scene(), 60.0))
