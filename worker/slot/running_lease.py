"""One lease in an async slot: which of its tasks run, and the outcomes of those that have ended.

This module owns the lease's row on the shared page, and its outcomes until they are reported. It
starts no asyncio task and no timer.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from typing import Any

from queue_manager import Result
from queue_manager.job.raised import TIME_LIMIT
from queue_manager.ranges import Ranges
from queue_manager.wire.records import Failed, Outcome

from ..ipc import outcomes
from ..ipc.pipe import Give
from ..ipc.shared_page import LIMIT, NONE, OPENED, POSITION, STARTED, Row
from .stdio import TaskOutput

LONGEST_SHARE_S = 1.0
"""A task counts as no longer than this, in seconds, for the size of later leases."""


class RunningTask:
    """One task from its start to its record.

    started: monotonic time of its start. begun: that of its first step; infinite before it.
    late_at: that of its cancellation for taking too long; infinite if it was not cancelled so.
    """

    __slots__ = ("begun", "late_at", "output", "payload", "position", "started", "task")

    def __init__(self, position: int, payload: Any, output: TaskOutput, started: float) -> None:
        self.position, self.payload, self.output = position, payload, output
        self.started = started
        self.begun = self.late_at = math.inf
        self.task: asyncio.Task[None] | None = None

    @property
    def is_late(self) -> bool:
        """Whether it was cancelled because it took too long."""
        return self.late_at < math.inf


class RunningLease:
    """A lease of which several tasks may run at a time."""

    def __init__(self, give: Give, row: Row, payloads: Sequence[Any]) -> None:
        self.given, self.row = give.lease, row
        self.running: dict[int, RunningTask] = {}
        self._max_bytes, self._payloads = give.max_bytes, payloads
        self._position = give.lease.start
        self._results: list[tuple[int, Any, float]] = []
        self._others: list[Outcome] = []
        row.numbers[POSITION] = NONE

    @property
    def finished(self) -> bool:
        """Whether all tasks that could start have ended."""
        return not self.running and self._position >= self._end

    @property
    def _end(self) -> int:
        """Where the lease ends now. The supervisor may have taken tasks back."""
        return min(self.given.stop, self.row.numbers[LIMIT])

    def start(self) -> RunningTask | None:
        """Mark the next task as started, and return it. None: there is none, now or later."""
        position, given = self._position, self.given
        if position >= given.stop:
            return None
        numbers = self.row.numbers
        numbers[OPENED] = position + 1  # before the limit is read: see `shared_page`
        if position >= numbers[LIMIT]:
            return None
        self._position = position + 1
        now = time.monotonic()
        if not self.running:
            self.row.times[STARTED] = now
        payload = self._payloads[position - given.start]
        task = RunningTask(position, payload, TaskOutput(given.number, position), now)
        self.running[position] = task
        return task

    def cancel(self, ranges: Ranges) -> None:
        """Cancel these tasks, even before their first step."""
        for position, running in self.running.items():
            if running.task is not None and any(a <= position < b for a, b in ranges):
                running.task.cancel()

    def end(
        self, running: RunningTask, value: Any, error: BaseException | None, share: int
    ) -> None:
        """Record how a task ended.

        A task's time is divided by the number of tasks that run at a time. The master sizes leases
        by that time, and a lease of 0.1 s of work has to keep all tasks of the slot running.
        """
        number, position = self.given.number, running.position
        took_s = min(time.monotonic() - running.started, LONGEST_SHARE_S) / share
        if error is not None:
            text = running.output.text
            self._others.append(outcomes.failed(number, position, error, took_s, text))
        elif isinstance(value, Result):
            record = outcomes.branch(number, position, value, took_s, self._max_bytes)
            self._others.append(record)
        else:
            self._results.append((position, value, took_s))
        self._forget(position)  # after this, no code of the job is called

    def time_out(self, running: RunningTask) -> None:
        """Record that a task took too long."""
        took_s = time.monotonic() - running.started
        line = f"timed out after {self.given.timeout_s:g} s"
        text = running.output.text
        self._others.append(
            Failed(
                self.given.number,
                running.position,
                line,
                took_s=took_s,
                printed=text,
                raised=TIME_LIMIT,
            )
        )
        self._forget(running.position)

    def _forget(self, position: int) -> None:
        """Forget a task, and note on the row when the oldest running task started."""
        was_oldest = next(iter(self.running)) == position
        del self.running[position]
        if was_oldest:
            oldest = next(iter(self.running.values()), None)
            self.row.times[STARTED] = time.monotonic() if oldest is None else oldest.started

    def take(self) -> list[Outcome]:
        """Take the outcomes since the last call. Consecutive results are one record."""
        results, others, self._results, self._others = self._results, self._others, [], []
        records = outcomes.results_of(self.given.number, results, self._max_bytes)
        return outcomes.merged(records + others, self._max_bytes) if others else records
