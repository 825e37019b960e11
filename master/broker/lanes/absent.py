"""The groups of one run without a lane: what waits of them on disk, and which of them pause.

Only groups in use have a lane (`Groups`), for there may be as many groups as tasks.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Iterator

from .group_limits import Limits
from .hidden import Hidden
from .tracked import Due

OWN = 16_384
"""What so many groups of a run have of their own stays in memory, about 0.5 kB each."""

_SPARE = 64
"""How many entries of pauses may be out of date, beside one for each group that pauses."""


class AbsentGroups:
    """Groups without a lane.

    limits: of all groups of the run. hidden: where on disk such groups may be found. waiting: of
    the groups that pause those with something on disk. pauses: when their pauses end, as a heap.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.hidden = Hidden()
        self.waiting: set[str] = set()
        self.pauses: list[tuple[float, str]] = []
        self._own_stays = 0

    # --- a group gets a lane ---

    def come(self, group: str) -> tuple[float, bool]:
        """A group gets a lane. Returns when it started last, and whether the disk may have more."""
        started_at = self.limits.started_at(group)
        paused = self.limits.starts.pop(group, None) is not None
        more_on_disk = group in self.waiting or (self.hidden.anything and not paused)
        self.waiting.discard(group)
        return started_at, more_on_disk

    def wants_lane(self, group: str, now: float, tracked: bool) -> bool:
        """Whether a group that was found on disk is to have a lane.

        tracked: it was found by a tracked task that is due. A group that may not start yet is
        noted, and looked at again when its pause is over.
        """
        started_at = self.limits.started_at(group)
        next_at = self.limits.next_at(group, started_at)
        if group in self.limits.starts:
            self.waiting.add(group)
        elif next_at > now and tracked:
            self.pause(group, started_at, next_at, True)
        elif next_at > now:
            self.hidden.look_again(next_at)
        else:
            return True
        return False

    def ended_pauses(self, now: float) -> Iterator[str]:
        """Groups that wait and whose pause is over: they are to have a lane."""
        while self.pauses and self.pauses[0][0] <= now:
            _, group = heapq.heappop(self.pauses)
            started_at = self.limits.starts.get(group)
            if started_at is None:
                continue  # it has a lane again
            next_at = self.limits.next_at(group, started_at)
            if next_at > now:
                heapq.heappush(self.pauses, (next_at, group))
            elif group in self.waiting:
                yield group
            else:
                del self.limits.starts[group]
                self.limits.keep(group, started_at)

    # --- what waits on disk alone ---

    def leave(self, group: str, priority: int) -> None:
        """Tasks of a new block wait on disk alone."""
        if group in self.limits.starts:
            self.waiting.add(group)
        else:
            self.hidden.leave(priority)

    def leave_tracked(self, group: str, due: Due, due_at: float) -> None:
        """A tracked task waits on disk alone. due_at: when it is due (monotonic)."""
        if group in self.limits.starts:
            self.waiting.add(group)
        else:
            self.hidden.leave_tracked(due, due_at)

    # --- pauses ---

    def pause(self, group: str, started_at: float, next_at: float, waits: bool) -> None:
        """Keep of a group no more than when it may start again. waits: something is on disk."""
        self.limits.starts[group] = started_at
        heapq.heappush(self.pauses, (next_at, group))
        if waits:
            self.waiting.add(group)

    def pause_changed(self, group: str) -> bool:
        """A pause of a group has another end. Returns False when the group does not pause."""
        started_at = self.limits.starts.get(group)
        if started_at is None:
            return False
        heapq.heappush(self.pauses, (self.limits.next_at(group, started_at), group))
        return True

    def sort_pauses(self) -> None:
        """The pauses of all groups have another end."""
        starts = self.limits.starts
        self.pauses = [(self.limits.next_at(group, at), group) for group, at in starts.items()]
        heapq.heapify(self.pauses)

    @property
    def next_pause(self) -> float:
        """When the next pause is over (monotonic)."""
        return self.pauses[0][0] if self.pauses else math.inf

    # --- memory ---

    def make_room(self, now: float, lanes: Collection[str]) -> None:
        """Drop what is known of too many groups; the disk has it. lanes: groups that have one."""
        self._leave_own(now, lanes)
        self._leave_starts(now)

    def _leave_own(self, now: float, lanes: Collection[str]) -> None:
        """Leave on disk alone what too many groups have of their own."""
        limits = self.limits
        stay = len(lanes) + min(self._own_stays, len(limits.starts))
        if len(limits.own) > OWN + stay:
            free = [g for g in limits.own if g not in lanes and limits.may_leave(g, now)]
            idle = [g for g in free if g not in limits.starts]
            # Of the groups that pause those leave that do so longest: they are sought last.
            pausing = [g for g in free if g in limits.starts]
            pausing.sort(key=limits.paused_until, reverse=True)
            for group in [*idle, *pausing][: max(0, len(free) - OWN // 2)]:
                if group in self.waiting:
                    self.waiting.remove(group)
                    self._seek_at(limits.paused_until(group))
                limits.leave(group, now)
            self._own_stays = sum(not limits.may_leave(g, now) for g in limits.own)
        if len(self.pauses) > 2 * len(limits.starts) + _SPARE:
            self.sort_pauses()

    def _leave_starts(self, now: float) -> None:
        """Leave groups that pause and are too many; they are sought when that may be over."""
        gone = self.limits.forget_starts(now)
        waiting = self.waiting.intersection(gone)
        if waiting:
            self.waiting -= waiting
            limits = self.limits
            self._seek_at(min(limits.next_at(g, limits.started_at(g)) for g in waiting))
        if gone:
            self.sort_pauses()

    def _seek_at(self, next_at: float) -> None:
        """Seek a group that waits on disk, not before its pause is over."""
        self.hidden.look_again(next_at)
        self.hidden.tracked_again_at = min(self.hidden.tracked_again_at, next_at)

    def clear(self) -> None:
        """Nothing waits any more."""
        self.limits.clear()
        self.hidden.clear()
        self.pauses.clear()
        self.waiting.clear()
