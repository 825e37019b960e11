"""Counts what becomes of tasks, by job. A turn that is undone has counted nothing.

The parts of the broker tell it of ranges of tasks, not of single ones. A turn keeps what it was
told in a list, and its commit adds that up: a microsecond for each range.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from .accepted import AcceptedAt
from .histogram import TASK_BOUNDS_S, Histogram
from .labels import Labels

Became = Literal["done", "failed", "dead", "cancelled", "released", "lost"]
"""What becomes of a task that was leased, or that is cancelled.

failed: a try was charged, and another one follows. dead: it is a dead letter. released: it goes
back uncharged. lost: its lease ended with its session, and it waits again.
"""

_Tried = tuple[str, Became, int, int, float | None, float, float]
"""The arguments of `Tally.tried`."""


def _histogram() -> Histogram:
    return Histogram(TASK_BOUNDS_S)


@dataclass(slots=True)
class JobTally:
    """What was counted of one job since the start.

    new: tasks that were accepted. became: tasks, by what became of them. waited, ran: of the tries
    that a worker reported, how long the task had waited for it, and how long it took. leases_lost:
    leases that ended with their session.
    """

    new: int = 0
    became: Counter[Became] = field(default_factory=Counter)
    waited: Histogram = field(default_factory=_histogram)
    ran: Histogram = field(default_factory=_histogram)
    leases_lost: int = 0


class Tally:
    """Counts by job.

    behind_s: how far the monotonic clock is behind the wall clock. accepted: when blocks came.
    """

    def __init__(self) -> None:
        self.behind_s = 0.0
        self.accepted = AcceptedAt()
        self.labels = Labels()
        self.jobs: dict[str, JobTally] = {}
        self._tried: list[_Tried] = []
        self._ended: list[tuple[str, Became, int]] = []
        self._new: list[tuple[str, int]] = []
        self._lost: list[str] = []

    def begin(
        self, marks: Iterable[tuple[int, float]], next_block: int, now: float, wall: float
    ) -> None:
        """A master starts. marks: of `accepted` before, with times in UTC epoch. now: monotonic s.

        wall: the same moment in UTC epoch.
        """
        self.behind_s = wall - now
        self.accepted.load([(block, at - self.behind_s) for block, at in marks], next_block, now)

    # --- what a turn tells ---

    def new(self, job: str, count: int) -> None:
        """Stage that tasks were accepted."""
        self._new.append((job, count))

    def ended(self, job: str, became: Became, count: int) -> None:
        """Stage what became of tasks that no worker has tried now."""
        self._ended.append((job, became, count))

    def tried(
        self,
        job: str,
        became: Became,
        count: int,
        block: int,
        due_at: float | None,
        ran_s: float,
        now: float,
    ) -> None:
        """Stage what became of tasks that were tried one after the other, in `ran_s` together.

        block: whose tasks they are; they have waited since it came. due_at: since when a tracked
        task has waited (UTC epoch, s); None for all others. now: monotonic seconds.
        """
        self._tried.append((job, became, count, block, due_at, ran_s, now))

    def lost_lease(self, job: str) -> None:
        """Stage that a lease has ended with its session."""
        self._lost.append(job)

    # --- the end of a turn ---

    def committed(self) -> None:
        """What was told is true: add it up."""
        if self._tried:
            self._add_tried()
        for job, count in self._new:
            self.of(job).new += count
        for job, became, count in self._ended:
            self.of(job).became[became] += count
        for job in self._lost:
            self.of(job).leases_lost += 1
        self.rolled_back()

    def rolled_back(self) -> None:
        """What was told is not true, or was added up."""
        for told in (self._tried, self._new, self._ended, self._lost):
            told.clear()

    def of(self, job: str) -> JobTally:
        """What was counted of a job, under its label."""
        label = self.labels.of(job)
        found = self.jobs.get(label)
        if found is None:
            found = self.jobs[label] = JobTally()
        return found

    def _add_tried(self) -> None:
        """There may be a thousand of them in a turn, mostly of one job."""
        last, of_job = None, JobTally()
        since, behind_s = self.accepted.of, self.behind_s
        for job, became, count, block, due_at, ran_s, now in self._tried:
            if job != last:
                last, of_job = job, self.of(job)
            of_job.became[became] += count
            began = now - ran_s
            waits_since = since(block) if due_at is None else due_at - behind_s
            of_job.waited.observe(began - waits_since, count)
            of_job.ran.observe(ran_s / count, count)
