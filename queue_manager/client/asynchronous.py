"""The client for programs with a loop of their own: the same verbs as coroutines and iterators.

The synchronous face stands on it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
)
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from ..addresses import shown
from ..errors import (
    ConnectionLostError,
    ProtocolError,
    QueueError,
    RefusedError,
)
from ..job.contract import Options
from ..settings import Settings
from ..trace import asked_traceparent
from ..wire.messages import (
    AskHistory,
    AskStatus,
    History,
    StartRun,
    Status,
)
from ..wire.records import RunStatus
from ..wire.replies import NEEDED_LEVEL
from .calls import Start, Work, arguments_of, start_of
from .checking import (
    buffer_of,
    job_of,
    numbers_of,
    run_of,
    state_of,
    submitted_job,
    text_of,
)
from .connection.session import Session, connected, run_pages, run_status
from .progress import Bar, bar_of
from .runs.async_run import AsyncRun
from .runs.feeding import Feed, add_input, is_keyed
from .runs.flow import Delivery, Flow
from .runs.inputs import Mailbox, coming, each_of, inputs_of, is_asynchronous, length_of, pump, stop
from .runs.mapping import Mapping, nobody_collects, start_run
from .runs.reasons import saying_why

R = TypeVar("R")

SLICE_S = 0.001
"""How long a map reads inputs in the loop before it gives the loop to others."""

GOODBYE_S = 5.0
"""How long `close` waits for what it still has to tell the master; a start that exits does, too."""


class Exiting(Exception):
    """Stands for a SystemExit, which would end the loop. A signal's handler may have raised it."""


