"""What a copy in a folder is made of, and how it is read: its file, and the logs behind that."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import BinaryIO

from .records import COMMIT, WRITE, Commit, CopyError, commit_of, parts

_READ_BYTES = 8 * 1024 * 1024


def newest(folder: Path) -> int:
    """The number of the copy that counts; 0: there is none."""
    numbers = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
    return max(numbers, default=0)


def read_copy(folder: Path, output: BinaryIO) -> Commit:
    """Write the store that a copy is into a file that is empty. Returns its last commit.

    Raises:
        CopyError: there is no copy, it is being written, or it is damaged.
    """
    last = None
    try:
        number = newest(folder)
        if not number:
            raise CopyError(f"{folder} has no whole copy")
        with locked(folder, "rb"):
            place = folder / str(newest(folder))
            with open(place / "base", "rb") as base:
                shutil.copyfileobj(base, output, _READ_BYTES)
            for path in logs_of(place):
                with open(path, "rb") as log:
                    last = apply(log, output) or last
    except OSError as error:
        raise CopyError(f"can't read the copy in {folder}: {error}") from error
    if last is None:
        raise CopyError(f"the copy in {folder} is damaged: its log has no commit")
    return last


def apply(log: BinaryIO, base: BinaryIO) -> Commit | None:
    """Write the whole commits of a log into the file. Returns the last of them."""
    good, last = whole_commits(log)
    log.seek(0)
    number = base.fileno()
    base.flush()
    while log.tell() < good:
        part = next(parts(log))
        if part.kind == WRITE:
            os.pwrite(number, part.body, part.offset)
        elif part.kind == COMMIT:
            os.ftruncate(number, commit_of(part).size_bytes)
    return last


def whole_commits(log: BinaryIO) -> tuple[int, Commit | None]:
    """Where the last whole commit of a log ends, and that commit."""
    good, last = 0, None
    log.seek(0)
    for part in parts(log):
        if part.kind == COMMIT:
            good, last = log.tell(), commit_of(part)
    return good, last


def logs_of(place: Path) -> list[Path]:
    return sorted(place.glob("log-*"), key=number_of)


def number_of(path: Path) -> int:
    return int(path.name.removeprefix("log-"))


def locked(folder: Path, mode: str = "ab") -> BinaryIO:
    """The lock of a copy, held until it is closed."""
    path = folder / "lock"
    lock: BinaryIO = open(path, mode, opener=private)  # type: ignore[assignment]  # noqa: SIM115
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise CopyError(f"another process writes the copy in {folder}: stop it first") from error
    return lock


def private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
