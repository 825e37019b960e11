"""One slot's process and its descendants, from the first signal to the last.

This module owns in which order they are killed, and until when the number of the process may be
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
        """Send SIGTERM to the group, soon."""
        hunter.do(self._terminate)

    def kill(self) -> None:
        """Send SIGKILL to the process and its descendants in any process group, soon."""
        hunter.do(self._kill)

    def kill_rest(self, then: Callable[[], None]) -> None:
        """Kill the processes that the ended process has left, soon. Then it may be reaped.

        then: is called after that, in the hunter's thread.
        """
        hunter.do(lambda: self._kill_rest(then))

    def kill_now(self) -> None:
        """Send SIGKILL at once, to a process that nobody will watch. It may be reaped."""
        self._kill()
        self._reapable = True

    def _terminate(self) -> None:
        if not self._reapable:
            # Processes in other groups are remembered and killed later.
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
