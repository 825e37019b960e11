"""Puts outcomes in the order in which they are to be given out.

Knows nothing of sessions, threads or loops.
"""

from __future__ import annotations

from collections import deque

from .outcomes import Outcome, Part


class InOrder:
    """Gives outcomes out in the order of their tasks, from the first on. Each once."""

    def __init__(self, first: int = 1) -> None:
        self._next = first
        self._held: dict[int, Outcome] = {}
        self.held_bytes = 0

    def add(self, outcome: Outcome) -> None:
        """An outcome that came. The newest of a task counts."""
        if outcome.task >= self._next:
            before = self._held.get(outcome.task)
            self._held[outcome.task] = outcome
            self.held_bytes += size_of(outcome) - (size_of(before) if before else 0)

    def take(self) -> Outcome | None:
        """The next outcome; None if it has not come."""
        outcome = self._held.pop(self._next, None)
        if outcome is not None:
            self._next += count_of(outcome)
            self.held_bytes -= size_of(outcome)
        return outcome


class AsCompleted:
    """Gives outcomes out as they come."""

    def __init__(self) -> None:
        self._held: deque[Outcome] = deque()
        self.held_bytes = 0

    def add(self, outcome: Outcome) -> None:
        """An outcome that came."""
        self._held.append(outcome)
        self.held_bytes += size_of(outcome)

    def take(self) -> Outcome | None:
        """The next outcome; None if there is none."""
        if not self._held:
            return None
        outcome = self._held.popleft()
        self.held_bytes -= size_of(outcome)
        return outcome


Order = InOrder | AsCompleted


def count_of(outcome: Outcome) -> int:
    """How many tasks an outcome is of."""
    return outcome.tasks if isinstance(outcome, Part) else 1


def size_of(outcome: Outcome) -> int:
    """How many bytes of results an outcome holds."""
    return len(outcome.results) if isinstance(outcome, Part) else 0
