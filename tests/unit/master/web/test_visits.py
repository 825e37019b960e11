"""Connections: a half request ends in time, and whoever waits makes room for who comes."""

from __future__ import annotations

import asyncio
import errno
import logging
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from master.web.visits import Crowd, Seldom, Visit, tell_seldom
from tests.unit.master.web.loops import in_loop

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"


class Wire(asyncio.Transport):
    """Where a connection writes to. ended: whether it was ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = asyncio.Event()
        self.written = b""

    def abort(self) -> None:
        self.ended.set()

    close = abort

    def is_closing(self) -> bool:
        return self.ended.is_set()

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Door:
    """Lets connections in. open: requests are answered once it is set."""

    def __init__(self, most: int = 10, request_s: float = 0.2) -> None:
        self.open = asyncio.Event()
        self.crowd = Crowd(most, request_s)
        self._config = uvicorn.Config(
            self._app,
            ws="none",
            lifespan="off",
            log_config=None,
            interface="asgi3",
            proxy_headers=False,
        )
        self._config.load()
        self._state = ServerState()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await self.open.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    def come(self, data: bytes = b"") -> tuple[Visit, Wire]:
        visit = self.crowd.make(config=self._config, server_state=self._state, app_state={})
        wire = Wire()
        visit.connection_made(wire)
        if data:
            visit.data_received(data)
        return visit, wire


@pytest.mark.parametrize(
    "half",
    [b"", HEAD, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\nhalf"],
    ids=["nothing", "half a header", "half a body"],
)
@in_loop
async def test_a_half_request_ends_though_bytes_come(half: bytes) -> None:
    visit, wire = Door().come(half)
    while not wire.ended.is_set():
        if half:
            visit.data_received(b"X")
        await asyncio.sleep(0.01)


@in_loop
async def test_a_whole_request_has_all_its_time_and_the_next_one_is_timed_again() -> None:
    door = Door(request_s=0.05)
    visit, wire = door.come(HEAD + b"\r\n")
    _, late = door.come(HEAD)
    await late.ended.wait()  # the same time is over
    assert not wire.ended.is_set()
    door.open.set()
    while b" 204 " not in wire.written:
        await asyncio.sleep(0)
    visit.data_received(HEAD)
    await wire.ended.wait()


@in_loop
async def test_who_has_waited_longest_makes_room_and_no_request_does() -> None:
    door = Door(most=3, request_s=60)
    _, busy = door.come(HEAD + b"\r\n")
    _, first = door.come()
    _, second = door.come(HEAD)
    _, new = door.come()
    assert [wire.ended.is_set() for wire in (busy, first, second, new)] == [0, 1, 0, 0]


@in_loop
async def test_where_all_are_at_work_the_new_one_is_refused() -> None:
    door = Door(most=1, request_s=60)
    _, busy = door.come(HEAD + b"\r\n")
    _, new = door.come()
    assert (busy.ended.is_set(), new.ended.is_set()) == (False, True)


@in_loop
async def test_a_lack_of_files_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    tell_seldom(loop)
    for _ in range(100):
        error = OSError(errno.EMFILE, "Too many open files")
        loop.call_exception_handler({"message": "accept", "exception": error})
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == [
        "the pages take no more connections for now: Too many open files"
    ]
    loop.call_exception_handler({"message": "something else"})
    assert "something else" in caplog.text


@in_loop
async def test_malformed_requests_are_one_line_with_their_number(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tell_seldom(asyncio.get_running_loop())
    of_server, now = logging.getLogger("uvicorn.error"), 1_000.0
    for one in [one for one in of_server.filters if isinstance(one, Seldom)]:
        of_server.removeFilter(one)
    seldom = Seldom(lambda: now)
    of_server.addFilter(seldom)
    try:
        for _ in range(200):
            Door().come(b"nonsense\r\n\r\n")
        now += 60.0
        Door().come(b"nonsense\r\n\r\n")
    finally:
        of_server.removeFilter(seldom)
    assert [one.getMessage() for one in caplog.records if one.name == "uvicorn.error"] == [
        "Invalid HTTP request received.",
        "Invalid HTTP request received. (and 199 more since it was said last)",
    ]


@in_loop
async def test_the_server_says_seldom_what_strangers_can_have_it_say() -> None:
    of_server = logging.getLogger("uvicorn.error")
    for _ in range(2):
        tell_seldom(asyncio.get_running_loop())
    assert [type(one) for one in of_server.filters].count(Seldom) == 1
