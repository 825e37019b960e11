"""Runs the steps of a coroutine. Before each step the shared page gets the position of its task.

So a step that kills the process, or blocks the event loop, is charged to its own task.
"""

from __future__ import annotations

import os
import time
from collections.abc import Coroutine, Generator
from typing import Any

from ..ipc.pipe import STRAY
from ..ipc.shared_page import NONE, POSITION, STEP, Row
from .work_loop import copies


class Steps:
    """An awaitable that runs a coroutine, and writes a position into a row during each step.

    Args:
        coroutine: the coroutine of the task.
        row: the row of its lease.
        position: the position of the task.
        since: when the task started (monotonic).
        timeout_s: its time limit in seconds; None is no limit.
    """

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        row: Row,
        position: int,
        since: float,
        timeout_s: float | None,
    ) -> None:
        self._coroutine, self._row, self._position = coroutine, row, position
        self._since, self._timeout_s = since, timeout_s or 0.0

    def __await__(self) -> Generator[Any, Any, Any]:
        numbers, times = self._row.numbers, self._row.times
        step = self._coroutine.send
        argument: Any = None
        while True:
            # The limit counts from the task's start. A step that begins after the limit, such as
            # the cleanup of a cancelled coroutine, has `CANCEL_S` of its own.
            times[STEP] = max(self._since, time.monotonic() - self._timeout_s)
            numbers[POSITION] = self._position
            try:
                awaited = step(argument)
            except StopIteration as end:
                return end.value
            finally:
                if copies:  # this is a forked copy. Page and event loop belong to its parent
                    os._exit(STRAY)
                numbers[POSITION] = NONE
            try:
                argument = yield awaited
                step = self._coroutine.send
            except BaseException as error:
                argument, step = error, self._coroutine.throw
