"""A program's session with the serving master, which outlives a restart of that master.

This module owns what is asked again when a session was lost, and what is not. Commands and the
public client use it. It knows nothing of tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TypeVar

from ... import __version__
from ...errors import (
    ConnectionLostError,
    TlsError,
    UnreachableError,
    WrongKeyError,
)
from ...settings import Settings
from ...wire.limits import RUNS_LOOKED_AT
from ...wire.messages import (
    AskRun,
    AskRuns,
    Collected,
    OpenRun,
    Reply,
    Request,
    RunList,
    RunOpened,
    RunShown,
    RunStarted,
    WatchRun,
    Welcome,
)
from ...wire.reach.masters import Masters
from ...wire.records import NOBODY_COLLECTS, RunStatus
from ...wire.tls import client_mode
from .holders import Holders
from .link import Link
from .news import News
from .program import client_hello
from .suspicion import Suspicion

log = logging.getLogger("quartermaster.client")

CONNECT_S = 5.0
"""How long a command waits for the master."""

_POLL_S = 0.3
_NO_ANSWER = -1
"""The seq of a request whose answer nobody waits for."""

R = TypeVar("R")
Tell = Callable[[str], None]


class Session:
    """Requests to the master over one link.

    Args:
        link: the session that reconnects.
        news: gets the messages that answer no request.
        tell: is told, in a line, that the master was lost, and why it can't be reached again.
        timeout_s: how long a request that must not be repeated waits for a master that is away.
        given: the program has said the address itself, so no variable is to blame for it.

    holders: the calls that have runs in this session.
    """

    def __init__(
        self,
        link: Link,
        news: News | None = None,
        tell: Tell = log.warning,
        timeout_s: float = CONNECT_S,
        given: bool = False,
    ) -> None:
        self._link = link
        self._news = news or News()
        self._tell = tell
        self._timeout_s = timeout_s
        self._whence = "" if given else " (QUEUE_HOST, QUEUE_PORT)"
        self._trouble = ""
        self.holders = Holders()
        self.welcome = Welcome(__version__, 0)

    @property
    def losses(self) -> int:
        """How many times the connection was lost. Whoever has opened a run opens it again then."""
        return self._news.losses

    @property
    def up(self) -> bool:
        """Whether the master is there now."""
        return self._link.up

    @property
    def closed(self) -> bool:
        """Whether this side has ended the session, so there will be no master any more."""
        return self._link.closed

    async def call(self, make: Callable[[int], Request], answer: type[R], what: str) -> R:
        """A request that must not be repeated. While the master is away, it is not sent.

        what: what is unknown when the session is lost before the answer.

        Raises:
            RefusedError: the master's own line.
            UnreachableError: the master was away for `timeout_s` seconds. Nothing was sent.
            ConnectionLostError: the session was lost before the answer.
        """
        await self.reach()
        try:
            return await self._link.request(make, answer)
        except ConnectionLostError as error:
            raise ConnectionLostError(f"{error}; {what} is unknown: see `qm status`") from None

    async def call_once(self, make: Callable[[int], Request], answer: type[R]) -> R:
        """A request whose sender knows what to do when the session is lost.

        Raises as `call`.
        """
        return await self._link.request(make, answer)

    async def call_idempotent(
        self,
        make: Callable[[int], Request],
        answer: type[R],
        again: Callable[[], Awaitable[object]] | None = None,
    ) -> R:
        """A request that may be repeated. While the master is away, this waits for it.

        again: is awaited in each new session, before the request is repeated.

        Raises:
            RefusedError: the master's own line.
            ConnectionLostError: the session is lost soon behind this request again and again, the
                master can't read the request, or this side closed it.
        """
        suspicion = Suspicion()
        while True:
            suspicion.sent()
            try:
                return await self._link.request(make, answer)
            except ConnectionLostError as error:
                suspicion.lost(error)
                await self.come_back()
                if again is not None:
                    await again()

    def send(self, message: Request) -> None:
        """Send a message that has no answer. Without a connection it is dropped."""
        self._link.send(message)

    async def watch(self, run: int) -> AsyncGenerator[RunStatus, None]:
        """The status of a run: now, whenever its counts have changed, and when it has ended.

        Raises:
            RefusedError: there is no such run, or it is no more.
            ConnectionLostError: as `call_idempotent`.
        """
        news = self._news
        watcher = news.join(run)

        def make(seq: int) -> WatchRun:
            news.asked(seq, run)
            return WatchRun(seq, run)

        try:
            while True:
                losses = news.losses
                shown = await self.call_idempotent(make, RunShown)
                news.answered(shown)
                if watcher.newest is shown:
                    watcher.newest = None
                yield shown.run
                if is_over(shown.run):
                    return
                async for status in news.of(watcher, losses):
                    yield status
                    if is_over(status):
                        return
        finally:
            if news.leave(run, watcher):
                self._link.send(WatchRun(_NO_ANSWER, run, on=False))

    async def reach(self) -> None:
        """Wait for the master for `timeout_s` seconds.

        Raises:
            UnreachableError: there is no session within that time; one line.
            WrongKeyError, TlsError: waiting does not mend it.
            ConnectionLostError: this side closed the session.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                await wait_up(self._link)
        except TimeoutError:
            raise self.late() from None

    def late(self) -> UnreachableError:
        """What to raise when `timeout_s` seconds are over."""
        link = self._link
        where = link.masters
        if link.up:
            late = f"has not answered within {self._timeout_s:g} s"
            return UnreachableError(f"the master at {where} {late}")
        why = f"{link.failure or where.why() or 'it does not answer'}"
        return UnreachableError(f"no master at {where}{self._whence}: {why}")

    async def come_back(self) -> None:
        """Wait until there is a session again.

        Raises ConnectionLostError if this side closed it.
        """
        if self._link.up:
            return
        check_open(self._link)
        self._tell("lost the master; waiting for it")
        while not self._link.up:
            try:
                await wait_up(self._link)
            except (WrongKeyError, TlsError) as error:  # it may get the old ones back
                if str(error) != self._trouble:
                    self._trouble = str(error)
                    self._tell(f"{error}; trying again")
                await asyncio.sleep(_POLL_S)

    def abandon(self) -> None:
        """Leave the connection to the process that this one was forked from."""
        self._link.abandon()


