"""One slot's process and all that is below it, from the first signal to the last.

Owns in which order they are stopped and killed, and until when the number of the process may be
used. Each step runs in the hunter's thread, because there may be thousands of processes.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable

from .guardian import Process, below, kill, kill_below
from .hunter import hunter


class ProcessTree:
    """A process that leads a group of its own, with its descendants."""

    def __init__(self, leader: int) -> None:
        self._leader = leader
        self._seen: list[Process] = []
        self._reapable = False

    def terminate(self) -> None:
        """SIGTERM, soon, for the group."""
        hunter.do(self._terminate)

    def kill(self) -> None:
        """SIGKILL, soon, for the process and all that is below it, in any process group."""
        hunter.do(self._kill)

    def kill_rest(self, then: Callable[[], None]) -> None:
        """The process has ended: kill what it left, soon; then it may be reaped.

        then: is called in the hunter's thread.
        """
        hunter.do(lambda: self._kill_rest(then))

    def kill_now(self) -> None:
        """SIGKILL at once, for a process that nobody will watch; it may be reaped."""
        self._kill()
        self._reapable = True

    def _terminate(self) -> None:
        if not self._reapable:
            # What is in another process group is killed later.
            self._seen += below(self._leader)
            self._signal(signal.SIGTERM)

    def _kill(self) -> None:
        if not self._reapable:
            kill_below(self._leader)
            self._signal(signal.SIGKILL)
            kill(self._seen)
            self._seen.clear()

    def _kill_rest(self, then: Callable[[], None]) -> None:
        self._kill()
        self._reapable = True  # from here on the number may mean another process
        then()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._leader, number)
