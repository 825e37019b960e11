"""The versions of jobs' code on disk. They are read once a second, and for each new run.

Threads read the files, because a disk may take seconds and the supervisor must not wait for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path

from queue_manager.errors import JobError
from queue_manager.job.loading import job_version

FRESH_S = 1.0

WAIT_S = 0.02
"""How long the supervisor waits for a disk. A disk usually takes well under a millisecond."""


class Reading:
    """One reading of a job's files. read_for: the newest run that had asked when it began.

    version: the result. done_at: monotonic time when it was there.
    """

    def __init__(self, read_for: int) -> None:
        self.read_for = read_for
        self.version: Future[str] = Future()
        self.done_at = 0.0

    @property
    def old(self) -> bool:
        """Whether it was read too long ago for any run."""
        return self.version.done() and time.monotonic() - self.done_at > FRESH_S


class DiskVersions:
    """The versions of the jobs in one folder.

    Args:
        folder: the folder of jobs.
        read: returns the version of a job in a folder. It may be slow.
    """

    def __init__(self, folder: Path, read: Callable[[str, Path], str] = job_version) -> None:
        self._folder, self._read = folder, read
        self._known: dict[str, tuple[float, int, str]] = {}
        self._readings: dict[str, Reading] = {}

    def of(self, job: str, run: int, wanted: str = "") -> str | None:
        """The version of a job's code, read at most a second ago and not before this run.

        wanted: the version that the run needs, if it says so. If that was read, it does not matter
        what is there since then: a slot compares the version again.
        None: it is still being read (see `when_read`).

        Raises:
            JobError: there is no such job, or its file can't be read.
        """
        read_at, read_for, version = self._known.get(job, (0.0, run, ""))
        is_new = run > read_for and wanted != version
        if not version or is_new or time.monotonic() - read_at > FRESH_S:
            return self.fresh(job, run)
        return version

    def fresh(self, job: str, run: int) -> str | None:
        """The version of a job's code as it is now; None as in `of`.

        Raises:
            JobError: there is no such job, or its file can't be read.
        """
        reading, wait_s = self._readings.get(job), 0.0
        if reading is None or reading.old or (reading.version.done() and reading.read_for < run):
            reading, wait_s = self._begin(job, run), WAIT_S
        if not wait([reading.version], wait_s).done:
            return None
        try:
            version = reading.version.result()
        except OSError as error:
            del self._readings[job]
            raise JobError(f"{job}: {error.strerror or error}") from error
        except JobError:
            del self._readings[job]
            raise
        del self._readings[job]
        _, read_for, _ = self._known.get(job, (0.0, run, ""))
        self._known[job] = (time.monotonic(), max(reading.read_for, read_for), version)
        return version if reading.read_for >= run else self.fresh(job, run)

    def when_read(self, job: str, told: Callable[[], None]) -> None:
        """Call `told` in a thread when the running reading ends; at once if it has ended."""
        reading = self._readings.get(job)
        if reading is not None:
            reading.version.add_done_callback(lambda _: told())

    def forget(self, job: str) -> None:
        """Have the next `of` read the files again."""
        self._known.pop(job, None)
        self._readings.pop(job, None)

    def _begin(self, job: str, run: int) -> Reading:
        reading = self._readings[job] = Reading(run)
        act = (reading, job)
        try:
            threading.Thread(target=self._fill, args=act, daemon=True).start()
        except RuntimeError:  # no room for a thread
            self._fill(*act)
        return reading

    def _fill(self, reading: Reading, job: str) -> None:
        try:
            version = self._read(job, self._folder)
        except BaseException as error:
            reading.done_at = time.monotonic()
            reading.version.set_exception(error)
        else:
            reading.done_at = time.monotonic()
            reading.version.set_result(version)
