"""A thread that looks at trees of processes and kills them, in the order in which it is told.

A fork bomb has thousands of processes, each of which is a file or two to read: the supervisor's
loop must not wait for that.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable

log = logging.getLogger("quartermaster.worker")


class Hunter:
    """The thread, which starts with the first thing to do and is there until the process ends."""

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._runs = False

    def do(self, act: Callable[[], None]) -> None:
        """Have this done soon, behind what was told before; without room for a thread, now."""
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
        except Exception:  # else nothing would ever be killed again
            log.exception("an error of ours while processes were looked at")


hunter = Hunter()
