"""Leases that workers still hold when they come back, after a restart of the master or before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from queue_manager.ranges import Ranges, both, within, without
from queue_manager.wire.records import HeldLease

from ...changes import BlockState, TrackedRecord
from ..journal import Journal
from ..lanes.lane import Lane
from ..lanes.tracked import Tracked
from ..runs.roster import Roster
from ..runs.run import Run
from ..waiting import Waiting
from .lease import Lease, Session, positions
from .leasing import Leasing
from .quarantine import Quarantine


class Recovery:
    """Compares what a hello says of leases with what is known of their tasks.

    superseded: leases that ended because another worker holds a newer lease of the same tasks.
    """

    def __init__(
        self,
        journal: Journal,
        roster: Roster,
        leasing: Leasing,
        waiting: Waiting,
        quarantine: Quarantine,
    ) -> None:
        self.superseded: list[tuple[Session, int]] = []
        self._journal = journal
        self._roster = roster
        self._leasing = leasing
        self._waiting = waiting
        self._quarantine = quarantine

    # --- the master has run all the time ---

    def resume(self, old: Session, new: Session, held: list[HeldLease]) -> dict[int, HeldLease]:
        """Stage that a worker goes on in a new session; what of its leases goes on, by number.

        Tasks that the worker does not hold never came to it: they are offered again uncharged.
        """
        said = {one.number: one for one in held}
        for lease in list(old.leases.values()):
            there = said.get(lease.number)
            ranges = [] if there is None else there.ranges
            for start, stop in [] if ranges == lease.open else without(lease.open, ranges):
                self._leasing.cut(lease, start, stop)
                self._waiting.give_back(lease, start, stop)
        leases = list(old.leases.values())
        _hand_over(leases, old, new)
        self._journal.undo_by(partial(_hand_over, leases, new, old))
        self._quarantine.hand_over(old, new, self._journal.now)
        self._leasing.leave(old)
        return {lease.number: _goes_on(lease, said[lease.number]) for lease in leases}

    # --- the master was started again ---

    def claim(
        self,
        session: Session,
        held: Iterable[HeldLease],
        states: Mapping[int, BlockState],
        now: float,
    ) -> dict[int, HeldLease]:
        """Stage that leases of before the restart go on; what of them does, by number.

        states: of their blocks, as they are on disk, where something is held. Tasks that have
        ended, became tracked since, or are leased to another session are left out. Of two leases
        of the same tasks the newer one is right. All leases of a hello come at once, so that the
        window of each lane is gone through once.
        """
        found: dict[int, HeldLease] = {}
        leases: list[Lease] = []
        blocks: dict[int, ClaimedBlock | None] = {}
        together: list[Lease] = []
        staged = -1  # the mark behind the newest undo of these
        for one in held:
            if one.block not in blocks:
                blocks[one.block] = self._block(states.get(one.block))
            block = blocks[one.block]
            older = one.number >> 32 < self._leasing.epoch and one.number not in session.leases
            lease = self._claim(session, block, one, now) if block and older else None
            if lease is not None:
                if self._journal.mark != staged:  # undone before what gave way to it comes back
                    together = []
                    self._journal.undo_by(partial(self._unclaim, together))
                    staged = self._journal.mark
                together.append(lease)
                leases.append(lease)
                found[one.number] = _goes_on(lease, one)
        self._remove_from_windows(leases)
        return found

    def _block(self, state: BlockState | None) -> ClaimedBlock | None:
        """The block of a claimed lease, if it is of an active run."""
        run = None if state is None else self._roster.runs.get(state.run)
        if state is None or run is None or not run.active:
            return None
        return ClaimedBlock(run, state, self._journal.moved.get(state.id, []))

    def _claim(
        self, session: Session, block: ClaimedBlock, held: HeldLease, now: float
    ) -> Lease | None:
        if held.run != block.run.id:
            return None
        record = block.tracked_of(held)
        if record is None:
            wanted = block.waiting_of(held.ranges)
        else:
            wanted = without([(record.position, record.position + 1)], block.moved)
        ranges = self._free(block.run, held, wanted)
        if not ranges:
            return None
        return _go_on(session, block, held.number, ranges, record, now)

    def _free(self, run: Run, held: HeldLease, wanted: Ranges) -> Ranges:
        """What of a block no newer lease holds; older leases of it give way."""
        there = run.leases.get(held.block)
        if there is None or not there.positions & positions(wanted):
            return wanted
        met = [lease for lease in there.leases if both(lease.open, wanted)]
        for lease in sorted(met, key=lambda lease: lease.number):
            if lease.number < held.number:
                self._supersede(lease, wanted)
        return without(wanted, [piece for lease in met for piece in lease.open])

    def _supersede(self, lease: Lease, ranges: Ranges) -> None:
        """Stage that a newer lease holds some tasks of a lease."""
        run = lease.run
        for start, stop in both(lease.open, ranges):
            self._leasing.cut(lease, start, stop)
            self._journal.keep(run)
            run.leased -= stop - start
            if lease.tracked is not None:
                run.tracked_leased -= 1
        if not lease.open:
            gone = (lease.session, lease.number)
            self._journal.when_committed(partial(self.superseded.append, gone))

    def _remove_from_windows(self, leases: list[Lease]) -> None:
        """What goes on does not wait. The window of each lane is gone through once."""
        lanes: dict[Lane, tuple[Run, dict[int, Ranges]]] = {}
        for lease in leases:
            lane = lease.lane
            if lane not in lanes:
                lanes[lane] = lease.run, {}
            if lane.window.loaded and lease.tracked is None:
                lanes[lane][1].setdefault(lease.block, []).extend(lease.open)
        for lane, (run, blocks) in lanes.items():
            lane.window.remove(blocks)
            run.look(lane, self._journal.now)

    def _unclaim(self, leases: list[Lease]) -> None:
        """The hello could not be made durable: its tasks are read from disk anew."""
        lanes: dict[Lane, Run] = {}
        for lease in leases:
            run, lane = lease.run, lease.lane
            lease.leave()
            run.leased -= lease.held
            run.tracked_leased -= lease.tracked is not None
            lane.leased -= lease.limited
            lanes[lane] = run
        for lane, run in lanes.items():
            lane.window.restart()
            lane.tracked.restart()
            run.look(lane, self._journal.now)


class ClaimedBlock:
    """What of one block a hello may claim.

    state: as it is on disk. moved: what of it is staged to be otherwise. waiting: in order, apart.
    """

    __slots__ = ("_tracked", "_tracked_ranges", "moved", "run", "state", "waiting")

    def __init__(self, run: Run, state: BlockState, moved: Ranges) -> None:
        self.run = run
        self.state = state
        self.moved = moved
        self.waiting = without(state.waiting, moved)
        self._tracked = {task.position: task for task in state.tracked} if state.tracked else None
        self._tracked_ranges = [(at, at + 1) for at in sorted(self._tracked or ())]

    def waiting_of(self, ranges: Ranges) -> Ranges:
        """What of ranges, in order and apart, waits."""
        if len(self.waiting) == 1:
            ((start, stop),) = self.waiting
            if start <= ranges[0][0] and ranges[-1][1] <= stop:
                return ranges
        return within(ranges, self.waiting)

    def tracked_of(self, held: HeldLease) -> TrackedRecord | None:
        """The tracked task that a lease is of. One that is tracked since then was settled."""
        tracked = self._tracked
        if tracked is None:
            return None
        found = (tracked[at] for at, _ in within(held.ranges, self._tracked_ranges))
        return next((task for task in found if task.lease < held.number), None)


def _go_on(
    session: Session,
    block: ClaimedBlock,
    number: int,
    ranges: Ranges,
    record: TrackedRecord | None,
    now: float,
) -> Lease:
    run, state = block.run, block.state
    lane = run.lane_of(state.group)
    task = None
    if record is not None:
        task = Tracked.recorded(record)
        lane.tracked.remove(record.task)
    lease = Lease(
        number, session, run, lane, state.id, state.first, list(ranges), state.priority, task, now
    )
    lease.may_wait = run.may_wait(lane)
    run.leased += lease.held
    run.tracked_leased += task is not None
    lane.leased += lease.limited
    return lease


def _hand_over(leases: Iterable[Lease], old: Session, new: Session) -> None:
    for lease in leases:
        del old.leases[lease.number]
        lease.session = new
        new.leases[lease.number] = lease


def _goes_on(lease: Lease, said: HeldLease) -> HeldLease:
    """What of a lease goes on, for the welcome; mostly it is all that the worker said."""
    if lease.open == said.ranges:
        return said
    return HeldLease(lease.number, lease.run.id, lease.block, list(lease.open))


def parts_of(held: Iterable[HeldLease]) -> dict[int, tuple[int, int]]:
    """Of each block the part in which something is held: from, and up to which position."""
    parts: dict[int, tuple[int, int]] = {}
    for one in held:
        low, high = one.ranges[0][0], one.ranges[-1][1]
        part = parts.get(one.block)
        if part is not None:
            low, high = min(low, part[0]), max(high, part[1])
        parts[one.block] = low, high
    return parts
