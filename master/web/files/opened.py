"""Files and folders below one folder, opened so that no link leads out of it.

Other users may write to that folder as well, so what a path means may change at any moment. Each
part is opened in the folder that was opened before it, and none may be a link.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from queue_manager.terminal import is_text

_PARTS = 32
"""No path has more parts."""

_LOOKED_AT = 5_000
"""How many entries of a folder are looked at. A folder may have millions."""

SHOWN = 500
"""How many entries of a folder are shown."""

_ANY = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class NoFileError(Exception):
    """There is no such file, or nobody may have it."""


class Entry(NamedTuple):
    """An entry of a folder. at: when it was changed, UTC epoch in seconds."""

    name: str
    folder: bool
    size_bytes: int
    at: float


class Listed(NamedTuple):
    """Entries of a folder: files first, by name. more: there are others."""

    entries: list[Entry]
    more: bool


def parts_of(path: str) -> list[str]:
    """The parts of a path below the folder.

    Raises NoFileError for a path with a part that could lead out of it, or that is hidden.
    """
    parts = [part for part in path.split("/") if part]
    if len(parts) > _PARTS or any(part.startswith(".") or "\0" in part for part in parts):
        raise NoFileError
    return parts


@contextlib.contextmanager
def opened(root: Path, parts: Sequence[str]) -> Iterator[tuple[int, os.stat_result]]:
    """Open what a path names, for as long as the block lasts. Gives the descriptor and its status.

    root: the folder, which may be a link itself. Nothing waits: neither for a pipe nor a device.

    Raises NoFileError if it is neither a file nor a folder, or can't be opened.
    """
    descriptor = _open(root, parts)
    try:
        status = os.fstat(descriptor)
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise NoFileError
        yield descriptor, status
    finally:
        os.close(descriptor)


def _open(root: Path, parts: Sequence[str]) -> int:
    try:
        at = os.open(root, _FOLDER)
    except (OSError, ValueError):
        raise NoFileError from None
    for part in parts:
        try:
            below = os.open(part, _ANY, dir_fd=at)
        except (OSError, ValueError):  # such as a link, or a part of what is no folder
            raise NoFileError from None
        finally:
            os.close(at)
        at = below
    return at


def listed(root: Path, parts: Sequence[str], most: int = SHOWN) -> Listed:
    """The files and folders of a folder, without hidden ones, links, pipes and devices.

    Raises NoFileError if it is no folder.
    """
    with opened(root, parts) as (descriptor, status):
        if not stat.S_ISDIR(status.st_mode):
            raise NoFileError
        try:
            with os.scandir(descriptor) as found:
                seen = list(itertools.islice(found, _LOOKED_AT + 1))
                entries = sorted(_entries(seen[:_LOOKED_AT]), key=lambda e: (e.folder, e.name))
        except OSError:
            raise NoFileError from None
    return Listed(entries[:most], len(entries) > most or len(seen) > _LOOKED_AT)


def _entries(found: list[os.DirEntry[str]]) -> Iterator[Entry]:
    for one in found:
        if one.name.startswith(".") or not is_text(one.name):
            continue
        with contextlib.suppress(OSError):  # it has gone meanwhile
            status = one.stat(follow_symlinks=False)
            folder = stat.S_ISDIR(status.st_mode)
            if folder or stat.S_ISREG(status.st_mode):
                size_bytes = 0 if folder else status.st_size
                yield Entry(one.name, folder, size_bytes, status.st_mtime)
