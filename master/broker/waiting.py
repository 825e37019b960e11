"""Tasks that wait in memory: new ones, tasks whose delay ends, and tasks that come back."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from ..changes import BlockRecord
from .journal import Journal
from .lanes.tracked import Tracked
from .lanes.window import Busy, Range
from .leases.lease import Lease
from .leases.quarantine import Quarantine
from .runs.roster import Roster
from .runs.run import Run

_DELAYS = 10_000


@dataclass(slots=True)
class Gone:
    """Tasks of one group that were cancelled: ranges by block, and the numbers of tracked ones."""

    ranges: Busy = field(default_factory=dict)
    tracked: list[int] = field(default_factory=list)


class Waiting:
    """What waits, and the delays of it that are not over."""

    def __init__(self, journal: Journal, roster: Roster, quarantine: Quarantine) -> None:
        self._journal = journal
        self._roster = roster
        self._quarantine = quarantine
        self._delayed: list[tuple[float, int, Tracked, Run]] = []
        self._delays = 0
        self._most_delayed = _DELAYS

    # --- new tasks ---

    def admit(self, run: Run, block: BlockRecord, known: int = 0) -> None:
        """New tasks of a block are on disk and wait: all behind the first `known` ones."""
        run.staged -= block.count - known
        if run.active:
            found = Range(block.id, block.first, known, block.count)
            run.admit(block.group, block.priority, found, self._journal.now)

    # --- tracked tasks ---

    def track(self, run: Run, task: Tracked, due: float) -> None:
        """A tracked task that is on disk waits. due: when its delay is over (monotonic)."""
        if not run.active:
            return
        groups, group = run.groups, task.group
        if groups is not None and group is not None and not groups.takes(group, task.priority):
            groups.absent.leave_tracked(group, task.due, due)
            return
        lane = run.lane_of(group)
        if lane.tracked.admit(task):
            self.delay(run, task, due)
        run.look(lane, self._journal.now)

    def track_all(self, run: Run, tasks: list[Tracked], due: float) -> None:
        """Some tracked tasks wait; see `track`."""
        for task in tasks:
            self.track(run, task, due)

    def delay(self, run: Run, task: Tracked, due: float) -> None:
        """A tracked task in memory has a delay until `due` (monotonic), or none."""
        if due > self._journal.now:
            self._delays += 1  # breaks ties: tasks and runs have no order
            heapq.heappush(self._delayed, (due, self._delays, task, run))
            if len(self._delayed) > self._most_delayed:
                self._drop_delays()
        else:
            self._delay_over(run, task)

    def _drop_delays(self) -> None:
        """Drop the delays of tasks that have left the memory, or do not wait any more."""
        self._delayed = [entry for entry in self._delayed if not entry[2].gone]
        heapq.heapify(self._delayed)
        self._most_delayed = max(_DELAYS, 2 * len(self._delayed))

    def _delay_over(self, run: Run, task: Tracked) -> None:
        lane = run.lane_of(task.group)
        if self._quarantine.needed(run, task):
            self._quarantine.add(run, lane, task, self._journal.now)
        else:
            lane.tracked.make_ready(task)

    # --- cancelled tasks ---

    def drop(self, run: Run, gone: Mapping[str | None, Gone]) -> None:
        """Tasks wait no more, by their group. The window of each lane is gone through once."""
        for group, of_group in gone.items():
            if run.tail is not None and run.tail.id in of_group.ranges:
                run.tail = None  # it has grown in this turn, and has an outcome now
            lane = run.known_lane(group)
            if lane is None:
                continue
            if lane.window.loaded:
                lane.window.remove(of_group.ranges)
            for task in of_group.tracked:
                lane.tracked.remove(task)
            run.look(lane, self._journal.now)

    # --- time ---

    def wake(self, now: float) -> None:
        """Delays that are over end, and pauses of groups."""
        while self._delayed and self._delayed[0][0] <= now:
            _, _, task, run = heapq.heappop(self._delayed)
            if run.active and not task.gone:
                self._delay_over(run, task)
                run.look(run.lane_of(task.group), now)
        for run in self._roster.limited:
            if run.groups is not None:
                run.groups.wake(now)
                run.attend()

    def dues(self) -> list[float]:
        """When a delay ends, and when pauses of groups do (monotonic seconds)."""
        found = [self._delayed[0][0]] if self._delayed else []
        for run in self._roster.limited:
            if run.groups is not None and run.groups.next_due is not None:
                found.append(run.groups.next_due)
        return found

    # --- what was leased comes back ---

    def give_back(self, lease: Lease, start: int, stop: int) -> None:
        """Stage that tasks, cut out of a lease, wait again, uncharged."""
        run = lease.run
        self._journal.keep(run)
        run.leased -= stop - start
        self._journal.note_moved(lease.block, start, stop)
        if lease.tracked is not None:
            run.tracked_leased -= 1
            self._journal.when_committed(partial(self.track, run, lease.tracked, 0.0))
        else:
            found = Range(lease.block, lease.first, start, stop)
            group = lease.lane.group
            self._journal.when_committed(partial(self._put_back, run, group, lease.priority, found))

    def _put_back(self, run: Run, group: str | None, priority: int, found: Range) -> None:
        if run.active:
            lane = run.lane_of(group)
            lane.window.put_back(priority, found)
            run.look(lane, self._journal.now)
