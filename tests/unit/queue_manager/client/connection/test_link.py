"""A session that reconnects: what it does not send, and how soon it comes again."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread as executor_threads
import threading
from typing import Any

import pytest

from queue_manager.client.connection import link as links
from queue_manager.client.connection.link import Link
from queue_manager.client.connection.pauses import FIRST_PAUSE_S, LONGEST_PAUSE_S, REFUSED_PAUSE_S
from queue_manager.client.connection.stream import UNREAD_BYTES, Stream
from queue_manager.client.connection.suspicion import FaultyRequestError
from queue_manager.errors import ArgumentError, ConnectionLostError, TooLargeError, WrongKeyError
from queue_manager.wire.messages import (
    NOT_OURS,
    AskStatus,
    Beat,
    Hello,
    Refused,
    RunStarted,
    StartRun,
    Status,
    Welcome,
    decode_request,
)
from queue_manager.wire.reach.masters import Masters
from queue_manager.wire.reach.places import Place

HERE = Place(("127.0.0.1", 1), "127.0.0.1:1", 2, ("127.0.0.1", 1))


def make_link(**callbacks: Any) -> Link:
    return Link(
        Masters([("127.0.0.1", 1)]),
        b"key",
        lambda: Hello("client", "h", 1),
        quiet=True,
        **callbacks,
    )


def test_a_message_that_the_master_would_refuse_is_not_sent() -> None:
    async def scene() -> None:
        link = make_link()
        with pytest.raises(TooLargeError, match=r"of 9,000,0\d\d bytes .* 8,388,608 is the most"):
            link.send(StartRun(1, "job", ["x" * 9_000_000]))

    asyncio.run(scene())


def test_a_request_that_the_master_could_not_read_is_not_sent_and_harms_no_other() -> None:
    """The master would end the session, and with it all that is asked in it."""

    async def scene() -> None:
        link = make_link()
        stream = link._stream = Stream(link._received, link._has_room, HERE)
        transport: Any = FullTransport(stream)
        stream.connection_made(transport)
        asked = asyncio.create_task(link.request(AskStatus, Status))
        await asyncio.sleep(0)
        stream.resume_writing()
        with pytest.raises(ArgumentError, match=r"this StartRun is none .* length <= 256"):
            await link.request(lambda seq: StartRun(seq, "job", [], needs=["t"] * 300), RunStarted)
        assert [one.seq for one in transport.sent] == [1]
        assert not asked.done()
        asked.cancel()

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


@pytest.mark.parametrize("words", ["closed: results of another count", f"closed: {NOT_OURS}: no"])
def test_the_masters_last_words_are_the_reason_of_the_end(words: str) -> None:
    async def scene() -> None:
        reasons: list[str] = []
        link = make_link(on_down=reasons.append)
        loop = asyncio.get_running_loop()

        async def open_stream(*_: Any) -> Any:
            link._stream = Stream(link._received, link._has_room, HERE)
            return link._stream

        link._open = open_stream  # type: ignore[method-assign]
        session = loop.create_task(link._one_session())
        while link._stream is None:
            await asyncio.sleep(0)
        stream = link._stream
        link._received(Welcome("1", 1))
        asked = loop.create_task(link.request(AskStatus, Status))
        await asyncio.sleep(0)
        link._received(Refused(0, words))
        stream.connection_lost(None)
        assert await session
        assert reasons == [f"the master says: {words}"]
        with pytest.raises(ConnectionLostError, match=f"the master says: {words}") as error:
            await asked
        assert isinstance(error.value, FaultyRequestError) is (NOT_OURS in words)

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

        monkeypatch.setattr(Masters, "open", refused)
        await link.run()

    monkeypatch.setattr(executor_threads, "_shutdown", True)
    asyncio.run(asyncio.wait_for(scene(), 90.0))
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
        assert go_on.wait(120.0)
        return Opened()

    async def scene() -> None:
        link = make_link()
        running = asyncio.create_task(link.run())
        while not begun.is_set():
            await asyncio.sleep(0.001)
        link.close()
        await asyncio.wait_for(running, 60.0)
        go_on.set()
        while not shut.is_set():
            await asyncio.sleep(0.001)

    monkeypatch.setattr(Masters, "open", silent)
    asyncio.run(asyncio.wait_for(scene(), 90.0))


def test_an_error_of_ours_ends_whoever_waits_for_an_answer() -> None:
    async def scene() -> None:
        link = make_link()
        sending: list[Any] = []
        link._stream = sending  # type: ignore[assignment]
        link._send = sending.append  # type: ignore[method-assign]
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

    asyncio.run(asyncio.wait_for(scene(), 90.0))


class FullTransport:
    """Takes one message, and then has no room."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.sent: list[Any] = []

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 1_000 * 1024 * 1024

    def write(self, data: bytes) -> None:
        self.sent.append(decode_request(data[4:]))
        self._stream.pause_writing()

    def abort(self) -> None:
        raise AssertionError("a master that reads nothing for a while is no reason to end")


def test_requests_wait_for_a_master_that_reads_nothing_in_their_order() -> None:
    """Else what waits for it takes all memory, or ends the session, and the next one again."""

    async def scene() -> None:
        rooms: list[bool] = []
        link = make_link(on_room=lambda: rooms.append(link.roomy))
        stream = link._stream = Stream(link._received, link._has_room, HERE)
        transport: Any = FullTransport(stream)
        stream.connection_made(transport)
        assert transport.high == UNREAD_BYTES
        asked = [asyncio.create_task(link.request(AskStatus, Status)) for _ in range(3)]
        await asyncio.sleep(0)
        assert [one.seq for one in transport.sent] == [1]
        assert not link.roomy
        link.send(Beat())  # what can't wait
        stream.resume_writing()
        late = asyncio.create_task(link.request(AskStatus, Status))
        for _ in range(5):
            await asyncio.sleep(0)
        assert rooms == [True]
        assert [getattr(one, "seq", "beat") for one in transport.sent] == [1, "beat", 2]
        stream.resume_writing()
        for _ in range(5):
            await asyncio.sleep(0)
        assert transport.sent[-1].seq == 3, "an earlier request is not overtaken"
        for one in (*asked, late):
            one.cancel()

    asyncio.run(scene())


def test_a_request_that_waits_ends_with_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sent in the next one, it would come before what its sender has to say there first."""

    async def scene() -> None:
        link = make_link()
        loop = asyncio.get_running_loop()

        async def open_stream(*_: Any) -> Any:
            stream = link._stream = Stream(link._received, link._has_room, HERE)
            transport: Any = FullTransport(stream)
            stream.connection_made(transport)
            return stream

        monkeypatch.setattr(link, "_open", open_stream)
        session = loop.create_task(link._one_session())
        while link._stream is None:
            await asyncio.sleep(0)
        old = link._stream
        old.pause_writing()
        asked = loop.create_task(link.request(AskStatus, Status))
        await asyncio.sleep(0)
        old.connection_lost(None)
        await session
        new = await open_stream()
        with pytest.raises(ConnectionLostError):
            await asked
        assert new.transport.sent == []
        assert link.roomy

    asyncio.run(scene())
