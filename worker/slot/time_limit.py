"""The time limit of the tasks of one async lease.

This module owns one timer for all of them. A task that ends in time never touches the timer. This
module does not know how a task is recorded.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping

from ..ipc.shared_page import CANCEL_S
from .running_lease import RunningTask


class TimeLimit:
    """Cancels tasks that take too long, and reports tasks that go on after that.

    All tasks have the same limit and begin one after the other. So the oldest running task is the
    first that can be late, and the timer is set for it. When the timer fires, it is set for the
    task that is the oldest then.

    Args:
        limit_s: the limit of each task in seconds, from its first step on.
        running: the running tasks, in the order of their beginning.
        hangs: is called with a task that has not ended `CANCEL_S` after it was cancelled.
    """

    def __init__(
        self,
        limit_s: float,
        running: Mapping[int, RunningTask],
        hangs: Callable[[RunningTask], None],
    ) -> None:
        self._limit_s, self._running, self._hangs = limit_s, running, hangs
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, running: RunningTask) -> None:
        """Note that a task takes its first step now."""
        running.begun = time.monotonic()
        late_at = asyncio.get_running_loop().time() + self._limit_s
        if self._timer is not None and self._timer.when() <= late_at:
            return
        self.close()  # the timer is set for a cancelled task, which has more time left
        self._set(self._limit_s)

    def close(self) -> None:
        """Cancel the timer, which would keep the lease in memory until it fires."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, wait_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._look)

    def _look(self) -> None:
        self._timer = None
        now, next_at = time.monotonic(), math.inf
        for running in list(self._running.values()):
            if now >= running.late_at + CANCEL_S:
                self._hangs(running)
            elif running.late_at < math.inf:
                next_at = min(next_at, running.late_at + CANCEL_S)
            elif now < running.begun + self._limit_s:
                next_at = min(next_at, running.begun + self._limit_s)
                break  # those behind it have begun later
            else:
                self._cancel(running, now)
                next_at = min(next_at, now + CANCEL_S)
        if next_at < math.inf:
            self._set(max(0.0, next_at - now))

    @staticmethod
    def _cancel(running: RunningTask, now: float) -> None:
        running.late_at = now
        if running.task is not None:
            running.task.cancel()
