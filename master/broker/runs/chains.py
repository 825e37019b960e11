"""Chains: which runs are after which others, and when a run begins that has waited.

A run is *pending* until all its predecessors have ended well. Knows nothing of tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from queue_manager.errors import RefusedError

from ..journal import Journal
from .roster import Roster
from .run import Run

_NAMED = 3
"""How many runs a line names."""


class Chains:
    """The runs that wait for others, and those that still take the results of others.

    A turn pays for a look into a dict for each run that it touches, however many runs wait.
    """

    def __init__(self, journal: Journal, roster: Roster) -> None:
        self._journal = journal
        self._roster = roster
        self._after: dict[int, dict[Run, None]] = {}

    def __len__(self) -> int:
        """How many runs have others behind them."""
        return len(self._after)

    def add(self, run: Run) -> None:
        """A run is in memory that has not ended."""
        for number in run.after:
            self._after.setdefault(number, {})[run] = None

    def remove(self, run: Run) -> None:
        """A run has ended, or its start was undone."""
        for number in run.after:
            behind = self._after.get(number, {})
            behind.pop(run, None)
            if not behind:
                self._after.pop(number, None)

    def waiting(self, number: int) -> list[Run]:
        """The pending runs that wait for this one, the oldest first."""
        behind = self._after.get(number, ())
        return [run for run in behind if run.pending and number in run.waits_for]

    def needing(self, number: int) -> list[Run]:
        """The runs that wait for this one, or whose `tasks()` may still take its results."""
        return [run for run in self._after.get(number, ()) if run.active and not run.exhausted]

    def ended(self, run: Run) -> None:
        """Stage that a run has ended: if it has ended well, others wait for it no more."""
        if run.id not in self._after or not run.ended_well:
            return
        for later in self.waiting(run.id):
            self._journal.keep(later)
            later.waits_for = [number for number in later.waits_for if number != run.id]
            self._journal.record_run(later)
            if not later.waits_for:
                self._begin(later)

    def check_unneeded(self, run: Run) -> None:
        """Raise RefusedError when a run may not go, because others are after it."""
        needing = self.needing(run.id)
        if needing:
            raise RefusedError(
                f"run {run.id} can't go: its results are for {in_words([r.id for r in needing])};"
                f" `qm cancel {needing[0].id}`, or wait until those are taken"
            )

    def _begin(self, run: Run) -> None:
        self._roster.activate(run)
        self._journal.undo_by(partial(self._roster.deactivate, run))
        self._journal.changes.begun.add(run.id)


def in_words(runs: Sequence[int]) -> str:
    """Some runs by their numbers: `run 3`, or `runs 3, 4, 5 and 2 more`."""
    return f"run{'s' * (len(runs) > 1)} {listed(runs)}"


def listed(runs: Sequence[int]) -> str:
    """The numbers of some runs: `3`, or `3, 4, 5 and 2 more`."""
    named = ", ".join(map(str, runs[:_NAMED]))
    more = f" and {len(runs) - _NAMED:,} more" if len(runs) > _NAMED else ""
    return f"{named}{more}"
