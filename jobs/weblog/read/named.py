"""Which files the patterns of a run name, and in one line why they name none."""

from __future__ import annotations

import glob
import os
import time
from pathlib import Path

from .packed import HEAD_BYTES, CutOffError, PackedError, packed_by, reader

_MOST_FILES = 4000
_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zstd")
_COMPARED_BYTES = 512
_FRESH_S = 60.0


class NoFilesError(ValueError):
    """There is nothing to read. One line."""


class UnfinishedError(Exception):
    """A file is being packed: soon there is one file of these two. One line."""


def files_of(patterns: list[str]) -> list[Path]:
    """The files that patterns name, each once, whatever links lead to it.

    Raises:
        NoFilesError: there is none, or there are too many.
        UnfinishedError: one of them is being packed.
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
    return _without_twins(sorted(files.values()))


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


def _without_twins(paths: list[Path]) -> list[Path]:
    """Files without those that are packed copies of others: each line counts once.

    While a file is packed, it and what is packed of it are both there.
    """
    names = set(paths)
    packed = {
        path
        for path in paths
        if path.suffix in _SUFFIXES and path.with_suffix("") in names and _is_copy(path)
    }
    for path in packed:
        if is_fresh(path):
            raise UnfinishedError(f"{path} is being packed: the file that it is made of is there")
    return [path for path in paths if path not in packed]


def _is_copy(path: Path) -> bool:
    """Whether a packed file begins as the file beside it does, as far as it is there."""
    with path.with_suffix("").open("rb") as plain, path.open("rb") as file:
        expected = plain.read(_COMPARED_BYTES)
        name = packed_by(file.read(HEAD_BYTES))
        file.seek(0)
        try:
            begin = reader(file, name)(len(expected)) if name else file.read(1)
        except CutOffError:
            return True
        except PackedError:
            return False
    return bool(expected) and expected == begin if name else not begin


def is_fresh(path: Path) -> bool:
    """Whether a file was written to so lately that it may be unfinished."""
    return time.time() - path.stat().st_mtime < _FRESH_S
