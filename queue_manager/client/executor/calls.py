"""The calls of one run: out as its tasks, and back as outcomes.

`submit` may come from any thread. All that is awaited runs in the loop's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import QueueError
from ...wire.messages import AskTask, StartRun, TaskShown
from ..answer import Answer
from ..code import Packed
from ..connection.session import Session
from ..loop_thread import loop_lock
from ..runs.feeding import Feed
from ..runs.mapping import remove_run, start_run
from ..runs.outcomes import GATHER_S, MANY, Staying, next_page
from ..runs.reasons import saying_why
from .asking import Asking, Patience
from .broken import broken
from .cancelling import cancel_placed, cancel_unstarted
from .completion import Completion
from .future import UNPLACED, WITHDRAWN, QueueFuture

if TYPE_CHECKING:
    from ..loop_thread import LoopThread

FORGET_S = 5.0
"""How long `shutdown` waits for the master to remove the run. A run whose program has left is
removed a minute later in any case."""

R = TypeVar("R")


class Calls:
    """One run of an executor, from its first call to its end.

    Args:
        thread: that of the loop.
        session: with the master.
        packed: the code of the run.
        completion: ends the futures.
        on_end: is called in the loop when nothing more comes; with the error if there is one.

    cancelling: the program has cancelled all calls that no worker has.
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
        self._lock = loop_lock()  # a finalizer in the same thread may submit or cancel
        self._waiting: deque[tuple[QueueFuture, Any]] = deque()
        self._placed: dict[int, QueueFuture] = {}
        self._next = 1
        self._kicked = True  # until the run has begun
        self._run = 0
        self._feed: Feed | None = None
        self._error: QueueError | None = None
        self._patience = Patience()
        self._roomy = asyncio.Event()
        self.cancelling = False
        self._ending = asyncio.Event()
        self._emptied = asyncio.Event()
        self._starting: asyncio.Task[int] | None = None
        self._serving: Answer[None] | None = None

    def begin(self) -> None:
        """Begin the run. Whoever calls this knows these calls already, to `abandon` them."""
        self._serving = Answer(self._serve())
        self._thread.soon(self._serving.begin)

    # --- in any thread ---

    def submit(self, future: QueueFuture, payload: Any) -> None:
        """Make a call. payload: as the run's code takes it; may be `codec.Encoded`.

        Raises the error that has ended the run.
        """
        with self._lock:
            if self._error is not None:
                raise self._error
            self._waiting.append((future, payload))
            if not self._kicked:
                self._thread.soon(self._place)  # first: an interrupt may come before the flag
                self._kicked = True

    def withdraw(self, futures: Iterable[QueueFuture]) -> list[Asking[list[QueueFuture]]]:
        """Cancel calls that no worker has. The others have begun.

        Those that the master has are cancelled when it has done so, also if nobody waits for the
        answers that this returns: those that no worker had. Those on their way to it have an answer
        of their own.
        """
        if self._is_parents:
            return []
        withdrawn: list[QueueFuture] = []
        there: dict[int, QueueFuture] = {}
        behind: dict[int, QueueFuture] = {}
        accepted = 0 if self._feed is None else self._feed.accepted
        with self._lock:
            for future in futures:
                future.unwanted = True
                if future.number > UNPLACED:
                    (there if future.number <= accepted else behind)[future.number] = future
                elif self._error is None:  # else it has this error, or will have it in a moment
                    future.number = WITHDRAWN
                    withdrawn.append(future)
        for future in withdrawn:
            future.is_cancelled()
        asked = [(some, late) for some, late in ((there, False), (behind, True)) if some]
        return [Asking(self._thread.begin(self._cancel(some)), late) for some, late in asked]

    def look(self, future: QueueFuture) -> Asking[None] | None:
        """Ask whether a worker has the call of a future that was placed. It has begun then."""
        number, feed = future.number, self._feed
        if self._is_parents or feed is None or not UNPLACED < number <= feed.accepted:
            return None
        return Asking(self._thread.begin(self._look(future, number)))

    def answer(self, asking: Asking[R], until: float) -> R | None:
        """What the master has answered, as `Patience.wait`. One that is away is not waited for."""
        return self._patience.wait(asking, until) if self._session.up else None

    @property
    def _is_parents(self) -> bool:
        """Whether this is the child of a fork. The thread is not there; the lock may be held."""
        return self._thread.pid != os.getpid()

    def has_room(self) -> None:
        """The completion has ended futures. Called in its thread."""
        self._thread.soon(self._roomy.set)

    def taken(self, start: int, stop: int) -> list[QueueFuture | None]:
        """The futures of these tasks, which have ended. None: it has ended before."""
        with self._lock:
            return [self._placed.pop(number, None) for number in range(start, stop)]

    def left(self) -> list[QueueFuture]:
        """All futures that have not ended, when nothing more comes."""
        with self._lock:
            waiting, self._waiting = self._waiting, deque()
            placed, self._placed = self._placed, {}
        return [*(future for future, _ in waiting), *placed.values()]

    @property
    def ended_by_others(self) -> str:
        """What has happened when the run has ended, and this program has not ended it."""
        return f"run {self._run} of this executor was ended by somebody else"

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
            async with saying_why(self._session, self._run, lambda: bool(self._placed)):
                await self._collect()
            if not self._ending.is_set():
                error = QueueError(self.ended_by_others)
        except asyncio.CancelledError:
            error = self._error or QueueError("the executor was left")
        except Exception as reason:  # whatever it is: whoever waits hears of it
            error = self._error or broken(reason)
        try:
            if ending is not None:
                ending.cancel()
            try:
                if self._feed is not None:
                    await self._feed.close()
            finally:
                self._fail(error)
            with contextlib.suppress(QueueError, TimeoutError):
                async with asyncio.timeout(FORGET_S):
                    await self._forget(error is not None)
        finally:
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
        key = f"executor {uuid.uuid4()}"
        self._starting = asyncio.create_task(start_run(session, start, key))
        self._run = await asyncio.shield(self._starting)  # `_forget` waits for it, too
        most = session.welcome.max_bytes
        feed = Feed(session, self._run, most, self._refused, self._place)
        await feed.open()
        self._feed = feed
        self._place()

    def _place(self) -> None:
        """Give the feed the calls that wait, as far as it has room.

        While the master is away they stay here, where they can be cancelled.
        """
        feed = self._feed
        assert feed is not None
        while True:
            with self._lock:
                if not (self._waiting and self._session.up and feed.room) or self._error:
                    self._kicked = bool(self._waiting)  # else this is called when there is room
                    break
                future, payload = self._waiting.popleft()
                if future.number == WITHDRAWN:
                    continue
                future.number = self._next
                self._placed[self._next] = future
                try:
                    feed.add(payload)
                except Exception as error:
                    del self._placed[self._next]
                    future.number = UNPLACED
                    self._completion.failed([future], error)
                    continue
                self._next += 1
        if not self._waiting:
            self._emptied.set()

    async def _collect(self) -> None:
        """Hear outcomes until the run has ended, over any loss of the session."""
        after = 0
        staying = Staying(self._session, self._run, self._place)
        while True:
            await staying.open()
            page = await next_page(self._session, self._run, after, self._place)
            after = page.last
            self._completion.page(self, page)
            if page.complete:
                return
            if len(page.outcomes) < MANY < len(self._placed):
                await asyncio.sleep(GATHER_S)
            while self._completion.is_full(self):  # callbacks are behind with what has come
                await staying.until(self._roomy)

    async def _cancel(self, placed: dict[int, QueueFuture]) -> list[QueueFuture]:
        assert self._feed is not None
        gone = await cancel_placed(self._session, self._run, self._feed, placed)
        return [placed[number] for number in gone]

    async def _look(self, future: QueueFuture, number: int) -> None:
        make = partial(AskTask, run=self._run, task=number)
        shown = await self._session.call_idempotent(make, TaskShown)
        if shown.task.state == "leased":
            future.has_begun()

    def _begin_end(self, cancel: bool) -> None:
        """A later end may cancel what an earlier one has left, and none takes that back."""
        if cancel and not self.cancelling:
            self.cancelling = True
            if self._feed is not None or not self._session.up:  # else the run begins, and they wait
                self._withdraw_waiting()
            if self._feed is not None and self._ending.is_set():
                self._thread.begin(cancel_unstarted(self._session, self._run))
        self._ending.set()

    async def _end_inputs(self) -> None:
        """Say that there will be no more calls, when that is so."""
        await self._ending.wait()
        assert self._feed is not None
        try:
            if self.cancelling:
                self._withdraw_waiting()
                # the master may hold the feed back until then
                await cancel_unstarted(self._session, self._run)
            while self._waiting:
                self._emptied.clear()
                await self._emptied.wait()
            await self._feed.flush()
            if self.cancelling:
                await cancel_unstarted(self._session, self._run)
            await self._feed.end()
        except Exception as error:
            self._refused(broken(error))

    def _withdraw_waiting(self) -> None:
        """Cancel all calls that the feed does not have."""
        with self._lock:
            waiting, self._waiting = self._waiting, deque()
            for future, _ in waiting:
                future.number = WITHDRAWN
        self._completion.failed([future for future, _ in waiting], None)
        self._emptied.set()

    def _refused(self, error: QueueError) -> None:
        """The master takes no more calls."""
        self._abandon(error)

    def _abandon(self, error: QueueError) -> None:
        with self._lock:
            if self._error is None:
                self._error = error
        if self._serving is not None:  # behind its first step, which must not be missed
            asyncio.get_running_loop().call_soon(self._serving.cancel)

    def _fail(self, error: QueueError | None) -> None:
        """Nothing more comes. Futures that are left, which there are none of after a good end."""
        error = error or QueueError(self.ended_by_others)
        with self._lock:
            self._error = error
        self._completion.lost(self, broken(error))

    async def _forget(self, cancel: bool) -> None:
        """Remove the run from the master, also one whose number comes only now."""
        if not self._run and self._starting is not None:
            self._run = await self._starting
        if self._run:
            await remove_run(self._session.call_once, self._run, cancel=cancel)
