"""Leases that workers still hold when they come back, after a restart of the master or before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from queue_manager.ranges import Ranges, both, within, without
from queue_manager.wire.records import HeldLease

from ..changes import BlockState, TrackedRecord
from .lane import Lane
from .lease import Lease, Session, positions
from .leasing import Leasing
from .run import Run
from .strays import Stray


class Claims(Leasing):
    """What a hello says of leases, against what is known of their tasks.

    outranked: leases of sessions that ended because another worker holds a newer one.
    """

    def __init__(self, epoch: int, stock_job: str) -> None:
        super().__init__(epoch, stock_job)
        self.outranked: list[tuple[Session, int]] = []

    def take_over(self, old: Session, new: Session, held: list[HeldLease]) -> dict[int, HeldLease]:
        """Stage that a worker goes on in a new session; what of its leases goes on, by number.

        What it does not hold never came to it, and is offered again uncharged.
        """
        said = {one.number: one for one in held}
        for lease in list(old.leases.values()):
            there = said.get(lease.number)
            ranges = [] if there is None else there.ranges
            for start, stop in [] if ranges == lease.open else without(lease.open, ranges):
                self._cut(lease, start, stop)
                self._give_back(lease, start, stop)
        leases = list(old.leases.values())
        _hand_over(leases, old, new)
        self.undo.undo_by(partial(_hand_over, leases, new, old))
        new.alone, new.alone_until = old.alone, old.alone_until
        if new.is_alone(self._now):
            self._alone.append(new)
        self._leave(old)
        return {lease.number: _goes_on(lease, said[lease.number]) for lease in leases}

    def claim(
        self,
        session: Session,
        held: Iterable[HeldLease],
        states: Mapping[int, BlockState],
        now: float,
    ) -> dict[int, HeldLease]:
        """Stage that leases of before the restart go on; what of them does, by number.

        states: of their blocks, as they are on disk, where something is held. What has ended,
        strayed since, or is leased to somebody else is left out; of two that hold the same the
        newer lease is right. All of a hello at once: each lane of it is looked at once.
        """
        found: dict[int, HeldLease] = {}
        leases: list[Lease] = []
        grounds: dict[int, Ground] = {}
        together: list[Lease] = []
        staged = -1  # the mark behind the newest undo of these
        for one in held:
            ground = grounds.get(one.block)
            if ground is None:
                state = states.get(one.block)
                run = None if state is None else self.runs.get(state.run)
                if state is None or run is None or not run.active:
                    continue
                moved = self._moved.get(one.block, []) if self._moved else []
                ground = grounds[one.block] = Ground(run, state, moved)
            older = one.number >> 32 < self.epoch and one.number not in session.leases
            lease = self._claim(session, ground, one, now) if older else None
            if lease is not None:
                if self.undo.mark != staged:  # undone before what gave way to it comes back
                    together = []
                    self.undo.undo_by(partial(self._unclaim, together))
                    staged = self.undo.mark
                together.append(lease)
                leases.append(lease)
                found[one.number] = _goes_on(lease, one)
        self._remove_from_windows(leases)
        return found

    def _claim(self, session: Session, ground: Ground, held: HeldLease, now: float) -> Lease | None:
        if held.run != ground.run.id:
            return None
        record = ground.stray_of(held)
        if record is None:
            wanted = ground.waiting_of(held.ranges)
        else:
            wanted = without([(record.position, record.position + 1)], ground.moved)
        ranges = self._free(ground.run, held, wanted)
        if not ranges:
            return None
        return self._go_on(session, ground, held.number, ranges, record, now)

    def _free(self, run: Run, held: HeldLease, wanted: Ranges) -> Ranges:
        """What of a block no newer lease holds; older leases of it give way."""
        there = run.leases.get(held.block)
        if there is None or not there.positions & positions(wanted):
            return wanted
        met = [lease for lease in there.leases if both(lease.open, wanted)]
        for lease in sorted(met, key=lambda lease: lease.number):
            if lease.number < held.number:
                self._outrank(lease, wanted)
        return without(wanted, [piece for lease in met for piece in lease.open])

    def _remove_from_windows(self, leases: list[Lease]) -> None:
        """What goes on does not wait. Each lane once: its window is looked at as a whole."""
        lanes: dict[Lane, tuple[Run, dict[int, Ranges]]] = {}
        for lease in leases:
            lane = lease.lane
            if lane not in lanes:
                lanes[lane] = lease.run, {}
            if lane.window.loaded and lease.stray is None:
                lanes[lane][1].setdefault(lease.block, []).extend(lease.open)
        for lane, (run, blocks) in lanes.items():
            lane.window.remove(blocks)
            run.look(lane, self._now)

    def _outrank(self, lease: Lease, ranges: Ranges) -> None:
        run = lease.run
        for start, stop in both(lease.open, ranges):
            self._cut(lease, start, stop)
            self.undo.keep(run)
            run.leased -= stop - start
            if lease.stray is not None:
                run.strays_out -= 1
        if not lease.open:
            gone = (lease.session, lease.number)
            self.undo.when_committed(partial(self.outranked.append, gone))

    def _go_on(
        self,
        session: Session,
        ground: Ground,
        number: int,
        ranges: Ranges,
        record: TrackedRecord | None,
        now: float,
    ) -> Lease:
        run, state = ground.run, ground.state
        lane = run.lane_of(state.group)
        stray = None
        if record is not None:
            stray = Stray.recorded(record)
            lane.strays.remove(record.task)
        lease = Lease(
            number,
            session,
            run,
            lane,
            state.id,
            state.first,
            list(ranges),
            state.priority,
            stray,
            now,
        )
        run.leased += lease.held
        run.strays_out += stray is not None
        lane.leased += lease.limited
        return lease

    def _unclaim(self, leases: list[Lease]) -> None:
        """It could not be made durable that the worker came: its tasks are read from disk anew."""
        lanes: dict[Lane, Run] = {}
        for lease in leases:
            run, lane = lease.run, lease.lane
            lease.leave()
            run.leased -= lease.held
            run.strays_out -= lease.stray is not None
            lane.leased -= lease.limited
            lanes[lane] = run
        for lane, run in lanes.items():
            lane.window.unload()
            lane.window.more = True
            lane.window.end = None
            lane.strays.restart()
            run.look(lane, self._now)


class Ground:
    """What of one block a hello may claim.

    state: as it is on disk. moved: what of it is staged to be otherwise. waiting: in order, apart.
    """

    __slots__ = ("_stray_ranges", "_strays", "moved", "run", "state", "waiting")

    def __init__(self, run: Run, state: BlockState, moved: Ranges) -> None:
        self.run = run
        self.state = state
        self.moved = moved
        self.waiting = without(state.waiting, moved)
        self._strays = {stray.position: stray for stray in state.tracked} if state.tracked else None
        self._stray_ranges = [(at, at + 1) for at in sorted(self._strays or ())]

    def waiting_of(self, ranges: Ranges) -> Ranges:
        """What of ranges, in order and apart, waits."""
        if len(self.waiting) == 1:
            ((start, stop),) = self.waiting
            if start <= ranges[0][0] and ranges[-1][1] <= stop:
                return ranges
        return within(ranges, self.waiting)

    def stray_of(self, held: HeldLease) -> TrackedRecord | None:
        """The stray that a lease is of: of what strayed later, it was settled."""
        strays = self._strays
        if strays is None:
            return None
        found = (strays[at] for at, _ in within(held.ranges, self._stray_ranges))
        return next((stray for stray in found if stray.lease < held.number), None)


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
