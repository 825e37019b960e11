"""The file schedules.toml beside the jobs: a clone of a project has its schedules with it."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from queue_manager.errors import ArgumentError, RefusedError
from queue_manager.job.arguments import split_arguments
from queue_manager.wire.limits import SCHEDULES, printable
from queue_manager.wire.records import Name
from queue_manager.wire.schedules import Missed, Overlap, ScheduleSpec

from .naming import check

_BYTES = 8 * 1024 * 1024
_GONE = (FileNotFoundError, NotADirectoryError)


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    """One table of the file. args: a list, or one text that is split as a shell does."""

    cron: Name
    job: Name
    args: str | list[str] = []
    zone: Name = "UTC"
    missed: Missed = "last"
    overlap: Overlap = "skip"


class Seen(NamedTuple):
    """A file as one look has found it; empty if there is none. stamp: as of `stamp_of`."""

    stamp: tuple[int, ...] = ()
    text: bytes = b""


def stamp_of(path: Path) -> tuple[int, ...]:
    """What is another one when the file has changed; empty if there is none.

    Raises OSError when it can't be looked at.
    """
    try:
        return _stamp(path.stat())
    except _GONE:
        return ()


def look_at(path: Path) -> Seen:
    """Read the file; its stamp is that of what was read. Raises OSError when it can't be read."""
    try:
        with open(path, "rb", opener=_open) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "it is no regular file")
            return Seen(_stamp(found), file.read(_BYTES + 1))
    except _GONE:
        return Seen()


def schedules_in(seen: Seen, path: Path) -> list[ScheduleSpec]:
    """The schedules of a file; none if there is no file.

    Raises RefusedError: one line that says what is wrong. Then none of it counts.
    """
    import tomllib

    try:
        if len(seen.text) > _BYTES:
            raise RefusedError(f"it has more than {_BYTES:,} bytes")
        entries = tomllib.loads(seen.text.decode("utf-8"))
        if len(entries) > SCHEDULES:
            raise RefusedError(f"it has more than {SCHEDULES:,} schedules")
        return [_spec(name, entry) for name, entry in entries.items()]
    except (RefusedError, UnicodeError, ValueError, RecursionError) as error:
        raise RefusedError(f"{path}: {printable(str(error), 500)}") from None


def _open(path: str, flags: int) -> int:
    """Open a file. A pipe of its name is not waited for until somebody writes into it."""
    return os.open(path, flags | os.O_NONBLOCK)


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    return found.st_mtime_ns, found.st_size, found.st_ino


def _spec(name: str, entry: Any) -> ScheduleSpec:
    if not isinstance(entry, dict):
        raise RefusedError(f"{name} is in no table: a schedule is one, such as [nightly]")
    try:
        read = msgspec.convert(entry, _Entry)
        args = split_arguments(read.args) if isinstance(read.args, str) else read.args
        fields = (read.job, args, read.zone, read.missed, read.overlap)
        spec = ScheduleSpec(name, read.cron, *fields)
        check(spec)
    except (RefusedError, ArgumentError, ValueError) as error:
        raise RefusedError(f"[{name}]: {_plain(error)}") from None
    return spec


def _plain(error: Exception) -> str:
    """The error without the words of msgspec for tables and places."""
    text = str(error).replace("Object missing required field", "it has no")
    text = text.replace("Object contains unknown field", "there is no field")
    return text.replace(" - at `$.", ", in `")
