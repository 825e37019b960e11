"""The roster: which runs are in memory, and in which order the active ones are given leases."""

from __future__ import annotations

from collections import deque
from weakref import WeakValueDictionary

from .run import Run


class Roster:
    """The runs in memory.

    runs: the active runs, and ended runs that somebody works on or has asked for lately. All other
    runs are on disk alone, for there may be any number of them.
    rotation: the active runs; the first one is the next to get a lease.
    """

    def __init__(self) -> None:
        self.runs: dict[int, Run] = {}
        self.rotation: deque[Run] = deque()
        self.next_run = 1
        self._retired: WeakValueDictionary[int, Run] = WeakValueDictionary()

    def add(self, run: Run) -> None:
        """A run is in memory."""
        self.runs[run.id] = run
        self.next_run = max(self.next_run, run.id + 1)
        if run.active:
            self.rotation.append(run)

    def remove(self, run: Run) -> None:
        """Undo the start of a run."""
        del self.runs[run.id]
        self.rotation.remove(run)

    def to_the_end(self, run: Run) -> None:
        """A run has been given a lease: all others come before it."""
        self.rotation.remove(run)
        self.rotation.append(run)

    def leave_rotation(self, run: Run) -> None:
        """A run that has ended gets no leases."""
        if run in self.rotation:
            self.rotation.remove(run)

    def recall(self, number: int) -> Run | None:
        """A run that is in memory, also a retired one to which somebody still has a reference."""
        run = self.runs.get(number)
        if run is None:
            run = self._retired.get(number)
            if run is not None:
                self.runs[number] = run
        return run

    def retire(self, run: Run) -> None:
        """An ended run leaves the memory. `recall` finds the same object while it exists."""
        if not run.active and self.runs.pop(run.id, None) is not None:
            self._retired[run.id] = run

    def forget(self, number: int) -> None:
        """A run is no more."""
        self.runs.pop(number, None)
        self._retired.pop(number, None)
