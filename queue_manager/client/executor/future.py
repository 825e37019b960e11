"""A future that can be cancelled as long as no worker has its call."""

from __future__ import annotations

import _thread
import asyncio
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Any

from ..loop_thread import holds_loop_lock
from .asking import Asking
from .broken import BrokenQueueError

if TYPE_CHECKING:
    from .calls import Calls

CANCEL_S = 10.0
"""How long `cancel` waits for the master, for all calls together."""

_BEGUN_S = 0.1
"""How long the loop waits for a future that somebody looks at. Nobody needs longer, unless an
interrupt has ended a `concurrent.futures.wait`, and left the future locked."""

log = logging.getLogger("quartermaster.client")

_PENDING, _RUNNING = "PENDING", "RUNNING"  # as those of concurrent.futures._base
_CANCELLED, _FINISHED = "CANCELLED", "FINISHED"

UNPLACED, WITHDRAWN = 0, -1
"""In the place of a task's number: the call has not left this program, or never will."""


class _Condition(_thread.RLock, threading.Condition):  # type: ignore[misc]
    """One that an interrupt does not leave locked: `with` takes and releases it in C.

    A method in Python may be interrupted behind the moment in which it has taken the lock. The
    thread that ends futures would wait for it for ever.
    """

    def __init__(self) -> None:
        self._waiters: deque[Any] = deque()  # as that of its parent


class QueueFuture(Future[Any]):
    """The result of one call.

    calls: those of its run. number: that of its task, or UNPLACED or WITHDRAWN. unwanted: the
    program has asked to cancel it.
    """

    def __init__(self, calls: Calls) -> None:
        super().__init__()
        self.calls = calls
        self.number = UNPLACED
        self.unwanted = False
        self._looking: Asking[None] | None = None
        self._forks = _forks

    @property
    def _condition(self) -> threading.Condition:
        """As that of its parent. The child of a fork gets one of its own.

        Another thread may have held it at the fork, and that thread is not in the child.
        """
        if self._forks != _forks:
            self._own_condition, self._forks = _Condition(), _forks
            self._stay_behind()
        return self._own_condition

    @_condition.setter
    def _condition(self, condition: threading.Condition) -> None:
        self._own_condition = _Condition()

    def _stay_behind(self) -> None:
        """In the child of a fork: the call, and whoever waits for it, are its parent's.

        Nobody would end this copy, and whoever asks it would wait for ever.
        """
        if self._state in (_PENDING, _RUNNING):
            self._waiters, self._done_callbacks = list[Any](), list[Any]()
            self._exception = BrokenQueueError(
                "the call is of the process that this one was forked from, which gets its result:"
                " submit it again here"
            )
            self._state = _FINISHED

    def cancel(self) -> bool:
        """Cancel the call, unless a worker has it already. Asks the master, if it has the call.

        Returns whether it is cancelled. Where the master has the call and does not answer within
        `CANCEL_S`, or is away, that is False, and the call is cancelled when the master is there
        again, unless a worker has it. A thread that has a running event loop does not wait for the
        answer.
        """
        if self._state == _PENDING:
            cancel_all([self])
        return self.cancelled()

    def running(self) -> bool:
        """Whether a worker has the call. Asks the master, unless that is known.

        Waits for the answer as `cancel` does.
        """
        if self._state == _PENDING and self.number > UNPLACED:
            looking = self._looking
            if looking is None or looking.answer.done():  # else the answer is on its way
                looking = self._looking = self.calls.look(self)
            if looking is not None and may_wait():
                self.calls.answer(looking, time.monotonic() + CANCEL_S)
        return super().running()

    def has_begun(self) -> None:
        """A worker has the call. Called in the loop, which waits for nobody who has the lock."""
        condition = self._condition
        if condition.acquire(timeout=_BEGUN_S):
            try:
                if self._state == _PENDING and self.number > UNPLACED:
                    self._state = _RUNNING
            finally:
                condition.release()

    def is_cancelled(self) -> None:
        """The call will not be made. Tells also those who wait with `wait` or `as_completed`.

        Its worker may have given it back after it was seen to run.
        """
        with self._condition:
            self.number = WITHDRAWN
            if self._state == _RUNNING:
                self._state = _PENDING
        if Future.cancel(self):
            with self._condition:
                if self._state == _CANCELLED:
                    self.set_running_or_notify_cancel()

    def end(self, value: Any = None, error: BaseException | None = None) -> None:
        """The call has ended. That it was cancelled meanwhile counts more."""
        try:
            if error is None:
                self.set_result(value)
            else:
                self.set_exception(error)
        except InvalidStateError:
            pass


def safely(end: Callable[..., None], *arguments: Any) -> None:
    """End a future, so that whatever its callbacks raise hurts no other future.

    `concurrent.futures` itself catches an Exception. The rest, such as a SystemExit, would end the
    thread.
    """
    try:
        end(*arguments)
    except BaseException:
        log.exception("a callback of a future has raised")


def cancel_all(futures: Iterable[Future[Any]], wait: bool = True) -> None:
    """Cancel calls that no worker has, with one request for each run. The others go on.

    wait: for the master's answer about those that it has, as `QueueFuture.cancel` does. Without,
    they end when it has answered.
    """
    by_run: dict[Calls, list[QueueFuture]] = {}
    for future in futures:
        if isinstance(future, QueueFuture) and not future.done():
            by_run.setdefault(future.calls, []).append(future)
    until = time.monotonic() + CANCEL_S
    asked = [(calls, one) for calls, some in by_run.items() for one in calls.withdraw(some)]
    if not (wait and may_wait()):
        return
    for calls, asking in asked:
        for future in calls.answer(asking, until) or ():
            future.is_cancelled()


def may_wait() -> bool:
    """Whether this thread may wait for the master.

    One that has a running event loop would hold up whatever else the loop does. That of the client
    itself would wait for ever, and so would one that the loop waits for: a finalizer may ask in it.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return not holds_loop_lock()
    return False


_forks = 0
"""How many forks this process is away from the first one."""


def _forked() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_forked)
