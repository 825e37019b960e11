"""The file schedules.toml beside the jobs: a clone of a project has its schedules with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from queue_manager.errors import ArgumentError, RefusedError
from queue_manager.job.arguments import split_arguments
from queue_manager.wire.limits import SCHEDULES, printable
from queue_manager.wire.records import Name
from queue_manager.wire.schedules import Missed, Overlap, ScheduleSpec

from .naming import check

_BYTES = 8 * 1024 * 1024


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    """One table of the file. args: a list, or one text that is split as a shell does."""

    cron: Name
    job: Name
    args: str | list[str] = []
    zone: Name = "UTC"
    missed: Missed = "last"
    overlap: Overlap = "skip"


_Entries = Annotated[dict[str, _Entry], Meta(max_length=SCHEDULES)]


def stamp_of(path: Path) -> tuple[int, ...]:
    """What is another one when the file has changed; empty if there is none.

    Raises OSError when it can't be looked at.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


def read_file(path: Path) -> list[ScheduleSpec]:
    """The schedules of a file; none if there is no file.

    Raises RefusedError: one line that says what is wrong. Then none of it counts.
    """
    import tomllib

    try:
        with path.open("rb") as file:
            text = file.read(_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise RefusedError(f"can't read {path}: {error.strerror or error}") from error
    try:
        if len(text) > _BYTES:
            raise RefusedError(f"it has more than {_BYTES:,} bytes")
        entries = msgspec.convert(tomllib.loads(text.decode("utf-8")), _Entries)
        return [_spec(name, entry) for name, entry in entries.items()]
    except (RefusedError, UnicodeError, ValueError, RecursionError) as error:
        raise RefusedError(f"{path}: {printable(_plain(error), 500)}") from None


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
