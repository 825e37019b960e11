"""The environment of each version of a job on this worker, as the job's file asks for it.

This module owns when a file is read for that, and how long an answer counts. Threads do it: making
an environment takes from a second to minutes, and the supervisor must not wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path

from queue_manager.environments.environments import Environments
from queue_manager.errors import (
    BadJobError,
    BrokenEnvironmentError,
    JobError,
    UnknownJobError,
)
from queue_manager.job.files import version_of
from queue_manager.job.loading import job_files
from queue_manager.job.needs import needs_of

from .code_folder import remember

KEPT = 256
"""How many versions are known."""

FRESH_S = 600.0
"""How long an answer counts. Environments are kept for longer after their last use."""

REFUSED_S = 5.0
"""How long an error counts. How soon it is tried again on this host, `failures` knows."""

SHOWABLE_S = 60.0
"""How long evidence counts that no task has shown. Then the environment is tried again: a task is
not charged for what was mended meanwhile, such as an index that lacked a package."""

WAIT_S = 0.02
"""How long the supervisor waits for a file that asks for nothing, as nearly all do."""


class _Answer:
    """What is known of one version of a job. found: its environment; empty for none."""

    def __init__(self) -> None:
        self.found: Future[str] = Future()
        self._until = self._showable_until = 0.0

    @property
    def is_old(self) -> bool:
        """Whether to ask again."""
        if not self.found.done() or time.monotonic() < self._until:
            return False
        return not self.is_unshown or time.monotonic() >= self._showable_until

    @property
    def is_unshown(self) -> bool:
        """Whether it is an error whose evidence no task has shown yet."""
        error = self.found.exception() if self.found.done() else None
        return isinstance(error, BrokenEnvironmentError) and bool(error.evidence)

    def is_there(self, folder: str) -> None:
        self._until = time.monotonic() + FRESH_S
        self.found.set_result(folder)

    def refused(self, error: JobError) -> None:
        self._until = time.monotonic() + REFUSED_S
        self._showable_until = time.monotonic() + SHOWABLE_S
        self.found.set_exception(error)


class JobEnvironments:
    """Knows the environments of jobs.

    Args:
        folder: this worker's own folder of jobs.
        environments: those of this host.
    """

    def __init__(self, folder: Path, environments: Environments) -> None:
        self._folder, self._environments = folder, environments
        self._answers: dict[tuple[str, str], _Answer] = {}

    def of(self, job: str, version: str, folder: str, told: Callable[[], None]) -> str | None:
        """The folder of the environment of a version of a job; empty: it asks for none.

        folder: that of its code; empty: the worker's own. told: is called in the loop when an
        answer is there that was not there in time. None: that is so.

        Raises:
            BrokenEnvironmentError, NoEnvironmentError: the environment can't be made, or not now.
            BadJobError: what the file asks for can't be read.
        """
        key = (job, version)
        answer = self._answers.get(key)
        if answer is None or answer.is_old:
            again = answer is not None and answer.is_unshown
            answer = self._ask(job, version, folder, again)
            if not wait([answer.found], WAIT_S).done:
                loop = asyncio.get_running_loop()
                answer.found.add_done_callback(lambda _: _soon(loop, told))
        if not answer.found.done():
            return None
        try:
            return answer.found.result()
        except UnknownJobError:  # the file has just changed: the next look finds the other version
            self._answers.pop(key, None)
            return ""

    def processes(self) -> set[int]:
        """The ids of the child processes that make environments."""
        return self._environments.processes

    def forget(self, job: str, version: str) -> None:
        """Have the next `of` ask again."""
        self._answers.pop((job, version), None)

    def close(self) -> None:
        """End what is being made."""
        self._environments.close()

    def tick(self) -> None:
        """Remove old environments from time to time."""
        self._environments.sweep_aside()

    def _ask(self, job: str, version: str, folder: str, again: bool) -> _Answer:
        """Begin to find out. again: try even if it has failed a moment ago."""
        answer = _Answer()
        remember(self._answers, (job, version), answer, KEPT)
        act = (answer, job, version, folder, again)
        try:
            threading.Thread(target=self._fill, args=act, daemon=True).start()
        except RuntimeError:  # no room for a thread
            self._fill(*act)
        return answer

    def _fill(self, answer: _Answer, job: str, version: str, folder: str, again: bool) -> None:
        try:
            found = self._find(job, version, folder, again)
        except JobError as error:
            answer.refused(error)
        except BaseException as error:
            answer.refused(BadJobError(f"what it needs can't be read: {error}"))
        else:
            answer.is_there(found)

    def _find(self, job: str, version: str, folder: str, again: bool) -> str:
        if folder:  # it has one version alone
            source = Path(folder, f"{job}.py").read_bytes()
        else:
            files = job_files(job, self._folder)
            if version_of(files) != version:
                raise UnknownJobError(f"{job} has just changed")
            source = files[f"{job}.py"]
        return self._environments.get(needs_of(source), at_once=again)


def _soon(loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the worker has ended meanwhile
        loop.call_soon_threadsafe(act)
