"""The tries of tasks, in a store of plain dicts."""

from __future__ import annotations

from master.changes import TrackedRecord
from master.tries import TRIES, Fate, TryRecord
from tests.memory_kept import Kept


def keep(kept: Kept, before: TrackedRecord, record: TrackedRecord) -> None:
    """Keep the try that a record is about to replace."""
    found = _last(before)
    if record.has_earlier and found:
        earlier = kept.tries.setdefault((before.run, before.task), [])
        kept.tries[before.run, before.task] = [*found, *earlier][: TRIES - 1]


def read_tries(kept: Kept, run: int, task: int) -> list[TryRecord]:
    """As `Store.read_tries`."""
    record = kept.tracked.get((run, task))
    return [*([] if record is None else _last(record)), *kept.tries.get((run, task), [])]


def _last(record: TrackedRecord) -> list[TryRecord]:
    if record.fate is Fate.NONE and not record.error:
        return []
    return [
        TryRecord(
            max(record.tries, record.attempts + record.losses, 1),
            record.fate or Fate.FAILED,
            record.ended_at,
            record.took_s,
            record.worker,
            record.error,
            record.evidence,
            record.printed,
            record.raised,
        )
    ]
