"""A client that waits, of the master at QUEUE_HOST or of one for this command alone.

`asynchronous` makes the same choice for a command with a loop.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from queue_manager.authkey import find_authkey
from queue_manager.client.synchronous import Client
from queue_manager.errors import QueueError
from queue_manager.lifeline import hide_key
from queue_manager.settings import Settings

from ...processes.own_master import OwnMaster
from .relaying import pass_on

_CONNECT_S = 10.0


@contextlib.contextmanager
def client_of(
    settings: Settings,
    folder: Path,
    shown: Callable[[bytes], bytes] = bytes,
    may_work: threading.Event | None = None,
) -> Iterator[Client]:
    """A client of the master at QUEUE_HOST; without QUEUE_HOST, of an own one in `folder`.

    An own master has a worker with WORKER_SLOTS slots, and both end with the block. shown: how a
    line that the worker prints is passed on. may_work: as of `OwnMaster`.

    Raises as `connect`, and QueueError if an own master can't run. What the block raises because
    of that comes out as that line.
    """
    if settings.queue_host_set:
        authkey = find_authkey(settings)
        hide_key()
        with Client(settings, authkey, _CONNECT_S) as client:
            yield client
        return
    hide_key()

    def relayed(line: bytes) -> None:
        pass_on(shown(line))

    with OwnMaster(folder, settings.worker_slots, relayed, may_work) as own:
        own.wait()
        try:
            with Client(own.reached(settings), own.authkey, _CONNECT_S) as client:
                own.on_trouble(lambda line: client.close())
                yield client
        except QueueError:
            own.check()
            raise
