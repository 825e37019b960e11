"""Cancels tasks of a run that goes on: those that wait or are delayed. What is leased goes on."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from queue_manager.errors import RefusedError
from queue_manager.log_lines import about_run
from queue_manager.ranges import Ranges, joined
from queue_manager.wire.limits import LAST_NUMBER
from queue_manager.wire.messages import CancelRun, TasksCancelled

from ...broker.runs.run import Run
from ...changes import QUEUE_RUN
from ...reads import ReadRequest
from ...turn.run_lookup import check_run
from ...turn.steps import Publish
from ...turn.turn import Turn

log = logging.getLogger("quartermaster.master")

AT_ONCE = 1_024
"""How many blocks a turn looks at: a million tasks of full blocks are one commit."""

MOST_RANGES = 65_536
"""Above so many ranges the answer says that there may be more to cancel: a frame takes it."""

WORKERS_S = 6.0
"""How long a cancel waits for workers after a restart: a little longer than leases do."""

LOOK_S = 0.05

_ALL = (1, LAST_NUMBER)


class Cancelling:
    """Cancels tasks, in a turn or in several ones where there are very many blocks."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    async def cancel(self, message: CancelRun, run: Run, who: str = "") -> TasksCancelled:
        """The answer to a request for tasks. Raises RefusedError when the run has ended.

        who: has asked for it, as the end of a line.
        """
        await self._hear_workers()
        left = [_ALL] if message.unstarted else joined([r for r in message.tasks if r[0] < r[1]])
        left = [(max(a, 1), min(b, _ALL[1])) for a, b in left if b > 1 and a < _ALL[1]]
        cancelled: Ranges = []
        complete = True
        while left and complete:
            blocks = self._turn.store.find_blocks(run.id, left, AT_ONCE)
            request = ReadRequest()
            for block, _, count in blocks:
                request.add_block(block, 0, count)
            numbers = [block for block, *_ in blocks]
            stage = partial(self._stage, run, numbers, left)
            cancelled += await self._turn.carry_out(stage, request)
            _, first, count = blocks[-1] if len(blocks) == AT_ONCE else (0, *_ALL)
            left = [(max(a, first + count), b) for a, b in left if b > first + count]
            complete = not left or len(cancelled) <= MOST_RANGES
        found = joined(cancelled)
        count = sum(stop - start for start, stop in found)
        if count:
            what = run.id, run.job, _tasks(count), who
            log.info("run %d (%s): %s cancelled%s", *what, extra=about_run(run))
        return TasksCancelled(message.seq, found, complete)

    async def _hear_workers(self) -> None:
        """After a restart, wait until the workers have said what they hold: that goes on."""
        loop = asyncio.get_running_loop()
        until = loop.time() + WORKERS_S
        while self._turn.broker.awaits_workers and loop.time() < until:
            await asyncio.sleep(LOOK_S)

    def _stage(
        self, run: Run, blocks: list[int], wanted: Ranges, now: float, wall: float
    ) -> Publish:
        check_run(self._turn, run)
        if run.id == QUEUE_RUN:
            raise RefusedError(
                "tasks of the queue run can't be cancelled: they are of many clients"
            )
        if not run.active:
            raise RefusedError(f"run {run.id} has ended: {run.state}")
        known = self._turn.known.blocks
        states = [known[block] for block in blocks if block in known]
        cancelled = self._turn.broker.cancel_tasks(run, states, wanted)
        return lambda: cancelled


def _tasks(count: int) -> str:
    return f"{count:,} task{'s were' if count != 1 else ' was'}"
