"""Deletes old runs and gives space back to the disk, in small steps, when nothing else is to do.

Owns when that is. Broker and store know what goes with a run.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from functools import partial

from queue_manager.errors import StoreError

from ..broker.runs.chains import in_words
from ..broker.runs.run import Run
from ..changes import QUEUE_RUN, Changes
from ..processes.runners import uncollected
from ..reads import ReadRequest
from ..stock.delivery import Delivery
from ..turn.answer import Unasked, log_failure
from ..turn.known import Known
from ..turn.run_lookup import restored
from ..turn.steps import Publish, Step
from ..turn.turn import Turn
from .clock import ClockWatch
from .history_pruning import HistoryPruning
from .queue_pruning import QueuePruning

log = logging.getLogger("quartermaster.master")

DAY_S = 86_400.0
LEAST_S = 5.0
"""How long an ended run is kept at least, so that whoever waits for it sees how it ended."""

UNCOLLECTED_S = DAY_S
"""Runs with results that `collect()` was not given are kept twice as long, and at least so long."""

RETIRE_S = 10.0
"""How long a run stays in memory after its end: most requests for it come in this time."""

_RUNS = 200
"""How many old runs are pruned in a second."""

AIM_S = 0.005
"""About how long one step may hold up the loop."""

BUDGET_S = 0.2
"""How long the steps of each second may take. A turn that does something else ends them."""

RETRY_S = 10.0


class Pace:
    """How many rows a step takes: fewer after a step that took too long, more after a short one."""

    def __init__(self, largest: int, smallest: int) -> None:
        self._largest, self._smallest = largest, smallest
        self.size = largest

    def took(self, took_s: float) -> None:
        """Learn from the last step."""
        if took_s > AIM_S:
            self.size = max(self._smallest, self.size // 2)
        elif took_s < AIM_S / 2:
            self.size = min(self._largest, self.size * 2)


class Pruning:
    """Prunes while no turn does anything else.

    keep_days: how long an ended run is kept, and ended tasks of the queue run. lives: whether a
    runner, or a client that reads it, still has to do with a run: then it is never pruned. clock:
    tells whether the time can be believed.
    """

    def __init__(self, turn: Turn, keep_days: float, delivery: Delivery) -> None:
        self._turn = turn
        self._keep_s = keep_days * DAY_S
        self.lives: Callable[[Run], bool] = lambda run: False
        self.clock: ClockWatch | None = None
        self._least_s = max(self._keep_s, LEAST_S)
        self.queue = QueuePruning(turn, delivery, self._least_s)
        self._history = HistoryPruning(turn.store, self._keep_s)
        self._rows, self._pages, self._old = Pace(500, 20), Pace(200, 10), Pace(500, 20)
        self._minutes = Pace(500, 20)
        self._turns = 0
        self._cleaning: asyncio.Task[None] | None = None
        self._again_at = 0.0
        self._trouble = ""

    def after_commit(self, changes: Changes, now: float) -> None:
        """A turn did something else."""
        self._turns += 1

    def tick(self, now: float, wall: float) -> None:
        """Prune what is old enough, and go on with what is to be deleted."""
        if self._turn.is_waiting:  # the store may be writing
            return
        if not self._turn.trouble and (self.clock is None or self.clock.may_prune(now)):
            self._history.tick(now, self._by(wall))
            for run in [run for run in self._turn.broker.runs.values() if not run.active]:
                self._retire(run, wall)
            with contextlib.suppress(StoreError):  # `_clean` has the same error, and says so
                if self._by(wall) > wall - DAY_S:  # else the clocks are too far apart for its marks
                    self.queue.tick(now, wall)
                # Those that stay must not keep others from going.
                limit = _RUNS + len(self._turn.broker.chains)
                for number in self._turn.store.old_runs(self._by(wall) - self._least_s, limit):
                    self._post_pruning(number)
        if now >= self._again_at and (self._cleaning is None or self._cleaning.done()):
            self._cleaning = asyncio.get_running_loop().create_task(self._clean(now))
            self._cleaning.add_done_callback(log_failure)

    def stop(self) -> None:
        """Leave the rest for the next start."""
        if self._cleaning is not None:
            self._cleaning.cancel()

    def _retire(self, run: Run, wall: float) -> None:
        """Prune an ended run, or drop it from memory, when nobody has anything to do for it."""
        if run.goes_with_client or self.lives(run):
            return
        if self._is_old(run, wall):
            self._post_pruning(run.id)
        elif uncollected(run) or wall < (run.ended_at or 0.0) + RETIRE_S:
            return
        elif not run.collect_cursor.closed and run.state != "pruned":
            ended_at = run.ended_at or 0.0
            finished = self._turn.broker.finished
            self._turn.post(Step(lambda now, wall: finished(run, ended_at, ended_at), Unasked()))
        else:
            self._turn.broker.retire(run)

    def _is_old(self, run: Run, wall: float) -> bool:
        if run.id == QUEUE_RUN or run.active or run.state == "pruned" or run.ended_at is None:
            return False
        if run.goes_with_client or self.lives(run):
            return False
        keep_s = self._least_s
        if uncollected(run):
            keep_s = max(2 * self._keep_s, UNCOLLECTED_S)
        return self._by(wall) - run.ended_at >= keep_s

    def _by(self, wall: float) -> float:
        return wall if self.clock is None else self.clock.oldest(wall)

    def _post_pruning(self, number: int) -> None:
        """Prune a run that is old enough, unless runs behind it still take its results."""
        chains = self._turn.broker.chains
        if chains.needing(number) and not chains.waiting(number):
            return

        def needs(known: Known) -> Iterator[ReadRequest]:
            if self._turn.broker.recall(number) is None:
                yield ReadRequest(runs={number})

        self._turn.post(Step(partial(self._prune, number), Unasked(), needs))

    def _prune(self, number: int, now: float, wall: float) -> Publish | None:
        broker = self._turn.broker
        run = broker.recall(number) or restored(self._turn, self._turn.known.run(number))
        if run is None or not self._is_old(run, wall):
            return None  # it was retried or forgotten in the same turn
        if broker.chains.needing(number):
            return self._give_up(run, wall)
        broker.prune(run)
        return partial(log.info, "run %d (%s) was pruned (QUEUE_KEEP_DAYS)", run.id, run.job)

    def _give_up(self, run: Run, wall: float) -> Publish | None:
        """Cancel the runs that have waited all that time for a run that has not ended well."""
        waiting = self._turn.broker.chains.waiting(run.id)
        for later in waiting:
            self._turn.broker.cancel(later, wall)
        who = in_words([later.id for later in waiting])
        what = f"behind run {run.id} ({run.job}), which was {run.state} (QUEUE_KEEP_DAYS)"
        return partial(log.info, "%s cancelled: %s", who, what) if waiting else None

    async def _clean(self, now: float) -> None:
        turns, end = self._turns, time.monotonic() + BUDGET_S
        try:
            while (
                not self._turn.is_waiting
                and self._step()
                and self._turns == turns
                and time.monotonic() < end
            ):
                await asyncio.sleep(0)
        except StoreError as error:
            self._again_at = now + RETRY_S
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.error("%s; what was pruned is deleted when it can", error)
        else:
            self._trouble = ""

    def _step(self) -> bool:
        """Delete some rows, or give some pages back. False: there is nothing to do."""
        store = self._turn.store
        return (
            _timed(self._rows, store.drop_some)
            or _timed(self._old, self.queue.step)
            or _timed(self._minutes, self._history.step)
            or _timed(self._pages, store.shrink)
        )


def _timed(pace: Pace, act: Callable[[int], bool]) -> bool:
    begun = time.monotonic()
    more = act(pace.size)
    if more:
        pace.took(time.monotonic() - begun)
    return more
