"""A store that is written here, and copies of it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from master.backup.copied import read_copy
from master.changes import BlockRecord, Changes, RunRecord
from master.store.sqlite.engine import SqliteStore


class Written:
    """A store in a folder, which a test writes commit by commit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = SqliteStore(folder)
        self.blocks = 0
        self.commit(runs={1: RunRecord(1, "square", [])})

    @property
    def db(self) -> sqlite3.Connection:
        return self.store._db

    def commit(self, count: int = 0, size: int = 100, **changes: Any) -> None:
        """Commit so many new blocks of this size, and what else is given."""
        first = self.blocks + 1
        self.blocks += count
        numbers = range(first, self.blocks + 1)
        blocks = [BlockRecord(n, 1, n, 1, os.urandom(size)) for n in numbers]
        self.store.commit(Changes(blocks=blocks, **changes))

    def checkpoint(self) -> None:
        """Move the log into the file: the next commit begins it again."""
        assert self.db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[0] == 0

    def rows(self) -> list[str]:
        return list(self.db.iterdump())


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    made = Written(tmp_path / "data")
    yield made
    made.store.close()


def rows_of(path: Path) -> list[str]:
    """All that is in a store's file, whose log is beside it."""
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return list(db.iterdump())


def rows_of_copy(folder: Path, path: Path) -> list[str]:
    """All that is in a followed copy, as it is read into a file."""
    path.unlink(missing_ok=True)
    with path.open("wb") as output:
        read_copy(folder, output)
    return rows_of(path)
