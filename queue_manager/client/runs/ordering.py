"""Puts outcomes in the order in which they are to be given out.

A task that was tried again after a failure has two outcomes. The newest counts, unless the failure
was given out already. Knows nothing of sessions, threads or loops.
"""

from __future__ import annotations

from collections import OrderedDict

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

    def take(self) -> Outcome | None:
        """The next outcome; None if it has not come."""
        outcome = self._held.pop(self._next, None)
        if outcome is not None:
            self._next += count_of(outcome)
        return outcome


class AsCompleted:
    """Gives outcomes out as they come. Each once: failures that were given out have their numbers
    remembered, for only such tasks can be tried again."""

    def __init__(self) -> None:
        self._held: OrderedDict[int, Outcome] = OrderedDict()
        self._failed: set[int] = set()

    def add(self, outcome: Outcome) -> None:
        """An outcome that came."""
        if outcome.task not in self._failed:
            self._held[outcome.task] = outcome

    def take(self) -> Outcome | None:
        """The next outcome; None if there is none."""
        if not self._held:
            return None
        task, outcome = self._held.popitem(last=False)
        if isinstance(outcome, DeadLetter):
            self._failed.add(task)
        return outcome


Order = InOrder | AsCompleted
