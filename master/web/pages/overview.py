"""The overview: why nothing moves, how fast it goes, who works."""

from __future__ import annotations

from queue_manager.wire.messages import AskMetrics, Metrics
from queue_manager.wire.metrics import MasterMetrics
from queue_manager.wire.records import RunStatus

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
    """How the master is, its newest runs, those that have ended last, its workers."""
    recent, rates = asked.desk.recent, asked.desk.rates
    status = await recent.status()
    active, over = await recent.active_runs(), await recent.ended_runs()
    sessions = await recent.sessions()
    now = (await recent.get("metrics", AskMetrics, Metrics)).metrics
    span = span_of(asked, "hour")
    rates.note_all([*active, *over])
    minute = last_minute(rates.last_minute(ALL))
    finishing = [run for run in over if run.state not in _ENDED]
    moving = [*finishing, *(run for run in active if run.run or run.tasks)]
    has_queue = any(not run.run for run in moving)
    going_on = status.active_runs + len(finishing) - (not has_queue)
    workers = [one for one in sessions.sessions if one.role == "worker"]
    numbers = {**_tasks(now), **staff(now), "dead_lately": await dead_in(asked, "hour")}
    return {
        "status": status,
        "why": [*status.why, *status.schedules],
        "stuck": [run for run in moving if run.why],
        "for_workers": [run.run for run in moving if run.why == [NO_WORKER]],
        "unserved": _unserved(now),
        "numbers": numbers,
        "rate": rates.of(ALL),
        "span": span,
        "spans": list(SPANS),
        "shown": minute if span == "minute" else await of_all(asked, span),
        "active": moving[:_ACTIVE],
        "active_more": max(0, going_on - len(moving[:_ACTIVE])),
        "left_s": {run.run: left_s(run, rates) for run in moving},
        "ended": [run for run in over if run.state in _ENDED][:_ACTIVE],
        "workers": workers[:_WORKERS],
        "workers_more": max(0, numbers["workers"] - len(workers[:_WORKERS])),
        "is_idle": all(not run.why and not (run.waiting or run.leased) for run in moving),
    }


def _tasks(now: MasterMetrics) -> dict[str, int]:
    """What waits and runs, of all runs together."""
    states = ("waiting", "delayed", "leased", "dead")
    return {name: sum(job.tasks.get(name, 0) for job in now.jobs) for name in states}


def staff(now: MasterMetrics) -> dict[str, int]:
    """How many workers are connected, how many slots they have, busy ones too; stock clients."""
    slots = [one for one in now.slots if not one.tag]
    return {
        "workers": sum(now.sessions.get("worker", {}).values()),
        "slots": sum(one.slots for one in slots),
        "busy": sum(one.slots for one in slots if one.state == "busy"),
        "stock": sum(now.sessions.get("stock", {}).values()),
    }


def _unserved(now: MasterMetrics) -> bool:
    """Whether tasks wait and nobody is there who takes them. Stock clients take the queue's."""
    there = staff(now)
    waiting = [job.job for job in now.jobs if job.tasks.get("waiting")]
    taken = {"queue"} if there["stock"] else set()
    return not there["workers"] and bool(set(waiting) - taken)


def left_s(run: RunStatus, rates: Rates) -> float | None:
    """How many seconds a run will take to its end at its present rate; None: nobody knows."""
    rate, left = rates.of(run.run), run.waiting + run.leased + run.delayed
    if not run.exhausted or not left or not rate:
        return None
    return left / rate


OVERVIEW = Page(
    "/", "overview", ("why", "numbers", "rate", "active", "workers", "ended"), load, "Overview"
)
