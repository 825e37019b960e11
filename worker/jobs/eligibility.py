"""Knows why this worker can't run a job: no file, another version, or a setup that fails or kills.

This module owns which troubles are remembered. A refused lease goes back with a line that says why.
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

from .code_folder import CodeFolders, remember
from .disk_versions import DiskVersions
from .job_environments import JobEnvironments

if TYPE_CHECKING:
    from ..supervisor.slots.lease import OpenLease

LOADING_DEATHS = 3
"""A job whose import or setup kills this many slots in a row can't run here."""

KEPT = 256
"""How many jobs and versions with troubles are remembered."""

UNFIT_S = 60.0
"""How long the same code is not tried again after a failed import or `setup()`."""


class Eligibility:
    """Says whether this worker can run a lease.

    Args:
        folder: this worker's own folder of jobs.
        fetched: code from the master; None: only the own folder is used.
        on_read: is called when files are read that were not read in time, and when an environment
            is there, or can't be made.
        environments: those of jobs; None: they are not looked for.
    """

    def __init__(
        self,
        folder: Path,
        fetched: CodeFolders | None = None,
        on_read: Callable[[], None] = lambda: None,
        environments: JobEnvironments | None = None,
    ) -> None:
        self._environments = environments
        self.versions = DiskVersions(folder)
        self._on_read = on_read
        self._awaited: set[str] = set()
        self._fetched = fetched
        self._folder = folder
        self._unfit: dict[str, tuple[str, float, str]] = {}
        self._deaths: Counter[tuple[str, str]] = Counter()

    def check(self, lease: OpenLease) -> bool:
        """Note in the lease which version of its job's code is here, and where.

        Returns:
            Whether the code and its environment are here. False: they are on their way.

        Raises:
            JobError: this worker can't run the lease. The line says why.
        """
        if not self._find(lease):
            return False
        given = lease.given
        version, until, why = self._unfit.get(given.job, ("", 0.0, ""))
        if version == lease.version and time.monotonic() < until:
            raise JobError(why)
        if self._environments is None:
            return True
        where = given.job, lease.version, lease.folder
        found = self._environments.of(*where, self._on_read)
        lease.environment = found or ""
        return found is not None

    def _find(self, lease: OpenLease) -> bool:
        given = lease.given
        lease.folder = ""
        fetched = self._fetched.present(given.version) if self._fetched is not None else None
        if fetched is not None:  # no look at the disk, which has no file for most of these
            lease.version, lease.folder = given.version, str(fetched)
            return True
        if self._fetched is not None and self._fetched.is_coming(given.version):
            return False  # each look reads all jobs of the folder, to say which there are
        try:
            version = self.versions.of(given.job, given.run, given.version)
            if version and given.version not in ("", version):
                version = self.versions.fresh(given.job, given.run)
            if version is None:
                self._tell_when_read(given.job)
                return False
            lease.version = version
        except JobError as error:
            if self._fetched is None:
                why = "WORKER_JOBS=local takes no code from elsewhere"
                raise JobError(f"{error}; {why}" if given.version else str(error)) from None
            if not given.version:
                raise
            lease.version = ""
        if given.version in ("", lease.version):
            return True
        if self._fetched is None:
            raise JobError(self._other_version(given.job, lease.version, given.version))
        folder = self._fetched.folder(given.job, given.version)
        lease.version, lease.folder = given.version, str(folder or "")
        return folder is not None

    def _tell_when_read(self, job: str) -> None:
        if job not in self._awaited:
            self._awaited.add(job)
            loop = asyncio.get_running_loop()
            self.versions.when_read(job, lambda: _soon(loop, self._read, job))

    def _read(self, job: str) -> None:
        self._awaited.discard(job)
        self._on_read()

    def _other_version(self, job: str, here: str, there: str) -> str:
        return (
            f"its {self._folder.name}/{job}.py is another version (here {here[:8]}, the master "
            f"has {there[:8]}): bring the same {self._folder.name}/ to both"
        )

    def failed(self, lease: OpenLease, why: str) -> None:
        """Note that import or `setup()` has raised."""
        unfit = (lease.version, time.monotonic() + UNFIT_S, why)
        remember(self._unfit, lease.given.job, unfit, KEPT)
        if self._environments is not None:
            self._environments.forget(lease.given.job, lease.version)

    def killed(self, lease: OpenLease, cause: str) -> str:
        """Note that import or `setup()` has killed a slot. Returns a reason after too many."""
        key = (lease.given.job, lease.version)
        remember(self._deaths, key, self._deaths[key] + 1, KEPT)
        if self._deaths[key] < LOADING_DEATHS:
            return ""
        return f"{lease.given.job}: import or setup() killed its slot: {cause}"

    def works(self, job: str, version: str) -> None:
        """Note that a slot has run this code."""
        self._deaths.pop((job, version), None)


def _soon(loop: asyncio.AbstractEventLoop, act: Callable[[str], None], job: str) -> None:
    with contextlib.suppress(RuntimeError):  # the worker has ended before its disk
        loop.call_soon_threadsafe(act, job)
