"""What tasks ask for their groups while a run goes on: other limits, pauses.

What the groups have on disk is known when it is called (`ReadAhead.know_groups`). A change counts
at once, for nobody is given a lease before this turn is on disk or undone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from queue_manager.wire.records import GroupLimit

from ..changes import GroupRecord
from .journal import Journal
from .lanes.groups import Groups
from .runs.run import Run


class GroupControl:
    """Stages what holds back the groups of a run. Call it only with a run of limited groups."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def set_run_limit(self, run: Run, limit: GroupLimit) -> None:
        """Stage another limit of the run, for the groups that have none of their own."""
        assert run.groups is not None
        self._journal.keep(run.groups.limits)
        run.groups.limits.limit = limit
        self._journal.when_committed(partial(self._limit_changed, run, run.groups))

    def set_limits(self, run: Run, limits: Mapping[str, GroupLimit]) -> None:
        """Stage that groups have limits of their own, in the place of the run's."""
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
        self._journal.undo_by(partial(groups.limits.put_back, group, before))
        self._journal.changes.groups[run.id, group] = record
        self._journal.when_committed(partial(self._look_at, run, groups, group))

    def _look_at(self, run: Run, groups: Groups, group: str) -> None:
        groups.look_at(group, self._journal.now)
        run.attend()

    def _limit_changed(self, run: Run, groups: Groups) -> None:
        groups.limit_changed(self._journal.now)
        run.attend()
