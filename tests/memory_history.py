"""The history in a store of plain dicts."""

from __future__ import annotations

from dataclasses import replace

from master.changes import QUEUE_RUN
from master.history import ALL_RUNS, MINUTE_S, HistoryRecord, Rows, add, begin_of, span_for
from tests.memory_kept import Kept


def read_history(
    kept: Kept, run: int, since_at: float, until_at: float, step_s: int
) -> list[HistoryRecord]:
    """As `Store.read_history`."""
    steps: Rows = {}
    last: dict[int, HistoryRecord] = {}
    for (of, at, span_s), row in sorted(kept.history.items()):
        is_asked_for = of == run and span_s == span_for(step_s)
        if is_asked_for and begin_of(since_at, step_s) <= at < until_at:
            add(steps, row.within(step_s))
            last[begin_of(at, step_s)] = row
    return [replace(step, standing=last[step.at].standing) for step in steps.values()]


def last_minute(kept: Kept) -> float:
    """As `Store.last_minute`."""
    whole = [
        at
        for (run, at, span_s), row in kept.history.items()
        if (run, span_s) == (ALL_RUNS, MINUTE_S) and row.standing is not None
    ]
    return max(whole, default=0)


def prune_history(kept: Kept, minutes_by: float, all_by: float) -> bool:
    """As `Store.prune_history`, however many rows it are."""
    gone = [
        (run, at, span_s)
        for run, at, span_s in kept.history
        if (span_s == MINUTE_S and at < minutes_by)
        or (run in (ALL_RUNS, QUEUE_RUN) and at < all_by)
    ]
    for row in gone:
        del kept.history[row]
    return bool(gone)


def move_history(kept: Kept, set_s: float, since: float, until: float) -> None:
    """Move the rows of a time in which the clock was wrong."""
    moved: Rows = {}
    for (run, at, span_s), row in list(kept.history.items()):
        by_s = round(set_s / span_s) * span_s
        if by_s and begin_of(since, span_s) <= at <= until:
            del kept.history[run, at, span_s]
            add(moved, replace(row, at=at + by_s))
    for row in moved.values():
        add(kept.history, row)
