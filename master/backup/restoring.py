"""A copy becomes the store of a master at rest; the store that was there is kept beside it."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from queue_manager.errors import InputError, StoreError

from ..store.sqlite.schema.file import lock, open_database
from .checking import Checked, check_file
from .copied import private, read_copy, sync
from .records import Commit
from .source import FILE

_LEAP = 2**32
LEAPS = {
    "next_run": ("SELECT COALESCE(MAX(id), 0) + 1 FROM runs", 1_000),
    "next_block": ("SELECT COALESCE(MAX(id), 0) + 1 FROM blocks", _LEAP),
    "next_seq": ("SELECT COALESCE(MAX(seq), 0) + 1 FROM outcomes", _LEAP),
    "epoch": ("SELECT 1", 1_000),
}
"""By name, what a number is at least, and by how much it grows: what the lost master gave out after
the copy is never given twice. So no outcome of a lost task is taken for one of another task, and no
reader of results misses one."""


@dataclass(frozen=True)
class Restored:
    """A store from a copy. kept: where the store that was there is now; None: there was none.

    commit: of a followed copy, the last one that it has.
    """

    checked: Checked
    kept: Path | None
    commit: Commit | None


def restore(folder: Path, source: Path | BinaryIO) -> Restored:
    """Make a backup the store of the folder. source: a file, a followed copy, or a stream.

    Raises:
        StoreBusyError: a master has the folder.
        StoreError: the backup is damaged, or the folder can't be written.
        InputError: the backup can't be read.
        CopyError: the followed copy can't be read.
    """
    part = folder / f".{FILE}.restored"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with lock(folder), contextlib.ExitStack() as stack:
            stack.callback(part.unlink, missing_ok=True)
            with open(part, "wb", opener=private) as output:
                commit = _read(source, output)
                output.flush()
                os.fsync(output.fileno())
            checked = check_file(part)
            _leap(part)
            kept = put_aside(folder)
            part.replace(folder / FILE)
            sync(folder)
    except OSError as error:
        raise StoreError(f"can't restore into {folder}: {error}") from error
    return Restored(checked, kept, commit)


def _read(source: Path | BinaryIO, output: BinaryIO) -> Commit | None:
    if not isinstance(source, Path):
        shutil.copyfileobj(source, output, 1024 * 1024)
        return None
    if source.is_dir():
        return read_copy(source, output)
    try:
        with open(source, "rb") as file:
            shutil.copyfileobj(file, output, 1024 * 1024)
    except FileNotFoundError as error:
        raise InputError(f"there is no {source}") from error
    return None


def _leap(path: Path) -> None:
    """Make all numbers greater that are never to be given twice."""
    with contextlib.closing(open_database(path)) as db:  # one of an older release becomes new here
        db.execute("BEGIN IMMEDIATE")
        for name, (highest, leap) in LEAPS.items():
            query = f"SELECT MAX(({highest}), (SELECT TOTAL(value) FROM meta WHERE name = ?)) + ?"
            (number,) = db.execute(query, (name, leap)).fetchone()
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, int(number)))
        db.execute("COMMIT")


def put_aside(folder: Path, what: str = "before-restore") -> Path | None:
    """Move the store that is in the folder, with its log, into a folder of its own."""
    if not (folder / FILE).exists():
        return None
    kept = named = folder / f"{what}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    for number in itertools.count(2):
        if not kept.exists():
            break
        kept = named.with_name(f"{named.name}-{number}")
    kept.mkdir(mode=0o700)
    for end in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            (folder / f"{FILE}{end}").replace(kept / f"{FILE}{end}")
    (folder / f"{FILE}-shm").unlink(missing_ok=True)
    return kept
