"""What a run has done in each minute: the records between broker, store and wire.

No clock and no SQL. docs/design.md, "History", says which rows there are and how long they stay.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil
from typing import NamedTuple

ALL_RUNS = -1
"""The number that the rows of all runs together have in the place of a run's."""

MINUTE_S = 60
TEN_S = 600
SPANS = (MINUTE_S, TEN_S)
"""How long the time of a row is. Each minute is counted in a row of its own, and in the row of its
ten minutes."""

FINE_S = 26 * 3_600
"""How long the rows of single minutes stay. After that there are those of ten minutes."""

POINTS = 1_500
"""The most points of an answer."""

STEPS = (60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400)
"""The steps of answers in seconds. From ten minutes on each is a multiple of ten minutes."""


class Counted(NamedTuple):
    """What is counted of a run from its beginning on. It only grows.

    done: tasks. died: how often a task became a dead letter. failed: charged attempts. busy_s: how
    long tasks took, on all workers together.
    """

    done: int = 0
    died: int = 0
    failed: int = 0
    busy_s: float = 0.0


class Standing(NamedTuple):
    """How a run stands at the end of a row's time.

    workers, slots: those that hold leases of the run; in the rows of all runs those connected.
    """

    waiting: int = 0
    leased: int = 0
    delayed: int = 0
    workers: int = 0
    slots: int = 0


@dataclass(frozen=True, slots=True)
class HistoryRecord:
    """What a run has done from `at` on, for `span_s`, and how it stood at the end of that time.

    run: ALL_RUNS is all of them together. at: UTC epoch in seconds, a multiple of `span_s`. dead:
    how many tasks became dead letters. standing: None if nobody knows.
    """

    run: int
    at: int
    span_s: int = MINUTE_S
    done: int = 0
    dead: int = 0
    failed: int = 0
    busy_s: float = 0.0
    standing: Standing | None = None

    def plus(self, other: HistoryRecord) -> HistoryRecord:
        """Both together. other: the later one, of the same row."""
        return replace(
            self,
            done=self.done + other.done,
            dead=self.dead + other.dead,
            failed=self.failed + other.failed,
            busy_s=self.busy_s + other.busy_s,
            standing=self.standing if other.standing is None else other.standing,
        )

    def within(self, span_s: int) -> HistoryRecord:
        """The same, counted in a row of that span."""
        return replace(self, at=begin_of(self.at, span_s), span_s=span_s)


Rows = dict[tuple[int, int, int], HistoryRecord]
"""Records by their rows: run, at, span_s."""


def add(rows: Rows, record: HistoryRecord) -> None:
    """Count a record in its row."""
    key = (record.run, record.at, record.span_s)
    rows[key] = rows[key].plus(record) if key in rows else record


def rows_of(records: Iterable[HistoryRecord]) -> Rows:
    """What the rows get by the records of a turn: those of the runs, and of all runs together."""
    rows: Rows = {}
    for record in records:
        for span_s in SPANS:
            spanned = record.within(span_s)
            add(rows, spanned)
            if record.run != ALL_RUNS:
                add(rows, replace(spanned, run=ALL_RUNS, standing=None))
    return rows


def begin_of(at: float, span_s: int = MINUTE_S) -> int:
    """When the minute began that a time is in, or the longer span. Both UTC epoch in seconds."""
    return int(at // span_s) * span_s


def step_for(since_at: float, until_at: float, wanted_s: float, now_at: float) -> int:
    """The step of an answer: the shortest that is as long as wanted, and gives at most POINTS.

    Where there are no rows of single minutes any more, it is ten minutes at least.
    """
    least = max(wanted_s, (until_at - since_at) / (POINTS - 1))
    if since_at < now_at - FINE_S:
        least = max(least, TEN_S)
    day_s = STEPS[-1]
    return next((step for step in STEPS if step >= least), ceil(least / day_s) * day_s)


def span_for(step_s: int) -> int:
    """Of which rows an answer with this step is made."""
    return TEN_S if step_s % TEN_S == 0 else MINUTE_S
