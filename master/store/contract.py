"""Durable state behind a small set of verbs. They hand out records, never rows or SQL."""

from __future__ import annotations

from collections.abc import Awaitable, Collection
from typing import Protocol

from queue_manager.ranges import Ranges
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.records import DeadLetter

from ..changes import (
    Changes,
    Delivered,
    GroupRecord,
    LoadedRun,
    Place,
    QuotaCounts,
)
from ..failures import FailurePage, GroupsSought, NewestPage, NewestSought
from ..history import HistoryRecord
from ..reads import (
    DuePage,
    GroupPage,
    OutcomePage,
    PruneStep,
    ReadAnswer,
    ReadRequest,
    ResultPage,
    RunPage,
    RunsEnded,
    RunsSought,
    StoreSize,
    TaskRecord,
    TrackedPage,
    WaitingPage,
)
from ..scheduled import ScheduleRecord
from ..task_lists import TasksFound, TasksSought
from ..tries import TryRecord


class Store(Protocol):
    """What the master needs of a store. The master uses it from one thread.

    The master's loop must not wait for a store that is on another machine. So `commit` and `read`
    may return an awaitable, which does the work while the loop goes on. Every other verb has done
    its work when it returns. Nobody calls a verb that writes before the awaitable of a commit has
    ended.

    identity: a random number that no other store has. epoch: one more than at the last opening.
    delivered: how far stock clients have read the queue run's results. next_run, next_block,
    next_seq: above every number that was ever given, also to what has been forgotten since.
    workers: ids of the workers that were connected at the last commit. clock_seen: the newest time
    that was noted, 0 if there is none. trouble: why the store can't be reached now, so that
    everybody waits for it; empty: it can.
    """

    identity: int
    epoch: int
    delivered: Delivered
    next_run: int
    next_block: int
    next_seq: int
    workers: set[str]
    clock_seen: float

    @property
    def trouble(self) -> str: ...

    # --- the state ---

    def load(self) -> list[LoadedRun]:
        """The runs for which there is something to do, the queue run first.

        These are the active runs, and ended runs whose collect cursor is not closed. The first
        opening makes the queue run. Many tasks or many ended runs don't make loading slower.
        """

    def load_run(self, run: int) -> LoadedRun | None:
        """One run as it stands, also if it was pruned. None: there is no such run any more."""

    def ended_runs(self, before: int, limit: int) -> list[LoadedRun]:
        """Ended runs with numbers below `before`, the newest first, without pruned ones."""

    def count_ended(self, before: int) -> int:
        """How many ended runs have numbers below `before`, without pruned ones."""

    def find_ended(self, sought: RunsSought) -> RunPage:
        """A page of ended runs by job, state or a text. Many runs don't make it slow."""

    def old_runs(self, ended_by: float, limit: int) -> list[int]:
        """Runs that had ended by then and that nobody collects any more, the oldest end first.

        ended_by: UTC epoch in seconds. Pruned runs are not among them.
        """

    def schedules(self) -> list[ScheduleRecord]:
        """All schedules, by their names."""

    def commit(self, changes: Changes) -> Awaitable[None] | None:
        """Make changes durable in one transaction.

        They are on disk when this returns None, or else when what it returns has been awaited.
        Nobody changes them before that. `revived` takes effect before `tracked` does. Uploaded code
        stays as long as a run has its version that was neither pruned nor forgotten.

        Raises StoreError, at once or when awaited, and keeps nothing of the changes then.
        """

    def read(self, request: ReadRequest) -> ReadAnswer | Awaitable[ReadAnswer]:
        """Read all that a turn needs, in few statements, however much it asks for.

        Raises StoreError, at once or when awaited, if any part of it can't be read. Whoever must
        know which part asks again for each part by itself.
        """

    # --- what waits ---

    def read_waiting(
        self, run: int, group: str | None, after: Place | None, tasks: int
    ) -> WaitingPage:
        """Blocks of a group that have waiting tasks, until they hold so many tasks.

        group: None means the tasks without a group. after: the page begins behind this place, or
        with the first block if it is None.
        """

    def read_tracked(
        self, run: int, group: str | None, after: tuple[float, int] | None, limit: int
    ) -> TrackedPage:
        """Tracked tasks of a group that wait, without evidence, behind `after` as (due_at, task).

        group: None means the tasks without a group.
        """

    def next_groups(self, run: int, after: tuple[int, str] | None, limit: int) -> GroupPage:
        """Groups with blocks that may have waiting tasks, behind `after` as (priority, group).

        The highest priority comes first, and within it the groups by name. A group that waits in
        several priorities comes in each of them.
        """

    def due_groups(self, run: int, after: tuple[float, int], due_by: float, limit: int) -> DuePage:
        """Groups of tracked tasks whose delay is over by `due_by`, of at most `limit` tasks.

        after: the page begins behind this (due_at, task).
        """

    def own_groups(self, run: int, groups: Collection[str] | None = None) -> dict[str, GroupRecord]:
        """What groups of a run have of their own, also pauses that are over. None: all groups."""

    def read_body(self, block: int) -> bytes:
        """The payloads of a block."""

    def quotas(self, run: int, limit: int) -> dict[str, QuotaCounts]:
        """What the first quotas of a run have counted, in the order of their names."""

    # --- the clock ---

    def set_clock(self, boot: int, behind_s: float, wall: float | None = None) -> None:
        """Note how far the monotonic clock is behind the wall clock, in this boot of the machine.

        boot: a number that no other boot has; 0 means unknown. If the wall clock was set since
        this was noted last, in the same boot, the ends of delays move along, also of groups.
        wall: the time of this start (UTC epoch, s). Runs that began or ended since the last start
        may have times of a wrong clock. These times move by as much as the clock was set since.
        After a reboot, `note_clock` has noted by how much. Rows of the history move, too.
        """

    def note_clock(self, wall: float, off_s: float) -> None:
        """Note the newest time that was recorded, and how far the machine's clock is before it.

        wall: UTC epoch in seconds as it goes on from the start, whatever the clock was set to.
        """

    def cap_delays(self, wall: float) -> None:
        """Let no task or group wait longer than its delay, counted from `wall` (UTC epoch, s).

        Without that, a clock that was set back would make delays longer.
        """

    # --- what is told of it ---

    def accepted_marks(self) -> list[tuple[int, float]]:
        """`Changes.accepted` as it was written last, or moved along by `set_clock` since."""

    def runs_ended(self) -> list[RunsEnded]:
        """How many runs have ended, by state and job, without pruned ones."""

    def size(self) -> StoreSize:
        """How many bytes it takes on its disk."""

    # --- what has ended ---

    def find_blocks(self, run: int, tasks: Ranges, limit: int) -> list[tuple[int, int, int]]:
        """The first blocks with some of these tasks, as (block, first task, count), in order.

        tasks: ranges of task numbers, in order and apart.
        """

    def read_outcomes(self, run: int, after: int, limit_bytes: int) -> OutcomePage:
        """Outcomes behind the sequence number `after`, about so many bytes of them."""

    def read_letters(
        self, run: int, after: int, limit_bytes: int, until: int = 2**62
    ) -> tuple[list[DeadLetter], bool]:
        """Dead letters behind the number `after` and up to `until`, the oldest first.

        About so many bytes of them; False: there are more. A letter that was retried is not among
        them, unless it died again.
        """

    def read_last_outcomes(self, run: int, limit: int) -> OutcomePage:
        """The newest outcomes."""

    def read_results(
        self, run: int, after: int, limit_bytes: int, dead: bool = False
    ) -> ResultPage:
        """Ended tasks in the order of tasks, behind the place `after`.

        Place 0 is before the first; what other places mean is the store's own business. A page
        ends within a block if the block has many large results. dead: the dead letters only.
        """

    def read_chosen(
        self, run: int, after: int, limit_bytes: int, only: FailureFilter
    ) -> ResultPage:
        """Dead letters that a filter chooses, in the order of tasks, behind the place `after`.

        only: its ranges of tasks are in order and apart. Places are as those of `read_results`. A
        page ends when it has looked at about so many bytes, whether it has found letters or not,
        and it may end within a block. It reads no long text of letters that are not chosen, except
        where the text alone tells whether a letter is.
        """

    def read_task(self, run: int, task: int) -> TaskRecord | None:
        """All that there is of one task. None: there is no such task."""

    def read_tries(self, run: int, task: int) -> list[TryRecord]:
        """How the newest `TRIES` tries of a task ended, the newest first.

        A task that neither failed nor was lost nor delayed has none: nobody notes which worker
        has done it.
        """

    def find_task(self, run: int, key: str) -> int:
        """The number of the task with a key. 0: no block of the newest 1,024 with keys has it."""

    def find_tasks(self, sought: TasksSought) -> TasksFound:
        """A page of the tasks of a run by how they stand on disk, in the order of numbers.

        A page may have fewer tasks than its limit, or none, though there are more behind it: it
        ends when it has looked at so many rows.
        """

    def find_groups(self, sought: GroupsSought) -> FailurePage:
        """A page of groups of dead letters. However many letters there are, there are few groups.

        A letter that is tried again, or is deleted, leaves its group; the last one takes it along.
        """

    def find_letters(self, sought: NewestSought) -> NewestPage:
        """A page of the dead letters of a run, without evidence, the newest first.

        With an exception or a place, letters of other groups are not looked at.
        """

    # --- what goes ---

    def drop_some(self, rows: int) -> bool:
        """Delete about so many rows of runs that were forgotten or pruned. False: none is left."""

    def mark(self, at: float, seq: int, keep_s: float) -> int:
        """Note that results up to `seq` are there at a time (UTC epoch in seconds).

        Returns up to which sequence number results are older than `keep_s`, 0 if none are.
        """

    def prune_queue(self, seq: int, died_by: float, after: int, limit: int) -> PruneStep:
        """Look at about so many outcomes of the queue run behind `after` and up to `seq`.

        A block of these is deleted, with its results, dead letters and keys, if all its tasks have
        ended, it has no outcome above `seq`, and none of its tasks died after `died_by` (UTC epoch
        in seconds).
        """

    def prune_letters(self, seq: int, died_by: float, after: int, limit: int) -> PruneStep:
        """Do the same for about so many blocks with dead letters, behind the number `after`."""

    def shrink(self, pages: int) -> bool:
        """Give about so many free pages back to the disk. False: there was none to give."""

    # --- the history ---

    def read_history(
        self, run: int, since_at: float, until_at: float, step_s: int
    ) -> list[HistoryRecord]:
        """What a run has done in each step of a time, the oldest first. ALL_RUNS: all together.

        since_at, until_at: UTC epoch in seconds; the step that `since_at` is in is whole. step_s: a
        multiple of a minute. A step without a row is not there. What single minutes tell is gone
        after a day (`history.FINE_S`), and a step that is a multiple of ten minutes needs none.
        """

    def last_minute(self) -> float:
        """The last minute that has a whole row of all runs: when it began. 0.0: there is none."""

    def prune_history(self, minutes_by: float, all_by: float, rows: int) -> bool:
        """Delete about so many rows of single minutes before `minutes_by`, and of those that
        nobody forgets: the rows of all runs and of the queue run before `all_by`.

        Both UTC epoch in seconds. False: there was none.
        """

    def hasten(self) -> None:
        """The master ends: nobody waits any longer for a database that is away."""

    def close(self) -> None:
        """Close the store. Another master may open it then."""
