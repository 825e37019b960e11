"""Progress that may wait for a later commit: of collecting, of delivering, of workers that left.

Nobody waits for it, so it never causes a commit. After a crash a little of it is done again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ...changes import Changes, CollectCursor, Delivered
from ..journal import Journal
from .run import Run


class Progress:
    """What goes with the next commit. left: workers that are gone, which is not on disk yet."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._collected: dict[int, Run] = {}
        self._delivered: Callable[[], Delivered] | None = None
        self._delivering: Callable[[], Delivered] | None = None
        self.left: set[str] = set()

    def collected(self, run: Run, cursor: CollectCursor, errors: int) -> None:
        """Note how far `collect()` of a run has come, and how many more calls have failed."""
        before = run.collect_cursor
        if cursor > before or errors:
            run.put_cursor(max(cursor, before))
            run.collect_errors += errors
            self._collected[run.id] = run

    def delivered(self, how_far: Callable[[], Delivered]) -> None:
        """Note that stock clients have read on. how_far: called at the commit.

        Many clients read in one turn, and the record grows with them: it is made once for all.
        """
        self._delivered = how_far

    def worker_left(self, worker: str) -> None:
        """Note that a worker is gone: a master that starts need not wait for it."""
        self.left.add(worker)
        self._journal.undo_by(partial(self.left.discard, worker))

    def worker_came(self, worker: str) -> None:
        """A worker is there. If it had left, that need not be written any more."""
        if worker in self.left:
            self.left.remove(worker)
            self._journal.undo_by(partial(self.left.add, worker))

    @property
    def delivering(self) -> bool:
        """Whether a client waits for its delivery to be on disk."""
        return self._delivered is not None

    def __bool__(self) -> bool:
        """Whether there is something to write."""
        return bool(self._collected or self.left) or self.delivering

    def add(self) -> None:
        """Put all progress into the changes of this turn."""
        changes = self._journal.changes
        for run in self._collected.values():
            if run.id not in changes.forgotten:
                self._journal.record_run(run)
        self._delivering = self._delivered
        changes.delivered = self._delivered() if self._delivered is not None else None
        changes.workers.update(dict.fromkeys(self.left, False))

    def written(self, changes: Changes) -> None:
        """Forget what is on disk with these changes. What was noted since `add` stays."""
        for number in changes.forgotten:
            self._collected.pop(number, None)
        for number, record in changes.runs.items():
            run = self._collected.get(number)
            if run is not None and run.record() == record:
                del self._collected[number]
        if self._delivered is self._delivering:
            self._delivered = None
        self.left.difference_update(changes.workers)
