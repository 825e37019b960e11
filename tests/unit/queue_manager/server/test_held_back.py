"""Who is heard, and who is cut off, while the master has much to do or much on its way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from queue_manager.server import server as server_module
from queue_manager.server.server import LoopServer
from queue_manager.wire.framing import frame
from tests.unit.queue_manager.wire.test_framing import Reader


class Late(Reader):
    """A connection of a server that has not dealt with what came before."""

    late = False

    def __init__(self) -> None:
        super().__init__()
        self.fake.pause_reading = self.fake.resume_reading = lambda: None

    def is_late(self) -> bool:
        return self.late


def test_nothing_is_received_while_what_came_before_is_not_dealt_with() -> None:
    async def scene() -> None:
        reader = Late()
        reader.data_received(frame(b"1"))
        reader.late = True
        reader.data_received(frame(b"2") + frame(b"3"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert reader.frames == [b"1"]
        reader.late = False
        async with asyncio.timeout(10.0):
            while reader.frames != [b"1", b"2", b"3"]:
                await asyncio.sleep(0.001)

    asyncio.run(scene())


def test_a_loop_rests_while_what_came_before_waits_for_a_disk() -> None:
    """It would take a whole processor, which the database may need."""
    turns = 0

    async def scene() -> None:
        nonlocal turns
        reader = Late()
        reader.late = True
        reader.data_received(frame(b"1"))
        select = asyncio.get_running_loop()._selector.select  # type: ignore[attr-defined]

        def counted(timeout: float | None) -> Any:
            nonlocal turns
            turns += 1
            return select(timeout)

        asyncio.get_running_loop()._selector.select = counted  # type: ignore[attr-defined]
        await asyncio.sleep(0.1)
        reader.late = False

    asyncio.run(scene())
    assert turns < 250


class Sent:
    """A connection that has left so much unread."""

    def __init__(self, name: str, unread_bytes: int) -> None:
        self.name, self.unread_bytes = name, unread_bytes
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True

    close = abort


@pytest.fixture
def server() -> Any:
    made = LoopServer({}, ("127.0.0.1", 0), b"a key", "pickle", mode="off")
    yield made
    made.listener.close()


def test_who_reads_nothing_is_cut_off_where_all_together_leave_too_much_unread(
    server: LoopServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "ALL_UNREAD_BYTES", 100)
    reads, little, much, new = Sent("r", 80), Sent("l", 30), Sent("m", 60), Sent("n", 0)
    peers: Any = {reads, little, much, new}
    server.peers = peers
    server.relieve()
    assert not any(peer.aborted for peer in peers)  # they may be about to read
    reads.unread_bytes, new.unread_bytes = 40, 20
    server.relieve()
    assert [peer.aborted for peer in (reads, little, much, new)] == [False, False, True, False]


def test_who_reads_nothing_may_stay_where_it_costs_little(server: LoopServer) -> None:
    peers: Any = {Sent(str(n), 1_000_000) for n in range(20)}
    server.peers = peers
    for _ in range(5):
        server.relieve()
    assert not any(peer.aborted for peer in peers)
