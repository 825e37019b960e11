"""A thread that looks at trees of processes and kills them, in the order of its orders.

A fork bomb has thousands of processes, and each of them takes a file or two to read. The
supervisor's loop must not wait for that.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable

log = logging.getLogger("quartermaster.worker")


class Hunter:
    """The thread. It starts with the first order and stays until the process ends."""

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._runs = False

    def do(self, act: Callable[[], None]) -> None:
        """Have `act` called soon, after earlier orders; now, if no thread can be started."""
        self._orders.put(act)
        if not self._runs:
            try:
                threading.Thread(target=self._run, name="quartermaster-hunter", daemon=True).start()
                self._runs = True
            except RuntimeError:
                with contextlib.suppress(queue.Empty):
                    while True:
                        self._try(self._orders.get_nowait())

    def _run(self) -> None:
        while True:
            self._try(self._orders.get())

    @staticmethod
    def _try(act: Callable[[], None]) -> None:
        try:
            act()
        except Exception:  # without this, nothing would ever be killed after it
            log.exception("an error of ours while processes were looked at")


hunter = Hunter()
