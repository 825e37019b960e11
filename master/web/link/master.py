"""The session with the master, which comes back by itself, and what is asked in it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from queue_manager.client.connection.session import Session, connecting
from queue_manager.errors import ConnectionLostError, QueueError, RefusedError
from queue_manager.settings import Settings
from queue_manager.wire.messages import JobList, Request

log = logging.getLogger("quartermaster.web")

ANSWER_S = 5.0
"""How long the master has for an answer. Then it counts as away: it may be frozen."""

AT_ONCE = 8
"""How many requests are on their way at a time. The others wait here, not in the master."""

_ACTS = 8
"""As `AT_ONCE`, of those that have longer than `ANSWER_S`."""

_LOOKS = 4
"""As `AT_ONCE`, of looks at jobs: each is a process of the master's for up to half a minute."""

_LOOK_S = 0.2
_FIRST_S = 2.0
"""How long the first page waits for the first session."""

R = TypeVar("R")


class AwayError(QueueError):
    """The master does not answer. since: from when on (UTC epoch in seconds).

    sent: the request was sent, so nobody knows whether it was carried out.
    """

    def __init__(self, since: float, sent: bool = False) -> None:
        super().__init__("the master does not answer")
        self.since, self.sent = since, sent


class BusyError(RefusedError):
    """Too much is asked at once: the request was not sent."""

    def __init__(self) -> None:
        super().__init__(
            "too much is asked of the master at once: nothing was sent to it; try again in a moment"
        )


class Master:
    """Asks the master. `run` keeps the session for as long as the process lives.

    now: UTC epoch in seconds.
    """

    def __init__(
        self, settings: Settings, authkey: bytes, now: Callable[[], float] = time.time
    ) -> None:
        self._settings, self._authkey = settings, authkey
        self._session: Session | None = None
        self._first = asyncio.Event()
        self._quick = asyncio.Semaphore(AT_ONCE)
        self._acts = asyncio.Semaphore(_ACTS)
        self._looks = asyncio.Semaphore(_LOOKS)
        self._now = now
        self._away_since: float | None = now()

    @property
    def away_since(self) -> float | None:
        """Since when the master does not answer; None: it does."""
        if self._session is None or not self._session.up:
            return self._gone()
        return self._away_since

    def check_level(self, level: int, what: str) -> None:
        """Raise RefusedError if the master is too old for what is asked."""
        if self._session is None or not self._session.up:
            raise AwayError(self._gone())
        has = self._session.welcome.level
        if has < level:
            raise RefusedError(
                f"the master is older than these pages (it speaks level {has} of the protocol, and"
                f" {what} need {level}): update the master"
            )

    async def run(self) -> None:
        """Keep a session. A master with another store than before needs a new one."""
        while True:
            try:
                async with connecting(self._settings, self._authkey, log.debug) as session:
                    self._session = session
                    while not session.closed:
                        if session.up:
                            self._first.set()
                        else:
                            self._gone()
                        await asyncio.sleep(_LOOK_S)
            except QueueError as error:
                log.warning("the web process lost the master: %s", error)
            await asyncio.sleep(_LOOK_S)

    async def ask(
        self, make: Callable[[int], Request], answer: type[R], within_s: float = ANSWER_S
    ) -> R:
        """The answer to a request, which is sent once.

        It may wait for room first, for as long once more. within_s: counts from the sending on.

        Raises:
            AwayError: there is no session, it was lost, or no answer came in time.
            BusyError: no room became free. It was not sent, and the master is not away for that.
            RefusedError: the master's own line.
        """
        await self._wait_first()
        async with self._room_in(self._room_of(answer, within_s), within_s):
            if self._session is None or not self._session.up:
                raise AwayError(self._gone())
            try:
                async with asyncio.timeout(within_s):
                    reply = await self._session.call_once(make, answer)
            except (ConnectionLostError, TimeoutError):
                raise AwayError(self._gone(), sent=True) from None
        self._away_since = None
        return reply

    def _room_of(self, answer: type[Any], within_s: float) -> asyncio.Semaphore:
        """Long requests take no room from the quick ones, nor looks at jobs from the actions."""
        if answer is JobList:
            return self._looks
        return self._acts if within_s > ANSWER_S else self._quick

    @contextlib.asynccontextmanager
    async def _room_in(self, room: asyncio.Semaphore, within_s: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(within_s):
                await room.acquire()
        except TimeoutError:
            since = self.away_since  # a frozen master answers nothing that is in the room
            raise (BusyError() if since is None else AwayError(since)) from None
        try:
            yield
        finally:
            room.release()

    async def _wait_first(self) -> None:
        if not self._first.is_set():
            try:
                async with asyncio.timeout(_FIRST_S):
                    await self._first.wait()
            except TimeoutError:
                raise AwayError(self._gone()) from None

    def _gone(self) -> float:
        """Note that the master does not answer; since when that is so."""
        self._away_since = self._away_since or self._now()
        return self._away_since
