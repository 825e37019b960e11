"""The life of a run: it is started, ends, is retried, cancelled, pruned or forgotten.

Each is an arrow of "A run" in docs/design.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import msgspec

from queue_manager.errors import RefusedError
from queue_manager.wire.failures import RetryNote
from queue_manager.wire.records import GroupLimit, RunOptions

from ...changes import (
    QUEUE_RUN,
    CollectCursor,
    GivenArguments,
    LoadedRun,
    Revival,
    RunState,
    TrackedState,
)
from ...history import ALL_RUNS
from ..group_control import GroupControl
from ..journal import Journal
from ..leases.lease import Session
from ..leases.leasing import Leasing
from ..leases.quarantine import Quarantine
from ..read_ahead import ReadAhead
from .chains import Chains, in_words
from .minutes import Minutes
from .roster import Roster
from .run import Run


class Lifecycle:
    """Stages what happens to whole runs."""

    def __init__(
        self,
        journal: Journal,
        roster: Roster,
        leasing: Leasing,
        quarantine: Quarantine,
        read_ahead: ReadAhead,
        groups: GroupControl,
    ) -> None:
        self._journal = journal
        self._roster = roster
        self._leasing = leasing
        self._quarantine = quarantine
        self._read_ahead = read_ahead
        self._groups = groups
        self.chains = Chains(journal, roster)
        self.minutes = Minutes(journal)

    # --- a run begins, and changes ---

    def restore(self, loaded: LoadedRun, now: float, wall: float) -> Run:
        """Take over a run as the store has it; its tasks are read from there. now: monotonic s.

        Nobody knows when a task of a limited group started last: each group pauses first. Pauses
        that tasks asked for go on. wall: UTC epoch in seconds.
        """
        run = Run.loaded(loaded)
        if run.groups is not None:
            limits = run.groups.limits
            limits.started_before = limits.forgotten_at = now
            limits.more = loaded.more_own
            limits.load(loaded.own, now, wall)
        self._roster.add(run)
        if run.active:
            self.chains.add(run)
        return run

    def start_run(
        self,
        job: str,
        args: list[str],
        key: str | None,
        options: RunOptions,
        wall: float,
        version: str = "",
        arguments: GivenArguments | None = None,
        after: Sequence[Run] = (),
        code: dict[str, bytes] | None = None,
        traceparent: str = "",
    ) -> Run:
        """Stage a new run. wall: UTC epoch in seconds; version: of the job's code.

        after: the runs that must end well before it begins. None of them was cancelled, is pruned
        or forgotten. code: the files of that version, if a client has uploaded them. traceparent:
        without one, the run has that of the first of `after` that has one.
        """
        run = Run(self._roster.next_run, job, args, key, options, wall, version)
        run.arguments = arguments or run.arguments
        run.after = [before.id for before in after]
        run.waits_for = [before.id for before in after if not before.ended_well]
        run.uploaded = code is not None
        inherited = (before.traceparent for before in after if before.traceparent)
        run.traceparent = traceparent or next(inherited, "")
        self._keep_code(version, code)
        self._roster.add(run)
        self.chains.add(run)
        self._journal.undo_by(partial(self._unstart, run))
        self._journal.record_run(run)
        return run

    def _unstart(self, run: Run) -> None:
        self.chains.remove(run)
        self._roster.remove(run)

    def _keep_code(self, version: str, code: dict[str, bytes] | None) -> None:
        if code is not None:
            self._journal.changes.code[version] = code

    def set_code(
        self, run: Run, version: str, options: RunOptions, code: dict[str, bytes] | None = None
    ) -> None:
        """Stage that the job's file has changed. Groups with a limit of their own keep it.

        code: the files, if a client has uploaded them. Whether tasks wait in groups stays as it was
        when the run began: they are stored that way.
        """
        limit = None if run.groups is None else options.per_group or GroupLimit()
        self._journal.keep(run)
        run.version = version
        self._keep_code(version, code)
        run.options = msgspec.structs.replace(options, per_group=limit)
        if limit is not None:
            self._groups.set_run_limit(run, limit)
        self._journal.record_run(run)

    def exhaust(self, run: Run) -> None:
        """Stage that `tasks()` of the run has no more to give."""
        self._journal.keep(run)
        run.exhausted = True
        self._journal.record_run(run)

    # --- a run ends ---

    def finish_runs(self, wall: float) -> None:
        """Stage the counts of the runs that this turn touched, and the end of those that ended."""
        self._journal.close_blocks()
        changes = self._journal.changes
        seqs = {outcome.run: outcome.seq for outcome in changes.outcomes}
        touched = {block.run for block in (*changes.blocks, *changes.grown.values())}
        touched.update(run for run, _ in (*changes.tracked, *changes.quotas))
        touched.update(told.run for told in changes.history if told.run != ALL_RUNS)
        for number in touched.union(seqs, changes.runs, changes.revived):
            run = self._roster.recall(number)
            assert run is not None  # whoever staged something of it has a reference
            if run.active and run.exhausted and not run.unended and run.id != QUEUE_RUN:
                self._end(run, wall)
            self.chains.ended(run)
            changes.counts[number] = run.counts(seqs.get(number, 0))

    def _end(self, run: Run, wall: float) -> None:
        self._journal.keep(run)
        run.state = RunState.FAILED if run.dead else RunState.DONE
        run.ended_at = wall
        if not run.has_runner:  # each client keeps for itself how far it has read
            self._collects(run, CollectCursor(closed=True))
        self.minutes.record_end(run, wall)
        self._journal.changes.ended.add(run.id)
        self._journal.record_run(run)

    def cancel(self, run: Run, wall: float) -> dict[Session, list[int]]:
        """Stage the end of a run. Returns its leases, which end with it, by session.

        Raises RefusedError when it has ended, or never ends.
        """
        if run.id == QUEUE_RUN:
            raise RefusedError("the queue run can't be cancelled: its tasks are of many clients")
        if not run.active:
            raise RefusedError(f"run {run.id} has ended: {run.state}")
        ended: dict[Session, list[int]] = {}
        for lease in [lease for block in run.leases.values() for lease in block.leases]:
            ended.setdefault(lease.session, []).append(lease.number)
            self._leasing.revoke(lease)
        self._journal.keep(run)
        self._journal.tally.ended(run.job, "cancelled", run.unended)
        run.cancelled += run.unended
        never_begun = run.pending
        run.leased = run.tracked = run.tracked_leased = 0
        run.state, run.ended_at = RunState.CANCELLED, wall
        if never_begun or not run.options.finish:
            self._collects(run, CollectCursor(closed=True))
        self.minutes.record_end(run, wall)
        self._journal.changes.ended.add(run.id)
        self._journal.record_run(run)
        return ended

    def finished(self, run: Run, ended_at: float, wall: float) -> None:
        """Stage that nobody has anything more to do for a run whose tasks ended at that time.

        The run ends now, for `finish()` is a part of it. Nothing is staged for a run that was
        retried, and so has another end or none yet.
        """
        if run.ended_at == ended_at and run.id not in self._journal.changes.forgotten:
            self._journal.keep(run)
            run.ended_at = max(ended_at, wall)
            self._collects(run, CollectCursor(closed=True))
            self._journal.record_run(run)

    def leave_memory(self, run: Run) -> None:
        """The end of a run is on disk: it waits for nothing."""
        self.chains.remove(run)
        self._roster.deactivate(run)
        self._quarantine.run_ended(run)
        run.clear()

    # --- an ended run ---

    def retry(
        self,
        run: Run,
        wall: float,
        letters: Iterable[tuple[int, str | None]] | None = None,
        *,
        by: str = "",
        reason: str = "",
    ) -> int:
        """Stage that dead letters of a run are tried again; how many.

        letters: dead letters on disk, as (task, group); None: all that are there. by, reason: who
        asks for it, and why; both are kept with each task.

        Raises RefusedError when the run was cancelled, pruned or forgotten, or has not begun.
        """
        self.check_retry(run)
        note = RetryNote(wall, by, reason)
        if letters is None:
            count = run.dead - self._died_now(run)
            self._revive(run, Revival(note), count, None)
            return count
        left = self._not_yet_revived(run, letters)
        self._revive(run, Revival(note, frozenset(left)), len(left), set(left.values()))
        return len(left)

    def _revive(
        self, run: Run, revival: Revival, count: int, groups: set[str | None] | None
    ) -> None:
        if not count:
            return
        self._journal.changes.revived.setdefault(run.id, []).append(revival)
        self._journal.keep(run)
        run.dead -= count
        run.tracked += count
        if not run.active:
            self._activate(run)
        look = partial(self._read_ahead.dead_letters_wait, run, revival.note.at, groups)
        self._journal.when_committed(look)

    def _not_yet_revived(
        self, run: Run, letters: Iterable[tuple[int, str | None]]
    ) -> dict[int, str | None]:
        """The dead letters on disk that this turn has not had tried again before, by task."""
        before = self._journal.changes.revived.get(run.id, [])
        if any(revival.tasks is None for revival in before):
            return {}
        done = {task for revival in before for task in revival.tasks or ()}
        return {task: group for task, group in letters if task not in done}

    def check_retry(self, run: Run) -> None:
        """Raises RefusedError when no dead letter of a run can be tried again."""
        if run.id in self._journal.changes.forgotten:
            raise RefusedError(f"run {run.id} was forgotten: submit it again")
        if run.state in ("cancelled", "pruned"):
            raise RefusedError(f"run {run.id} was {run.state}: submit it again")
        if run.pending:
            others = in_words(run.waits_for)
            raise RefusedError(f"run {run.id} has not begun: it waits for {others}")

    def _died_now(self, run: Run) -> int:
        """How many dead letters of a run this turn has staged: they are not on disk yet."""
        return sum(
            s.run == run.id and s.state == TrackedState.DEAD
            for s in self._journal.changes.tracked.values()
        )

    def _activate(self, run: Run) -> None:
        run.state, run.ended_at = RunState.ACTIVE, None
        if run.collect_cursor.closed:  # its runner has what it brings to do again
            self._collects(run, CollectCursor(run.last_seq))
        self._roster.activate(run)
        self._journal.undo_by(partial(self._roster.deactivate, run))
        self._journal.record_run(run)

    def prune(self, run: Run) -> None:
        """Stage that nothing stays of an ended run but its key, and not even that if it has none.

        Raises RefusedError as `forget` does.
        """
        if run.active or run.key is None:
            self.forget(run)
        elif run.state != "pruned":
            self.chains.check_unneeded(run)
            self._journal.keep(run)
            run.state = RunState.PRUNED
            self._journal.record_run(run)

    def forget(self, run: Run) -> None:
        """Stage that an ended run is no more.

        Raises RefusedError when it has not ended, or when another run is after it and has not yet
        taken all its results.
        """
        if run.active:
            how = "never ends" if run.id == QUEUE_RUN else f"has not ended: `qm cancel {run.id}`"
            raise RefusedError(f"run {run.id} {how}")
        self.chains.check_unneeded(run)
        self._journal.changes.forgotten.add(run.id)
        self._journal.when_committed(partial(self._forgotten, run))

    def _forgotten(self, run: Run) -> None:
        self.leave_memory(run)  # it may have been cancelled in this very turn
        self._roster.forget(run.id)

    def _collects(self, run: Run, cursor: CollectCursor) -> None:
        """Stage where collecting begins anew, or that nobody collects."""
        self._journal.undo_by(partial(run.put_cursor, run.collect_cursor))
        run.put_cursor(cursor)
