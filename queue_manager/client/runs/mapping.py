"""A map on the wire: its run, its inputs on their way, its outcomes.

This module runs in the loop alone. `flow` decides what is read and given out.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from ...errors import ConnectionLostError, QueueError, RefusedError
from ...wire.messages import Accepted, CancelRun, Collected, ForgetRun, Request, RunStarted
from ...wire.records import NOBODY_COLLECTS
from ..calls import Start
from ..checking import key_of
from ..connection.session import Session
from .feeding import Feed
from .flow import Delivery, Flow
from .other_code import tell_other_code
from .outcomes import Outcomes
from .reasons import saying_why
from .rereading import Rereading


async def start_run(session: Session, start: Start, key: str | None) -> int:
    """Begin a run that this program feeds, or find the one with that key. Returns its number.

    Says in the log if the run of that key has results of other code.

    Raises RefusedError with the master's own line, and ArgumentError for a key that is no text.
    """
    make = partial(start, key=key_of(key))
    if key is None:
        what = "whether the run was started (key= helps)"
        return (await session.call(make, RunStarted, what)).run
    started = await session.call_idempotent(make, RunStarted)
    if started.older:
        tell_other_code(started, start(0).job)
    return started.run


async def remove_run(
    ask: Callable[[Callable[[int], Request], type[Accepted]], Awaitable[Accepted]],
    run: int,
    *,
    cancel: bool,
) -> None:
    """Remove a run from the master, if it is there. ask: sends a request.

    cancel: the run may go on until now. Raises as `ask` does, but for what the master refuses.
    """
    if cancel:
        with contextlib.suppress(RefusedError):  # it may have ended by itself
            await ask(partial(CancelRun, run=run), Accepted)
    with contextlib.suppress(RefusedError):  # the master has removed it
        await ask(partial(ForgetRun, run=run), Accepted)


class Mapping:
    """One map, from its start to its end. `deliver` gets its outcomes.

    over: it was finished, or abandoned.
    """

    def __init__(self, session: Session, run: int, key: str | None, deliver: Any) -> None:
        self._session, self._lasts = session, key is not None
        self._deliver: Callable[[Delivery], None] = deliver
        self._loop = asyncio.get_running_loop()
        self.run = run
        most = session.welcome.max_bytes
        self.feed = Feed(session, run, most, deliver, partial(deliver, []))
        self._outcomes = Outcomes(session, run, deliver)
        self._collecting: asyncio.Task[None] | None = None
        self._rereading = Rereading(session, run)
        self._reading: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self.over = False

    @classmethod
    async def begin(cls, session: Session, start: Start, key: str | None, deliver: Any) -> Mapping:
        """Start the run of a map.

        Without a key the run has one all the same, so that the request can be repeated.
        """
        number = await start_run(session, start, f"map {uuid.uuid4()}" if key is None else key)
        return cls(session, number, key, deliver)

    async def open(self, **how: Any) -> Flow:
        """Take the run up, and hear its outcomes. how: as `Flow` takes it."""
        async with self._session.holders.taking(self.run, self):
            opened = await self.feed.open()
        self._collecting = asyncio.create_task(self._told(self._collect()))
        return Flow(self.feed, opened.accepted, again=self._read_again, **how)

    def took(self, size_bytes: int) -> None:
        """So many bytes of results were taken out of what was delivered."""
        self._outcomes.took(size_bytes)

    def end_inputs(self) -> None:
        """All inputs were given."""
        if self.over:
            return
        self._ending = asyncio.create_task(self._told(self.feed.end()))

    async def finish(self) -> None:
        """All results were given out."""
        if self.over:
            return
        self.over = True
        if self._ending is not None:
            await asyncio.wait([self._ending])
        await self._leave(cancel=False)

    async def abandon(self) -> None:
        """The map was closed early."""
        if self.over:
            return
        self.over = True
        await self._leave(cancel=True)

    @property
    def feeds(self) -> bool:
        """Whether it still gives inputs."""
        return self.feed.feeds

    async def cut_off(self, error: QueueError) -> None:
        """A later call has the run. Whoever waits for results here raises the error."""
        self.over = True
        try:
            await self.feed.cut_off(error)
            await self._stop()
        finally:  # the later call may be cancelled, and whoever waits here must hear of it
            self._deliver(error)

    async def closed(self) -> None:
        """The client is closed while somebody waits for results."""
        try:
            await self.abandon()
        finally:  # the master may be away
            self._deliver(ConnectionLostError("the client was closed"))

    async def _leave(self, *, cancel: bool) -> None:
        """End what goes on here. A run without a key goes, too. cancel: as of `remove_run`."""
        await self._stop()
        alone = self._session.holders.leave(self.run, self)
        if self._lasts and alone:
            nobody_collects(self._session, self.run)
        elif not self._lasts:
            await remove_run(self._session.call_idempotent, self.run, cancel=cancel)

    async def _stop(self) -> None:
        for task in (self._collecting, self._ending, self._reading):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        await self.feed.close()

    async def _collect(self) -> None:
        async with saying_why(self._session, self.run):
            await self._outcomes.collect()
        if not self._lasts:  # the master would remove it before all is read that was left there
            await self._outcomes.stay()

    def _read_again(self, first: int) -> None:
        """The results from a task on had no room, and are wanted now. In any thread."""
        self._loop.call_soon_threadsafe(self._begin_reading, first)

    def _begin_reading(self, first: int) -> None:
        if not self.over:
            self._reading = asyncio.create_task(self._told(self._reread(first)))

    async def _reread(self, first: int) -> None:
        self._deliver(await self._rereading.read(first))

    async def _told(self, coroutine: Any) -> None:
        try:
            await coroutine
        except Exception as error:  # whatever it is, the iterator raises it
            if not self.over:
                self._deliver(error)


def nobody_collects(session: Session, run: int) -> None:
    """Say that this session reads no more of a run, so that the master need not remember it."""
    session.send(Collected(run, NOBODY_COLLECTS))
