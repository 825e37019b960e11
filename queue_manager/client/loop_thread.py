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
from functools import partial
from typing import Any, TypeVar

from ..errors import QueueError
from .answer import Answer
from .connection.aside import keep_spare

R = TypeVar("R")


class LoopThread:
    """A loop in a daemon thread."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="quartermaster", daemon=True)
        self._thread.start()
        keep_spare()  # the master may restart when Python starts no more threads

    def call(
        self, coroutine: Coroutine[Any, Any, R], undo: Callable[[R], object] = lambda _: None
    ) -> R:
        """Run a coroutine in the loop and return what it returns.

        Whatever a signal's handler raises meanwhile cancels it, also a TimeoutError. undo: is
        called in the loop with what it returned, if that comes out too late to be returned here.

        Raises what the coroutine raises, RuntimeError where nobody may wait, and QueueError in the
        child of a fork.
        """
        try:
            self.check_may_wait()
        except BaseException:
            coroutine.close()
            raise
        answer = Answer(coroutine, undo)
        try:
            self.soon(answer.begin)
            return answer.result()
        except BaseException:  # it may have come before `soon` has returned
            self.soon(answer.cancel)  # what has failed by itself does not notice
            raise

    def finish(self, coroutine: Coroutine[Any, Any, None], timeout_s: float) -> None:
        """Run a coroutine that ends something, and wait for it for some seconds.

        It goes on behind that, also when a signal's handler raises meanwhile.

        Raises as `call`.
        """
        try:
            self.check_may_wait()
        except BaseException:
            coroutine.close()
            raise
        answer = self.begin(coroutine)
        if answer.wait(timeout_s):  # a TimeoutError that comes out of it is a handler's
            answer.result()

    @property
    def may_wait(self) -> bool:
        """Whether the thread that asks may wait for the loop."""
        return not (self.is_here or holds_loop_lock())

    def check_may_wait(self) -> None:
        """Raises RuntimeError if the thread that asks may not wait, and QueueError as `begin`."""
        self.check_ours()
        if self.is_here:
            raise RuntimeError("a blocking call in the client's own thread would wait for ever")
        if holds_loop_lock():
            raise RuntimeError(
                "a finalizer has interrupted the client in this thread: its blocking call would"
                " wait for ever"
            )

    @property
    def is_ours(self) -> bool:
        """Whether this is still the process that the thread is in, and not the child of a fork."""
        return self.pid == os.getpid()

    def check_ours(self, what: str = "this") -> None:
        """Raises QueueError in the child of a fork, where nothing would ever come of a wait.

        what: was begun in the parent.
        """
        if not self.is_ours:
            raise QueueError(
                f"{what} is of the process that this one was forked from: make another one here"
            )

    def begin(self, coroutine: Coroutine[Any, Any, R]) -> Answer[R]:
        """Run a coroutine in the loop. Raises QueueError in the child of a fork."""
        if not self.is_ours:
            coroutine.close()
        self.check_ours()
        answer = Answer(coroutine)
        self.soon(answer.begin)
        return answer

    def soon(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a function in the loop. Raises QueueError in the child of a fork."""
        self.check_ours()
        self.loop.call_soon_threadsafe(function, *arguments)

    @property
    def is_here(self) -> bool:
        """Whether this is called in the thread itself."""
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()


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
_lock = threading.RLock()  # a signal's handler may connect in the thread that has it
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
    _lock = threading.RLock()  # another thread may have held it
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
