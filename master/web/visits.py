"""Connections to the pages: each request is whole within seconds, and there is room for a new one.

uvicorn waits for a half request for ever, and its `limit_concurrency` counts none. Whoever opened
connections and sent nothing had all files of the process, and needed no token for that.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 10.0
"""How long a visitor has for a request, from its first byte or the connection's beginning on."""

_TOLD_EVERY_S = 60.0
_LINES = 100
"""How many different warnings are counted. uvicorn has a handful."""

_NO_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = logging.getLogger("quartermaster.web")


class Waiting(Protocol):
    """A connection with no whole request."""

    def end(self) -> None:
        """End the connection at once."""


class Crowd:
    """All connections. most: how many there may be. request_s: how long each has for a request."""

    def __init__(self, most: int, request_s: float = REQUEST_S) -> None:
        self.most, self.request_s = most, request_s
        self.waiting: dict[Waiting, None] = {}
        """Those with no whole request; the one that has waited longest is the first."""

        self.shaking: set[Waiting] = set()
        """Those in a handshake, which uvicorn does not know yet."""

    def make(self, **told: Any) -> Visit:
        """One connection, as uvicorn asks for it."""
        return Visit(self, **told)

    def make_room(self, comer: Waiting, known: int) -> None:
        """Where there are too many, the one that has waited longest ends; if none waits, the comer.

        known: how many uvicorn knows, with the comer if it does.
        """
        if known + len(self.shaking) > self.most:
            next(iter(self.waiting), comer).end()


class Visit(H11Protocol):
    """One connection."""

    def __init__(self, crowd: Crowd, **told: Any) -> None:
        super().__init__(**told)
        self._crowd = crowd
        self._due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room, and wait for a request."""
        super().connection_made(transport)
        self._crowd.make_room(self, len(self.connections))
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits for it any more."""
        self._let_be()
        self._crowd.waiting.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Look whether the request is whole now."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """What comes next is another request, of which a part may be here."""
        super().on_response_complete()
        self._look()

    def end(self) -> None:
        """End the connection at once."""
        self._crowd.waiting.pop(self, None)
        self.transport.abort()

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._let_be()
            self._crowd.waiting.pop(self, None)
        elif self.conn.their_state is h11.SEND_BODY or self.conn.trailing_data[0]:
            self._wait()
        else:  # between two requests: uvicorn's own time for that goes on
            self._crowd.waiting.setdefault(self)

    def _wait(self) -> None:
        self._crowd.waiting.setdefault(self)
        if self._due is None:
            self._due = self.loop.call_later(self._crowd.request_s, self.end)

    def _let_be(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None


def tell_seldom(loop: asyncio.AbstractEventLoop) -> None:
    """Have one line a minute say that connections find no room. asyncio says it each time.

    The same for each warning of the server.
    """
    told_at = -_TOLD_EVERY_S

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal told_at
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in _NO_FILES):
            loop.default_exception_handler(context)
        elif time.monotonic() - told_at >= _TOLD_EVERY_S:
            told_at = time.monotonic()
            log.warning("the pages take no more connections for now: %s", error.strerror)

    loop.set_exception_handler(handle)
    of_server = logging.getLogger("uvicorn.error")
    if not any(isinstance(one, Seldom) for one in of_server.filters):
        of_server.addFilter(Seldom())


class Seldom(logging.Filter):
    """Lets each warning pass once a minute, with how many there were since the last time.

    uvicorn has one for each malformed request, and nobody needs a token to send those.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._told: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line passes. It may get a count."""
        if record.levelno != logging.WARNING or record.exc_info:
            return True
        now, line = self._clock(), str(record.msg)
        told_at, more = self._told.get(line, (now - _TOLD_EVERY_S, 0))
        if now - told_at < _TOLD_EVERY_S:
            self._told[line] = told_at, more + 1
            return False
        if more:
            record.msg = f"{line} (and {more:,} more since it was said last)"
        if len(self._told) >= _LINES:
            self._told.clear()
        self._told[line] = now, 0
        return True
