"""One connection of the server, without a server: what becomes of it after an error of ours."""

from __future__ import annotations

import asyncio
import pickle
from types import SimpleNamespace
from typing import Any

import pytest

from queue_manager.server.connection import Peer
from queue_manager.server.large_frames import LargeFrames
from queue_manager.wire.limits import WALK_BYTES


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
