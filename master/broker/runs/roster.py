"""The roster: which runs are in memory, and in which order the active ones are given leases."""

from __future__ import annotations

from collections import OrderedDict
from weakref import WeakValueDictionary

from .run import Run


class Roster:
    """The runs in memory.

    runs: the active runs, and ended runs that somebody works on or has asked for lately. All other
    runs are on disk alone, for there may be any number of them.
    Three sets keep a turn from looking at every active run. `attend` puts a run into the first two;
    a run leaves them when somebody looks at it and finds nothing to do.

    rotation: runs with something to lease; the first one is the next to get a lease.
    low: runs whose lane without a group is to be read ahead.
    limited: the active runs with limited groups, for pauses end by themselves.
    """

    def __init__(self) -> None:
        self.runs: dict[int, Run] = {}
        self.rotation: OrderedDict[Run, None] = OrderedDict()
        self.low: dict[Run, None] = {}
        self.limited: dict[Run, None] = {}
        self.next_run = 1
        self._retired: WeakValueDictionary[int, Run] = WeakValueDictionary()

    def add(self, run: Run) -> None:
        """A run is in memory."""
        self.runs[run.id] = run
        self.next_run = max(self.next_run, run.id + 1)
        if run.active and not run.pending:
            self.activate(run)

    def remove(self, run: Run) -> None:
        """Undo the start of a run."""
        del self.runs[run.id]
        self.deactivate(run)

    def activate(self, run: Run) -> None:
        """A run has begun, or goes on: it is told from now on when its tasks change."""
        run.roster = self
        if run.groups is not None:
            self.limited[run] = None
        self.attend(run)

    def deactivate(self, run: Run) -> None:
        """A run that has ended gets no leases."""
        self.rotation.pop(run, None)
        self.low.pop(run, None)
        self.limited.pop(run, None)

    def attend(self, run: Run) -> None:
        """What waits of a run has changed: it may have something to lease, or to be read ahead."""
        if not run.active:
            return
        if run not in self.rotation and run.ready:
            self.rotation[run] = None
        if run.lane.low:
            self.low[run] = None

    def had_turn(self, run: Run) -> None:
        """A lease of a run was given: all others come before it. It leaves if that was all."""
        if run.ready:
            self.rotation.move_to_end(run)
        else:
            del self.rotation[run]

    def drop_idle(self) -> None:
        """The first runs of the rotation leave it as long as they have nothing to lease."""
        while self.rotation:
            run = next(iter(self.rotation))
            if run.ready:
                break
            del self.rotation[run]

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
