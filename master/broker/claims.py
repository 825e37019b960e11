"""Leases that workers still hold when they come back, after a restart of the master or before."""

from __future__ import annotations

from functools import partial

from queue_manager.ranges import Ranges, both, without
from queue_manager.records import HeldLease

from ..changes import BlockState, StrayRecord
from .lease import Lease, Session
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
        kept: dict[int, HeldLease] = {}
        ranges = {one.number: one.ranges for one in held}
        for lease in list(old.leases.values()):
            for start, stop in without(lease.open, ranges.get(lease.number, [])):
                self._cut(lease, start, stop)
                self._give_back(lease, start, stop)
            if lease.open:
                self._hand_over(lease, new)
                open_ = list(lease.open)
                kept[lease.number] = HeldLease(lease.number, lease.run.id, lease.block, open_)
        new.alone, new.alone_until = old.alone, old.alone_until
        if new.is_alone(self._now):
            self._alone.append(new)
        self._leave(old)
        return kept

    def _hand_over(self, lease: Lease, to: Session) -> None:
        old = lease.session
        del old.leases[lease.number]
        self.undo_by(partial(old.leases.__setitem__, lease.number, lease))
        self.change(lease, session=to)
        to.leases[lease.number] = lease
        self.undo_by(partial(to.leases.pop, lease.number, None))

    def claim(
        self, session: Session, held: HeldLease, state: BlockState | None, now: float
    ) -> HeldLease | None:
        """Stage that a lease of before the restart goes on; what of it does, or None.

        state: of the block, as it is on disk. What has ended, strayed since, or is leased to
        somebody else is left out; of two that hold the same the newer lease is right.
        """
        run = self.runs.get(held.run)
        older = held.number >> 32 < self.epoch and held.number not in session.leases
        if state is None or run is None or not (run.active and older and state.run == run.id):
            return None
        record = next((s for s in state.strays if _is_of(s, held)), None)
        if record is not None:
            wanted = [(record.position, record.position + 1)]
        else:
            wanted = both(held.ranges, state.waiting)
        ranges = without(wanted, self._busy(run, held, wanted))
        if not ranges:
            return None
        self._go_on(session, run, held.number, state, ranges, record, now)
        return HeldLease(held.number, run.id, state.id, ranges)

    def _busy(self, run: Run, held: HeldLease, wanted: Ranges) -> Ranges:
        """What of a block is not to be had; older leases of what is wanted give way first."""
        found = [(a, b) for block, a, b in self._returning if block == held.block]
        found += [(o.start, o.stop) for o in self.changes.outcomes if o.block == held.block]
        staged = self.changes.strays.values()
        found += [(s.position, s.position + 1) for s in staged if s.block == held.block]
        for lease in self._leases_of(run):
            if lease.block == held.block and lease.number < held.number:
                self._outrank(lease, wanted)
            if lease.block == held.block:
                found += lease.open
        return found

    def _outrank(self, lease: Lease, ranges: Ranges) -> None:
        run = lease.run
        for start, stop in both(lease.open, ranges):
            self._cut(lease, start, stop)
            self.change(run, leased=run.leased - (stop - start))
            if lease.stray is not None:
                self.change(run, strays_out=run.strays_out - 1)
        if not lease.open:
            gone = (lease.session, lease.number)
            self.when_committed(partial(self.outranked.append, gone))

    def _go_on(
        self,
        session: Session,
        run: Run,
        number: int,
        state: BlockState,
        ranges: Ranges,
        record: StrayRecord | None,
        now: float,
    ) -> None:
        lane = run.lane_of(state.group)
        stray = None
        if record is None:
            lane.window.remove(state.id, ranges)
        else:
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
        session.leases[number] = lease
        run.leased += lease.held
        run.strays_out += stray is not None
        lane.leased += lease.limited
        run.look(lane, now)
        self.undo_by(partial(self._unclaim, lease, list(ranges)))

    def _unclaim(self, lease: Lease, ranges: Ranges) -> None:
        """It could not be made durable that the worker came: its tasks are read from disk anew."""
        run, lane = lease.run, lease.lane
        lease.session.leases.pop(lease.number, None)
        run.leased -= sum(stop - start for start, stop in ranges)
        run.strays_out -= lease.stray is not None
        lane.leased -= lease.limited
        lane.window.unload()
        lane.window.more = True
        lane.window.end = None
        lane.strays.restart()
        run.look(lane, self._now)


def _is_of(stray: StrayRecord, held: HeldLease) -> bool:
    """Whether the lease is of this one stray: of what strayed later, it was settled."""
    here = any(start <= stray.position < stop for start, stop in held.ranges)
    return here and stray.lease < held.number
