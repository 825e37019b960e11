"""The verbs for who looks on: history, failures, runs by a text, tasks by state, tries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from ...failures import FailurePage, GroupsSought, NewestPage, NewestSought
from ...history import HistoryRecord
from ...reads import RunPage, RunsEnded, RunsSought
from ...task_lists import TasksFound, TasksSought
from ...tries import TryRecord
from . import counting, failures, history
from .database import Database
from .read import finding, letters, listing, tries

P = ParamSpec("P")
T = TypeVar("T")


class Overview(ABC):
    """A part of `RelationalStore`. An engine says how its verbs reach the database."""

    @abstractmethod
    def _reads(
        self, verb: Callable[Concatenate[Database, P], T], *args: P.args, **kw: P.kwargs
    ) -> T:
        """Read by a function. Raises StoreError."""

    @abstractmethod
    def _writes(
        self, verb: Callable[Concatenate[Database, P], T], *args: P.args, **kw: P.kwargs
    ) -> T:
        """Write by a function, in a transaction of its own. Raises StoreError."""

    def read_history(
        self, run: int, since_at: float, until_at: float, step_s: int
    ) -> list[HistoryRecord]:
        return self._reads(history.read_history, run, since_at, until_at, step_s)

    def find_ended(self, sought: RunsSought) -> RunPage:
        return self._reads(finding.find_ended, sought)

    def find_tasks(self, sought: TasksSought) -> TasksFound:
        return self._reads(listing.find_tasks, sought)

    def find_groups(self, sought: GroupsSought) -> FailurePage:
        return self._reads(failures.find_groups, sought)

    def find_letters(self, sought: NewestSought) -> NewestPage:
        return self._reads(letters.find_letters, sought)

    def read_tries(self, run: int, task: int) -> list[TryRecord]:
        return self._reads(tries.read_tries, run, task)

    def last_minute(self) -> float:
        return self._reads(history.last_minute)

    def prune_history(self, minutes_by: float, all_by: float, rows: int) -> bool:
        return self._writes(history.prune_history, minutes_by, all_by, rows)

    def accepted_marks(self) -> list[tuple[int, float]]:
        return self._reads(counting.read_marks)

    def runs_ended(self) -> list[RunsEnded]:
        return self._reads(counting.runs_ended)
