"""What a master that stands by answers, and that its port is never closed when roles change."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from queue_manager.errors import StandbyError
from queue_manager.server.arriving import standby as standby_module
from queue_manager.server.arriving.standby import Standby
from queue_manager.server.server import LoopServer
from queue_manager.wire import handshake
from queue_manager.wire.framing import frame
from queue_manager.wire.reach.masters import Masters

ANSWER = frame(handshake.STANDS_BY)
LONG_S = 20.0


def standing_by(scene: Callable[[Standby], Awaitable[None]]) -> None:
    """Play a scene in a loop in which a standby answers."""

    async def play() -> None:
        standby = Standby(("127.0.0.1", 0))
        standby.start()
        try:
            await asyncio.wait_for(scene(standby), LONG_S)
        finally:
            standby.close()

    asyncio.run(play())


def all_of(sock: socket.socket) -> bytes:
    """What comes until the other side closes."""
    sock.settimeout(LONG_S)
    parts = b""
    while part := sock.recv(1024):
        parts += part
    return parts


def answer_of(address: tuple[str, int], first: bytes = b"") -> bytes:
    with socket.create_connection(address, timeout=LONG_S) as sock:
        sock.sendall(first)
        return all_of(sock)


def test_it_answers_that_it_stands_by_and_closes() -> None:
    async def scene(standby: Standby) -> None:
        assert await asyncio.to_thread(answer_of, standby.address) == ANSWER
        assert standby.answered == 1

    standing_by(scene)
    assert handshake.STANDS_BY.startswith(b"#STANDBY# ")
    assert len(handshake.STANDS_BY) <= handshake.HANDSHAKE_BYTES


def test_our_client_raises_its_words() -> None:
    async def scene(standby: Standby) -> None:
        with pytest.raises(StandbyError, match=r"^this master stands by; ask the active one$"):
            await asyncio.to_thread(Masters([standby.address]).open, b"a key")

    standing_by(scene)


def test_who_speaks_first_gets_the_answer_too() -> None:
    async def scene(standby: Standby) -> None:
        with socket.create_connection(standby.address) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")  # it has come before anybody accepts
            assert await asyncio.to_thread(all_of, sock) == ANSWER

    standing_by(scene)


def test_silent_connections_cost_it_nothing() -> None:
    async def scene(standby: Standby) -> None:
        before = len(os.listdir("/proc/self/fd"))
        silent = [socket.create_connection(standby.address) for _ in range(200)]
        while standby.answered < len(silent):
            await asyncio.sleep(0)
        assert len(os.listdir("/proc/self/fd")) == before + len(silent)  # all are our own ends
        assert await asyncio.to_thread(answer_of, standby.address) == ANSWER
        for sock in silent:
            sock.close()

    standing_by(scene)


def test_it_goes_on_after_it_had_no_file_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standby_module, "_PAUSE_S", 0.01)
    tries = []

    async def scene(standby: Standby) -> None:
        real = standby._socket

        class Out:
            """A socket whose first accepts find no descriptor."""

            def accept(self) -> Any:
                tries.append(1)
                if len(tries) < 3:
                    raise OSError(24, "Too many open files")
                return real.accept()

            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

        standby._socket = Out()  # type: ignore[assignment]
        assert await asyncio.to_thread(answer_of, standby.address) == ANSWER
        assert len(tries) >= 3

    standing_by(scene)


def server_on(number: int) -> LoopServer:
    return LoopServer({}, ("", 0), b"a key", "pickle", mode="off", listening=number)


def test_nobody_is_refused_while_a_standby_becomes_the_master_and_back() -> None:
    seen: list[bytes] = []
    over = threading.Event()

    def knock(address: tuple[str, int]) -> None:
        while not over.is_set():
            with socket.create_connection(address, timeout=LONG_S) as sock:
                sock.settimeout(LONG_S)
                seen.append(sock.recv(1024)[4:])

    async def both(what: bytes) -> None:
        count = len(seen)
        while not any(first.startswith(what) for first in seen[count:]):
            await asyncio.sleep(0.001)

    async def scene() -> None:
        standby = Standby(("127.0.0.1", 0))
        address = standby.address
        knocking = asyncio.create_task(asyncio.to_thread(knock, address))
        for _ in range(10):
            standby.start()
            await both(handshake.STANDBY)
            server = server_on(standby.hand_on())
            assert server.address == address
            await asyncio.sleep(0.01)  # who comes now waits in the backlog
            server.start()
            await both(handshake.CHALLENGE)
            standby = Standby(("", 0), server.hand_on())
        over.set()
        standby.start()
        await knocking
        standby.close()

    asyncio.run(asyncio.wait_for(scene(), LONG_S))


def test_after_it_has_handed_on_closing_it_closes_nothing() -> None:
    async def scene(standby: Standby) -> None:
        number = standby.hand_on()
        standby.close()
        os.fstat(number)
        os.close(number)

    standing_by(scene)
