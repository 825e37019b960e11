"""A command's session with the serving master, which outlives a restart of that master."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from queue_manager import __version__
from queue_manager.client.link import Link
from queue_manager.errors import ConnectionLostError, QueueError, TlsError, WrongKeyError
from queue_manager.settings import Settings
from queue_manager.wire.messages import Hello, Request
from queue_manager.wire.tls import client_mode

from .printing import tell

CONNECT_S = 5.0
_POLL_S = 0.3
_TRIES = 10
"""A request that ends the session each time is at fault itself."""

R = TypeVar("R")


class Asking:
    """Requests to the master over one link."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._complaint = ""

    async def once(self, make: Callable[[int], Request], answer: type[R], what: str) -> R:
        """A request that must not be repeated. what: what is unknown when no answer comes.

        Raises:
            RefusedError: the master's own line.
            ConnectionLostError: it was lost before it answered.
        """
        try:
            return await self._link.request(make, answer)
        except ConnectionLostError as error:
            raise ConnectionLostError(f"{error}; {what} is unknown: see `qm status`") from None

    async def again(self, make: Callable[[int], Request], answer: type[R]) -> R:
        """A request that may be repeated: while the master is away it waits for it.

        Raises:
            RefusedError: the master's own line.
            ConnectionLostError: it is lost at this request again and again.
        """
        for _ in range(_TRIES):
            try:
                return await self._link.request(make, answer)
            except ConnectionLostError as error:
                lost = error
                await self._come_back()
        raise ConnectionLostError(f"{lost}; {_TRIES} times at the same request")

    async def _come_back(self) -> None:
        if self._link.up:
            return
        tell("qm: lost the master; waiting for it")
        while not self._link.up:
            try:
                await wait_up(self._link)
            except QueueError as error:  # it may get the old key, or its encryption, back
                if str(error) != self._complaint:
                    self._complaint = str(error)
                    tell(f"qm: {error}; trying again")
                await asyncio.sleep(_POLL_S)


@contextlib.asynccontextmanager
async def connected(settings: Settings, authkey: bytes) -> AsyncIterator[Asking]:
    """A session with the master.

    Raises:
        WrongKeyError: the master has another key.
        TlsError: one side demands encryption, and the other can't or won't.
        ConnectionLostError: there is none within 5 s; one line.
    """
    hello = Hello("client", socket.gethostname(), os.getpid(), version=__version__)
    address = (settings.queue_host, settings.queue_port)
    link = Link(address, authkey, lambda: hello, mode=client_mode(settings), quiet=True)
    running = asyncio.create_task(link.run())
    try:
        await _reach(link)
        yield Asking(link)
    finally:
        link.close()
        await running


async def _reach(link: Link) -> None:
    try:
        await asyncio.wait_for(wait_up(link), CONNECT_S)
    except TimeoutError:
        where = f"no master at {link.address[0]}:{link.address[1]} (QUEUE_HOST, QUEUE_PORT)"
        why = f"{link.failure}" if link.failure is not None else "it does not answer"
        raise ConnectionLostError(f"{where}: {why}") from None


async def wait_up(link: Link) -> None:
    """Wait until the session is up; what no waiting will mend is raised."""
    while not link.up:
        if isinstance(link.failure, WrongKeyError | TlsError):
            raise link.failure
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(link.wait_up(), _POLL_S)
