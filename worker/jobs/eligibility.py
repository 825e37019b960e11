"""Why this worker can't run a job: no file, another version, a setup that fails or kills.

Owns what is remembered of that; a lease that is refused goes back with the line.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from queue_manager.errors import JobError

from .code_folder import FetchedCode, remember
from .disk_versions import Versions

if TYPE_CHECKING:
    from ..supervisor.lease import Held

LOADING_DEATHS = 3
"""A job whose import or setup kills so many slots in a row can't run here."""

KEPT = 256
"""So many jobs, and versions, with a trouble are remembered."""

UNFIT_S = 60.0
"""After a failed import or `setup()` the same code is not tried again for so long."""


class Lacks:
    """What stands in the way of jobs.

    Args:
        folder: of this worker's own jobs.
        fetched: code that comes from the master; None where that is not wanted.
        on_read: called when files are read that were not when they were asked for.
    """

    def __init__(
        self,
        folder: Path,
        fetched: FetchedCode | None = None,
        on_read: Callable[[], None] = lambda: None,
    ) -> None:
        self.versions = Versions(folder)
        self._on_read = on_read
        self._told: set[str] = set()
        self._fetched = fetched
        self._folder = folder
        self._unfit: dict[str, tuple[str, float, str]] = {}
        self._deaths: Counter[tuple[str, str]] = Counter()

    def check(self, held: Held) -> bool:
        """Note which version of its job's code is here, and where. False: it is on its way.

        From the master, or from a disk that is slow.

        Raises:
            JobError: the lease can't be run here; the line is for the person who reads it.
        """
        if not self._find(held):
            return False
        lease = held.lease
        version, until, why = self._unfit.get(lease.job, ("", 0.0, ""))
        if version == held.version and time.monotonic() < until:
            raise JobError(why)
        return True

    def _find(self, held: Held) -> bool:
        lease = held.lease
        held.folder = ""
        try:
            version = self.versions.of(lease.job, lease.run)
            if version and lease.version not in ("", version):
                version = self.versions.fresh(lease.job, lease.run)
            if version is None:
                self._tell_when_read(lease.job)
                return False
            held.version = version
        except JobError:
            if self._fetched is None or not lease.version:
                raise
            held.version = ""
        if lease.version in ("", held.version):
            return True
        if self._fetched is None:
            raise JobError(self._other_version(lease.job, held.version, lease.version))
        folder = self._fetched.folder(lease.job, lease.version)
        held.version, held.folder = lease.version, str(folder or "")
        return folder is not None

    def _tell_when_read(self, job: str) -> None:
        if job not in self._told:
            self._told.add(job)
            loop = asyncio.get_running_loop()
            self.versions.when_read(job, lambda: _soon(loop, self._read, job))

    def _read(self, job: str) -> None:
        self._told.discard(job)
        self._on_read()

    def _other_version(self, job: str, here: str, there: str) -> str:
        return (
            f"its {self._folder.name}/{job}.py is another version (here {here[:8]}, the master "
            f"has {there[:8]}): bring the same {self._folder.name}/ to both"
        )

    def failed(self, held: Held, why: str) -> None:
        """Import or `setup()` has raised."""
        unfit = (held.version, time.monotonic() + UNFIT_S, why)
        remember(self._unfit, held.lease.job, unfit, KEPT)

    def killed(self, held: Held, cause: str) -> str:
        """Import or `setup()` has killed its slot; why no more is tried, if that is enough."""
        key = (held.lease.job, held.version)
        remember(self._deaths, key, self._deaths[key] + 1, KEPT)
        if self._deaths[key] < LOADING_DEATHS:
            return ""
        return f"{held.lease.job}: import or setup() killed its slot: {cause}"

    def works(self, job: str, version: str) -> None:
        """A slot has run this code."""
        self._deaths.pop((job, version), None)


def _soon(loop: asyncio.AbstractEventLoop, act: Callable[[str], None], job: str) -> None:
    with contextlib.suppress(RuntimeError):  # the worker has ended before its disk
        loop.call_soon_threadsafe(act, job)
