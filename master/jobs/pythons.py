"""Which Python the functions of a job run with on the master's side: ours, or its environment's.

`tasks()`, `collect()` and `finish()` import the job as `work` does, so they need the same packages.
Files are read and environments are made in threads. This module runs no code of the job.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from queue_manager.environments.environments import Environments
from queue_manager.environments.python import OWN, Python
from queue_manager.errors import (
    BadJobError,
    BrokenEnvironmentError,
    NoEnvironmentError,
    RefusedError,
    UnknownJobError,
)
from queue_manager.job.loading import job_path
from queue_manager.job.needs import Needs, needs_of
from queue_manager.settings import Settings

from ..broker.runs.run import Run
from .sought import Sought


def environments_of(settings: Settings) -> Environments:
    """The environments of this host, for a process without tasks."""
    return Environments(settings.queue_environments, settings.queue_keep_days, shows=False)


async def python_for(settings: Settings, job: str) -> Python:
    """The Python that looks at a job for a command without a master. Raises as `for_look`."""
    pythons = Pythons(settings.jobs_folder, environments_of(settings))
    try:
        return await pythons.for_look(job)
    finally:
        pythons.close()  # else Ctrl-C would wait for uv


class Pythons:
    """Finds the Python of each job, and has its environment made if need be.

    Args:
        folder: the folder of jobs.
        environments: those of this host.
    """

    def __init__(self, folder: Path, environments: Environments) -> None:
        self._folder, self._environments = folder, environments
        self._sought = Sought(environments)

    async def for_look(self, job: str, *, at_once: bool = True) -> Python:
        """The Python that looks at a job.

        at_once: for somebody who waits. Otherwise what has failed a moment ago is not tried again.

        Raises:
            QueueError: one line that says what is wrong with the job's file or its environment.
        """
        try:
            return await self._find(job, at_once)
        except UnknownJobError:
            raise
        except NoEnvironmentError as error:
            raise NoEnvironmentError(f"{self._folder.name}/{job}.py: {error}") from error
        except Exception as error:
            raise RefusedError(f"{self._folder.name}/{job}.py: {error}") from error

    async def for_run(self, run: Run) -> Python:
        """The Python of a run's runner.

        Raises:
            BrokenEnvironmentError, NoEnvironmentError: there is no environment for it.
            OSError: the file of the job can't be read.
        """
        if run.uploaded or not run.job:
            return OWN
        try:
            return await self._find(run.job, False)
        except BrokenEnvironmentError:
            raise
        except (UnknownJobError, BadJobError):  # the runner says it
            return OWN

    def tick(self) -> None:
        """Remove old environments from time to time."""
        self._environments.sweep_aside()

    def close(self) -> None:
        """End what is being made."""
        self._sought.close()

    async def _find(self, job: str, at_once: bool) -> Python:
        needs, folder = await asyncio.to_thread(self._at_hand, job, at_once)
        if folder is None and needs is not None:
            folder = await self._sought.get(needs, at_once)
        return Python(folder or "")

    def _at_hand(self, job: str, at_once: bool) -> tuple[Needs | None, str | None]:
        """What a job needs, and the folder of its environment; None: it has to be waited for."""
        needs = needs_of(job_path(job, self._folder.resolve()).read_bytes())
        return needs, self._environments.at_hand(needs, at_once=at_once)
