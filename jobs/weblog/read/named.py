"""Which files the patterns of a run name, and in one line why they name none."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from .twins import without_twins

_MOST_FILES = 4000


class NoFilesError(ValueError):
    """There is nothing to read. One line."""


def files_of(patterns: list[str]) -> list[Path]:
    """The files that patterns name, each once, whatever links lead to it.

    Raises:
        NoFilesError: there is none, or there are too many.
        UnfinishedError: one of them is being packed or unpacked.
    """
    files: dict[tuple[int, int], Path] = {}
    for pattern in patterns:
        matches = sorted(glob.glob(pattern, recursive=True)) or [pattern]
        there = [Path(match) for match in matches if os.path.isfile(match)]
        if not there:
            raise NoFilesError(_why_none(pattern, matches))
        for path in there:
            status = path.stat()
            files.setdefault((status.st_dev, status.st_ino), Path(os.path.realpath(path)))
    for path in files.values():
        if (shown := os.fsencode(path).decode("utf-8", "backslashreplace")) != str(path):
            raise NoFilesError(f"the name of {shown} is no UTF-8: rename the file or its folder")
    if len(files) > _MOST_FILES:
        raise NoFilesError(f"{len(files):,} files: one run takes {_MOST_FILES:,}; submit several")
    return without_twins(sorted(files.values()))


def _why_none(pattern: str, matches: list[str]) -> str:
    here = "on the machine of this worker"
    if any(os.path.isdir(match) for match in matches):
        return f"{pattern} is no file but a folder: {pattern.rstrip('/')}/* is the files in it"
    if any(os.path.exists(match) for match in matches):
        return f"{pattern} is no file but a pipe, a socket or a device {here}"
    folder = Path(pattern).parent
    while glob.has_magic(str(folder)) or not folder.is_dir():
        folder = folder.parent
    if not os.access(folder, os.R_OK | os.X_OK, effective_ids=True):
        return (
            f"the folder {folder} can't be read by the worker's user, whose uid is {os.geteuid()}"
        )
    missing = Path(pattern).parent
    if folder != missing and not glob.has_magic(str(missing)):
        return f"no file matches {pattern} {here}: there is no folder {missing}"
    return f"no file matches {pattern} {here}"
