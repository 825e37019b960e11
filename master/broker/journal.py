"""The journal of a turn: the records that become durable at its end, and the way back.

Each part of the broker stages here what it changes. The journal decides nothing.
"""

from __future__ import annotations

from queue_manager.ranges import Ranges

from ..changes import BlockRecord, Changes, Mishap, OutcomeRecord, TrackedRecord, TrackedState
from ..tally.tally import Tally
from ..tries import Tried
from .growing import GrowingBlock
from .lanes.tracked import Tracked
from .runs.run import Run
from .runs.saved import SavedRun
from .undo import UndoLog

_NO_MISHAP = Mishap()
_NO_TRY = Tried()


class Journal(UndoLog):
    """What a turn has changed so far. mark: grows with every change.

    changes: what the store is to make durable.
    moved: ranges of blocks whose state on disk changes with this turn, by block.
    next_block, next_seq: the number of the next block, and of the next outcome.
    now: when the turn began (monotonic seconds).
    growing: the newest block of each run that may still grow in this turn.
    tally: counts what became of tasks.
    """

    def __init__(self) -> None:
        super().__init__()
        self.changes = Changes()
        self.moved: dict[int, Ranges] = {}
        self.next_block = self.next_seq = 1
        self.now = 0.0
        self.growing: dict[int, GrowingBlock] = {}
        self.tally = Tally()

    def take_changes(self) -> Changes:
        """The changes, which are on disk now; `committed` does what waited for that."""
        changes, self.changes = self.changes, Changes()
        self.moved.clear()
        self.growing.clear()
        if changes.accepted is not None:
            self.tally.accepted.written(self.now)
        self.tally.committed()
        return changes

    def note_accepted(self) -> None:
        """The new blocks of this turn are about to be written: they are accepted now."""
        accepted, changes = self.tally.accepted, self.changes
        if changes.blocks:
            accepted.note(changes.blocks[0].id, self.now)
        if accepted.is_due(self.now):
            behind_s = self.tally.behind_s
            changes.accepted = [(block, at + behind_s) for block, at in accepted.marks()]

    def rolled_back(self) -> None:
        """The staged changes could not be made durable: all is as before the turn."""
        if self.changes.blocks:
            self.tally.accepted.take_back(self.changes.blocks[0].id)
        self.changes = Changes()
        self.moved.clear()
        self.growing.clear()
        self.tally.rolled_back()
        super().rolled_back()

    def on_disk(self, run: Run) -> Run:
        """A run as it is on disk, without what is staged of it: only to look at.

        A commit may take a while, and fail: nobody is told before it that a run has ended.
        """
        saved = self.saved_of(run)
        return saved.as_it_was() if isinstance(saved, SavedRun) else run

    # --- records ---

    def record_block(self, record: BlockRecord) -> None:
        """Stage a new block."""
        self.mark += 1
        self.next_block = record.id + 1
        self.changes.blocks.append(record)

    def record_growing(self, record: BlockRecord, tail: BlockRecord | None) -> GrowingBlock | None:
        """Stage a new block, which small ones behind it may join.

        tail: a block of its run that is on disk, which it may join. Returns the block that grows
        from now on, None if that is the one that grew before.
        """
        before = self.growing.get(record.run)
        if before is not None and before.take(record):
            self.mark += 1
            return None
        if before is not None:
            self._close(before)
        elif tail is not None:
            longer = GrowingBlock(tail, known=tail.count)
            if longer.take(record):
                self.mark += 1
                self.growing[record.run] = longer
                return longer
        found = self.growing[record.run] = GrowingBlock(record, place=len(self.changes.blocks))
        self.record_block(record)
        return found

    def close_blocks(self) -> None:
        """Nothing joins the blocks of this turn any more."""
        for growing in self.growing.values():
            self._close(growing)
        self.growing.clear()

    def _close(self, growing: GrowingBlock) -> None:
        if growing.known:
            self.changes.grown[growing.record.id] = growing.whole()
        else:
            self.changes.blocks[growing.place] = growing.whole()

    def record_outcome(
        self, run: Run, block: int, first: int, start: int, stop: int, results: bytes
    ) -> None:
        """Stage results of the tasks at `start` to `stop` of a block."""
        self.changes.outcomes.append(
            OutcomeRecord(self.next_seq, run.id, block, first, start, stop, results)
        )
        self.next_seq += 1
        self.note_moved(block, start, stop)

    def record_run(self, run: Run) -> None:
        """Stage a run as it is now, without its counts."""
        self.mark += 1
        self.changes.runs[run.id] = run.record()

    def record_task(
        self,
        run: Run,
        task: Tracked,
        state: TrackedState,
        lease: int = 0,
        *,
        delay_s: float = 0.0,
        worker: str = "",
        mishap: Mishap = _NO_MISHAP,
        tried: Tried = _NO_TRY,
    ) -> None:
        """Stage how a tracked task stands.

        lease: the lease that was settled, 0 for none. mishap: of its last attempt. tried: the try
        that has ended, which `task.tries` counts already. A dead letter is counted as the newest
        one of its run: the caller keeps the run.
        """
        seq = 0
        if state is TrackedState.DEAD:
            seq = run.last_dead = self.next_seq
            self.next_seq += 1
        self.changes.tracked[run.id, task.task] = TrackedRecord(
            run.id,
            task.task,
            task.block,
            task.position,
            state,
            task.attempts,
            task.losses,
            delay_s,
            task.due_at,
            mishap.error,
            mishap.evidence,
            task.priority,
            task.group,
            lease,
            worker,
            mishap.printed,
            mishap.raised,
            seq,
            tries=task.tries,
            fate=tried.fate,
            ended_at=tried.ended_at,
            took_s=tried.took_s,
        )
        self.note_moved(task.block, task.position, task.position + 1)

    def note_moved(self, block: int, start: int, stop: int) -> None:
        """Note that the disk has tasks of a block otherwise once this turn is on it."""
        self.mark += 1
        self.moved.setdefault(block, []).append((start, stop))
