"""The version of each job's code as it is on disk, read once a second, and for each new run."""

from __future__ import annotations

import time
from pathlib import Path

from queue_manager.errors import JobError
from queue_manager.loading import job_version

FRESH_S = 1.0


class Versions:
    """Versions of the jobs in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, tuple[float, int, str]] = {}

    def of(self, job: str, run: int) -> str:
        """The version of a job's code, at most a second old, and not from before this run.

        Raises:
            JobError: there is no such job, or its file can't be read.
        """
        read_at, read_for, version = self._known.get(job, (0.0, run, ""))
        if not version or run > read_for or time.monotonic() - read_at > FRESH_S:
            return self.fresh(job, run)
        return version

    def fresh(self, job: str, run: int) -> str:
        """The version of a job's code as it is now.

        Raises:
            JobError: there is no such job, or its file can't be read.
        """
        try:
            version = job_version(job, self._folder)
        except OSError as error:
            raise JobError(f"{job}: {error.strerror}") from error
        _, read_for, _ = self._known.get(job, (0.0, run, ""))
        self._known[job] = (time.monotonic(), max(run, read_for), version)
        return version

    def forget(self, job: str) -> None:
        """Look at the file again when it is next asked for."""
        self._known.pop(job, None)
