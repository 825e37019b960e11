"""Runs by their number, from memory or from disk.

A step does not read while it is staged. It checks a run that was found before, or one that its
`needs` has asked for.
"""

from __future__ import annotations

import time

from queue_manager.errors import RefusedError

from ..broker.runs.run import Run
from ..changes import QUEUE_RUN, LoadedRun
from .turn import Turn

_NAMED = 5
"""How many runs are named where somebody asks for a run that is not there."""


def recall(turn: Turn, number: int) -> Run | None:
    """A run by its number, read from disk where it has left the memory; None: there is none.

    Raises StoreError when it can't be read.
    """
    run = turn.broker.recall(number)
    if run is None and 0 < number < turn.broker.next_run:
        run = restored(turn, turn.store.load_run(number))
    return run


def restored(turn: Turn, loaded: LoadedRun | None) -> Run | None:
    """The run of a record in the store: the object in memory if there is one, or a new one."""
    if loaded is None:
        return None
    run = turn.broker.recall(loaded.record.id)
    if run is None and loaded.record.id not in turn.broker.changes.forgotten:
        run = turn.broker.restore(loaded, time.monotonic(), turn.wall)
    return run


def find_run(turn: Turn, number: int, *, pruned: bool = False) -> Run:
    """A run by its number. Raises RefusedError when there is none, or nothing is left of it.

    pruned: a run of which only the key is left is returned, too.
    """
    run = recall(turn, number)
    if run is None:
        raise RefusedError(f"no run {number}; {_newest(turn)}")
    _check_state(run, pruned)
    return run


def check_run(turn: Turn, run: Run, *, pruned: bool = False) -> None:
    """Look again, while a step is staged, at a run that was found before.

    Raises RefusedError when it was forgotten meanwhile, or nothing is left of it.
    """
    if turn.broker.recall(run.id) is not run or run.id in turn.broker.changes.forgotten:
        raise RefusedError(f"no run {run.id}; it was forgotten")
    _check_state(run, pruned)


def _check_state(run: Run, pruned: bool) -> None:
    if run.state == "pruned" and not pruned:
        raise RefusedError(
            f"run {run.id} ({run.job}) ended long ago and was pruned (QUEUE_KEEP_DAYS):"
            f" its tasks and results are gone; `qm forget {run.id}` frees its key"
        )


def _newest(turn: Turn) -> str:
    """A text that names the newest runs."""
    ended = turn.store.ended_runs(turn.broker.next_run, _NAMED + 1)
    numbers = {run.id for run in turn.broker.runs.values() if run.state != "pruned"}
    numbers |= {loaded.record.id for loaded in ended}
    numbers.discard(QUEUE_RUN)
    named = ", ".join(map(str, sorted(numbers)[-_NAMED:]))
    if len(numbers) < 2:
        return f"there is {named or 'none yet'}"
    return f"the newest are {named}" if len(numbers) > _NAMED else f"there are {named}"
