"""The overview: why nothing moves, how fast it goes, who works."""

from __future__ import annotations

from collections.abc import Iterable

from queue_manager.wire.records import RunStatus, SessionStatus

from ..live.rates import ALL, Rates
from ..text.plot import Chart, Series
from .page import Asked, Page, View

_ACTIVE = 12
"""How many runs that go on, and how many that have ended, are shown."""

_WORKERS = 50
_ENDED = ("done", "failed", "cancelled", "pruned")


async def load(asked: Asked) -> View:
    """How the master is, its newest runs, its workers."""
    recent, rates = asked.desk.recent, asked.desk.rates
    status = await recent.status()
    runs = await recent.runs()
    sessions = await recent.sessions()
    rates.note_all(runs.runs)
    active = [run for run in runs.runs if run.state not in _ENDED]
    moving = [run for run in active if run.run or run.tasks]
    workers = [one for one in sessions.sessions if one.role == "worker"]
    return {
        "status": status,
        "why": [*status.why, *status.schedules],
        "stuck": [run for run in moving if run.why],
        "numbers": _numbers(runs.runs, workers),
        "rate": rates.of(ALL),
        "minute": minute(rates.last_minute(ALL)),
        "active": moving[:_ACTIVE],
        "active_more": max(0, status.active_runs - 1 - len(moving[:_ACTIVE])),
        "left_s": {run.run: left_s(run, rates) for run in moving},
        "ended": [run for run in runs.runs if run.state in _ENDED][:_ACTIVE],
        "workers": workers[:_WORKERS],
        "workers_more": max(0, len(workers) - _WORKERS) + sessions.more,
        "is_idle": all(not run.why and not (run.waiting or run.leased) for run in moving),
    }


def _numbers(runs: Iterable[RunStatus], workers: Iterable[SessionStatus]) -> dict[str, int]:
    """What waits, runs and is dead, of the newest runs."""
    shown, there = list(runs), list(workers)
    names = ("waiting", "delayed", "leased", "done", "dead")
    counts = {name: sum(getattr(run, name) for run in shown) for name in names}
    slots = sum(one.slots for one in there)
    return {**counts, "workers": len(there), "slots": slots}


def left_s(run: RunStatus, rates: Rates) -> float | None:
    """How many seconds a run will take to its end at its present rate; None: nobody knows."""
    rate, left = rates.of(run.run), run.waiting + run.leased + run.delayed
    if not run.exhausted or not left or not rate:
        return None
    return left / rate


def minute(looks: list[tuple[float, float]]) -> Chart:
    """The chart of the last minute. looks: how many seconds ago, and the rate then."""
    moments = [-ago for ago, _ in looks]
    return Chart(moments, [Series("rate", [rate for _, rate in looks])], -60.0, 0.0)


OVERVIEW = Page(
    "/", "overview", ("why", "numbers", "rate", "active", "workers", "ended"), load, "Overview"
)