def is_over(run: RunStatus) -> bool:
    """Whether a run has ended, so nobody who watches it is told any more."""
    return run.state not in ("pending", "active", "finishing", "stalled")


async def run_status(session: Session, which: int | str) -> RunStatus:
    """How a run is now. which: its number or its key.

    Raises RefusedError if there is no such run.
    """
    number, key = (0, which) if isinstance(which, str) else (which, None)
    shown = await session.call_idempotent(partial(AskRun, run=number, key=key), RunShown)
    return shown.run


async def run_pages(
    session: Session, state: str = "", job: str = "", search: str = ""
) -> AsyncIterator[RunList]:
    """The runs of a state and a job, one page in memory at a time. A page may be empty.

    state, job: "" takes all. search: a text in their job, key or arguments, or their number.
    """
    looked = RUNS_LOOKED_AT if search else 500
    after, complete = 0, False
    while not complete:
        ask = partial(AskRuns, after=after, state=state, job=job, search=search, ended=looked)
        page = await session.call_idempotent(ask, RunList)
        yield page
        after, complete = page.last, page.complete or page.last == after


async def open_run(session: Session, run: int) -> RunOpened:
    """Tell the master in this session that a run's program is there. Returns how far the run is.

    A run that is not lasting ends when its program has been away for too long.

    Raises RefusedError if the run is no more.
    """
    return await session.call_idempotent(partial(OpenRun, run=run), RunOpened)


def connected(
    settings: Settings,
    authkey: bytes,
    tell: Tell = log.warning,
    timeout_s: float = CONNECT_S,
    given: bool = False,
) -> contextlib.AbstractAsyncContextManager[Session]:
    """A session with the master, which is there.

    tell, given: as those of `Session`. timeout_s: how long to wait for the first session, and as
    that of `Session`.

    Raises as `Session.reach`.
    """
    return connecting(settings, authkey, tell, timeout_s, given, there=True)


@contextlib.asynccontextmanager
async def connecting(
    settings: Settings,
    authkey: bytes,
    tell: Tell = log.warning,
    timeout_s: float = CONNECT_S,
    given: bool = False,
    there: bool = False,
) -> AsyncIterator[Session]:
    """A session with the master, which may not be there yet. Arguments as of `connected`.

    there: wait for it. A generator around this one would be in its way when a loop ends both.
    """
    masters = Masters(settings.masters)
    news = News()

    def welcomed(welcome: Welcome) -> None:
        known = session.welcome.store
        if known and welcome.store != known:  # the numbers of runs here are of other runs there
            link.leave(
                f"the master at {masters} has another store than before, without"
                " the runs of this session: connect again"
            )
            return
        session.welcome = welcome

    def heard(message: Reply) -> None:
        if isinstance(message, RunStarted):  # whoever asked for it was cancelled meanwhile
            link.send(Collected(message.run, NOBODY_COLLECTS))  # another program may take it
        news.heard(message)

    link = Link(
        masters,
        authkey,
        client_hello,
        on_message=heard,
        on_up=welcomed,
        on_down=news.lost,
        mode=client_mode(settings),
        quiet=True,
    )
    session = Session(link, news, tell, timeout_s, given)
    running = asyncio.create_task(link.run())
    # The link tells of a loss, and not of its own end: whoever watches a run learns that here.
    running.add_done_callback(lambda _: news.lost(link.end))
    try:
        if there:
            await session.reach()
        yield session
    finally:
        link.close()
        await asyncio.wait([running])


async def wait_up(link: Link) -> None:
    """Wait until the session is up. Raises an error that waiting does not mend."""
    while not link.up:
        check_open(link)
        if isinstance(link.failure, WrongKeyError | TlsError):
            raise link.failure
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_POLL_S):
                await link.wait_up()


def check_open(link: Link) -> None:
    """Raises ConnectionLostError when there will be no session any more."""
    if link.closed:
        raise ConnectionLostError(link.end)
