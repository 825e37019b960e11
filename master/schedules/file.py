"""The file schedules.toml beside the jobs: a clone of a project has its schedules with it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

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


_Entries = Annotated[dict[str, _Entry], Meta(max_length=SCHEDULES)]


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
        with path.open("rb") as file:
            return Seen(_stamp(os.fstat(file.fileno())), file.read(_BYTES + 1))
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
        entries = msgspec.convert(tomllib.loads(seen.text.decode("utf-8")), _Entries)
        return [_spec(name, entry) for name, entry in entries.items()]
    except (RefusedError, UnicodeError, ValueError, RecursionError) as error:
        raise RefusedError(f"{path}: {printable(_plain(error), 500)}") from None


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    return found.st_mtime_ns, found.st_size, found.st_ino


def _spec(name: str, entry: _Entry) -> ScheduleSpec:
    try:
        args = split_arguments(entry.args) if isinstance(entry.args, str) else entry.args
        fields = (entry.job, args, entry.zone, entry.missed, entry.overlap)
        spec = ScheduleSpec(name, entry.cron, *fields)
        check(spec)
    except (RefusedError, ArgumentError) as error:
        raise RefusedError(f"[{name}]: {error}") from None
    return spec


def _plain(error: Exception) -> str:
    """The error without the words of msgspec for places."""
    return str(error).replace("Object", "a table").replace(" - at `$", ", in `")
