"""The life of a run: it begins, its code changes, it ends, is retried, cancelled, forgotten."""

from __future__ import annotations

from functools import partial

import msgspec

from queue_manager.errors import RefusedError
from queue_manager.wire.records import NOBODY_COLLECTS, GroupLimit, RunOptions

from ..changes import QUEUE_RUN, LoadedRun, RunState
from .claims import Claims
from .lane import Groups
from .lease import Session
from .run import Run


class Lifecycle(Claims):
    """What happens to whole runs."""

    def restore(self, loaded: LoadedRun, now: float, wall: float) -> Run:
        """Take over a run as the store has it; its tasks are read from there. now: monotonic s.

        When a task of a limited group started last is not known: each group pauses first. Pauses
        that tasks asked for go on. wall: UTC epoch in seconds.
        """
        run = Run.loaded(loaded)
        if run.groups is not None:
            limits = run.groups.limits
            limits.started_before = limits.forgotten_at = now
            limits.more = loaded.more_own
            limits.load(loaded.own, now, wall)
        self._add(run)
        return run

    def start_run(
        self,
        job: str,
        words: list[str],
        key: str | None,
        options: RunOptions,
        wall: float,
        version: str = "",
    ) -> Run:
        """Stage a new run. wall: UTC epoch in seconds; version: of the job's code."""
        run = Run(self.next_run, job, words, key, options, wall, version)
        self.next_run += 1
        self._add(run)
        self.undo.undo_by(partial(self.runs.pop, run.id))
        self.undo.undo_by(partial(self._turns.remove, run))
        self._record(run)
        return run

    def set_code(self, run: Run, version: str, options: RunOptions) -> None:
        """Stage that the job's file has changed. Groups with a limit of their own keep it.

        Whether tasks wait in groups stays as it was when the run began: they are stored that way.
        """
        limit = None if run.groups is None else options.per_group or GroupLimit()
        options = msgspec.structs.replace(options, per_group=limit)
        self.undo.keep(run)
        run.version, run.options = version, options
        if run.groups is not None and limit is not None:
            self.undo.keep(run.groups.limits)
            run.groups.limits.limit = limit
            self.undo.when_committed(partial(self._limit_changed, run.groups))
        self._record(run)

    def exhaust(self, run: Run) -> None:
        """Stage that `tasks()` of the run has no more to give."""
        self.undo.keep(run)
        run.exhausted = True
        self._record(run)

    def retry(self, run: Run, wall: float) -> int:
        """Stage that the dead letters of a run are tried again; how many.

        Raises RefusedError when the run was cancelled, pruned or forgotten.
        """
        if run.id in self.changes.forgotten:
            raise RefusedError(f"run {run.id} was forgotten: submit it again")
        if run.state in ("cancelled", "pruned"):
            raise RefusedError(f"run {run.id} was {run.state}: submit it again")
        staged = [s for s in self.changes.tracked.values() if s.run == run.id and s.state == "dead"]
        count = run.dead - len(staged)
        if count:
            self.changes.revived[run.id] = wall
            self.undo.keep(run)
            run.dead = len(staged)
            run.strays += count
            if not run.active:
                run.state, run.ended_at = RunState.ACTIVE, None
                if run.collected == NOBODY_COLLECTS:  # its runner has what it brings to do again
                    self._collects(run, run.last_seq)
                self._turns.append(run)
                self.undo.undo_by(partial(self._turns.remove, run))
                self._record(run)
            self.undo.when_committed(partial(self._revive, run))
        return count

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
            self._end_lease(lease)
        self.undo.keep(run)
        run.cancelled = run.unended
        run.leased = run.strays = run.strays_out = 0
        run.state, run.ended_at = RunState.CANCELLED, wall
        if not run.options.finish:
            self._collects(run, NOBODY_COLLECTS)
        self.changes.ended.add(run.id)
        self._record(run)
        return ended

    def finished(self, run: Run, ended_at: float, wall: float) -> None:
        """Stage that nobody has anything more to do for a run whose tasks ended at that time.

        So it ends now: `finish()` is a part of it. Nothing if it was retried, and so has another
        end or none yet.
        """
        if run.ended_at == ended_at and run.id not in self.changes.forgotten:
            over_at = max(ended_at, wall)
            self.undo.keep(run)
            run.ended_at = over_at
            self._collects(run, NOBODY_COLLECTS)
            self._record(run)

    def forget(self, run: Run) -> None:
        """Stage that an ended run is no more. Raises RefusedError when it has not ended."""
        if run.active:
            how = "never ends" if run.id == QUEUE_RUN else f"has not ended: `qm cancel {run.id}`"
            raise RefusedError(f"run {run.id} {how}")
        self.changes.forgotten.add(run.id)
        self.undo.when_committed(partial(self._forgotten, run.id))

    def prune(self, run: Run) -> None:
        """Stage that nothing stays of an ended run but its key, and not even that if it has none.

        Raises RefusedError as `forget` does.
        """
        if run.active or run.key is None:
            self.forget(run)
        elif run.state != "pruned":
            self.undo.keep(run)
            run.state = RunState.PRUNED
            self._record(run)

    def finish_runs(self, wall: float) -> None:
        """Stage the counts of the runs that this turn touched, and the end of those that ended."""
        changes = self.changes
        seqs = {o.run: o.seq for o in changes.outcomes}
        ids = {b.run for b in changes.blocks}
        ids.update(run for run, _ in (*changes.tracked, *changes.quotas))
        for run_id in ids.union(seqs, changes.runs, changes.revived):
            run = self.recall(run_id)
            assert run is not None  # who staged it has it
            ended = run.exhausted and not run.unended and run.id != QUEUE_RUN
            if ended and run.active:
                self.undo.keep(run)
                run.state = RunState.FAILED if run.dead else RunState.DONE
                run.ended_at = wall
                changes.ended.add(run.id)
                self._record(run)
            changes.counts[run_id] = run.counts(seqs.get(run_id, 0))

    def _collects(self, run: Run, reached: int) -> None:
        """Stage where collecting begins anew, or that nobody collects."""
        self.undo.undo_by(partial(run.put_collected, run.collected, run.collected_into))
        run.put_collected(reached, 0)

    def _revive(self, run: Run) -> None:
        """The dead letters wait on disk, in whatever lane: look there."""
        if run.groups is not None:
            run.groups.hidden.all_strays()
        for lane in list(run.lanes):
            lane.strays.restart()
            run.look(lane, self._now)

    def _limit_changed(self, groups: Groups) -> None:
        groups.limit_changed(self._now)
