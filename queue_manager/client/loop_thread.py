"""The thread that has the loop of this process's clients, for programs that have none themselves.

It is a daemon, so a program may end without closing anything. The child of a fork makes one of its
own when it needs one.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class LoopThread:
    """A loop in a daemon thread."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="quartermaster", daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, R], timeout_s: float | None = None) -> R:
        """Run a coroutine in the loop and return what it returns. An interrupt cancels it.

        timeout_s: how long to wait for it. It goes on behind that.

        Raises TimeoutError, what the coroutine raises, and RuntimeError where nobody may wait.
        """
        if self.is_here:
            coroutine.close()
            raise RuntimeError("a blocking call in the client's own thread would wait for ever")
        if holds_loop_lock():
            coroutine.close()
            raise RuntimeError(
                "a finalizer has interrupted the client in this thread: its blocking call would"
                " wait for ever"
            )
        wanted = _Wanted(coroutine)
        try:
            return self.begin(wanted.run()).result(timeout_s)
        except TimeoutError:
            raise
        except BaseException:  # it may have come before `begin` has returned
            self.soon(wanted.cancel)
            raise

    @property
    def may_wait(self) -> bool:
        """Whether the thread that asks may wait for the loop."""
        return not (self.is_here or holds_loop_lock())

    def begin(self, coroutine: Coroutine[Any, Any, R]) -> Future[R]:
        """Run a coroutine in the loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def soon(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a function in the loop."""
        self.loop.call_soon_threadsafe(function, *arguments)

    @property
    def is_here(self) -> bool:
        """Whether this is called in the thread itself."""
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()


class _Wanted(Generic[R]):
    """A coroutine that whoever waits for it may cancel, also before it has begun."""

    def __init__(self, coroutine: Coroutine[Any, Any, R]) -> None:
        self._coroutine = coroutine
        self._task: asyncio.Task[Any] | None = None
        self._is_cancelled = False

    async def run(self) -> R:
        self._task = asyncio.current_task()
        if self._is_cancelled:
            self._coroutine.close()
            raise asyncio.CancelledError
        return await self._coroutine

    def cancel(self) -> None:
        """In the loop."""
        self._is_cancelled = True
        if self._task is not None:
            self._task.cancel()


_locks: dict[int, weakref.ref[Any]] = {}
"""Those of `loop_lock` that somebody has, by their ids."""


def loop_lock() -> Any:
    """A lock that the loop takes, too: whoever holds it must not wait for the loop.

    A finalizer may run in any moment, also in a thread that has just taken the lock. So that thread
    may take it again, and `holds_loop_lock` tells.
    """
    lock = threading.RLock()
    key = id(lock)
    _locks[key] = weakref.ref(lock, partial(_locks.pop, key))
    return lock


def holds_loop_lock() -> bool:
    """Whether this thread holds what the loop may wait for: a finalizer has interrupted it."""
    locks = (known() for known in list(_locks.values()))
    return any(lock is not None and lock._is_owned() for lock in locks)


_current: LoopThread | None = None
_lock = threading.Lock()
_left: list[LoopThread] = []
"""Those of the processes that this one was forked from. Deleting them would touch their sockets."""


def loop_thread() -> LoopThread:
    """The thread of this process."""
    global _current
    with _lock:
        if _current is None:
            _current = LoopThread()
        return _current


def _forked() -> None:
    global _current, _lock
    _lock = threading.Lock()  # another thread may have held it
    if _current is not None:
        _left.append(_current)
        _current = None
    for key, known in list(_locks.items()):
        lock = known()
        if lock is not None and lock.acquire(blocking=False):
            lock.release()
        else:  # a thread that is not here held it: a new one with its ident would seem to
            _locks.pop(key, None)


os.register_at_fork(after_in_child=_forked)
