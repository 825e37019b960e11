"""One session with the master for each process, whose loop runs in a thread of its own.

Threads of a web server wait here for its answers; a fork makes a session of its own. Knows nothing
of tasks.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import socket
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from .. import __version__
from ..authkey import find_authkey
from ..client.link import Link
from ..client.session import reach
from ..errors import ConnectionLostError, UnreachableError
from ..settings import Settings
from ..wire.messages import Hello, Request
from ..wire.opening import Address
from ..wire.tls import Mode, client_mode

R = TypeVar("R")

_GOODBYE_S = 1.0


class Connection:
    """Requests to the master, from any thread.

    Args:
        address: host and port of the master.
        authkey: the key that both sides have.
        mode: when the session is encrypted, as QUEUE_TLS says it.
        timeout_s: how long a request waits for the master to come, or to come back.
    """

    def __init__(self, address: Address, authkey: bytes, mode: Mode, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._loop = asyncio.new_event_loop()
        hello = Hello("client", socket.gethostname(), os.getpid(), version=__version__)
        self._link = Link(address, authkey, lambda: hello, mode=mode, quiet=True)
        self._thread = threading.Thread(target=self._run, name="quartermaster", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._link.run())
        except RuntimeError as error:  # it was just connecting when the program ended
            if "shutdown" not in str(error):
                raise

    def begin(self, coroutine: Coroutine[Any, Any, R]) -> Future[R]:
        """Have the session's loop carry something out."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def once(self, make: Callable[[int], Request], answer: type[R]) -> R:
        """A request, in the session's loop.

        Raises:
            RefusedError: the master's own line.
            ConnectionLostError: the session was lost before the answer, which nobody knows.
            UnreachableError: there is no session within the timeout; one line says where.
        """
        await reach(self._link, self._timeout_s)
        return await self._link.request(make, answer)

    async def again(self, make: Callable[[int], Request], answer: type[R]) -> R:
        """A request that may be repeated. Errors as of `once`."""
        deadline = self._loop.time() + self._timeout_s
        while True:
            try:
                return await self.once(make, answer)
            except UnreachableError:
                raise
            except ConnectionLostError:
                if self._loop.time() > deadline:
                    raise

    def close(self) -> None:
        """End the session in good order."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._link.close)
            self._thread.join(_GOODBYE_S)


_open: dict[tuple[Address, bytes, Mode, float], Connection] = {}
_lock = threading.Lock()


def connection_to(settings: Settings, timeout_s: float) -> Connection:
    """This process's session with a master. Django makes a backend for each thread; they share it.

    settings: say where it is. timeout_s: as that of `Connection`.

    Raises SettingsError when there is no key.
    """
    address = settings.queue_host, settings.queue_port
    which = (address, find_authkey(settings), client_mode(settings), timeout_s)
    with _lock:
        found = _open.get(which)
        if found is None:
            found = _open[which] = Connection(*which)
        return found


def _forget() -> None:
    """The child of a fork has no thread of its parent's, and must not speak on its socket."""
    global _lock
    _lock = threading.Lock()
    _open.clear()


@atexit.register
def _close() -> None:
    for connection in _open.values():
        connection.close()


os.register_at_fork(after_in_child=_forget)
