"""What a job's `report()` says of its run, every few seconds, in the thread that collects."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from queue_manager.job.contract import Counts
from queue_manager.terminal import harmless
from queue_manager.wire.messages import AskStatus, Page, Status

from .job_errors import JOB_ERRORS, Complaints
from .session import Wire

EVERY_S = 5.0
PACE_S = 30.0
"""So far back goes the rate of `Counts`."""


class Pace:
    """How fast tasks have ended lately."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def per_s(self, now: float, ended: int) -> float | None:
        """How many end a second; None while that is not known.

        ended: how many have by now; fewer than before after a retry. now: monotonic seconds.
        """
        self._seen.append((now, ended))
        while len(self._seen) > 2 and now - self._seen[1][0] >= PACE_S:
            self._seen.popleft()
        since, before = self._seen[0]
        return max(0, ended - before) / (now - since) if now > since else None


class Reporter:
    """Calls `report()` of one run. report: None where the job has none, which does nothing."""

    def __init__(
        self,
        wire: Wire,
        run: int,
        report: Callable[[Counts], Any] | None,
        complaints: Complaints,
    ) -> None:
        self._wire = wire
        self._run = run
        self._report = report
        self._complaints = complaints
        self._pace = Pace()
        self._due = time.monotonic() + EVERY_S
        self._said: Counts | None = None
        if report is not None:
            self._counts()  # the rate goes from here

    def wait(self, asked: Future[Page]) -> Page:
        """Wait for a page, and report meanwhile."""
        while self._report is not None:
            try:
                return asked.result(max(0.0, self._due - time.monotonic()))
            except TimeoutError:
                self.look()
        return asked.result()

    def look(self) -> None:
        """Report if it is time to, and anything has changed since the last one."""
        if self._report is not None and time.monotonic() >= self._due:
            counts = self._counts()
            if _unpaced(counts) != self._said:
                self._say(self._report, counts)

    def say_last(self) -> None:
        """Report once more, now that the run has ended."""
        if self._report is not None:
            self._say(self._report, self._counts())

    def _counts(self) -> Counts:
        """How the run is now."""
        status = self._wire.request(lambda seq: AskStatus(seq, self._run), Status).result()
        self._due = time.monotonic() + EVERY_S
        run = status.runs[0]
        left = run.waiting + run.leased + run.delayed
        per_s = self._pace.per_s(time.monotonic(), run.done + run.dead)
        left_s = 0.0 if left == 0 else left / per_s if per_s else None
        counts = (run.tasks, run.done, run.dead, run.waiting, run.leased, run.delayed)
        return Counts(*counts, left_s=left_s, per_s=per_s)

    def _say(self, report: Callable[[Counts], Any], counts: Counts) -> None:
        self._said = _unpaced(counts)
        try:
            text = report(counts)
            if text:
                line = " ".join(str(text).splitlines())
                # Not where collect() prints: those may be results, and a progress bar is here.
                print(harmless(line), file=sys.stderr, flush=True)
        except JOB_ERRORS as error:
            self._complaints.note("report", error)


def _unpaced(counts: Counts) -> Counts:
    """What changes only when something has happened."""
    return replace(counts, left_s=None, per_s=None)
