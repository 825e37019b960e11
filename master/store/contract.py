"""Durable state behind a small set of verbs that hand out records, never rows or SQL."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import Protocol

from queue_manager.wire.records import ResultBlock

from ..changes import (
    BlockState,
    Changes,
    Delivered,
    GroupRecord,
    LoadedRun,
    OutcomeRecord,
    Place,
    QuotaCounts,
    TrackedRecord,
    WaitingBlock,
)
from ..reads import PruneStep, ReadAnswer, ReadRequest, TaskRecord


class Store(Protocol):
    """What the master needs of a store. Used from one thread.

    The master's loop must not wait for a store that is on another machine. So `commit` and `read`
    may return an awaitable, which does the work while the loop goes on; every other verb is
    carried out when it returns. Nobody calls a verb that writes before the awaitable of a commit
    has ended.

    epoch: one more than at the last opening. delivered: how far stock clients have read the queue
    run's results. next_run, next_block, next_seq: above
    every number that was ever given, also to what has been forgotten since. workers: ids of those
    that were connected at the last commit. clock_seen: the newest time that was noted, 0 if none.
    """

    epoch: int
    delivered: Delivered
    next_run: int
    next_block: int
    next_seq: int
    workers: set[str]
    clock_seen: float

    # --- the state ---

    def load(self) -> list[LoadedRun]:
        """The runs that somebody has something to do for, the queue run first.

        Those that are active, and ended ones whose `collected` is below NOBODY_COLLECTS. The queue
        run is made at the first opening. Takes no longer for many tasks or ended runs.
        """

    def load_run(self, run: int) -> LoadedRun | None:
        """One run as it stands, also when it was pruned; None when there is none, or no more."""

    def ended_runs(self, before: int, most: int) -> list[LoadedRun]:
        """So many ended runs with numbers below `before`, newest first, without pruned ones."""

    def count_ended(self, before: int) -> int:
        """How many ended runs there are with numbers below `before`, without pruned ones."""

    def old_runs(self, ended_by: float, most: int) -> list[int]:
        """So many runs, oldest end first, that had ended by then and nobody collects any more.

        ended_by: UTC epoch in seconds. Pruned ones are not among them.
        """

    def commit(self, changes: Changes) -> Awaitable[None] | None:
        """Make changes durable in one transaction.

        They are on disk when this returns None, or else when what it returns has been awaited.
        Nobody changes them before that. `revived` counts before `strays` do. Raises StoreError,
        at once or when awaited, with nothing of them kept, when that is not possible.
        """

    def read(self, request: ReadRequest) -> ReadAnswer | Awaitable[ReadAnswer]:
        """Read all that a turn needs, in few statements, however much it asks for.

        Raises StoreError, at once or when awaited, when any of it can't be read. Whoever must know
        which part it is asks again for each by itself.
        """

    # --- what waits ---

    def read_waiting(
        self, run: int, group: str | None, after: Place | None, tasks: int
    ) -> tuple[list[WaitingBlock], Place | None]:
        """Blocks of a group (None: of tasks without one) that have waiting tasks.

        In the order of their places, those behind `after` (None: from the first on), until so many
        tasks are found. Returns also the place of the last block that was looked at, None when
        there is nothing behind what is returned.
        """

    def read_tracked(
        self, run: int, group: str | None, after: tuple[float, int] | None, most: int
    ) -> tuple[list[TrackedRecord], tuple[float, int] | None]:
        """Strays of a group that wait, in the order of (due_at, task), behind `after`.

        group: None is the tasks without one. Without evidence. Returns also (due_at, task) of the
        last one, None when there is nothing behind what is returned.
        """

    def next_groups(
        self, run: int, after: tuple[int, str] | None, most: int
    ) -> tuple[list[tuple[int, str]], bool]:
        """So many groups with blocks that may have waiting tasks, as (priority, group).

        The highest priority first, within it by name; those behind `after`. One that waits in
        several priorities comes in each. True: there is nothing behind them.
        """

    def due_groups(
        self, run: int, after: tuple[float, int], due_by: float, most: int
    ) -> tuple[list[str], tuple[float, int], float | None]:
        """Groups of so many strays whose delay is over by then, behind `after`, as (due_at, task).

        Returns also the place of the last of these strays, and when the one behind it is due; None:
        there is none.
        """

    def own_groups(self, run: int, groups: Collection[str] | None = None) -> dict[str, GroupRecord]:
        """What these groups of a run have of their own (None: all), also pauses that are over."""

    def set_clock(self, boot: int, behind_s: float, wall: float | None = None) -> None:
        """Note how far the monotonic clock is behind the wall clock, in this boot of the machine.

        boot: a number that no other boot has; 0 is unknown. If the wall clock was set since this
        was noted last, in the same boot, the times at which delays end move along, of groups too.
        wall: the time of this start (UTC epoch, s): the runs that began or ended since the start
        before it, by a clock that was set meanwhile, have the times of the clock as it is now, in
        another boot by what `note_clock` noted.
        """

    def note_clock(self, wall: float, off_s: float) -> None:
        """Note the newest time that was recorded, and how far the machine's clock is before it.

        wall: UTC epoch in seconds as it goes on from the start, whatever the clock was set to.
        """

    def cap_delays(self, wall: float) -> None:
        """No stray or group waits longer than its delay from `wall` on: the clock may be set."""

    def read_blocks(self, parts: Mapping[int, tuple[int, int]]) -> dict[int, BlockState]:
        """How tasks of blocks stand: of those blocks that there are, by the block's number.

        parts: of each block the first position, and the one behind the last. It takes no longer
        for what is beside them.
        """

    def read_body(self, block: int) -> bytes:
        """The payloads of a block."""

    def taken_keys(self, run: int, keys: Sequence[str]) -> set[str]:
        """Which of these keys the run has already."""

    def quota(self, run: int, name: str) -> QuotaCounts:
        """What one quota of a run has counted."""

    def quotas(self, run: int, most: int) -> dict[str, QuotaCounts]:
        """What the quotas of a run have counted, so many of them at most, in the order of names."""

    def find_run(self, key: str) -> int | None:
        """The run with this key, also when it was pruned."""

    # --- what has ended ---

    def read_outcomes(
        self, run: int, after: int, most_bytes: int
    ) -> tuple[list[OutcomeRecord], dict[int, bytes]]:
        """Outcomes behind sequence number `after`, oldest first, about so many bytes of them.

        Returns also the payloads of their blocks, by the number of each block's first task.
        """

    def read_last_outcomes(
        self, run: int, most: int
    ) -> tuple[list[OutcomeRecord], dict[int, bytes]]:
        """The newest outcomes, oldest of them first, and payloads as in `read_outcomes`."""

    def read_results(
        self, run: int, after: int, most_bytes: int, dead: bool = False
    ) -> tuple[list[ResultBlock], int, bool]:
        """Ended tasks in task order behind the place `after`, and the place of the last of them.

        0 is before the first; what other places mean is the store's own business. A page ends
        within a block where that has many large results. dead: the dead letters only. The last of
        the three tells whether there is nothing behind it.
        """

    def read_task(self, run: int, task: int) -> TaskRecord | None:
        """All that there is of one task; None when there is no such task."""

    # --- what goes ---

    def drop_some(self, rows: int) -> bool:
        """Delete about so many rows of runs that were forgotten or pruned; False: none is left."""

    def mark(self, at: float, seq: int, keep_s: float) -> int:
        """Note that results up to `seq` are there at a time (UTC epoch in seconds).

        Returns up to which sequence number they are older than `keep_s`; 0 for none.
        """

    def prune_queue(self, seq: int, died_by: float, after: int, most: int) -> PruneStep:
        """Look at about so many outcomes of the queue run behind `after` and up to `seq`.

        Their blocks are deleted, with results, dead letters and keys, where all tasks have ended
        and nothing of it is younger: no outcome above `seq`, no death after `died_by` (UTC epoch).
        """

    def prune_letters(self, seq: int, died_by: float, after: int, most: int) -> PruneStep:
        """As `prune_queue` of about so many blocks behind the number `after` with dead letters."""

    def shrink(self, pages: int) -> bool:
        """Give about so many free pages back to the disk; False: there was none to give."""

    def close(self) -> None:
        """Give up the store, for another master to open."""
