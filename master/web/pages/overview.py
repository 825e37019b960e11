"""The overview: why nothing moves, how fast it goes, who works."""

from __future__ import annotations

from collections.abc import Iterable

from queue_manager.wire.messages import AskMetrics, Metrics
from queue_manager.wire.metrics import MasterMetrics
from queue_manager.wire.records import RunStatus, SessionStatus

from ..live.rates import ALL, Rates
from .charts import SPANS, dead_in, last_minute, of_all, span_of
from .page import Asked, Page, View

_ACTIVE = 12
"""How many runs that go on, and how many that have ended, are shown."""

_WORKERS = 50
NO_WORKER = (
    "no worker is connected: docker compose up --detach --scale worker=8, or python -m worker"
)
"""What the master says of each run that any worker could run. The page says it once."""

_ENDED = ("done", "failed", "cancelled", "pruned")


async def load(asked: Asked) -> View:
    """How the master is, its newest runs, its workers."""
    recent, rates = asked.desk.recent, asked.desk.rates
    status = await recent.status()
    runs = await recent.runs()
    sessions = await recent.sessions()
    now = (await recent.get("metrics", AskMetrics, Metrics)).metrics
    span = span_of(asked, "hour")
    rates.note_all(runs.runs)
    minute = last_minute(rates.last_minute(ALL))
    active = [run for run in runs.runs if run.state not in _ENDED]
    moving = [run for run in active if run.run or run.tasks]
    workers = [one for one in sessions.sessions if one.role == "worker"]
    return {
        "status": status,
        "why": [*status.why, *status.schedules],
        "stuck": [run for run in moving if run.why],
        "for_workers": [run.run for run in moving if run.why == [NO_WORKER]],
        "numbers": _numbers(now, workers, await dead_in(asked, "hour")),
        "rate": rates.of(ALL),
        "span": span,
        "spans": list(SPANS),
        "shown": minute if span == "minute" else await of_all(asked, span),
        "active": moving[:_ACTIVE],
        "active_more": max(0, status.active_runs - 1 - len(moving[:_ACTIVE])),
        "left_s": {run.run: left_s(run, rates) for run in moving},
        "ended": [run for run in runs.runs if run.state in _ENDED][:_ACTIVE],
        "workers": workers[:_WORKERS],
        "workers_more": max(0, len(workers) - _WORKERS) + sessions.more,
        "is_idle": all(not run.why and not (run.waiting or run.leased) for run in moving),
    }


def _numbers(
    now: MasterMetrics, workers: Iterable[SessionStatus], dead_lately: int
) -> dict[str, int]:
    """What waits and runs, of all runs together, and how many died within the last hour."""
    there = list(workers)
    states = ("waiting", "delayed", "leased", "dead")
    counts = {name: sum(job.tasks.get(name, 0) for job in now.jobs) for name in states}
    slots = sum(one.slots for one in there)
    return {**counts, "dead_lately": dead_lately, "workers": len(there), "slots": slots}


def left_s(run: RunStatus, rates: Rates) -> float | None:
    """How many seconds a run will take to its end at its present rate; None: nobody knows."""
    rate, left = rates.of(run.run), run.waiting + run.leased + run.delayed
    if not run.exhausted or not left or not rate:
        return None
    return left / rate


OVERVIEW = Page(
    "/", "overview", ("why", "numbers", "rate", "active", "workers", "ended"), load, "Overview"
)
