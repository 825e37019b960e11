"""The calls of one run: out as its tasks, and back as outcomes.

`submit` may come from any thread. All that is awaited runs in the loop's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from ...errors import QueueError
from ...wire.messages import (
    AskTask,
    CancelRun,
    StartRun,
    TasksCancelled,
    TaskShown,
)
from ..code import Packed
from ..runs.feeding import Feed
from ..runs.mapping import remove_run, start_run
from ..runs.outcomes import GATHER_S, MANY, next_page
from ..session import Session
from .broken import BrokenQueueError
from .completion import Completion
from .future import UNPLACED, WITHDRAWN, QueueFuture

if TYPE_CHECKING:
    from ..loop_thread import LoopThread

_RANGES = 1_000
"""How many ranges of tasks one request cancels."""

CANCEL_S = 10.0
"""How long `Future.cancel` waits for the master."""


class Calls:
    """One run of an executor, from its first call to its end.

    Args:
        thread: that of the loop.
        session: with the master.
        packed: the code of the run.
        completion: ends the futures.
        on_end: is called in the loop when nothing more comes; with the error if there is one.
    """

    def __init__(
        self,
        thread: LoopThread,
        session: Session,
        packed: Packed,
        completion: Completion,
        on_end: Callable[[Calls, QueueError | None], None],
    ) -> None:
        self._thread, self._session, self._packed = thread, session, packed
        self._completion, self._on_end = completion, on_end
        self._lock = threading.Lock()
        self._waiting: deque[tuple[QueueFuture, Any]] = deque()
        self._placed: dict[int, QueueFuture] = {}
        self._next = 1
        self._kicked = True  # until the run has begun
        self._run = 0
        self._feed: Feed | None = None
        self._error: QueueError | None = None
        self._ending = asyncio.Event()
        self._emptied = asyncio.Event()
        self._serving = thread.begin(self._serve())

    # --- in any thread ---

    def submit(self, future: QueueFuture, payload: Any) -> None:
        """Make a call. payload: as the run's code takes it; may be `codec.Encoded`.

        Raises the error that has ended the run.
        """
        with self._lock:
            if self._error is not None:
                raise self._error
            self._waiting.append((future, payload))
            kicked, self._kicked = self._kicked, True
        if not kicked:
            self._thread.soon(self._place)

    def withdraw(self, futures: Iterable[QueueFuture]) -> list[QueueFuture]:
        """Take calls back that no worker has. Returns those. The others have begun."""
        withdrawn, placed = [], []
        with self._lock:
            for future in futures:
                if future.number > UNPLACED:
                    placed.append(future)
                elif self._error is None:  # else it has this error, or will have it in a moment
                    future.number = WITHDRAWN
                    withdrawn.append(future)
        if placed:
            ranges = _ranges(future.number for future in placed)
            gone = self._thread.call(self._cancel(ranges), CANCEL_S)
            for future in placed:
                if future.number in gone:
                    withdrawn.append(future)
                else:
                    future.has_begun()
        return withdrawn

    def is_leased(self, future: QueueFuture) -> bool:
        """Whether a worker has the call of a future that was placed."""
        make = partial(AskTask, run=self._run, task=future.number)
        try:
            shown = self._thread.call(self._session.call_idempotent(make, TaskShown), CANCEL_S)
        except (QueueError, TimeoutError):
            return False  # it has just ended, or the master is away
        return shown.task.state == "leased"

    def taken(self, start: int, stop: int) -> list[QueueFuture | None]:
        """The futures of these tasks, which have ended. None: it has ended before."""
        with self._lock:
            return [self._placed.pop(number, None) for number in range(start, stop)]

    def left(self) -> list[QueueFuture]:
        """All futures that have not ended, when nothing more comes."""
        with self._lock:
            waiting = [future for future, _ in self._waiting]
            placed = list(self._placed.values())
            self._waiting.clear()
            self._placed.clear()
        return [*waiting, *placed]

    def end(self, cancel: bool) -> None:
        """There will be no more calls. cancel: those that no worker has are cancelled."""
        self._thread.soon(self._begin_end, cancel)

    def abandon(self, error: QueueError) -> None:
        """End everything now. All futures that have no result get the error."""
        self._thread.soon(self._abandon, error)

    # --- in the loop ---

    async def _serve(self) -> None:
        """Live through the whole run."""
        error: QueueError | None = None
        ending: asyncio.Task[None] | None = None
        try:
            await self._open()
            ending = asyncio.create_task(self._end_inputs())
            await self._collect()
            if not self._ending.is_set():
                error = QueueError(f"run {self._run} of this executor was ended by somebody else")
        except QueueError as reason:
            error = self._error or reason
        except asyncio.CancelledError:
            error = self._error or QueueError("the executor was left")
        finally:
            if ending is not None:
                ending.cancel()
            if self._feed is not None:
                await self._feed.close()
        if error is not None:
            self._fail(error)
        with contextlib.suppress(QueueError):
            await self._forget(error is not None)
        self._on_end(self, error)

    async def _open(self) -> None:
        packed = self._packed
        start = partial(
            StartRun,
            job=packed.job,
            args=[],
            feeder="client",
            lasting=False,
            inputs_only=True,
            code=packed.files,
            options=packed.options,
        )
        session = self._session
        self._run = await start_run(session, start, f"executor {uuid.uuid4()}")
        most = session.welcome.max_bytes
        self._feed = Feed(session, self._run, most, self._refused, self._place)
        await self._feed.open()
        self._place()

    def _place(self) -> None:
        """Give the feed the calls that wait, as far as it has room."""
        feed = self._feed
        assert feed is not None
        while True:
            with self._lock:
                if not self._waiting or not feed.room:
                    self._kicked = bool(self._waiting)  # else the feed tells when it has room
                    break
                future, payload = self._waiting.popleft()
                if future.number == WITHDRAWN:
                    future.tell_cancelled()
                    continue
                try:
                    feed.add(payload)
                except QueueError as error:
                    self._completion.failed([future], error)
                    continue
                future.number = self._next
                self._placed[self._next] = future
                self._next += 1
        if not self._waiting:
            self._emptied.set()

    async def _collect(self) -> None:
        """Hear outcomes until the run has ended, over any loss of the session."""
        after = 0
        while True:
            page = await next_page(self._session, self._run, after)
            after = page.last
            self._completion.page(self, page)
            if page.complete:
                return
            if len(page.outcomes) < MANY < len(self._placed):
                await asyncio.sleep(GATHER_S)

    def _begin_end(self, cancel: bool) -> None:
        self._cancelling = cancel
        self._ending.set()

    async def _end_inputs(self) -> None:
        """Say that there will be no more calls, when that is so."""
        await self._ending.wait()
        assert self._feed is not None
        try:
            if self._cancelling:
                self._withdraw_waiting()
                await self._cancel_unstarted()  # the master may hold the feed back until then
            while self._waiting:
                self._emptied.clear()
                await self._emptied.wait()
            if self._cancelling:
                await self._feed.flush()
                await self._cancel_unstarted()
            await self._feed.end()
        except QueueError as error:
            self._refused(error)

    def _withdraw_waiting(self) -> None:
        """Cancel what the feed has no room for."""
        with self._lock:
            waiting = [future for future, _ in self._waiting if future.number == UNPLACED]
            for future in waiting:
                future.number = WITHDRAWN
        self._completion.failed(waiting, None)
        self._place()

    async def _cancel(self, ranges: list[tuple[int, int]]) -> set[int]:
        gone: set[int] = set()
        with contextlib.suppress(QueueError):
            for at in range(0, len(ranges), _RANGES):
                make = partial(CancelRun, run=self._run, tasks=ranges[at : at + _RANGES])
                while True:
                    told = await self._session.call_idempotent(make, TasksCancelled)
                    gone.update(number for a, b in told.ranges for number in range(a, b))
                    if told.complete:
                        break
        return gone

    async def _cancel_unstarted(self) -> None:
        make = partial(CancelRun, run=self._run, unstarted=True)
        while not (await self._session.call_idempotent(make, TasksCancelled)).complete:
            pass

    def _refused(self, error: QueueError) -> None:
        """The master takes no more calls."""
        self._abandon(error)

    def _abandon(self, error: QueueError) -> None:
        with self._lock:
            if self._error is None:
                self._error = error
        self._serving.cancel()

    def _fail(self, error: QueueError) -> None:
        with self._lock:
            self._error = error
        self._completion.lost(self, BrokenQueueError(str(error)))

    async def _forget(self, cancel: bool) -> None:
        """Remove the run from the master."""
        if self._run:
            await remove_run(self._session.call_once, self._run, cancel=cancel)


def _ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers as ranges: each has the first, and the one behind the last."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return found
