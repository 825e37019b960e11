"""Leases: which session gets which task, and what becomes of a lease.

Runs take turns; within a run the highest priority goes first.
"""

from __future__ import annotations

from functools import partial

from queue_manager.ranges import both
from queue_manager.wire.records import BLOCK_TASKS

from ..journal import Journal
from ..lanes.lane import Lane
from ..lanes.tracked import Tracked
from ..lanes.window import Range
from ..runs.progress import Progress
from ..runs.roster import Roster
from ..runs.run import AIM_S, Run
from ..waiting import Waiting
from .job_pace import JobPaces
from .lease import Lease, Session
from .quarantine import Quarantine
from .sessions import KnownWorkers, Sessions

BUNDLE = 32
"""How many leases of small blocks a slot holds at most, however much it asks for."""


class Leasing:
    """Gives leases, and ends them.

    epoch: grows with each start of the master; the number of a lease carries it.
    refused: outcomes of leases that were not the sender's any more. paces: how long tasks take.
    """

    def __init__(
        self,
        epoch: int,
        journal: Journal,
        roster: Roster,
        sessions: Sessions,
        known_workers: KnownWorkers,
        quarantine: Quarantine,
        waiting: Waiting,
        progress: Progress,
    ) -> None:
        self.epoch = epoch
        self.refused = 0
        self._journal = journal
        self._roster = roster
        self._sessions = sessions
        self._known_workers = known_workers
        self._quarantine = quarantine
        self._waiting = waiting
        self._progress = progress
        self._next_lease = (epoch << 32) + 1
        self._held_back: Session | None = None
        self.paces = JobPaces()

    # --- sessions ---

    def enter(self, session: Session) -> None:
        """Stage that a session has come: its worker is known on disk before it holds a lease."""
        self._sessions.add(session)
        self._journal.undo_by(partial(self._remove, session))
        if session.worker:
            self._progress.worker_came(session.worker)
            self._journal.changes.workers[session.worker] = True
            missing = self._known_workers.missing
            self._journal.when_committed(partial(missing.discard, session.worker))

    def leave(self, session: Session) -> bool:
        """Stage that a session is gone. Returns False when it was not there."""
        if not self._remove(session):
            return False
        self._journal.undo_by(partial(self._sessions.add, session))
        if session.worker and not self._sessions.has_worker(session.worker):
            self._progress.worker_left(session.worker)
        return True

    def _remove(self, session: Session) -> bool:
        if not self._sessions.remove(session):
            return False
        self._quarantine.session_left(session)
        return True

    # --- a lease is given ---

    @property
    def any_ready(self) -> bool:
        """Whether some lease could be given."""
        if self._known_workers.missing:
            return False
        self._roster.drop_idle()
        return bool(self._quarantine.waiting or self._roster.rotation)

    def lease(self, session: Session, now: float) -> Lease | None:
        """Give one lease to a session, or None when nothing is ready for it."""
        if (
            session.id not in self._sessions.all
            or self._known_workers.missing
            or session.is_exclusive(now)
        ):
            return None
        if self._quarantine.waiting:
            found = self._quarantine.take(session, now)
            if found is not None:
                task = found.task
                lease = self._grant(
                    session, found.run, found.lane, task.range, task.priority, task, now
                )
                self._quarantine.give_exclusive(session, lease, now)
                found.run.attend()
                return lease
            if self._quarantine.reserves(session):
                return None
        at_once = session.stock or session.free > 0
        self._roster.drop_idle()
        for run in self._roster.rotation:
            able = self._sessions.may_take(session, run)
            may_wait = not at_once and able and self._may_wait(run)
            lane = run.next_lane(at_once, may_wait) if able else None
            if able and not at_once and self._holds_back(session, run, lane):
                return None
            if lane is not None:
                # Runs that were passed over keep their places: another session may take them.
                lease = self._give(session, run, lane, now, self._most(session, run))
                self._roster.had_turn(run)
                return lease
        return None

    def _holds_back(self, session: Session, run: Run, lane: Lane | None) -> bool:
        """Whether a session gets nothing more, until one of its slots is free for a group of a run.

        Each slot that is at work has its next lease already. A group whose tasks start at once or
        not at all would wait until nothing else waits. One session is held back at a time.
        lane: what the session would get of the run.
        """
        best = None if run.groups is None else run.groups.best
        if best is None or lane is best or (lane is not None and lane.priority > best.priority):
            return False
        if self._sessions.somebody_free(run):
            return False
        held = self._held_back
        # A session that wants nothing more has leases enough: its slots stay at work.
        if held is None or not held.wanted or held.id not in self._sessions.all:
            held = self._held_back = session
        return held is session

    def leases(self, session: Session, now: float) -> list[Lease]:
        """Give what one lease may be, of several blocks where they are small; may be empty."""
        first = self.lease(session, now)
        if first is None:
            return []
        found, run, count = [first], first.run, first.held
        if session.stock or first.tracked is not None or not first.may_wait:
            return found
        most = self._most(session, run)
        most_leases = BUNDLE * session.slots
        share = self._group_share(run, run.startable + first.limited)
        while 2 * count <= most and len(session.leases) < most_leases:
            lane = run.next_to_wait
            if lane is None or (lane is not run.lane and len(found) >= share):
                break
            found.append(self._give(session, run, lane, now, most - count))
            count += found[-1].held
        if not run.ready:
            self._add_other_runs(session, found, now)
        return found

    def _add_other_runs(self, session: Session, found: list[Lease], now: float) -> None:
        """Add leases of the runs whose turn is next: one slot has them, one behind the other.

        All that its run has is given already. The next runs are added if all of it together is
        known to be short, and if there are more runs than slots.
        """
        run = found[0].run
        pace_s = self.paces.of(run)
        if pace_s is None:
            return
        taken_s = pace_s * sum(lease.held for lease in found)
        room = BUNDLE * session.slots - len(session.leases)
        each = (1 + len(self._roster.rotation)) // max(1, self._sessions.slots_for(run))
        for _ in range(min(BUNDLE - len(found), room, each - 1)):
            self._roster.drop_idle()
            run = next(iter(self._roster.rotation), run)
            pace_s = self.paces.of(run)
            lane = run.next_to_wait
            if pace_s is None or lane is not run.lane or not self._sessions.may_take(session, run):
                return
            most = self._most(session, run)
            taken_s += pace_s * most
            if taken_s > AIM_S or self._quarantine.waiting:
                return
            found.append(self._give(session, run, lane, now, most))
            self._roster.had_turn(run)

    def _most(self, session: Session, run: Run) -> int:
        """How many tasks a session should have at a time."""
        if session.stock:
            return 1
        self.paces.begin(run)
        slots = max(1, self._sessions.slots_for(run))
        if len(self._roster.rotation) >= slots:
            slots = 1  # the others have runs of their own
        share = max(-(-run.waiting // slots), run.least)
        return max(1, min(run.size, share, BLOCK_TASKS))

    def _may_wait(self, run: Run) -> bool:
        """Whether a group may wait behind another task, for no other slot could start it now."""
        groups = run.startable
        if not groups:
            return True
        return self._group_share(run, groups) > 1 or not self._sessions.somebody_free(run)

    def _group_share(self, run: Run, groups: int) -> int:
        """How many of the groups that may start a task one slot should have at a time.

        Each has one task to give. Where there are no more groups than slots, a group whose task
        waited behind another one would leave a slot idle.
        """
        return max(groups // max(1, self._sessions.slots_for(run)), run.least)

    def _give(self, session: Session, run: Run, lane: Lane, now: float, most: int) -> Lease:
        found, priority, task = run.take(lane, most)
        return self._grant(session, run, lane, found, priority, task, now)

    def _grant(
        self,
        session: Session,
        run: Run,
        lane: Lane,
        found: Range,
        priority: int,
        task: Tracked | None,
        now: float,
    ) -> Lease:
        ranges = [(found.start, found.stop)]
        number, self._next_lease = self._next_lease, self._next_lease + 1
        lease = Lease(
            number, session, run, lane, found.block, found.first, ranges, priority, task, now
        )
        lease.paused_from = lane.started_at
        lease.may_wait = run.may_wait(lane)
        session.free -= 1
        run.leased += found.stop - found.start
        run.tracked_leased += task is not None
        if lease.limited and run.groups is not None:
            run.groups.started(lane, now)
            lease.paused_to = lane.started_at
        return lease

    # --- what becomes of a lease ---

    def settle(self, session: Session, number: int, start: int, stop: int) -> Lease | None:
        """Stage that a part of a lease is settled; the lease, which is open no more at its end.

        None: it is not this session's (any more), so the outcome is refused.
        """
        lease = session.leases.get(number)
        if lease is not None:
            is_next = start == lease.open[0][0]
            if self.cut(lease, start, stop):
                if is_next:  # the task behind it has begun
                    lease.begun = self._journal.now
                return lease
        self._refuse(lease, start, stop)
        return None

    def _refuse(self, lease: Lease | None, start: int, stop: int) -> None:
        self._journal.undo_by(partial(self._put_refused, self.refused))
        self.refused += 1
        if lease is not None:
            # Part of it went on in a new session, and was reported together with the rest.
            for low, high in both(lease.open, [(start, stop)]):
                self.cut(lease, low, high)
                self._waiting.give_back(lease, low, high)

    def _put_refused(self, refused: int) -> None:
        self.refused = refused

    def cut(self, lease: Lease, start: int, stop: int) -> bool:
        """Stage that a range is no part of a lease any more. False: it was none."""
        before = list(lease.open)
        if not lease.cut(start, stop):
            return False
        self._journal.undo_by(partial(lease.reopen, before, lease.begun))
        if lease.limited and not lease.open:
            self._journal.when_committed(partial(self._makes_room, lease))
        return True

    def revoke(self, lease: Lease) -> None:
        """Stage that a lease is no more, whatever of it is open."""
        lease.leave()
        self._journal.undo_by(partial(lease.reopen, list(lease.open), lease.begun))

    def never_started(self, lease: Lease) -> None:
        """End the pause of a group that began with this lease, unless another has begun since."""
        lane = lease.run.lane_of(lease.lane.group)
        if lane.started_at == lease.paused_to:
            lane.started_at = lease.paused_from
            lease.run.look(lane, self._journal.now)

    def _makes_room(self, lease: Lease) -> None:
        lane, now = lease.lane, self._journal.now
        lane.leased -= 1
        if lease.may_wait:  # nobody knows when it started: a pause counts from its end
            last = lane.started_at == lease.paused_to
            lane.started_at = max(lane.started_at, now)
            lease.paused_to = lane.started_at if last else lease.paused_to
        lease.run.look(lane, now)
