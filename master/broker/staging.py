"""What a turn has changed so far: the records to make durable, and the way back.

Owns what must happen if they reach the disk, and what if they do not; decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from functools import partial

from queue_manager.ranges import Ranges

from ..changes import Changes, Delivered, OutcomeRecord, TrackedRecord, TrackedState
from .run import Run
from .strays import Stray
from .undo import UndoLog


class Staging:
    """The staged part of a broker's state. changes: what the store is to make durable."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.next_seq = 1
        self.undo = UndoLog()
        self._collected: dict[int, Run] = {}
        self._delivered: Callable[[], Delivered] | None = None
        self._left: set[str] = set()
        self._moved: dict[int, Ranges] = {}

    def _keep(self) -> Changes:
        """The changes are on disk: no way back."""
        changes, self.changes = self.changes, Changes()
        self._moved.clear()
        for run in (*changes.runs, *changes.forgotten):
            self._collected.pop(run, None)
        if changes.delivered is not None:
            self._delivered = None
        self._left.difference_update(changes.workers)
        return changes

    def rolled_back(self) -> None:
        """The staged changes could not be made durable: everything is as before the turn."""
        self.changes = Changes()
        self._moved.clear()
        self.undo.rolled_back()

    @property
    def mark(self) -> tuple[int, ...]:
        """How much is staged: equal as long as nothing is added."""
        c = self.changes
        kinds: tuple[Sized, ...] = (c.blocks, c.outcomes, c.tracked, c.runs, c.keys, c.workers)
        more: tuple[Sized, ...] = (c.revived, c.forgotten, c.quotas, c.groups, self._moved)
        return (self.undo.mark, *map(len, (*kinds, *more)))

    # --- progress: it goes with a later commit ---

    def collected(self, run: Run, seq: int, errors: int, into: int = 0) -> None:
        """Note how far `collect()` has come; it goes with the next commit (`add_progress`)."""
        before = (run.collected, run.collected_into)
        if (seq, into) > before or errors:
            run.collected, run.collected_into = max((seq, into), before)
            run.collect_errors += errors
            self._collected[run.id] = run

    def _has_left(self, worker: str) -> None:
        """Note that a worker is no more, as `collected` does: nobody waits for it after a crash."""
        self._left.add(worker)
        self.undo.undo_by(partial(self._left.discard, worker))

    def delivered(self, how_far: Callable[[], Delivered]) -> None:
        """Note that stock clients have read on, as `collected` does. how_far: asked at the commit.

        Many clients read in one turn, and what it tells grows with them: it is asked once for all.
        """
        self._delivered = how_far

    @property
    def delivering(self) -> bool:
        """Whether a client waits for its delivery to be on disk."""
        return self._delivered is not None

    @property
    def progress(self) -> bool:
        """Whether `add_progress` has something to add."""
        return bool(self._collected or self._left) or self.delivering

    def add_progress(self) -> None:
        """Have the changes hold how far collecting and delivering have come."""
        for run in self._collected.values():
            if run.id not in self.changes.forgotten:
                self._record(run)
        self.changes.delivered = self._delivered() if self._delivered is not None else None
        self.changes.workers.update(dict.fromkeys(self._left, False))

    # --- records ---

    def _outcome(
        self, run: Run, block: int, first: int, start: int, stop: int, results: bytes
    ) -> None:
        self.changes.outcomes.append(
            OutcomeRecord(self.next_seq, run.id, block, first, start, stop, results)
        )
        self.next_seq += 1
        self._moves(block, start, stop)

    def _moves(self, block: int, start: int, stop: int) -> None:
        """Note that tasks of a block are not, once this is on disk, as the disk has them now."""
        self._moved.setdefault(block, []).append((start, stop))

    def _record(self, run: Run) -> None:
        self.changes.runs[run.id] = run.record()

    def _stray(
        self,
        run: Run,
        stray: Stray,
        state: TrackedState,
        lease: int = 0,
        *,
        delay_s: float = 0.0,
        error: str = "",
        evidence: str = "",
        worker: str = "",
        printed: str = "",
    ) -> None:
        self.changes.tracked[run.id, stray.task] = TrackedRecord(
            run.id,
            stray.task,
            stray.block,
            stray.position,
            state,
            stray.attempts,
            stray.losses,
            delay_s,
            stray.due_at,
            error,
            evidence,
            stray.priority,
            stray.group,
            lease,
            worker,
            printed,
        )
        self._moves(stray.block, stray.position, stray.position + 1)
