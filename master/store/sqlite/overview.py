"""The verbs for who looks on: history, failures, runs by a text, tasks by state, tries."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path

from queue_manager.errors import StoreError

from ...failures import FailurePage, GroupsSought, NewestPage, NewestSought
from ...history import HistoryRecord
from ...reads import RunPage, RunsEnded, RunsSought, StoreSize
from ...task_lists import TasksFound, TasksSought
from ...tries import TryRecord
from . import counting, failures, history
from .guard import reads
from .read import finding, letters, listing, tries


class Overview:
    """A part of `SqliteStore`, which has the connection and its transactions."""

    _db: sqlite3.Connection
    _path: Path

    def _transaction(self) -> AbstractContextManager[None]:
        raise NotImplementedError

    @reads
    def read_history(
        self, run: int, since_at: float, until_at: float, step_s: int
    ) -> list[HistoryRecord]:
        return history.read_history(self._db, run, since_at, until_at, step_s)

    @reads
    def find_ended(self, sought: RunsSought) -> RunPage:
        return finding.find_ended(self._db, sought)

    @reads
    def find_tasks(self, sought: TasksSought) -> TasksFound:
        return listing.find_tasks(self._db, sought)

    @reads
    def find_groups(self, sought: GroupsSought) -> FailurePage:
        return failures.find_groups(self._db, sought)

    @reads
    def find_letters(self, sought: NewestSought) -> NewestPage:
        return letters.find_letters(self._db, sought)

    @reads
    def read_tries(self, run: int, task: int) -> list[TryRecord]:
        return tries.read_tries(self._db, run, task)

    @reads
    def last_minute(self) -> float:
        return history.last_minute(self._db)

    def prune_history(self, minutes_by: float, all_by: float, rows: int) -> bool:
        with self._transaction():
            return history.prune_history(self._db, minutes_by, all_by, rows)

    @reads
    def accepted_marks(self) -> list[tuple[int, float]]:
        return counting.read_marks(self._db)

    @reads
    def runs_ended(self) -> list[RunsEnded]:
        return counting.runs_ended(self._db)

    def size(self) -> StoreSize:
        try:
            return counting.size(self._path)
        except OSError as error:
            raise StoreError(f"can't look at {self._path}: {error}") from error
