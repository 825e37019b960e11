"""What a coroutine in the loop gives to threads that wait for it.

A signal's handler may raise wherever a thread executes Python, also just behind the moment in which
it has taken a lock. That lock is held for ever then. Here the loop takes no lock that such a thread
could have; a future of `concurrent.futures` has one.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class Answer(Generic[R]):
    """The outcome of a coroutine.

    undo: is called in the loop with what the coroutine has returned, if it was cancelled too late
    for the coroutine to notice.
    """

    def __init__(
        self, coroutine: Coroutine[Any, Any, R], undo: Callable[[R], object] = lambda _: None
    ) -> None:
        self._coroutine, self._undo = coroutine, undo
        self._task: asyncio.Task[R] | None = None
        self._is_cancelled = self._ended = False
        self._values: list[R] = []
        self._error: BaseException | None = None
        self._heard: list[Callable[[], object]] = []

    # --- in any thread ---

    def done(self) -> bool:
        """Whether the coroutine has ended."""
        return self._ended

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the coroutine has ended. Returns whether it has, within the timeout."""
        gate = threading.Lock()  # of this thread alone: nobody else waits for it
        gate.acquire()
        self._when_done(gate.release)
        if not self._ended:
            gate.acquire(timeout=-1 if timeout_s is None else max(0.0, timeout_s))
        return self._ended

    def result(self, timeout_s: float | None = None) -> R:
        """What the coroutine returns.

        Raises what it raises, `concurrent.futures.CancelledError`, and TimeoutError when it has not
        ended within the timeout.
        """
        if not self.wait(timeout_s):
            raise TimeoutError
        if self._error is not None:
            try:
                raise self._error
            finally:
                del self  # else the traceback of the error would keep itself
        return self._values[0]

    async def arrived(self) -> R:
        """As `result`, in the loop of whoever waits."""
        loop = asyncio.get_running_loop()
        came = asyncio.Event()
        self._when_done(lambda: loop.call_soon_threadsafe(came.set))
        if not self._ended:
            await came.wait()
        return self.result()

    def _when_done(self, tell: Callable[[], object]) -> None:
        """Have a function called in the loop at the end. Whoever gives it looks itself first."""
        self._heard.append(tell)  # before the look: the loop looks here behind the end

    # --- in the loop ---

    def begin(self) -> None:
        """Run the coroutine."""
        self._task = asyncio.get_running_loop().create_task(self._coroutine)
        self._task.add_done_callback(self._end)

    def cancel(self) -> None:
        """Cancel the coroutine. One that was not begun never will be."""
        self._is_cancelled = True
        if self._task is None:
            self._coroutine.close()
            self._error = CancelledError()
            self._tell()
        elif not self._ended:
            self._task.cancel()
        elif self._values:
            self._undo(self._values[0])

    def _end(self, task: asyncio.Task[R]) -> None:
        if task.cancelled():
            self._error = CancelledError()
        elif (error := task.exception()) is not None:
            self._error = error
        else:
            self._values.append(task.result())
            if self._is_cancelled:
                self._undo(self._values[0])
        self._tell()

    def _tell(self) -> None:
        self._ended = True
        for tell in self._heard:
            with contextlib.suppress(RuntimeError):  # the loop of whoever waits was closed
                tell()
