"""A program's session with the serving master, which outlives a restart of that master.

This module owns what is asked again when a session was lost, and what is not. Commands and the
public client use it. It knows nothing of tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import partial
from typing import TypeVar

from .. import __version__
from ..errors import (
    ConnectionLostError,
    QueueError,
    RefusedError,
    TlsError,
    UnreachableError,
    WrongKeyError,
)
from ..settings import Settings
from ..wire.messages import Hello, Refused, Reply, Request, RunShown, WatchRun, Welcome
from ..wire.records import RunStatus
from ..wire.tls import client_mode
from .link import Link

log = logging.getLogger("quartermaster.client")

CONNECT_S = 5.0
"""How long a command waits for the master."""

_POLL_S = 0.3
_TRIES = 10
"""How often a request is tried. If the session ends each time, the request is at fault."""

R = TypeVar("R")
Tell = Callable[[str], None]


class News:
    """The newest answer about each watched run. Older ones are dropped."""

    def __init__(self) -> None:
        self._newest: dict[int, Reply] = {}
        self._came = asyncio.Event()
        self.losses = 0

    def heard(self, message: Reply) -> None:
        """A message that answers no request."""
        if isinstance(message, RunShown | Refused):
            self._newest[message.seq] = message
            self._came.set()

    def lost(self, reason: str) -> None:
        """The session has ended. Nothing more comes of the runs that it watched."""
        self.losses += 1
        self._newest.clear()
        self._came.set()

    async def of(self, seq: int, losses: int) -> AsyncIterator[RunStatus]:
        """Each new answer about a watched run, until the session is lost.

        seq: of the request to watch it. losses: how many sessions were lost before that request.

        Raises RefusedError when the run is no more.
        """
        while self.losses == losses:
            message = self._newest.pop(seq, None)
            if isinstance(message, Refused):
                raise RefusedError(message.error)
            if isinstance(message, RunShown):
                yield message.run
            else:
                self._came.clear()
                await self._came.wait()


class Session:
    """Requests to the master over one link.

    Args:
        link: the session that reconnects.
        news: gets the messages that answer no request.
        tell: is told, in a line, that the master was lost, and why it can't be reached again.
    """

    def __init__(self, link: Link, news: News | None = None, tell: Tell = log.warning) -> None:
        self._link = link
        self._news = news or News()
        self._tell = tell
        self._trouble = ""
        self.welcome = Welcome(__version__, 0)

    async def call(self, make: Callable[[int], Request], answer: type[R], what: str) -> R:
        """A request that must not be repeated. what: what is unknown when no answer comes.

        Raises:
            RefusedError: the master's own line.
            ConnectionLostError: the session was lost before the answer.
        """
        try:
            return await self._link.request(make, answer)
        except ConnectionLostError as error:
            raise ConnectionLostError(f"{error}; {what} is unknown: see `qm status`") from None

    async def call_once(self, make: Callable[[int], Request], answer: type[R]) -> R:
        """A request whose sender knows what to do when the session is lost.

        Raises as `call`.
        """
        return await self._link.request(make, answer)

    async def call_idempotent(self, make: Callable[[int], Request], answer: type[R]) -> R:
        """A request that may be repeated. While the master is away, this waits for it.

        Raises:
            RefusedError: the master's own line.
            ConnectionLostError: the session is lost at this request again and again.
        """
        for _ in range(_TRIES):
            try:
                return await self._link.request(make, answer)
            except ConnectionLostError as error:
                lost = error
                await self.come_back()
        raise ConnectionLostError(f"{lost}; {_TRIES} times at the same request")

    def send(self, message: Request) -> None:
        """Send a message that has no answer. Without a connection it is dropped."""
        self._link.send(message)

    async def watch(self, run: int) -> AsyncGenerator[RunStatus, None]:
        """The status of a run: now, whenever its counts have changed, and when it has ended.

        Raises:
            RefusedError: there is no such run, or it is no more.
            ConnectionLostError: as `call_idempotent`.
        """
        while True:
            losses = self._news.losses
            shown = await self.call_idempotent(partial(WatchRun, run=run), RunShown)
            yield shown.run
            if is_over(shown.run):
                return
            async for status in self._news.of(shown.seq, losses):
                yield status
                if is_over(status):
                    return

    async def come_back(self) -> None:
        """Wait until there is a session again."""
        if self._link.up:
            return
        self._tell("lost the master; waiting for it")
        while not self._link.up:
            try:
                await wait_up(self._link)
            except QueueError as error:  # it may get the old key, or its encryption, back
                if str(error) != self._trouble:
                    self._trouble = str(error)
                    self._tell(f"{error}; trying again")
                await asyncio.sleep(_POLL_S)

    def abandon(self) -> None:
        """Leave the connection to the process that this one was forked from."""
        self._link.abandon()


def is_over(run: RunStatus) -> bool:
    """Whether a run has ended, so nobody who watches it is told any more."""
    return run.state not in ("active", "finishing", "stalled")


@contextlib.asynccontextmanager
async def connected(
    settings: Settings, authkey: bytes, tell: Tell = log.warning, timeout_s: float = CONNECT_S
) -> AsyncIterator[Session]:
    """A session with the master.

    tell: as that of `Session`. timeout_s: how long to wait for the first session.

    Raises:
        WrongKeyError: the master has another key.
        TlsError: one side demands encryption, and the other can't or won't.
        UnreachableError: there is no session within `timeout_s`; one line.
    """
    hello = Hello("client", socket.gethostname(), os.getpid(), version=__version__)
    address = (settings.queue_host, settings.queue_port)
    news = News()

    def welcomed(welcome: Welcome) -> None:
        session.welcome = welcome

    link = Link(
        address,
        authkey,
        lambda: hello,
        on_message=news.heard,
        on_up=welcomed,
        on_down=news.lost,
        mode=client_mode(settings),
        quiet=True,
    )
    session = Session(link, news, tell)
    running = asyncio.create_task(link.run())
    try:
        await _reach(link, timeout_s)
        yield session
    finally:
        link.close()
        await running


async def _reach(link: Link, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(wait_up(link), timeout_s)
    except TimeoutError:
        where = f"no master at {link.address[0]}:{link.address[1]} (QUEUE_HOST, QUEUE_PORT)"
        why = f"{link.failure}" if link.failure is not None else "it does not answer"
        raise UnreachableError(f"{where}: {why}") from None


async def wait_up(link: Link) -> None:
    """Wait until the session is up. Raises an error that waiting does not mend."""
    while not link.up:
        if isinstance(link.failure, WrongKeyError | TlsError):
            raise link.failure
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(link.wait_up(), _POLL_S)
