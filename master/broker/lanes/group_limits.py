"""How the groups of one run are held back: limits, pauses, and when a group started last.

A group has the run's limit or one of its own. This module knows no lanes: the caller says how many
tasks of a group are leased, and when one of them started last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from queue_manager.wire.records import GroupLimit

from ...changes import GroupRecord
from .pace import pause_s
from .past import Past

STARTS = 32_768
"""How many groups of a run without a lane have their last start kept by name, 0.3 kB each."""


@dataclass(slots=True)
class Own:
    """What one group has of its own.

    record: as the store has it. paused_until: none of its tasks starts before (monotonic).
    started_at: when one of its tasks started last, if the group has no lane (monotonic).
    """

    record: GroupRecord
    paused_until: float
    started_at: float


class Limits:
    """The limits of one run. All times are monotonic seconds.

    limit: holds for the groups that have none of their own.
    starts: the last start of each group without a lane whose pause goes on. past: the same of the
    groups that are too many to be kept by name.
    started_before: a group without a lane and without anything of its own has not started later.

    own: what the groups in use have of their own. more: other groups may have something, which is
    on disk alone. left_at: when a group last left the memory with something of its own; its pause
    was over then, or goes on as the disk says. forgotten_at: a group that has not been in memory
    since then has not started later.
    """

    def __init__(self, limit: GroupLimit) -> None:
        self.limit = limit
        self.started_before = -math.inf
        self.own: dict[str, Own] = {}
        self.more = False
        self.left_at = self.forgotten_at = -math.inf
        self.starts: dict[str, float] = {}
        self.past = Past()

    def saved(self) -> Callable[[], None]:
        """Returns what restores the run's limit."""
        return partial(self._restore, self.limit)

    def _restore(self, limit: GroupLimit) -> None:
        self.limit = limit

    def of(self, group: str) -> GroupLimit:
        """The limit that counts for a group."""
        own = self.own.get(group)
        return self.limit if own is None else own.record.limit or self.limit

    def next_at(self, group: str, started_at: float) -> float:
        """When the next task of a group may start (monotonic)."""
        own = self.own.get(group)
        if own is None:
            return started_at + pause_s(self.limit.every_s)
        limit = own.record.limit or self.limit
        return max(started_at + pause_s(limit.every_s), own.paused_until)

    def paused_until(self, group: str) -> float:
        """Until when a group waits because a task asked for it (monotonic)."""
        own = self.own.get(group)
        return -math.inf if own is None else own.paused_until

    def record(self, group: str) -> GroupRecord:
        """The store's record of what a group has of its own."""
        own = self.own.get(group)
        return GroupRecord() if own is None else own.record

    def set(self, group: str, record: GroupRecord, paused_until: float) -> Own | None:
        """Give a group something of its own; returns what it had."""
        before = self.own.get(group)
        self.own[group] = Own(record, paused_until, self.started_at(group))
        return before

    def put_back(self, group: str, before: Own | None) -> None:
        """Undo `set`."""
        if before is None:
            self.own.pop(group, None)
        else:
            self.own[group] = before

    def load(self, records: Mapping[str, GroupRecord], now: float, wall: float) -> None:
        """Take over the store's records of groups, except of groups that are known already."""
        for group, record in records.items():
            if group not in self.own and (record.limit is not None or record.due_at > wall):
                until = now + (record.due_at - wall)
                self.own[group] = Own(record, until, self._last_start(group, record, until))

    def _last_start(self, group: str, record: GroupRecord, until: float) -> float:
        """When a group that was on disk alone started last, or later."""
        if group in self.starts:
            return self.starts[group]
        every_s = pause_s((record.limit or self.limit).every_s)
        left_at = min(self.left_at, max(self.left_at, until) - every_s)
        return max(self.forgotten_at, left_at, self.past.started_at(group))

    def unknown(self, group: str) -> bool:
        """Whether a group without a lane may have something of its own that is on disk alone."""
        return self.more and group not in self.own and group not in self.starts

    def leave(self, group: str, now: float) -> None:
        """Leave on disk alone what a group without a lane has of its own."""
        del self.own[group]
        self.starts.pop(group, None)
        self.more, self.left_at = True, now

    def may_leave(self, group: str, now: float) -> bool:
        """Whether the disk has all that is known of a group without a lane."""
        own = self.own[group]
        started_at = self.starts.get(group, own.started_at)
        every_s = pause_s((own.record.limit or self.limit).every_s)
        return started_at + every_s <= max(now, own.paused_until)

    # --- lanes come and go ---

    def started_at(self, group: str) -> float:
        """When a group without a lane started last, or later."""
        started_at = self.starts.get(group)
        if started_at is not None:
            return started_at
        own = self.own.get(group)
        if own is not None:
            return own.started_at
        return max(self.started_before, self.past.started_at(group))

    def forget_starts(self, now: float) -> list[str]:
        """Drop the newer half of the starts from `starts` where they are too many; returns whose.

        A group with something of its own stays, for that says how long it pauses.
        """
        over = self.past.forget(now - pause_s(self.limit.every_s))
        self.started_before = max(self.started_before, over)
        if len(self.starts) <= STARTS + len(self.own):
            return []
        free = [group for group in self.starts if group not in self.own]
        free.sort(key=self.starts.__getitem__)
        gone = {group: self.starts.pop(group) for group in free[len(free) // 2 :]}
        if gone:
            self.past.add(gone)
        return list(gone)

    def keep(self, group: str, started_at: float) -> None:
        """The lane of a group goes, and its pauses are over."""
        own = self.own.get(group)
        if own is not None and own.record.limit is not None:
            own.started_at = started_at
            return
        self.own.pop(group, None)
        self.started_before = max(self.started_before, started_at)

    def clear(self) -> None:
        """The run has ended. The disk has what groups have of their own, in case of a retry."""
        starts = (own.started_at for own in self.own.values())
        past = self.past.forget(math.inf)
        self.started_before = max([self.started_before, past, *starts, *self.starts.values()])
        self.forgotten_at = max(self.forgotten_at, self.started_before)
        self.more = self.more or bool(self.own)
        self.own.clear()
        self.starts.clear()
