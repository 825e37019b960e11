"""What ends a run before its time, gives it another, or deletes it: cancel, retry, forget."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from queue_manager.errors import QueueError
from queue_manager.server.connection import Peer
from queue_manager.wire.messages import Accepted, CancelRun, ForgetRun, RetryRun

from ..broker.lease import Session
from ..broker.run import Run
from ..changes import QUEUE_RUN
from ..jobs.versions import Versions
from ..observe.run_line import ended_line
from ..processes.runners import Runners, uncollected
from ..turn.answers import or_refuse, refuse, send
from ..turn.run_lookup import find_run
from ..turn.turn import Answer, Step, Turn
from .workers import Workers

log = logging.getLogger("quartermaster.master")


class Endings:
    """Requests that change what becomes of a whole run."""

    def __init__(self, turn: Turn, workers: Workers, runners: Runners, versions: Versions) -> None:
        self._turn = turn
        self._workers = workers
        self._runners = runners
        self._versions = versions
        self._looking: set[asyncio.Task[None]] = set()

    # --- retry ---

    def retry(self, peer: Peer, message: RetryRun) -> None:
        """Dead letters wait again; the job is looked at first, it was probably mended."""
        run = find_run(self._turn, message.run)
        task = asyncio.get_running_loop().create_task(self._look_and_retry(peer, message, run))
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)
        task.add_done_callback(or_refuse(peer, message.seq))

    async def _look_and_retry(self, peer: Peer, message: RetryRun, run: Run) -> None:
        try:
            await self._versions.renew(run)
        except QueueError as error:
            if run.id != QUEUE_RUN:  # its tasks may be run by stock clients, which have the code
                refuse(peer, message.seq, str(error))
                return

        def stage(now: float, wall: float) -> Answer:
            find_run(self._turn, message.run)  # it may have been forgotten meanwhile
            # Of a cancelled one only its `finish()` can be tried again.
            finishes = run.state == "cancelled" and uncollected(run)
            count = 0 if finishes else self._turn.broker.retry(run, wall)
            return partial(self._retried, peer, message.seq, run, count)

        self._turn.post(Step(stage, partial(refuse, peer, message.seq)))

    def _retried(self, peer: Peer, seq: int, run: Run, count: int) -> None:
        if count:
            log.info("run %d (%s): %s tried again", run.id, run.job or "queue", _letters(count))
        if (run.active or uncollected(run)) and run.id != QUEUE_RUN:
            self._runners.start(run)  # also one that was given up, with no dead letter at all
        send(peer, Accepted(seq, count))

    # --- cancel ---

    def cancel(self, peer: Peer, message: CancelRun) -> None:
        """The run ends now. Its runner is stopped when the end is told of (`Runners.run_ended`)."""
        run = find_run(self._turn, message.run)

        def stage(now: float, wall: float) -> Answer:
            revoked = self._turn.broker.cancel(run, wall)
            return partial(self._cancelled, peer, message.seq, run, revoked)

        self._turn.post(Step(stage, partial(refuse, peer, message.seq)))

    def _cancelled(self, peer: Peer, seq: int, run: Run, revoked: dict[Session, list[int]]) -> None:
        for session, numbers in revoked.items():
            self._workers.revoke(session, numbers, f"run {run.id} was cancelled")
        log.info("%s", ended_line(run.id, run))
        send(peer, Accepted(seq, run.cancelled))

    # --- forget ---

    def forget(self, peer: Peer, message: ForgetRun) -> None:
        """The run is no more; what it had on disk goes in small steps later."""
        run = find_run(self._turn, message.run, pruned=True)
        if run.active or not self._runners.lives(run):
            self._stage_forget(peer, message, run)
            return
        task = asyncio.get_running_loop().create_task(self._end_and_forget(peer, message, run))
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)
        task.add_done_callback(or_refuse(peer, message.seq))

    async def _end_and_forget(self, peer: Peer, message: ForgetRun, run: Run) -> None:
        """Its runner collects, or is in `finish()`: nothing is taken from under it."""
        await self._runners.end(run)
        self._stage_forget(peer, message, run)

    def _stage_forget(self, peer: Peer, message: ForgetRun, run: Run) -> None:
        def stage(now: float, wall: float) -> Answer:
            find_run(self._turn, message.run, pruned=True)
            self._turn.broker.forget(run)
            return partial(self._forgotten, peer, message.seq, run)

        self._turn.post(Step(stage, partial(refuse, peer, message.seq)))

    def _forgotten(self, peer: Peer, seq: int, run: Run) -> None:
        self._runners.drop(run)
        log.info("run %d (%s) was forgotten", run.id, run.job)
        send(peer, Accepted(seq, run.tasks))


def _letters(count: int) -> str:
    return f"{count:,} dead letter{'s are' if count != 1 else ' is'}"
