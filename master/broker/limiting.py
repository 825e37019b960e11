"""What tasks ask for their groups while a run goes on: other limits, pauses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from queue_manager.wire.records import GroupLimit

from ..changes import GroupRecord
from .lane import Groups
from .run import Run
from .waiting import Waiting


class Limiting(Waiting):
    """Stages what holds back the groups of a run. Call only of one whose groups are limited.

    What the groups have on disk is known (`Waiting.know_groups`). It counts from now on, for nobody
    is given a lease before this turn is on disk or undone.
    """

    def set_limits(self, run: Run, limits: Mapping[str, GroupLimit]) -> None:
        """Stage that groups have limits of their own; the run's counts for them no more."""
        assert run.groups is not None
        known = run.groups.limits
        for group, limit in limits.items():
            record = known.record(group)
            if record.limit != limit:
                record = replace(record, limit=limit)
                self._set(run, run.groups, group, record, known.paused_until(group))

    def pause(self, run: Run, group: str, delay_s: float, now: float, wall: float) -> None:
        """Stage that nothing of a group starts for so long. A pause that ends later stays."""
        assert run.groups is not None
        known, until = run.groups.limits, now + delay_s
        if until > known.paused_until(group):
            record = replace(known.record(group), delay_s=delay_s, due_at=wall + delay_s)
            self._set(run, run.groups, group, record, until)

    def _set(
        self, run: Run, groups: Groups, group: str, record: GroupRecord, paused_until: float
    ) -> None:
        before = groups.limits.set(group, record, paused_until)
        self.undo.undo_by(partial(groups.limits.put_back, group, before))
        self.changes.groups[run.id, group] = record
        self.undo.when_committed(lambda: groups.look_at(group, self._now))
