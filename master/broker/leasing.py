"""Who gets which task: sessions, turns, shares, and workers without neighbours for suspects."""

from __future__ import annotations

from collections import Counter, deque
from functools import partial
from itertools import islice

from queue_manager.ranges import both
from queue_manager.wire.records import BLOCK_TASKS

from ..changes import QUEUE_RUN
from .lane import Lane
from .lease import Lease, Session
from .limiting import Limiting
from .run import Run
from .strays import Stray
from .waiting import Suspect
from .window import Range

ALONE_S = 60.0
"""So long a suspect has no neighbours in its worker: whatever kills it should have by then."""

_LOOKED_AT = 16
BUNDLE = 32


class Leasing(Limiting):
    """The leasing side of the broker.

    refused: outcomes of leases that were not theirs any more. stock_job: see `Broker`.
    """

    def __init__(self, epoch: int, stock_job: str) -> None:
        super().__init__()
        self.epoch = epoch
        self.stock_job = stock_job
        self.refused = 0
        self._next_lease = (epoch << 32) + 1
        self._slots = 0
        self._tagged_slots: Counter[frozenset[str]] = Counter()
        self._alone: list[Session] = []
        self._expected: set[str] = set()
        self._hold_s = 0.0
        self._hold_until: float | None = None

    # --- sessions ---

    def add_session(self, session: Session) -> None:
        """A session may hold leases from now on."""
        self.sessions[session.id] = session
        self._slots += session.slots
        if session.tags:
            self._tagged_slots[session.tags] += session.slots

    def enter(self, session: Session) -> None:
        """Stage that a worker has come: it is known on disk before it holds a lease."""
        self.add_session(session)
        self.undo.undo_by(partial(self._remove, session))
        if session.worker:
            if session.worker in self._left:  # it came back before that was written
                self._left.remove(session.worker)
                self.undo.undo_by(partial(self._left.add, session.worker))
            self.changes.workers[session.worker] = True
            self.undo.when_committed(partial(self._expected.discard, session.worker))

    def _remove(self, session: Session) -> bool:
        if self.sessions.pop(session.id, None) is None:
            return False
        self._slots -= session.slots
        if session.tags:
            self._tagged_slots[session.tags] -= session.slots
            self._tagged_slots += Counter()  # without those that have none left
        for suspect in self._suspects:
            if suspect.session is session:
                suspect.session = None
        return True

    def _leave(self, session: Session) -> bool:
        """Stage that a session is no more. False: it was not there."""
        if not self._remove(session):
            return False
        self.undo.undo_by(partial(self.add_session, session))
        again = any(other.worker == session.worker for other in self.sessions.values())
        if session.worker and not again:
            self._has_left(session.worker)
        return True

    # --- after a restart ---

    def expect(self, workers: set[str], hold_s: float) -> None:
        """Give nothing to anybody until these workers have come, or for so long.

        The time counts from the first session on. Before that, perhaps nobody could come, since
        the master's name or network was not there yet: then all are late together.
        """
        self._expected = set(workers)
        self._hold_s, self._hold_until = hold_s, None

    @property
    def holding(self) -> bool:
        """Whether somebody is there and gets nothing: a known worker may still hold it."""
        return bool(self._expected and self.sessions)

    def low_lanes(self) -> list[tuple[Run, Lane]]:
        """As it says. What waits is read once it can be given: till then much of it is claimed."""
        return [] if self._expected else super().low_lanes()

    @property
    def more_low(self) -> bool:
        return not self._expected and super().more_low

    def wake(self, now: float) -> None:
        super().wake(now)
        self._alone = [session for session in self._alone if session.is_alone(now)]
        if self._hold_until is None:
            if self.sessions:
                self._hold_until = now + self._hold_s
        elif self._expected and now >= self._hold_until:
            self._left |= self._expected  # the next start need not wait for them
            self._expected.clear()

    @property
    def next_due(self) -> float | None:
        dues = [session.alone_until for session in self._alone]
        if self.holding:
            dues.append(self._now if self._hold_until is None else self._hold_until)
        due = super().next_due
        return min(dues if due is None else [due, *dues], default=None)

    # --- leases ---

    @property
    def any_ready(self) -> bool:
        """Whether some lease could be given."""
        if self._expected:
            return False
        return bool(self._suspects) or any(run.ready for run in self._turns)

    def lease(self, session: Session, now: float) -> Lease | None:
        """Give one lease to a session, or None when nothing is ready for it. Runs take turns."""
        if session.id not in self.sessions or self._expected or session.is_alone(now):
            return None
        if self._suspects:
            suspect = self._suspect_for(session, now)
            if suspect is not None:
                return self._give_alone(session, suspect, now)
            if any(s.session is session for s in self._suspects):
                return None
        limited = session.stock or session.free > 0
        for run in self._turns:
            lane = run.next_lane(limited) if self._may_take(session, run) else None
            if lane is not None:
                # Those that were passed over keep their places: somebody else may take them.
                self._turns.remove(run)
                self._turns.append(run)
                return self._give(session, run, lane, now, self._most(session, run))
        return None

    def leases(self, session: Session, now: float) -> list[Lease]:
        """Give what one lease may be, of several blocks where they are small; may be empty."""
        first = self.lease(session, now)
        if first is None:
            return []
        found, run, count = [first], first.run, first.held
        if session.stock or first.stray is not None or first.limited:
            return found
        most = self._most(session, run)
        most_leases = BUNDLE * session.slots  # however much it asks for
        while 2 * count <= most and len(session.leases) < most_leases and run.next_is_plain:
            found.append(self._give(session, run, run.lane, now, most - count))
            count += found[-1].held
        return found

    def _may_take(self, session: Session, run: Run) -> bool:
        if session.stock and run.id == QUEUE_RUN:
            return True  # with code of its own: what the job needs is nothing to it
        if run.options.needs and not session.tags.issuperset(run.options.needs):
            return False
        if session.stock:
            return run.job == self.stock_job
        return bool(run.job) and run.job not in session.lacks

    def _most(self, session: Session, run: Run) -> int:
        """How many tasks a session should have at a time."""
        if session.stock:
            return 1
        share = max(-(-run.waiting // max(1, self._slots_for(run))), run.least)
        return max(1, min(run.size, share, BLOCK_TASKS))

    def _slots_for(self, run: Run) -> int:
        """How many slots could run its tasks, by their tags. Sets of tags are few."""
        needs = run.options.needs
        if not needs:
            return self._slots
        return sum(n for tags, n in self._tagged_slots.items() if tags.issuperset(needs))

    def _give(self, session: Session, run: Run, lane: Lane, now: float, most: int) -> Lease:
        found, priority, stray = run.take(lane, most)
        return self._grant(session, run, lane, found, priority, stray, now)

    def _grant(
        self,
        session: Session,
        run: Run,
        lane: Lane,
        found: Range,
        priority: int,
        stray: Stray | None,
        now: float,
    ) -> Lease:
        ranges = [(found.start, found.stop)]
        number, self._next_lease = self._next_lease, self._next_lease + 1
        lease = Lease(
            number, session, run, lane, found.block, found.first, ranges, priority, stray, now
        )
        lease.paused_from = lane.started_at
        session.free -= 1
        run.leased += found.stop - found.start
        run.strays_out += stray is not None
        if lease.limited and run.groups is not None:
            run.groups.started(lane, now)
            lease.paused_to = lane.started_at
        return lease

    # --- suspects ---

    def _suspect_for(self, session: Session, now: float) -> Suspect | None:
        """A suspect that this session is to have now."""
        self._suspects = deque(s for s in self._suspects if not s.stray.gone and s.run.active)
        able = (s for s in self._suspects if self._may_have(session, s, now))
        for suspect in islice(able, _LOOKED_AT):
            if not session.leases or now >= suspect.until:
                self._suspects.remove(suspect)
                return suspect
            if session.stock and session.leases:
                continue  # it can't be kept free for one: it may take all that it needs first
            if suspect.session is None and not self._somebody_idle(suspect.run):
                suspect.session = session
        return None

    def _may_have(self, session: Session, suspect: Suspect, now: float) -> bool:
        run, lane = suspect.run, suspect.lane
        if self._may_take(session, run) and self._may_start(session, run, lane, now):
            return True
        if suspect.session is session:  # it must not wait for what it can't have
            suspect.session = None
        return False

    @staticmethod
    def _may_start(session: Session, run: Run, lane: Lane, now: float) -> bool:
        if run.groups is None or lane is run.lane:
            return True
        return run.groups.may_start(lane, now) and (session.stock or session.free > 0)

    def _somebody_idle(self, run: Run) -> bool:
        return any(
            other.wanted and not other.leases and self._may_take(other, run)
            for other in self.sessions.values()
        )

    def _give_alone(self, session: Session, suspect: Suspect, now: float) -> Lease:
        run, lane, stray = suspect.run, suspect.lane, suspect.stray
        lane.strays.remove(stray.task)
        lease = self._grant(session, run, lane, stray.range, stray.priority, stray, now)
        if not session.stock:  # such a client may need the next task before it puts for this one
            session.alone, session.alone_until = lease.number, now + ALONE_S
            self._alone.append(session)
        return lease

    # --- what becomes of a lease ---

    def _settle(self, session: Session, number: int, start: int, stop: int) -> Lease | None:
        lease = session.leases.get(number)
        if lease is not None:
            is_next = start == lease.open[0][0]
            if self._cut(lease, start, stop):
                if is_next:  # the task behind it has begun
                    lease.begun = self._now
                return lease
        self.undo.undo_by(partial(self._count_refused, self.refused))
        self.refused += 1
        if lease is not None:
            # Part of it went on in a new session, and was reported together with the rest.
            for low, high in both(lease.open, [(start, stop)]):
                self._cut(lease, low, high)
                self._give_back(lease, low, high)
        return None

    def _count_refused(self, refused: int) -> None:
        self.refused = refused

    def _cut(self, lease: Lease, start: int, stop: int) -> bool:
        before = list(lease.open)
        if not lease.cut(start, stop):
            return False
        self.undo.undo_by(partial(lease.reopen, before, lease.begun))
        if lease.limited and not lease.open:
            self.undo.when_committed(partial(self._makes_room, lease))
        return True

    def _makes_room(self, lease: Lease) -> None:
        lease.lane.leased -= 1
        lease.run.look(lease.lane, self._now)

    def _never_started(self, lease: Lease) -> None:
        """The pause that began with this lease is over, unless another has begun since."""
        lane = lease.run.lane_of(lease.lane.group)
        if lane.started_at == lease.paused_to:
            lane.started_at = lease.paused_from
            lease.run.look(lane, self._now)

    def _end_lease(self, lease: Lease) -> None:
        """Stage that a lease is no more, whatever of it is open."""
        lease.leave()
        self.undo.undo_by(partial(lease.reopen, list(lease.open), lease.begun))
