"""Runs by their number, from memory or from disk."""

from __future__ import annotations

import time

from queue_manager.errors import RefusedError

from ..broker.run import Run
from ..changes import QUEUE_RUN
from .turn import Turn

_NAMED = 5
"""So many runs are named where somebody asks for one that is not there."""


def recall(turn: Turn, number: int) -> Run | None:
    """A run by its number, read from disk where it has left the memory; None: there is none.

    Raises StoreError when it can't be read.
    """
    broker = turn.broker
    run = broker.recall(number)
    if run is None and 0 < number < broker.next_run:
        loaded = turn.store.load_run(number)
        if loaded is not None and number not in broker.changes.forgotten:
            run = broker.restore(loaded, time.monotonic(), turn.wall)
    return run


def find_run(turn: Turn, number: int, *, pruned: bool = False) -> Run:
    """A run by its number. Raises RefusedError when there is none, or nothing is left of it.

    pruned: one of which only the key is left will do.
    """
    run = recall(turn, number)
    if run is None:
        raise RefusedError(f"no run {number}; {_newest(turn)}")
    if run.state == "pruned" and not pruned:
        raise RefusedError(
            f"run {number} ({run.job}) ended long ago and was pruned (QUEUE_KEEP_DAYS):"
            f" its tasks and results are gone; `qm forget {number}` frees its key"
        )
    return run


def _newest(turn: Turn) -> str:
    """Which runs there are, the newest of them, in words."""
    ended = turn.store.ended_runs(turn.broker.next_run, _NAMED + 1)
    numbers = {run.id for run in turn.broker.runs.values() if run.state != "pruned"}
    numbers |= {found.record.id for found in ended}
    numbers.discard(QUEUE_RUN)
    named = ", ".join(map(str, sorted(numbers)[-_NAMED:]))
    if len(numbers) < 2:
        return f"there is {named or 'none yet'}"
    return f"the newest are {named}" if len(numbers) > _NAMED else f"there are {named}"
