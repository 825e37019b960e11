"""The session of this process with the master, for the synchronous face.

The child of a fork opens one of its own at its first use. This module knows no verbs.
"""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from typing import Any

from ..errors import ConnectionLostError
from ..settings import Settings
from .answer import Answer
from .asynchronous import AsyncClient
from .loop_thread import LoopThread, holds_loop_lock, loop_thread


class OwnSession:
    """A session that is opened at its first use in each process.

    No thread waits with the lock: a signal's handler may `close` in the very thread that waits for
    the master. The same handler may have interrupted a thread that has the lock.

    Args:
        settings, authkey, timeout_s, given: as those of `AsyncClient.open`.
    """

    def __init__(self, settings: Settings, authkey: bytes, timeout_s: float, given: bool) -> None:
        self._master = settings, authkey, timeout_s, given
        self._lock = threading.RLock()
        self._closed = False
        self._own: tuple[LoopThread, AsyncClient] | None = None
        self._opening: Answer[tuple[LoopThread, AsyncClient]] | None = None
        self._thread: LoopThread | None = None
        self._left: list[Any] = []

    def open(self) -> None:
        """Connect. Raises as `AsyncClient.open`. An interrupt ends the session."""
        try:
            self.here()
        except BaseException:
            if self.shut() and self._thread is not None:
                self._thread.begin(self._end())
            raise

    def here(self) -> tuple[LoopThread, AsyncClient]:
        """The loop and the session of this process.

        An interrupt does not end the opening of a session in the child of a fork: other threads
        may wait for it, and so does the next use.

        Raises ConnectionLostError in the child of a fork if the session was closed, also while this
        waits.
        """
        own = self._own
        if own is not None:
            return own
        thread = loop_thread()
        thread.check_may_wait()
        try:
            return self._opened(thread).result()
        except CancelledError:
            raise _closed() from None

    def shut(self) -> bool:
        """Open no session any more. Returns whether that is new."""
        with self._lock:
            was_closed, self._closed = self._closed, True
        return not was_closed

    def end(self, timeout_s: float) -> None:
        """End the session of this process, behind `shut`. Waits no longer than `timeout_s`."""
        thread = self._thread
        if thread is None:  # it was not used in the child of a fork
            return
        if holds_loop_lock():  # a finalizer ends it
            thread.begin(self._end())
        else:
            thread.finish(self._end(), timeout_s)

    def forked(self) -> None:
        """This is the child of a fork now."""
        self._lock = threading.RLock()  # another thread may have held it
        if self._own is not None:
            self._own[1].session.abandon()
        self._left += [self._own, self._opening]  # deleting them would touch the parent's loop
        self._own = self._opening = self._thread = None

    def _opened(self, thread: LoopThread) -> Answer[tuple[LoopThread, AsyncClient]]:
        """The session that is being opened. All threads that need it wait for the same one."""
        with self._lock:
            if self._closed:
                raise _closed()
            if self._opening is None or (self._opening.done() and self._own is None):
                self._thread = thread
                self._opening = thread.begin(self._open(thread))
            return self._opening

    # --- in the loop, where nothing comes between a look and what is done then ---

    async def _open(self, thread: LoopThread) -> tuple[LoopThread, AsyncClient]:
        if self._closed:  # by a signal's handler, just before this was begun
            raise _closed()
        client = AsyncClient()
        await client.open(*self._master)
        if self._closed or self._own is not None:  # a handler may also have begun another one
            await client.close()
        if self._closed:
            raise _closed()
        if self._own is None:
            self._own = thread, client
        return self._own

    async def _end(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
        if self._own is not None:
            await self._own[1].close()


def _closed() -> ConnectionLostError:
    return ConnectionLostError("the client was closed")
