"""How the groups of one run are held back: limits, pauses, and when a group started last.

A group has the run's limit or one of its own. It knows no lanes: whoever asks says how many tasks
of a group are leased, and when one of them started last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from queue_manager.wire.records import GroupLimit

from ..changes import GroupRecord
from .past import Past

STARTS = 32_768
"""Of so many groups of a run without a lane it is known by name when they started, 0.3 kB each."""


@dataclass(slots=True)
class Own:
    """What one group has of its own.

    record: as the store has it. paused_until: nothing of it starts before (monotonic). started_at:
    when a task of it started last, of a group without a lane.
    """

    record: GroupRecord
    paused_until: float
    started_at: float


class Limits:
    """The limits of one run. limit: of the groups that have none of their own.

    starts: when a group without a lane started last, while its pause goes on (monotonic). past: the
    same of those that are too many to have by name.
    started_before: of a group without a lane and without anything of its own nobody knows when it
    started last, but not later than then (monotonic).

    own: what groups have of their own, of those in use. more: others may have something, which is
    on disk alone. left_at: when the last of these left the memory (monotonic); its pause was over
    then, or goes on as the disk says. forgotten_at: none that never was in memory since started
    later than then (monotonic).
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
            return started_at + self.limit.every_s
        limit = own.record.limit or self.limit
        return max(started_at + limit.every_s, own.paused_until)

    def paused_until(self, group: str) -> float:
        """Until when a group waits because a task asked for it (monotonic)."""
        own = self.own.get(group)
        return -math.inf if own is None else own.paused_until

    def record(self, group: str) -> GroupRecord:
        """What a group has of its own, as the store has it."""
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
        """Take over what groups have of their own, as the store has it, but what is known here."""
        for group, record in records.items():
            if group not in self.own and (record.limit is not None or record.due_at > wall):
                until = now + (record.due_at - wall)
                self.own[group] = Own(record, until, self._last_start(group, record, until))

    def _last_start(self, group: str, record: GroupRecord, until: float) -> float:
        """When a group that was on disk alone started last, or later."""
        if group in self.starts:
            return self.starts[group]
        every_s = (record.limit or self.limit).every_s
        left_at = min(self.left_at, max(self.left_at, until) - every_s)
        return max(self.forgotten_at, left_at, self.past.started_at(group))

    def unknown(self, group: str) -> bool:
        """Whether a group without a lane may have something of its own that is on disk alone."""
        return self.more and group not in self.own and group not in self.starts

    def leave(self, group: str, now: float) -> None:
        """What a group without a lane has of its own is on disk alone from now on."""
        del self.own[group]
        self.starts.pop(group, None)
        self.more, self.left_at = True, now

    def may_leave(self, group: str) -> bool:
        """Whether the disk knows all there is to know of a group without a lane."""
        started_at = self.starts.get(group)
        own = self.own[group]
        every_s = (own.record.limit or self.limit).every_s
        return started_at is None or started_at + every_s <= own.paused_until

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
        """Have the newer half of the starts no longer by name where they are too many; whose.

        What a group has of its own says how long it pauses: such a group stays.
        """
        over = self.past.forget(now - self.limit.every_s)
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
        """The lane of a group goes, which may start a task: its pauses are over."""
        own = self.own.get(group)
        if own is not None and own.record.limit is not None:
            own.started_at = started_at
            return
        self.own.pop(group, None)
        self.started_before = max(self.started_before, started_at)

    def clear(self) -> None:
        """The run has ended. What groups have of their own is on disk, should it go on."""
        starts = (own.started_at for own in self.own.values())
        past = self.past.forget(math.inf)
        self.started_before = max([self.started_before, past, *starts, *self.starts.values()])
        self.forgotten_at = max(self.forgotten_at, self.started_before)
        self.more = self.more or bool(self.own)
        self.own.clear()
        self.starts.clear()
