"""What a shell completes behind `qm`: names of jobs and schedules, numbers of runs.

The master is asked, for a moment. If it is away, or says no, there is nothing to complete, and no
word about it: whoever presses the tab key is in the middle of a line.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from click.shell_completion import CompletionItem

from queue_manager.authkey import find_authkey
from queue_manager.client.connection.session import Session, connected
from queue_manager.errors import QueueError
from queue_manager.job.description import jobs_of
from queue_manager.settings import Settings, load_settings
from queue_manager.terminal import harmless_line
from queue_manager.wire.job_records import JobInfo
from queue_manager.wire.messages import (
    AskJobs,
    AskRuns,
    AskSchedules,
    JobList,
    RunList,
    ScheduleList,
)
from queue_manager.wire.reach.masters import Masters

ASK_S = 1.0
"""How long all of it may take."""

_KNOCK_S = 0.3

T = TypeVar("T")


def items_of(kind: str, incomplete: str) -> list[CompletionItem]:
    """What begins so. kind: job, run or schedule."""
    logging.disable()
    try:
        settings = load_settings()
    except QueueError:
        return []
    return _ITEMS[kind](settings, incomplete)


def _jobs(settings: Settings, incomplete: str) -> list[CompletionItem]:
    """The jobs of the master, or of the folder here, whose name begins so."""

    async def names(client: Session) -> list[JobInfo]:
        return (await client.call_idempotent(AskJobs, JobList)).jobs

    jobs = _asked(settings, names)
    if jobs is None:
        jobs = jobs_of(settings.jobs_folder)
    found = [job for job in jobs if job.name.startswith(incomplete)]
    return [CompletionItem(job.name, help=harmless_line(job.about) or None) for job in found]


def _runs(settings: Settings, incomplete: str) -> list[CompletionItem]:
    """The runs of the master whose number begins so: active ones, then the newest that ended."""

    async def runs(client: Session) -> list[CompletionItem]:
        page = await client.call_idempotent(partial(AskRuns, ended=50), RunList)
        return [
            CompletionItem(str(run.run), help=harmless_line(f"{run.job}, {run.state}"))
            for run in page.runs
            if run.run and str(run.run).startswith(incomplete)
        ]

    return _asked(settings, runs) or []


def _schedules(settings: Settings, incomplete: str) -> list[CompletionItem]:
    """The schedules of the master whose name begins so."""

    async def schedules(client: Session) -> list[CompletionItem]:
        told = await client.call_idempotent(AskSchedules, ScheduleList)
        return [
            CompletionItem(
                one.spec.name, help=harmless_line(f"{one.spec.expression} {one.spec.job}")
            )
            for one in told.schedules
            if one.spec.name.startswith(incomplete)
        ]

    return _asked(settings, schedules) or []


_ITEMS = {"job": _jobs, "run": _runs, "schedule": _schedules}


def _asked(settings: Settings, ask: Callable[[Session], Awaitable[T]]) -> T | None:
    """What the master says; None: it is not there, or says nothing in time."""

    async def answer() -> T:
        key = find_authkey(settings)
        async with (
            asyncio.timeout(ASK_S),
            connected(settings, key, lambda line: None, ASK_S) as client,
        ):
            return await ask(client)

    try:
        there = Masters(settings.masters).look(limit_s=_KNOCK_S)
        return None if there is None else asyncio.run(answer())
    except (QueueError, OSError):  # TimeoutError is an OSError
        return None
