"""Code of jobs from the master, for versions that this worker's own folder lacks.

This module owns a folder for each version, and when a version is asked for. A version is the hash
of its files, so the files that come are checked by it. This module does not know how code travels.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from queue_manager.environments.locks import never, take
from queue_manager.errors import JobError
from queue_manager.job.files import check_files, version_of

ASK_AGAIN_S = 5.0
REFUSED_S = 60.0

KEPT = 32
"""How many unused versions stay on this disk, because people often go back to one."""

KEPT_REFUSALS = 256
"""How many refusals are remembered. A version whose refusal is forgotten is asked for again."""

_PREFIX, _LOCK = "quartermaster-code-", "lock"

_VERSION = re.compile("[0-9a-f]{64}")
"""A SHA-256 in hex. A version becomes the name of a folder, so nothing else is accepted."""


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def remember(kept: dict[_Key, _Value], key: _Key, value: _Value, limit: int) -> None:
    """Add a value as the newest of at most `limit`. The oldest is forgotten."""
    kept.pop(key, None)
    kept[key] = value
    while len(kept) > limit:
        del kept[next(iter(kept))]


class CodeFolders:
    """The versions that were fetched.

    Args:
        ask: asks the master for the files of a version of a job. Later `came` or `refused` is
            called. It raises JobError if code must not travel on this connection.

    in_use: returns the folders that slots and waiting leases use.
    """

    def __init__(self, ask: Callable[[str, str], None]) -> None:
        self._ask = ask
        self.in_use: Callable[[], set[str]] = set
        self._root: Path | None = None
        self._lock: int | None = None
        self._folders: dict[str, Path] = {}
        self._asked: dict[str, float] = {}
        self._refused: dict[str, tuple[float, str]] = {}

    def folder(self, job: str, version: str) -> Path | None:
        """The folder of jobs with that version; None while it is on its way.

        Raises:
            JobError: the version does not come. The line says why.
        """
        now = time.monotonic()
        if not _VERSION.fullmatch(version):
            raise JobError(f"the master names a version that is none: {version[:80]!r}")
        if (present := self.present(version)) is not None:
            return present
        until, why = self._refused.get(version, (0.0, ""))
        if now < until:
            raise JobError(why)
        if not self.is_coming(version):
            self._ask(job, version)
            self._asked[version] = now
        return None

    def is_coming(self, version: str) -> bool:
        """Whether a version was asked for a moment ago."""
        return time.monotonic() - self._asked.get(version, -ASK_AGAIN_S) < ASK_AGAIN_S

    def present(self, version: str) -> Path | None:
        """The folder of a version that has come."""
        if version in self._folders:
            self._folders[version] = self._folders.pop(version)  # used last
        return self._folders.get(version)

    def came(self, job: str, version: str, files: Mapping[str, bytes]) -> None:
        """Take the files of a version, by their paths below the folder of jobs."""
        self._asked.pop(version, None)
        if version in self._folders:
            return
        try:
            _check(job, version, files)
            self._make_room()
            self._folders[version] = self._store(version, files)
        except (JobError, OSError, ValueError) as error:
            self.refused(version, f"its code from the master can't be used: {error}")

    def _make_room(self) -> None:
        """Delete unused versions, the longest unused first, until `KEPT` are left."""
        used = self.in_use()
        idle = [version for version, folder in self._folders.items() if str(folder) not in used]
        for version in idle[: max(0, len(idle) - KEPT + 1)]:
            shutil.rmtree(self._folders.pop(version).parent, ignore_errors=True)

    def _store(self, version: str, files: Mapping[str, bytes]) -> Path:
        """Write checked files. If they can't be used, delete all of them."""
        if self._root is None:
            _sweep()
            self._root = Path(tempfile.mkdtemp(prefix=_PREFIX))
            self._lock = take(self._root / _LOCK, wait=never)
        folder = self._root / version / "jobs"
        try:
            _write(folder, files)
            there = {name: (folder / name).read_bytes() for name in files}
            if version_of(there) != version:  # such as where names may differ in case alone
                raise JobError("its files do not fit on this disk together")
        except (JobError, OSError, ValueError):
            shutil.rmtree(self._root / version, ignore_errors=True)
            raise
        return folder

    def refused(self, version: str, why: str) -> None:
        """Note that a version does not come."""
        self._asked.pop(version, None)
        remember(self._refused, version, (time.monotonic() + REFUSED_S, why), KEPT_REFUSALS)

    def forget_asked(self) -> None:
        """Forget all requests and refusals, because another connection begins."""
        self._asked.clear()
        self._refused.clear()

    def close(self) -> None:
        """Delete all folders at the worker's end."""
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _sweep() -> None:
    """Delete the folders of workers that were killed: nobody has the lock of one any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # such as one that is gone by now
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                continue
            if not (folder / _LOCK).exists():  # it is just being made
                continue
            lock = take(folder / _LOCK, wait=never)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _check(job: str, version: str, files: Mapping[str, bytes]) -> None:
    """Check the files in memory, before any of their names becomes a path.

    Raises:
        JobError: the files have another version, or are none of a job.
    """
    check_files(job, files)
    if not _VERSION.fullmatch(version) or version_of(files) != version:
        raise JobError("the master sent other code than it named")


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, source in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(source)
