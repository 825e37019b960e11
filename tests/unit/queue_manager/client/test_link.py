"""A session that reconnects: what it does not send, and how soon it comes again."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread as executor_threads
import threading
from typing import Any

import pytest

from queue_manager.client import link as links
from queue_manager.client.link import FIRST_PAUSE_S, LONGEST_PAUSE_S, REFUSED_PAUSE_S, Link
from queue_manager.errors import ConnectionLostError, TooLargeError, WrongKeyError
from queue_manager.wire.messages import AskStatus, Hello, Refused, StartRun, Status, Welcome


def make_link(**callbacks: Any) -> Link:
    return Link(("127.0.0.1", 1), b"key", lambda: Hello("client", "h", 1), quiet=True, **callbacks)


def test_a_message_that_the_master_would_refuse_is_not_sent() -> None:
    async def scene() -> None:
        link = make_link()
        with pytest.raises(TooLargeError, match=r"of 9,000,0\d\d bytes .* 8,388,608 is the most"):
            link.send(StartRun(1, "job", ["x" * 9_000_000]))

    asyncio.run(scene())


def pauses_of(
    monkeypatch: pytest.MonkeyPatch, lasted_s: float, failure: Exception | None = None
) -> list[float]:
    """The pauses between eleven sessions. failure: with it, no session was up."""
    pauses: list[float] = []
    clock = [0.0]

    async def one_session(self: Link) -> bool:
        clock[0] += lasted_s
        self.failure = failure
        if len(pauses) == 10:
            self._closed.set()
        return failure is None

    async def wait_for(waiting: Any, timeout: float) -> None:
        waiting.close()
        pauses.append(timeout)
        raise TimeoutError

    monkeypatch.setattr(Link, "_one_session", one_session)
    monkeypatch.setattr(links.asyncio, "wait_for", wait_for)
    monkeypatch.setattr(links.time, "monotonic", lambda: clock[0])
    asyncio.run(make_link().run())
    return pauses


@pytest.mark.parametrize(("lasted_s", "grows"), [(0.1, True), (6.0, False)])
def test_only_after_a_session_that_lasted_the_next_is_tried_at_once(
    lasted_s: float, grows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that the master ends at once for what is sent in it must not flood it."""
    pauses = pauses_of(monkeypatch, lasted_s)
    assert pauses[0] <= FIRST_PAUSE_S
    assert (pauses[9] >= LONGEST_PAUSE_S / 2) is grows


@pytest.mark.parametrize(
    ("failure", "most_s"),
    [(ConnectionRefusedError(), REFUSED_PAUSE_S), (WrongKeyError("no"), LONGEST_PAUSE_S)],
)
def test_a_master_that_restarts_is_found_within_half_a_second(
    failure: Exception, most_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = pauses_of(monkeypatch, 0.1, failure)
    assert most_s / 2 <= max(pauses) <= most_s


def test_the_masters_last_words_are_the_reason_of_the_end() -> None:
    async def scene() -> None:
        reasons: list[str] = []
        link = make_link(on_down=reasons.append)
        loop = asyncio.get_running_loop()

        async def open_stream(*_: Any) -> Any:
            link._stream = links._Stream(link)
            return link._stream

        link._open = open_stream  # type: ignore[method-assign]
        monkey = pytest.MonkeyPatch()
        monkey.setattr(links, "open_socket", lambda *_: (None, None))
        session = loop.create_task(link._one_session())
        while link._stream is None:
            await asyncio.sleep(0)
        stream = link._stream
        link._received(Welcome("1", 1))
        asked = loop.create_task(link.request(AskStatus, Status))
        await asyncio.sleep(0)
        link._received(Refused(0, "closed: results of another count"))
        stream.connection_lost(None)
        assert await session
        monkey.undo()
        assert reasons == ["the master says: closed: results of another count"]
        with pytest.raises(ConnectionLostError, match="the master says: closed: results"):
            await asked

    asyncio.run(scene())


def test_a_link_connects_again_when_the_main_thread_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python's executors take nothing more then, and other threads of the program go on."""
    tries: list[None] = []

    async def scene() -> None:
        link, loop = make_link(), asyncio.get_running_loop()

        def refused(*_: Any) -> Any:
            tries.append(None)
            if len(tries) == 2:
                loop.call_soon_threadsafe(link.close)
            raise ConnectionRefusedError("nobody")

        monkeypatch.setattr(links, "open_socket", refused)
        await link.run()

    monkeypatch.setattr(executor_threads, "_shutdown", True)
    asyncio.run(asyncio.wait_for(scene(), 10.0))
    assert len(tries) == 2


def test_a_link_that_is_closed_while_it_connects_ends_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, go_on, shut = threading.Event(), threading.Event(), threading.Event()

    class Opened:
        def close(self) -> None:
            shut.set()

    def silent(*_: Any) -> Any:
        begun.set()
        assert go_on.wait(10.0)
        return Opened(), None

    async def scene() -> None:
        link = make_link()
        running = asyncio.create_task(link.run())
        while not begun.is_set():
            await asyncio.sleep(0.001)
        link.close()
        await asyncio.wait_for(running, 5.0)
        go_on.set()
        while not shut.is_set():
            await asyncio.sleep(0.001)

    monkeypatch.setattr(links, "open_socket", silent)
    asyncio.run(asyncio.wait_for(scene(), 10.0))


def test_an_error_of_ours_ends_whoever_waits_for_an_answer() -> None:
    async def scene() -> None:
        link = make_link()
        sending: list[Any] = []
        link._stream = sending  # type: ignore[assignment]
        link.send = sending.append  # type: ignore[method-assign]
        link._opening = None
        asked = asyncio.create_task(link.request(AskStatus, Status))
        await asyncio.sleep(0)

        async def broken() -> None:
            raise KeyError("a mistake")

        link._sessions = broken  # type: ignore[method-assign]
        link.close = link._closed.set  # type: ignore[method-assign]
        with pytest.raises(KeyError):
            await link.run()
        with pytest.raises(ConnectionLostError, match=r"an error of ours .* KeyError"):
            await asked
        assert link.closed
        assert "a mistake" in link.end

    asyncio.run(asyncio.wait_for(scene(), 10.0))
