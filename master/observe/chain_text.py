"""Says what a run waits for that is to begin after others, and what to do if it can't begin."""

from __future__ import annotations

from collections.abc import Iterable

from queue_manager.errors import StoreError

from ..broker.runs.chains import listed
from ..broker.runs.run import Run
from ..turn.turn import Turn

_LOOKED_AT = 100
"""How many runs are read from disk to find one that holds up another."""


def why_pending(turn: Turn, run: Run) -> str:
    """What a run waits for before it begins. Empty: it has begun, or has ended."""
    if not run.pending:
        return ""
    for before in _ended(turn, run.waits_for):
        line = held_up_by(before, run.id)
        if line:
            return f"can't begin: {line}"
    return f"waits for run{'s' * (len(run.waits_for) > 1)} {listed(run.waits_for)}"


def held_up_by(before: Run, later: int) -> str:
    """What to do when a run has not ended well for which `later` waits. Empty: it may yet."""
    number = before.id
    if before.state == "failed":
        return f"run {number} has failed: `qm retry {number}`, or `qm cancel {later}`"
    if before.state == "cancelled":
        return f"run {number} was cancelled: `qm cancel {later}`, and submit both again"
    return ""


def _ended(turn: Turn, numbers: Iterable[int]) -> Iterable[Run]:
    """Those of these runs that have ended, as far as they can be read."""
    looked_at = 0
    for number in numbers:
        run = turn.broker.recall(number)
        if run is None and looked_at < _LOOKED_AT:
            looked_at += 1
            try:
                loaded = turn.store.load_run(number)
            except StoreError:
                continue
            run = None if loaded is None else Run.loaded(loaded)
        if run is not None and not run.active:
            yield run
