"""What waits on disk: which lanes are to be read ahead, and what the reads have found.

It reads nothing itself: the turn asks what is wanted, reads, and hands over what it found.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from ..changes import GroupRecord, Place, TrackedRecord, WaitingBlock
from .journal import Journal
from .lanes.groups import Groups
from .lanes.lane import Lane
from .lanes.tracked import Due
from .lanes.window import Busy
from .leases.lease import positions
from .leases.sessions import KnownWorkers
from .runs.roster import Roster
from .runs.run import Run
from .waiting import Waiting


class ReadAhead:
    """The side of the waiting tasks that is on disk."""

    def __init__(
        self, journal: Journal, roster: Roster, waiting: Waiting, known_workers: KnownWorkers
    ) -> None:
        self._journal = journal
        self._roster = roster
        self._waiting = waiting
        self._known_workers = known_workers

    # --- what is wanted ---

    def low_lanes(self) -> list[tuple[Run, Lane]]:
        """Lanes that should be read ahead; none while known workers may claim what waits."""
        found: list[tuple[Run, Lane]] = []
        if self._known_workers.missing:
            return found
        for run in list(self._roster.low):
            if run.lane.low:
                found.append((run, run.lane))
            else:
                del self._roster.low[run]
        for run in self._roster.limited:
            if run.groups is not None:
                found += [(run, lane) for lane in run.groups.lanes_to_refill()]
        return found

    @property
    def more_low(self) -> bool:
        """Whether to read again at once: more lanes are low, or all that was found is leased."""
        if self._known_workers.missing:
            return False
        return any(run.lane.empty_in_memory for run in self._roster.low) or any(
            run.groups is not None and (run.groups.more_to_refill or run.groups.seeks())
            for run in self._roster.limited
        )

    def seeking(self, wall: float) -> list[tuple[Run, Groups]]:
        """Runs whose groups without a lane should be looked for on disk."""
        now = self._journal.now
        found = []
        for run in self._roster.limited:
            if run.groups is not None:
                run.groups.make_room(now, wall)
                run.groups.hidden.wake(now)
                if run.groups.seeks() or run.groups.seeks_tracked(now):
                    found.append((run, run.groups))
        return found

    def tracked_due(self, groups: Groups) -> bool:
        """Whether to look for tracked tasks of groups without a lane that are due."""
        return groups.seeks_tracked(self._journal.now)

    # --- what was found ---

    def refill(
        self, run: Run, lane: Lane, blocks: Sequence[WaitingBlock], last: Place | None
    ) -> None:
        """Take blocks into a lane. last: where the next read goes on; None: nothing is behind."""
        busy: Busy = {}
        found: list[WaitingBlock] = []
        for block in blocks:
            there = run.leases.get(block.id)
            if there is not None:
                if not positions(block.ranges) & ~there.positions:
                    continue  # all of it: after a restart that may be thousands of blocks
                busy[block.id] = [piece for lease in there.leases for piece in lease.open]
            found.append(block)
        lane.window.refill(found, last, busy)
        run.look(lane, self._journal.now)

    def refill_tracked(
        self,
        run: Run,
        lane: Lane,
        records: Sequence[TrackedRecord],
        last: Due | None,
        wall: float,
    ) -> None:
        """Take tracked tasks into a lane, as `refill` does. wall: UTC epoch in seconds."""
        leased = {
            lease.tracked.task
            for block in {record.block for record in records}.intersection(run.leases)
            for lease in run.leases[block].leases
            if lease.tracked is not None
        }
        for task in lane.tracked.refill(records, last, leased):
            self._waiting.delay(run, task, self._journal.now + (task.due_at - wall))
        run.look(lane, self._journal.now)

    def know_groups(self, run: Run, own: Mapping[str, GroupRecord], wall: float) -> None:
        """Take over what groups have of their own. wall: UTC epoch in seconds."""
        if run.groups is not None:
            run.groups.limits.load(own, self._journal.now, wall)

    def found_groups(self, run: Run, found: Sequence[tuple[int, str]], over: bool) -> None:
        """Take over groups with something on disk, as `Store.next_groups` has them."""
        if run.groups is not None:
            run.groups.hidden.looked(found[-1] if found else None, over)
            for _, group in found:
                run.groups.found(group, self._journal.now, False)

    def found_due(
        self, run: Run, found: Sequence[str], last: Due, due_at: float | None, wall: float
    ) -> None:
        """Take over groups with tracked tasks that are due, as `Store.due_groups` has them."""
        now = self._journal.now
        if run.groups is not None:
            hidden = run.groups.hidden
            hidden.due_from = last
            hidden.due_at = math.inf if due_at is None else now + max(0.0, due_at - wall)
            for group in found:
                run.groups.found(group, now, True)

    def dead_letters_wait(
        self, run: Run, due_at: float, groups: Collection[str | None] | None
    ) -> None:
        """Dead letters wait again on disk, from this time on (UTC epoch, s): look there.

        groups: those that they are of, None among them for no group. None: of whatever group.
        """
        if run.groups is not None:
            run.groups.hidden.all_tracked()
        for lane in list(run.lanes):
            if groups is not None and lane.group not in groups:
                continue
            # A retry of many dead letters comes in parts: each would read the lane anew.
            if not lane.tracked.will_read((due_at, 0)):
                lane.tracked.restart()
            run.look(lane, self._journal.now)
