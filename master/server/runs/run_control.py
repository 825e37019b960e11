"""Requests that end a run early, go on with it, or delete it: cancel, retry, forget."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from queue_manager.errors import QueueError
from queue_manager.log_lines import about_run
from queue_manager.wire.messages import Accepted, CancelRun, ForgetRun, RetryRun

from ...broker.leases.lease import Session
from ...broker.runs.run import Run
from ...changes import QUEUE_RUN
from ...jobs.versions import Versions
from ...observe.run_line import ended_line
from ...processes.runners import Runners
from ...turn.answer import PeerReply, Replying
from ...turn.run_lookup import check_run, find_run
from ...turn.steps import Step
from ...turn.turn import Turn
from ..workers.workers import Workers
from .cancelling import Cancelling
from .retrying import Retrying, asked_by

log = logging.getLogger("quartermaster.master")


class RunControl:
    """Answers `RetryRun`, `CancelRun` and `ForgetRun`."""

    def __init__(self, turn: Turn, workers: Workers, runners: Runners, versions: Versions) -> None:
        self._turn = turn
        self._workers = workers
        self._runners = runners
        self._versions = versions
        self._replying = Replying()
        self._task_cancels = Cancelling(turn)
        self._retrying = Retrying(turn, runners)

    # --- retry ---

    def retry(self, reply: PeerReply, message: RetryRun) -> None:
        """Have the dead letters wait again. The job is looked at first: it was probably mended."""
        run = find_run(self._turn, message.run)
        by = message.by or reply.peer.name
        self._replying.begin(reply, self._look_and_retry(message, run, by))

    async def _look_and_retry(self, message: RetryRun, run: Run, by: str) -> Accepted:
        try:
            await self._versions.recheck(run)
        except QueueError:
            if run.id != QUEUE_RUN:  # stock clients, which have their own code, may run its tasks
                raise
        return Accepted(message.seq, await self._retrying.retry(message, run, by))

    # --- cancel ---

    def cancel(self, reply: PeerReply, message: CancelRun) -> None:
        """End the run now, or cancel tasks of it.

        Its runner is stopped when it hears of the end (`Runners.run_ended`).
        """
        run = find_run(self._turn, message.run)
        who = asked_by(message.by or reply.peer.name)
        if message.tasks or message.unstarted:
            self._replying.begin(reply, self._task_cancels.cancel(message, run, who))
            return

        self._turn.post(Step(self._ends(message.seq, run, who), reply))

    def _ends(
        self, seq: int, run: Run, who: str = ""
    ) -> Callable[[float, float], Callable[[], Accepted]]:
        def stage(now: float, wall: float) -> Callable[[], Accepted]:
            revoked = self._turn.broker.cancel(run, wall)
            return partial(self._cancelled, seq, run, revoked, who)

        return stage

    def _cancelled(
        self, seq: int, run: Run, revoked: dict[Session, list[int]], who: str
    ) -> Accepted:
        for session, numbers in revoked.items():
            self._workers.revoke(session, numbers, f"run {run.id} was cancelled")
        log.info("%s%s", ended_line(run.id, run), who, extra=about_run(run))
        return Accepted(seq, run.cancelled)

    # --- forget ---

    def forget(self, reply: PeerReply, message: ForgetRun) -> None:
        """Delete the run. Its rows on disk are deleted later, in small steps."""
        run = find_run(self._turn, message.run, pruned=True)
        who = asked_by(message.by or reply.peer.name)
        if run.active or not self._runners.lives(run):
            self._turn.post(Step(self._forgetting(message.seq, run, who), reply))
        else:
            self._replying.begin(reply, self._end_and_forget(message.seq, run, who))

    async def _end_and_forget(self, seq: int, run: Run, who: str) -> Accepted:
        """The runner still collects, or is in `finish()`: it is ended before its run is deleted."""
        await self._runners.end(run)
        return await self._turn.carry_out(self._forgetting(seq, run, who))

    def _forgetting(
        self, seq: int, run: Run, who: str = ""
    ) -> Callable[[float, float], Callable[[], Accepted]]:
        def stage(now: float, wall: float) -> Callable[[], Accepted]:
            check_run(self._turn, run, pruned=True)
            self._turn.broker.forget(run)
            return partial(self._forgotten, seq, run, who)

        return stage

    async def remove(self, run: Run) -> None:
        """Cancel a run if it goes on, and delete it. Raises RefusedError when that can't be."""
        if run.active:
            await self._turn.carry_out(self._ends(0, run))
        await self._turn.carry_out(self._forgetting(0, run))

    def _forgotten(self, seq: int, run: Run, who: str) -> Accepted:
        self._runners.drop(run)
        log.info("run %d (%s) was forgotten%s", run.id, run.job, who, extra=about_run(run))
        return Accepted(seq, run.tasks)
