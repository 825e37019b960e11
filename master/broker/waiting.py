"""What waits, in memory and behind it on disk: delays that end, lanes that are read ahead."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from weakref import WeakValueDictionary

from ..changes import GroupRecord, Place, TrackedRecord, WaitingBlock
from .lane import Groups, Lane
from .lease import Lease, Session, positions
from .run import Run
from .staging import Staging
from .strays import Due, Stray
from .window import Busy, Range

RESERVE_S = 30.0
"""So long a suspect waits for a worker that holds nothing else."""

_DELAYS = 10_000


@dataclass(slots=True, eq=False)
class Suspect:
    """A task that lost its worker again and again: it gets one without neighbours.

    until: after that any worker will do (monotonic). session: the one that is to come to hold
    nothing for it.
    """

    run: Run
    lane: Lane
    stray: Stray
    until: float
    session: Session | None = None


class Waiting(Staging):
    """The waiting side of the broker: runs, lanes and delays.

    runs: those that are active, and ended ones that somebody has something to do for or has asked
    for lately. The others are on disk alone, for there may be any number of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[int, Run] = {}
        self._retired: WeakValueDictionary[int, Run] = WeakValueDictionary()
        self.sessions: dict[int, Session] = {}
        self.next_run = self.next_block = 1
        self._turns: deque[Run] = deque()
        self._delayed: list[tuple[float, int, Stray, Run]] = []
        self._delays = 0
        self._most_delayed = _DELAYS
        self._suspects: deque[Suspect] = deque()
        self._now = 0.0

    def _add(self, run: Run) -> None:
        self.runs[run.id] = run
        self.next_run = max(self.next_run, run.id + 1)
        if run.active:
            self._turns.append(run)

    def recall(self, number: int) -> Run | None:
        """A run that is in memory; one that has left it, too, while somebody still has it."""
        run = self.runs.get(number)
        if run is None:
            run = self._retired.get(number)
            if run is not None:
                self.runs[number] = run
        return run

    def retire(self, run: Run) -> None:
        """An ended run leaves the memory. Who still has it, has the one that `recall` returns."""
        if not run.active and self.runs.pop(run.id, None) is not None:
            self._retired[run.id] = run

    def _forgotten(self, number: int) -> None:
        self.runs.pop(number, None)
        self._retired.pop(number, None)

    def _shelve(self, run: Run) -> None:
        """A run that has ended waits for nothing."""
        if run in self._turns:
            self._turns.remove(run)
        self._suspects = deque(s for s in self._suspects if s.run is not run)
        run.clear()

    # --- strays come, and their delays end ---

    def _wait(self, run: Run, stray: Stray, due: float) -> None:
        """A stray that is on disk waits from now on. due: when its delay is over (monotonic)."""
        if not run.active:
            return
        groups, group = run.groups, stray.group
        if groups is not None and group is not None and not groups.takes(group, stray.priority):
            groups.leave_stray(group, stray.due, due)
            return
        lane = run.lane_of(group)
        if lane.strays.admit(stray):
            self._delay(run, stray, due)
        run.look(lane, self._now)

    def _wait_all(self, run: Run, strays: list[Stray], due: float) -> None:
        for stray in strays:
            self._wait(run, stray, due)

    def _delay(self, run: Run, stray: Stray, due: float) -> None:
        if due > self._now:
            self._delays += 1  # breaks ties: strays and runs have no order
            heapq.heappush(self._delayed, (due, self._delays, stray, run))
            if len(self._delayed) > self._most_delayed:
                self._sift()
        else:
            self._make_ready(run, stray)

    def _sift(self) -> None:
        """Forget the delays of what waits on disk alone by now, or does not wait any more."""
        self._delayed = [entry for entry in self._delayed if not entry[2].gone]
        heapq.heapify(self._delayed)
        self._most_delayed = max(_DELAYS, 2 * len(self._delayed))

    def _make_ready(self, run: Run, stray: Stray) -> None:
        lane = run.lane_of(stray.group)
        if stray.losses >= max(1, run.options.losses - 2):
            lane.strays.set_apart(stray)
            self._suspects.append(Suspect(run, lane, stray, self._now + RESERVE_S))
        else:
            lane.strays.make_ready(stray)

    def wake(self, now: float) -> None:
        """Delays that are over end."""
        self._now = now
        while self._delayed and self._delayed[0][0] <= now:
            _, _, stray, run = heapq.heappop(self._delayed)
            if run.active and not stray.gone:
                self._make_ready(run, stray)
                run.look(run.lane_of(stray.group), now)
        for run in self._turns:
            if run.groups is not None:
                run.groups.wake(now)

    @property
    def next_due(self) -> float | None:
        """When something happens by itself (monotonic): a delay, a pause of a group ends."""
        dues = [self._delayed[0][0]] if self._delayed else []
        dues += [s.until for s in self._suspects if s.until > self._now]
        for run in self._turns:
            if run.groups is not None and run.groups.next_due is not None:
                dues.append(run.groups.next_due)
        return min(dues, default=None)

    # --- what was leased comes back ---

    def _give_back(self, lease: Lease, start: int, stop: int) -> None:
        """Stage that tasks of a lease, cut out of it, wait again, uncharged."""
        run = lease.run
        self.undo.keep(run)
        run.leased -= stop - start
        self._moves(lease.block, start, stop)
        if lease.stray is not None:
            run.strays_out -= 1
            self.undo.when_committed(partial(self._wait, run, lease.stray, 0.0))
        else:
            found = Range(lease.block, lease.first, start, stop)
            group = lease.lane.group
            self.undo.when_committed(partial(self._put_back, run, group, lease.priority, found))

    def _put_back(self, run: Run, group: str | None, priority: int, found: Range) -> None:
        if run.active:
            lane = run.lane_of(group)
            lane.window.put_back(priority, found)
            run.look(lane, self._now)

    # --- the disk ---

    def low_lanes(self) -> list[tuple[Run, Lane]]:
        """Lanes that should be read ahead."""
        found = []
        for run in self._turns:
            if run.lane.low:
                found.append((run, run.lane))
            if run.groups is not None:
                found += [(run, lane) for lane in run.groups.hungry()]
        return found

    def seeking(self, wall: float) -> list[tuple[Run, Groups]]:
        """Runs whose groups without a lane should be looked for on disk."""
        found = []
        for run in self._turns:
            if run.groups is not None:
                run.groups.make_room(self._now, wall)
                run.groups.hidden.wake(self._now)
                if run.groups.seeks() or run.groups.seeks_strays(self._now):
                    found.append((run, run.groups))
        return found

    def strays_due(self, groups: Groups) -> bool:
        """Whether to look for strays of groups without a lane that are due."""
        return groups.seeks_strays(self._now)

    def know_groups(self, run: Run, own: Mapping[str, GroupRecord], wall: float) -> None:
        """What groups have of their own, as the disk has it. wall: UTC epoch in seconds."""
        if run.groups is not None:
            run.groups.limits.load(own, self._now, wall)

    def found_groups(self, run: Run, found: Sequence[tuple[int, str]], over: bool) -> None:
        """Groups with something on disk, as `Store.next_groups` has them."""
        if run.groups is not None:
            run.groups.hidden.looked(found[-1] if found else None, over)
            for _, group in found:
                run.groups.found(group, self._now, False)

    def found_due(
        self, run: Run, found: Sequence[str], last: Due, due_at: float | None, wall: float
    ) -> None:
        """Groups with strays that are due, as `Store.due_groups` has them."""
        if run.groups is not None:
            hidden = run.groups.hidden
            hidden.due_from = last
            hidden.due_at = math.inf if due_at is None else self._now + max(0.0, due_at - wall)
            for group in found:
                run.groups.found(group, self._now, True)

    @property
    def more_low(self) -> bool:
        """Whether to read again at once: more lanes are low, or all that was found is leased."""
        return any(
            run.lane.starved
            or (run.groups is not None and (run.groups.more_hungry or run.groups.seeks()))
            for run in self._turns
        )

    def refill(
        self, run: Run, lane: Lane, blocks: Sequence[WaitingBlock], last: Place | None
    ) -> None:
        """Take blocks from disk into a lane. last: where the next read goes on; None: nothing."""
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
        run.look(lane, self._now)

    def refill_strays(
        self,
        run: Run,
        lane: Lane,
        records: Sequence[TrackedRecord],
        last: Due | None,
        wall: float,
    ) -> None:
        """Take strays from disk into a lane, as `refill` does. wall: UTC epoch in seconds."""
        leased = {
            lease.stray.task
            for block in {record.block for record in records}.intersection(run.leases)
            for lease in run.leases[block].leases
            if lease.stray is not None
        }
        for stray in lane.strays.refill(records, last, leased):
            self._delay(run, stray, self._now + (stray.due_at - wall))
        run.look(lane, self._now)