class AsyncClient:
    """A session with the master, for one loop. `connect_async` makes it.

    Use it as `async with await connect_async() as qm`, or `close` it.
    """

    def __init__(self) -> None:
        self._stack = contextlib.AsyncExitStack()
        self._after: set[asyncio.Task[None]] = set()
        self._maps: set[Mapping] = set()
        self.session: Session

    async def open(
        self, settings: Settings, authkey: bytes, timeout_s: float, given: bool = False
    ) -> None:
        """Connect. Raises as `connected`, and ProtocolError if the master is too old.

        given: as that of `Session`.
        """
        made = connected(settings, authkey, timeout_s=timeout_s, given=given)
        self.session = await self._stack.enter_async_context(made)
        welcome = self.session.welcome
        if welcome.level < NEEDED_LEVEL:
            await self._stack.aclose()
            raise ProtocolError(
                f"the master at {shown(settings.masters)} is older than this"
                f" program (it speaks level {welcome.level} of the protocol, this program needs"
                f" {NEEDED_LEVEL}): update the master"
            )

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the session. Maps that are still open are cancelled; lasting runs go on."""
        for mapping in self.maps:
            self.later(mapping.closed())
        if self._after:
            await asyncio.wait(self._after, timeout=GOODBYE_S)
        await self._stack.aclose()

    # --- the verbs ---

    def map(
        self,
        function: Callable[..., Coroutine[Any, Any, R] | R] | str,
        /,
        *iterables: Iterable[Any] | AsyncIterable[Any],
        ordered: bool = True,
        return_exceptions: bool = False,
        buffer: int | None = None,
        key: str | None = None,
        options: Options | None = None,
        progress: bool = False,
    ) -> AsyncGenerator[R, None]:
        """As `Client.map`, with an asynchronous iterator. Iterables may be asynchronous."""
        start = start_of(function, iterables, options, lasting=key is not None, once=True)
        buffer = buffer_of(buffer)
        how = {"ordered": ordered, "return_exceptions": return_exceptions, "buffer": buffer}
        bar = bar_of(function, length_of(iterables)) if progress else contextlib.nullcontext()
        return self._map(start, key, iterables, how, bar)

    async def _map(
        self,
        start: Start,
        key: str | None,
        iterables: tuple[Any, ...],
        how: dict[str, Any],
        bar: contextlib.AbstractContextManager[Bar | None],
    ) -> AsyncGenerator[Any, None]:
        mailbox = Mailbox()
        mapping, flow = await self.begin_map(start, key, mailbox.put, how)
        pumping: asyncio.Task[None] | None = None
        told, held_bytes = False, 0
        inputs: Iterator[Any] = iter(())
        try:
            if is_asynchronous(iterables):
                pumping = asyncio.create_task(pump(flow, coming(iterables), mailbox))
            else:
                inputs = inputs_of(iterables)
            with bar as shown:
                while not flow.done:
                    if pumping is None and not flow.over:
                        flow.fill(inputs, lambda: mailbox.full, SLICE_S)
                    if flow.whole and not told:
                        mapping.end_inputs()
                        told = True
                    values = flow.take()
                    mailbox.stirred.set()
                    if values is not None and shown is not None:
                        shown.show(flow.given, flow.fed, flow.failed)
                    for value in values or ():
                        yield value
                    if values is None and not flow.done:
                        if not flow.short:  # else nothing more is asked for: it waits for inputs
                            mapping.took(held_bytes)
                            held_bytes = 0
                        held_bytes += flow.receive(await mailbox.get())
                    else:
                        await asyncio.sleep(0)
        finally:
            self.later(mapping.finish() if flow.done else mapping.abandon())
            if pumping is not None:  # the iterator of the inputs is closed when the map is
                await stop(pumping, mailbox)

    async def start(
        self,
        function: Work,
        /,
        *iterables: Iterable[Any] | AsyncIterable[Any],
        key: str | None = None,
        options: Options | None = None,
    ) -> AsyncRun:
        """As `Client.start`. Iterables may be asynchronous."""
        start = start_of(function, iterables, options, lasting=True)
        async with self.feeding(start, key) as (run, feed, skip):
            if skip is not None:
                async with contextlib.aclosing(each_of(iterables)) as inputs:
                    number = 0
                    async for item in inputs:
                        number += 1
                        if skip and not is_keyed(item):
                            skip -= 1
                            continue
                        add_input(feed, item, number)
                        if not feed.room:
                            await feed.wait_room()
        return run

    async def submit(
        self,
        job: str,
        /,
        *,
        key: str | None = None,
        after: Any = (),
        traceparent: str | None = None,
        **arguments: Any,
    ) -> AsyncRun:
        """As `Client.submit`."""
        given, earlier = arguments_of(arguments), numbers_of(after)
        start = partial(StartRun, job=submitted_job(job), args=[], arguments=given, after=earlier)
        start = partial(start, traceparent=asked_traceparent(traceparent))
        return AsyncRun(self.session, await start_run(self.session, start, key))

    async def run(self, which: int | str, /) -> AsyncRun:
        """As `Client.run`."""
        status = await run_status(self.session, run_of(which))
        return AsyncRun(self.session, status.run)

    async def runs(
        self, state: str = "", job: str = "", search: str = ""
    ) -> AsyncIterator[RunStatus]:
        """As `Client.runs`."""
        sought = text_of("search", search)
        async for page in run_pages(self.session, state_of(state), job_of(job), sought):
            for run in page.runs:
                yield run

    async def history(
        self,
        which: int | str | None = None,
        /,
        *,
        since_at: float = 0.0,
        until_at: float = 0.0,
        step_s: float = 60.0,
    ) -> History:
        """As `Client.history`."""
        run = None if which is None else (await self.run(which)).id
        ask = partial(AskHistory, run=run, since_at=since_at, until_at=until_at, step_s=step_s)
        return await self.session.call_idempotent(ask, History)

    async def status(self) -> Status:
        """As `Client.status`."""
        return await self.session.call_idempotent(AskStatus, Status)

    # --- what the synchronous face needs, too ---

    async def begin_map(
        self,
        start: Start,
        key: str | None,
        deliver: Callable[[Delivery], None],
        how: dict[str, Any],
    ) -> tuple[Mapping, Flow]:
        """Start the run of a map. deliver: is called in the loop with what comes."""
        beginning = asyncio.create_task(Mapping.begin(self.session, start, key, deliver))
        try:
            mapping = await asyncio.shield(beginning)
        except asyncio.CancelledError:
            if key is None and self.session.up:
                self.later(_abandoned(beginning))
            else:  # a run with a key stays, and a request that the master has not got is not sent
                beginning.cancel()
            raise
        self._maps = {one for one in self._maps if not one.over} | {mapping}
        try:
            return mapping, await mapping.open(**how)
        except BaseException:  # also an interrupt: nobody would ever give this run its inputs
            self.later(mapping.abandon())
            raise

    @contextlib.asynccontextmanager
    async def feeding(
        self, start: Start, key: str | None
    ) -> AsyncIterator[tuple[AsyncRun, Feed, int | None]]:
        """A lasting run to feed: itself, its feed, and how many inputs it has already.

        None: it gets no more. At the end, all inputs are on disk.
        """
        number = await start_run(self.session, start, key)
        feed = Feed(self.session, number, self.session.welcome.max_bytes)
        try:
            async with self.session.holders.taking(number, feed):
                state = await feed.open()
            async with saying_why(self.session, number):
                yield AsyncRun(self.session, number), feed, None if state.ended else state.accepted
                if not state.ended:
                    await feed.end()
        except (Exception, SystemExit) as error:
            exits = isinstance(error, SystemExit | Exiting)
            with contextlib.suppress(QueueError, TimeoutError):
                async with asyncio.timeout(GOODBYE_S if exits else None):
                    await feed.flush()  # what was given stays
            raise
        finally:
            await feed.close()
            if self.session.holders.leave(number, feed):
                # Another program may take the run up now. One that has ended is pruned though this
                # session stays.
                nobody_collects(self.session, number)

    @property
    def maps(self) -> list[Mapping]:
        """The maps that are not over."""
        return [one for one in self._maps if not one.over]

    def later(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have something done that nobody waits for; `close` does, for a while."""

        async def forgiven() -> None:
            with contextlib.suppress(RefusedError, ConnectionLostError):
                await coroutine

        task = asyncio.get_running_loop().create_task(forgiven())
        self._after.add(task)
        task.add_done_callback(self._after.discard)
        return task


async def _abandoned(beginning: asyncio.Task[Mapping]) -> None:
    """Remove the run of a map that was cancelled while it began, when its number is known."""
    mapping = await beginning
    await mapping.abandon()
