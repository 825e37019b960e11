"""Looks at a store's file that nobody writes: whether it is whole, and how much is in it."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from queue_manager.errors import StoreError
from queue_manager.sizes import size_text

from ..store.sqlite.schema.file import SCHEMA_VERSION
from ..store.sqlite.schema.migration import can_migrate

_COUNT = (
    "SELECT COUNT(*), TOTAL(tasks), TOTAL(done), TOTAL(dead) FROM runs"
    " WHERE state != 'pruned' AND (id > 0 OR tasks > 0)"
)


@dataclass(frozen=True)
class Checked:
    """A store's file that is whole."""

    size_bytes: int
    runs: int
    tasks: int
    done: int
    dead: int
    took_s: float

    @property
    def text(self) -> str:
        """What is in it, for people."""
        return (
            f"{size_text(self.size_bytes)}, {_count(self.runs, 'run')},"
            f" {_count(self.tasks, 'task')}, {self.done:,} done,"
            f" {_count(self.dead, 'dead letter')}; checked in {self.took_s:.1f} s"
        )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def check_file(path: Path) -> Checked:
    """Have SQLite check a file, and count what is in it. Nothing beside it is read or made.

    Raises:
        StoreError: it is damaged, no store, or of a release that this one does not know.
    """
    began = time.monotonic()
    place = f"file:{quote(str(path))}?mode=ro&immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(place, uri=True)) as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            _check_version(path, version)
            (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise StoreError(f"{path} is damaged: {found}")
            runs, *counts = db.execute(_COUNT).fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"{path} is damaged, or no store: {error}") from error
    tasks, done, dead = map(int, counts)
    took_s = time.monotonic() - began
    return Checked(path.stat().st_size, runs, tasks, done, dead, took_s)


def _check_version(path: Path, version: int) -> None:
    if version == 0:
        raise StoreError(f"{path} is no store of a master")
    if version != SCHEMA_VERSION and not can_migrate(version):
        raise StoreError(
            f"{path} has schema {version}, this release knows {SCHEMA_VERSION}:"
            " use the release that wrote it"
        )
