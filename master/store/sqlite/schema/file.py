"""Opens the file of the embedded store for one master, and gives it its schema."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from importlib import resources
from pathlib import Path
from typing import IO

from queue_manager.errors import StoreBusyError, StoreError

from ....changes import QUEUE_RUN, RunRecord
from ...relational.tables import RUNS
from .migration import can_migrate, give_space_back, migrate
from .rows import insert

SCHEMA_VERSION = 13
CHECKPOINT_PAGES = 4_000
"""So many pages of the log (WAL) are moved into the file at once. That takes 0.02 s, or 0.2 s on a
busy disk."""

SOON_PAGES = 1_000
"""The same behind commits that change very many pages, one after the other."""


def lock(folder: Path) -> IO[str]:
    """Hold the folder for this process. The kernel lets go of it however the process ends."""
    lock = open(folder / "lock", "a+")  # noqa: SIM115 - held as long as the store
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        holder = lock.read().strip() or "another process"
        lock.close()
        raise StoreBusyError(f"{folder} is in use by {holder}") from error
    lock.seek(0)
    lock.truncate()
    lock.write(f"the master with process id {os.getpid()}")
    lock.flush()
    return lock


def open_database(path: Path) -> sqlite3.Connection:
    """Open the file; make it, or bring it to this release's schema, if need be.

    Raises:
        OSError: the file can't be made or opened.
    """
    # Nobody else may read payloads. SQLite gives its other files the mode of this one.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, isolation_level=None, cached_statements=256)
    try:
        _prepare(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    # This comes before the first page is written. A later change takes a VACUUM.
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    db.execute("PRAGMA temp_store = MEMORY")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        _create(db)
    elif can_migrate(version):
        migrate(db, path, version, read_schema(), SCHEMA_VERSION)
    elif version != SCHEMA_VERSION:
        raise StoreError(
            f"{path} has schema {version}, this release knows {SCHEMA_VERSION}:"
            " use the release that wrote it"
        )
    give_space_back(db, path)


def read_schema() -> str:
    """The tables and indexes of a new file."""
    return resources.files(__package__).joinpath("schema.sql").read_text("utf-8")


def _create(db: sqlite3.Connection) -> None:
    db.executescript(f"BEGIN IMMEDIATE; {read_schema()}")
    queue_run = RUNS.row(RunRecord(QUEUE_RUN, "", []))
    insert(db, f"INSERT INTO runs ({RUNS.columns})", [queue_run])
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    db.execute("COMMIT")
