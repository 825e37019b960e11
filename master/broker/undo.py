"""The undo log of a turn: what happens when the staged changes are on disk, and what if they fail.

Owns the order of both; decides nothing, and knows nothing of the records that go to disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Kept(Protocol):
    """Something whose fields a turn changes."""

    def saved(self) -> Callable[[], object]:
        """Returns an act that gives these fields the values that they have now."""


class UndoLog:
    """What to undo, and what to do after the commit. mark: grows with all that is staged."""

    def __init__(self) -> None:
        self.mark = 0
        self._kept: dict[int, tuple[Kept, Callable[[], object]]] = {}
        self._undo: list[Callable[[], object]] = []
        self._after: list[Callable[[], object]] = []

    def keep(self, of: Kept) -> None:
        """Call before each change of a record's fields: a roll-back restores them.

        The fields are saved once in a turn, however many steps change them.
        """
        self.mark += 1
        if id(of) not in self._kept:
            saved = of.saved()
            self._kept[id(of)] = of, saved
            self._undo.append(saved)

    def saved_of(self, of: Kept) -> Callable[[], object] | None:
        """What restores the fields that this turn has changed. None: it has changed none."""
        kept = self._kept.get(id(of))
        return None if kept is None else kept[1]

    def undo_by(self, act: Callable[[], object]) -> None:
        """Have an act done when the staged changes are rolled back; the newest act comes first."""
        self.mark += 1
        self._undo.append(act)

    def when_committed(self, act: Callable[[], object]) -> None:
        """Have an act done once the staged changes are on disk."""
        self.mark += 1
        self._after.append(act)

    def committed(self) -> None:
        """The staged changes are on disk: there is no way back, and what waited for them is done.

        An act that fails holds up no other act. Raises ExceptionGroup when some failed.
        """
        self._undo.clear()
        self._kept.clear()
        acts, self._after = self._after, []
        _all(acts, "could not be made visible")

    def rolled_back(self) -> None:
        """The staged changes could not be made durable: all is as before the turn.

        Raises ExceptionGroup when some acts failed; all others were done.
        """
        self._after.clear()
        self._kept.clear()
        acts, self._undo = self._undo, []
        acts.reverse()
        _all(acts, "could not be undone")


def _all(acts: list[Callable[[], object]], failure: str) -> None:
    errors: list[Exception] = []
    for act in acts:
        try:
            act()
        except Exception as error:
            errors.append(error)
    if errors:
        raise ExceptionGroup(failure, errors)
