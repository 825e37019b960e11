"""Which jobs the master has, and what each takes. A look at a job may take long."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from queue_manager.client.checking import job_of
from queue_manager.errors import ArgumentError, RefusedError
from queue_manager.wire.job_records import JobInfo
from queue_manager.wire.messages import AskJobs, JobList, Request

from .master import Master
from .recent import Recent

LOOK_S = 40.0
"""How long the master has: it imports the job in a process of its own, which has 30 s."""

_YOUNG_S = 3.0
"""How old an answer may be: each look starts a process."""

R = TypeVar("R")


class Jobs:
    """Asks for jobs, unless somebody has asked for the same a moment ago."""

    def __init__(self, master: Master) -> None:
        self._recent = Recent(_Patient(master), young_s=_YOUNG_S)

    async def all(self) -> JobList:
        """The names and first lines of all jobs. Raises as `Master.ask`."""
        return await self._recent.get("", AskJobs, JobList)

    async def one(self, name: str) -> JobInfo:
        """All of one job. Raises as `Master.ask`: RefusedError for one that can't be read."""
        try:
            ask = partial(AskJobs, job=job_of(name))
        except ArgumentError as error:
            raise RefusedError(str(error)) from None
        found = await self._recent.get(name, ask, JobList)
        if not found.jobs or found.jobs[0].trouble:
            raise RefusedError(found.jobs[0].trouble if found.jobs else f"there is no job {name!r}")
        return found.jobs[0]


class _Patient:
    """Asks the master, and gives it time."""

    def __init__(self, master: Master) -> None:
        self._master = master

    async def ask(self, make: Callable[[int], Request], answer: type[R]) -> R:
        return await self._master.ask(make, answer, LOOK_S)
