"""Puts outcomes in the order in which they are to be given out.

A task that was tried again after a failure has two outcomes. The newest counts, unless the failure
was given out already. An outcome whose input was not read yet waits for that: a run that is there
already may have results of more inputs than this program has. Knows nothing of sessions, threads
or loops.
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import heappop, heappush

from ...wire.records import DeadLetter
from .outcomes import Outcome, count_of


class InOrder:
    """Gives outcomes out in the order of their tasks, from the first on. Each once."""

    def __init__(self, first: int = 1) -> None:
        self._next = first
        self._held: dict[int, Outcome] = {}

    def add(self, outcome: Outcome) -> None:
        """An outcome that came."""
        if outcome.task >= self._next:
            self._held[outcome.task] = outcome

    @property
    def ready(self) -> bool:
        """Whether the next outcome has come."""
        return self._next in self._held

    def take(self, last: int) -> Outcome | None:
        """The next outcome; None if it has not come, or begins behind the task `last`."""
        if self._next > last or not self.ready:
            return None
        outcome = self._held.pop(self._next)
        self._next += count_of(outcome)
        return outcome


class AsCompleted:
    """Gives outcomes out as they come. Each once: failures that were given out have their numbers
    remembered, for only such tasks can be tried again."""

    def __init__(self) -> None:
        self._held: OrderedDict[int, Outcome] = OrderedDict()
        self._early: dict[int, Outcome] = {}
        self._early_tasks: list[int] = []
        self._failed: set[int] = set()

    def add(self, outcome: Outcome) -> None:
        """An outcome that came."""
        if outcome.task in self._early:
            self._early[outcome.task] = outcome
        elif outcome.task not in self._failed:
            self._held[outcome.task] = outcome

    @property
    def ready(self) -> bool:
        """Whether an outcome has come."""
        return bool(self._held or self._early)

    def take(self, last: int) -> Outcome | None:
        """The next outcome; None if there is none that begins with the task `last` or before."""
        outcome = self._take(last)
        if isinstance(outcome, DeadLetter):
            self._failed.add(outcome.task)
        return outcome

    def _take(self, last: int) -> Outcome | None:
        if self._early_tasks and self._early_tasks[0] <= last:
            return self._early.pop(heappop(self._early_tasks))
        while self._held:
            task, outcome = self._held.popitem(last=False)
            if task <= last:
                return outcome
            heappush(self._early_tasks, task)
            self._early[task] = outcome
        return None


Order = InOrder | AsCompleted
