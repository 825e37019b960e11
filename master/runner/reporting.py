"""Calls `report()` of a job every few seconds, in the thread that collects."""

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
from queue_manager.wire.messages import AskRun, Page, RunShown

from .job_errors import JOB_ERRORS, JobErrors
from .session import RunnerSession

EVERY_S = 5.0
PACE_S = 30.0
"""The rate of `Counts` is that of the last 30 s."""


class Pace:
    """How fast tasks have ended in the last `PACE_S`."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def per_s(self, now: float, ended: int) -> float | None:
        """How many tasks end a second; None while that is not known.

        Args:
            now: monotonic seconds.
            ended: how many tasks have ended by now. A retry makes it smaller.
        """
        self._seen.append((now, ended))
        while len(self._seen) > 2 and now - self._seen[1][0] >= PACE_S:
            self._seen.popleft()
        since, before = self._seen[0]
        return max(0, ended - before) / (now - since) if now > since else None


class Reporter:
    """Calls `report()` of one run.

    Args:
        report: the job's function; None if it has none, and the reporter does nothing.
    """

    def __init__(
        self,
        session: RunnerSession,
        run: int,
        report: Callable[[Counts], Any] | None,
        errors: JobErrors,
    ) -> None:
        self._session = session
        self._run = run
        self._report = report
        self._errors = errors
        self._pace = Pace()
        self._due = time.monotonic() + EVERY_S
        self._said: Counts | None = None
        if report is not None:
            self._counts()  # the rate counts from here

    def wait(self, asked: Future[Page]) -> Page:
        """Wait for a page, and report meanwhile."""
        while self._report is not None:
            try:
                return asked.result(max(0.0, self._due - time.monotonic()))
            except TimeoutError:
                self.look()
        return asked.result()

    def look(self) -> None:
        """Report if a report is due and anything has changed since the last one."""
        if self._report is not None and time.monotonic() >= self._due:
            counts = self._counts()
            if _unpaced(counts) != self._said:
                self._say(self._report, counts)

    def say_last(self) -> None:
        """Report once more, when the run has ended."""
        if self._report is not None:
            self._say(self._report, self._counts())

    def _counts(self) -> Counts:
        """Ask the master for the counts of the run."""
        run = self._session.request(lambda seq: AskRun(seq, self._run), RunShown).result().run
        self._due = time.monotonic() + EVERY_S
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
                # To stderr: collect() may print results to stdout, and a progress bar is on stderr.
                print(harmless(line), file=sys.stderr, flush=True)
        except JOB_ERRORS as error:
            self._errors.note("report", error)


def _unpaced(counts: Counts) -> Counts:
    """The counts without rates, which change although nothing happens."""
    return replace(counts, left_s=None, per_s=None)
