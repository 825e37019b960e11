"""How fast tasks end, of each run and of all: the last minutes, in memory.

Each look at a run's counts is noted with its time. Nobody looks while no page is open, so there may
be gaps. The history in the store has none (`AskHistory`); this one has seconds.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

from queue_manager.wire.records import RunStatus

KEPT_S = 60.0
ALL = -1
"""Stands for all runs together."""

_MOST_RUNS = 1_024
"""Twice as many as a page has at most, or each look at it would drive out the one before."""

_RATE_S = 10.0
"""A rate is the mean over so many seconds."""

_LEAST_S = 0.5
"""Rates within less time say nothing."""

_GAP_S = 5.0
"""Between two looks with more time between them, nobody knows what went on."""

LONGEST_GAP_S = 80.0
"""Unless looks come in such a rhythm: a page that takes long to load is looked at less often."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a run has shown. at: monotonic seconds. ended: done and dead letters."""

    at: float
    ended: int


class _Looks:
    """The looks at one run, the oldest first, without a gap. gap_s: the time before the last."""

    def __init__(self) -> None:
        self.kept: deque[Look] = deque()
        self._gap_s = 0.0

    @property
    def most_s(self) -> float:
        """How long the next look may be away: as long as the one before, and as long again."""
        return max(_GAP_S, min(2 * self._gap_s, LONGEST_GAP_S))

    def add(self, look: Look) -> int:
        """Returns how many tasks have ended since the look before; 0: nobody knows."""
        kept = self.kept
        before = kept[-1] if kept else None
        if before is not None:
            gap_s = look.at - before.at
            if gap_s > self.most_s or look.ended < before.ended:
                kept.clear()  # nobody looked, or dead letters were retried
            self._gap_s = gap_s
        kept.append(look)
        while len(kept) > 2 and kept[0].at < look.at - KEPT_S:
            kept.popleft()
        return look.ended - before.ended if before is not None and len(kept) > 1 else 0


class Rates:
    """The looks at runs within the last minute. clock: monotonic seconds. wall: UTC epoch."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._clock, self._wall = clock, wall
        self._all = _Looks()
        self._looks: OrderedDict[int, _Looks] = OrderedDict()
        self._total = 0

    def note(self, runs: Iterable[RunStatus]) -> None:
        """Runs have been looked at now."""
        for run in runs:
            self._total += self._note(run)

    def note_all(self, runs: Iterable[RunStatus]) -> None:
        """All runs that go on have been looked at now."""
        self.note(runs)
        self._all.add(Look(self._clock(), self._total))

    def _note(self, run: RunStatus) -> int:
        """Returns how many tasks have ended since the look before, if that was a moment ago."""
        now, ended = self._clock(), run.done + run.dead
        if run.run not in self._looks:
            age_s = self._wall() - run.started_at
            if not 0 < age_s < self._all.most_s:
                self._add(run.run, Look(now, ended))
                return 0
            self._add(run.run, Look(now - age_s, 0))  # it is so young that its start was seen
        return self._add(run.run, Look(now, ended))

    def _add(self, run: int, look: Look) -> int:
        looks = self._looks.setdefault(run, _Looks())
        self._looks.move_to_end(run)
        while len(self._looks) > _MOST_RUNS:
            self._looks.popitem(last=False)
        return looks.add(look)

    def _of(self, run: int) -> deque[Look]:
        looks = self._all if run == ALL else self._looks.get(run)
        return deque() if looks is None else looks.kept

    def of(self, run: int) -> float | None:
        """How many tasks of a run end in a second now; None: it has not been looked at for long."""
        looks = self._of(run)
        if len(looks) < 2:
            return None
        last, before = looks[-1], looks[-2]
        first = next((look for look in looks if look.at >= last.at - _RATE_S), last)
        if first is last:
            first = before
        took_s = last.at - first.at
        return (last.ended - first.ended) / took_s if took_s > 0 else None

    def last_minute(self, run: int) -> list[tuple[float, float]]:
        """The rates of a run: how many seconds ago, and how many tasks ended in a second then."""
        now, rates = self._clock(), []
        looks = self._of(run)
        before = looks[0] if looks else None
        for look in islice(looks, 1, None):
            assert before is not None  # `looks` is not empty
            if look.at - before.at >= _LEAST_S:  # two pages may look at it within a moment
                rates.append((now - look.at, (look.ended - before.ended) / (look.at - before.at)))
                before = look
        return rates
