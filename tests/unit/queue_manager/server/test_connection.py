"""One connection of the server, without a server: errors of ours, calls again, what is unread."""

from __future__ import annotations

import asyncio
import pickle
from types import SimpleNamespace
from typing import Any

import pytest

from queue_manager.server.connection import Peer
from queue_manager.server.large_frames import LargeFrames
from queue_manager.wire.limits import WALK_BYTES
from queue_manager.wire.stock import pickles


class Broken:
    """A registered object whose every call is an error of ours."""

    exposed = ("put",)

    def call(self, *_: Any) -> None:
        raise ZeroDivisionError("an error of ours")

    def ended(self, *_: Any) -> None:
        """The connection is gone."""


class FakeTransport:
    """A transport that remembers whether it was closed."""

    closed = False

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        """Nothing comes by itself."""

    resume_reading = pause_reading


@pytest.mark.parametrize("size", [10, 2 * WALK_BYTES])
def test_an_error_of_ours_in_a_call_closes_the_connection(size: int) -> None:
    """Else the client would wait for its answer for ever."""

    async def scene() -> bool:
        server = SimpleNamespace(large=LargeFrames(), served=lambda name: Broken())
        peer, transport = Peer(server, "10.0.0.7:1"), FakeTransport()  # type: ignore[arg-type]
        peer.transport = transport  # type: ignore[assignment]
        peer._receive = peer._call_received
        peer.frame_received(pickle.dumps(("get_task_queue", "put", ("x" * size,), {}), 4))
        for _ in range(20):
            await asyncio.sleep(0)
        return transport.closed

    assert asyncio.run(scene())


PUT = ("put", (7,))


class Noting:
    """A registered object that notes the calls."""

    exposed = ("get", "put")

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def call(self, peer: Peer, method: str, args: tuple[Any, ...], kwargs: Any) -> None:
        self.calls.append((method, args))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The frames that were read and checked as whole pickles."""
    found: list[bytes] = []
    reading = pickles.reading
    monkeypatch.setattr(pickles, "reading", lambda body: found.append(body) or reading(body))
    return found


def stock_peer(noting: Noting) -> Peer:
    """A connection of a standard-library client, behind its handshake."""
    peer = Peer(SimpleNamespace(served=lambda name: noting), "10.0.0.7:1")  # type: ignore[arg-type]
    peer.transport = FakeTransport()  # type: ignore[assignment]
    peer._receive = peer._call_received
    return peer


def test_a_call_that_comes_again_is_read_once(read: list[bytes]) -> None:
    """One without arguments, and one with another number or text each time."""
    noting = Noting()
    peer = stock_peer(noting)
    calls = [("get", ()), PUT, ("get", ()), ("put", (70_000,)), ("put", ("text",)), ("get", ())]
    frames = [pickle.dumps(("get_task_queue", *call, {}), 4) for call in calls]
    for frame in frames:
        peer.frame_received(frame)
    assert noting.calls == calls
    assert read == frames[:2]


@pytest.mark.parametrize("args", [([7],), (None,), (7, False), ("x" * 300,)])
def test_other_calls_are_read_each_time(read: list[bytes], args: tuple[Any, ...]) -> None:
    noting = Noting()
    peer = stock_peer(noting)
    frame = pickle.dumps(("get_task_queue", "put", args, {}), 4)
    for _ in range(3):
        peer.frame_received(frame)
    assert noting.calls == [("put", args)] * 3
    assert read == [frame] * 3


def test_what_is_refused_is_refused_again(read: list[bytes]) -> None:
    noting, errors = Noting(), list[Exception]()
    peer = stock_peer(noting)
    peer.fail = errors.append  # type: ignore[method-assign]
    for number in range(3):
        peer.frame_received(pickle.dumps(("get_task_queue", "close", (number,), {}), 4))
    assert noting.calls == []
    assert (len(read), len(errors)) == (3, 3)


@pytest.mark.parametrize("before", [(), (("get_task_queue", "get", (), {}),)])
def test_an_empty_frame_is_no_call_that_comes_again(before: tuple[Any, ...]) -> None:
    noting, errors = Noting(), list[Exception]()
    peer = Peer(SimpleNamespace(served=lambda name: noting), "10.0.0.7:1")  # type: ignore[arg-type]
    peer.fail = errors.append  # type: ignore[method-assign]
    peer._receive = peer._call_received
    for call in before:
        peer.frame_received(pickle.dumps(call, 4))
    peer.frame_received(b"")
    assert len(noting.calls) == len(before)
    assert "whole pickle" in str(errors[0])


class Unread:
    """A transport to a client that reads nothing."""

    aborted = False

    def __init__(self) -> None:
        self.waiting = 0

    def is_closing(self) -> bool:
        return self.aborted

    def write(self, data: bytes) -> None:
        self.waiting += len(data)

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def abort(self) -> None:
        self.aborted = True


def test_a_client_that_reads_nothing_is_cut_off_at_64_mib() -> None:
    """What waits for it takes the server's memory."""
    peer = Peer(SimpleNamespace(), "10.0.0.7:1")  # type: ignore[arg-type]
    peer.transport = transport = Unread()  # type: ignore[assignment]
    body = b"x" * (8 * 1024 * 1024)
    for _ in range(10):
        assert transport.aborted is (transport.waiting > 64 * 1024 * 1024)
        peer.send_frame(body)
    assert transport.waiting == 8 * (len(body) + 4)
