"""A run before a turn changes it: to restore it, and to show it until the change is on disk."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from ...changes import CollectCursor

if TYPE_CHECKING:
    from .run import Run


@dataclass(frozen=True, slots=True)
class SavedRun:
    """A run before a turn changes it; a call restores it. values: of the fields `_CHANGED`."""

    run: Run
    values: tuple[Any, ...]
    cursor: CollectCursor

    @classmethod
    def of(cls, run: Run) -> SavedRun:
        """The run as it is now."""
        return cls(run, _changed_of(run), run.collect_cursor)

    def __call__(self) -> None:
        self._put(self.run)
        self.run.attend()  # while its end was staged, it was told of nothing

    def as_it_was(self) -> Run:
        """A copy of the run with these fields, which nobody may change."""
        found = copy(self.run)
        self._put(found)
        found.collect_cursor = self.cursor
        return found

    def _put(self, run: Run) -> None:
        for name, value in zip(_CHANGED, self.values, strict=True):
            setattr(run, name, value)


_CHANGED = (
    "state",
    "ended_at",
    "exhausted",
    "waits_for",
    "version",
    "options",
    "tasks",
    "accepted",
    "done",
    "dead",
    "cancelled",
    "leased",
    "staged",
    "tracked",
    "tracked_leased",
    "last_dead",
    "died",
    "failed",
    "busy_s",
    "told",
)
"""The fields that a turn changes, but for the collect cursor."""

_changed_of: Callable[[Run], tuple[Any, ...]] = attrgetter(*_CHANGED)
