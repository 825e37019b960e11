"""The verbs of a `Store` that delete old results, for a store in memory that keeps all of them."""

from __future__ import annotations

from master.reads import PruneStep, RunsEnded, StoreSize
from master.scheduled import ScheduleRecord


class NothingAges:
    """Deletes nothing, and has no file."""

    trouble = ""

    def mark(self, at: float, seq: int, keep_s: float) -> int:
        return 0

    def prune_queue(self, seq: int, died_by: float, after: int, limit: int) -> PruneStep:
        return PruneStep({}, [], after, True)

    prune_letters = prune_queue

    def accepted_marks(self) -> list[tuple[int, float]]:
        return []

    def runs_ended(self) -> list[RunsEnded]:
        return []

    def size(self) -> StoreSize:
        return StoreSize()

    def schedules(self) -> list[ScheduleRecord]:
        return []

    def shrink(self, pages: int) -> bool:
        return False

    def hasten(self) -> None:
        pass

    def close(self) -> None:
        pass
