"""Deletes old rows of the history: single minutes after a day, and what no run takes along."""

from __future__ import annotations

from ..history import FINE_S, MINUTE_S
from ..store.contract import Store

DAY_S = 86_400.0


class HistoryPruning:
    """Deletes in small steps. keep_s: how long the rows of all runs stay, at least a day."""

    def __init__(self, store: Store, keep_s: float) -> None:
        self._store = store
        self._keep_s = max(keep_s, DAY_S)
        self._wall = 0.0
        self._due_at = 0.0
        self._is_due = False

    def tick(self, now: float, wall: float) -> None:
        """Look once a minute what is too old. now: monotonic s. wall: UTC epoch, s, believed."""
        if now >= self._due_at:
            self._due_at = now + MINUTE_S
            self._wall, self._is_due = wall, True

    def step(self, rows: int) -> bool:
        """Delete about so many rows. False: there is nothing to do until the next tick."""
        if self._is_due:
            old = self._wall - FINE_S, self._wall - self._keep_s
            self._is_due = self._store.prune_history(*old, rows)
        return self._is_due
