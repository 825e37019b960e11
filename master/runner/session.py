"""The runner's session for plain threads: the loop that owns it runs in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from queue_manager import __version__
from queue_manager.client.connection.link import Link
from queue_manager.settings import Settings
from queue_manager.wire.messages import LEVEL, Hello, Request
from queue_manager.wire.reach.masters import Masters
from queue_manager.wire.tls import client_mode

from .crash import LOST_MASTER

log = logging.getLogger("quartermaster.runner")

R = TypeVar("R")


class RunnerSession:
    """The session of a runner with the master. When it is lost, the process ends."""

    def __init__(self, settings: Settings, authkey: bytes) -> None:
        self._loop = asyncio.new_event_loop()
        hello = Hello("runner", socket.gethostname(), os.getpid(), version=__version__, level=LEVEL)
        masters = Masters(settings.masters)
        mode = client_mode(settings)
        self._link = Link(masters, authkey, lambda: hello, on_down=_lost, mode=mode)
        threading.Thread(target=self._run, daemon=True).start()
        self._submit(self._link.wait_up()).result()

    def request(self, make: Callable[[int], Request], answer: type[R]) -> Future[R]:
        """Send a request now. The future gets the answer."""
        return self._submit(self._link.request(make, answer))

    def send(self, message: Request) -> None:
        """Send a message that has no answer."""
        self._loop.call_soon_threadsafe(self._link.send, message)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._link.run())
        except BaseException:  # else a thread that waits for an answer would wait for ever
            log.exception("an error of ours in the session with the master")
        os._exit(LOST_MASTER)

    def _submit(self, coroutine: Coroutine[Any, Any, R]) -> Future[R]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)


def _lost(reason: str) -> None:
    # The next runner begins from what is on disk, as after any other death.
    log.warning("lost the master (%s)", reason)
    os._exit(LOST_MASTER)
