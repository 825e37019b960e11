"""One session with the master for each process, in the thread of the process's clients.

Threads of a web server wait here for its answers; a fork makes a session of its own. Knows nothing
of tasks.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ..addresses import Address
from ..authkey import find_authkey
from ..client.answer import Answer
from ..client.connection.session import Session, connecting
from ..client.loop_thread import loop_thread
from ..errors import QueueError
from ..settings import Settings
from ..wire.messages import Request
from ..wire.tls import Mode, client_mode

R = TypeVar("R")

_GOODBYE_S = 1.0


class Connection:
    """Requests to the master, from any thread.

    Args:
        settings: say where the master is.
        authkey: the key that both sides have.
        timeout_s: how long whatever is `limited` may take.
    """

    def __init__(self, settings: Settings, authkey: bytes, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._stack = contextlib.AsyncExitStack()
        self._thread = loop_thread()
        self._beside: set[asyncio.Task[None]] = set()
        made = connecting(settings, authkey, _say_nothing, timeout_s)
        self._session: Session = self._thread.call(self._stack.enter_async_context(made))

    @property
    def closed(self) -> bool:
        """Whether the session has ended for ever: by `close`, or by an error of ours."""
        return self._session.closed

    def begin(self, coroutine: Coroutine[Any, Any, R]) -> Answer[R]:
        """Have the session's loop carry something out."""
        return self._thread.begin(coroutine)

    def beside(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Begin something in the session's loop that nobody waits for. Runs there.

        `close` cancels it.
        """
        task = asyncio.create_task(coroutine)
        self._beside.add(task)  # the loop itself would forget it
        task.add_done_callback(self._beside.discard)

    async def limited(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """What a coroutine returns, within the timeout. Runs in the session's loop.

        Raises UnreachableError, which tells a master that is not there from a silent one.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await coroutine
        except QueueError:  # one of them is a TimeoutError, too
            raise
        except TimeoutError:
            raise self._session.late() from None

    async def reach(self) -> None:
        """Wait until there is a session. Raises as `Session.reach`."""
        await self._session.reach()

    async def once(self, make: Callable[[int], Request], answer: type[R]) -> R:
        """A request, in the session's loop.

        Raises:
            RefusedError: the master's own line.
            ConnectionLostError: the session was lost before the answer, which nobody knows.
            UnreachableError: there is no session within the timeout; one line says where.
        """
        await self._session.reach()
        return await self._session.call_once(make, answer)

    async def again(self, make: Callable[[int], Request], answer: type[R]) -> R:
        """A request that may be repeated. Whoever waits for it does so within `limited`.

        Raises:
            RefusedError, UnreachableError: as `once`.
            ConnectionLostError: as `Session.call_idempotent`.
        """
        await self._session.reach()
        return await self._session.call_idempotent(make, answer)

    def close(self) -> None:
        """End the session in good order."""
        self._thread.finish(self._end(), _GOODBYE_S)

    def abandon(self) -> None:
        """Leave the session to the process that this one was forked from."""
        self._session.abandon()

    async def _end(self) -> None:
        for task in self._beside:
            task.cancel()
        await self._stack.aclose()


def _say_nothing(trouble: str) -> None:
    """Each request says it for itself."""


_open: dict[tuple[tuple[Address, ...], bytes, Mode, float], Connection] = {}
_left: list[Connection] = []
"""Those of the processes that this one was forked from. Deleting them would touch their loop."""

_lock = threading.Lock()


def connection_to(settings: Settings, timeout_s: float) -> Connection:
    """This process's session with a master. Django makes a backend for each thread; they share it.

    settings: say where it is. timeout_s: as that of `Connection`.

    Raises SettingsError when there is no key.
    """
    authkey = find_authkey(settings)
    which = (settings.masters, authkey, client_mode(settings), timeout_s)
    with _lock:
        found = _open.get(which)
        if found is None or found.closed:
            found = _open[which] = Connection(settings, authkey, timeout_s)
        return found


def _forget() -> None:
    """The child of a fork has no thread of its parent's, and must not speak on its socket."""
    global _lock
    _lock = threading.Lock()
    for connection in _open.values():
        connection.abandon()
    _left.extend(_open.values())
    _open.clear()


@atexit.register
def _close() -> None:
    with _lock:  # another thread may still enqueue, and then gets a new session
        closing = list(_open.values())
        _open.clear()
    for connection in closing:
        connection.close()


os.register_at_fork(after_in_child=_forget)
