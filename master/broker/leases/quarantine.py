"""Quarantine: tasks that lost their worker again and again get a worker without neighbours.

What kills a worker may be such a task or its neighbour; alone in its worker it harms only itself.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice

from ..lanes.lane import Lane
from ..lanes.tracked import Tracked
from ..runs.run import Run
from .lease import Lease, Session
from .sessions import Sessions

RESERVE_S = 30.0
"""How long a task in quarantine waits for a worker that holds nothing else."""

EXCLUSIVE_S = 60.0
"""How long such a task keeps its worker for itself: if it kills the worker, then within that."""

_LOOKED_AT = 16
_LAST_LOSSES = 2


@dataclass(slots=True, eq=False)
class Quarantined:
    """A task that waits in quarantine.

    until: after that any worker will do (monotonic). session: a session that is given nothing
    more, until it holds nothing and can take the task.
    """

    run: Run
    lane: Lane
    task: Tracked
    until: float
    session: Session | None = None


class Quarantine:
    """The tasks in quarantine, and the sessions that work on one.

    waiting: the tasks that wait.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self.waiting: deque[Quarantined] = deque()
        self._exclusive: list[Session] = []

    @staticmethod
    def needed(run: Run, task: Tracked) -> bool:
        """Whether a task is to have a worker for itself: before its last two losses."""
        return task.losses >= max(1, run.options.losses - _LAST_LOSSES)

    def add(self, run: Run, lane: Lane, task: Tracked, now: float) -> None:
        """A task of a lane waits in quarantine."""
        lane.tracked.quarantine(task)
        self.waiting.append(Quarantined(run, lane, task, now + RESERVE_S))

    def take(self, session: Session, now: float) -> Quarantined | None:
        """A task that this session is to have now. It does not wait any more."""
        self.waiting = deque(q for q in self.waiting if not q.task.gone and q.run.active)
        able = (q for q in self.waiting if self._may_have(session, q, now))
        for found in islice(able, _LOOKED_AT):
            if not session.leases or now >= found.until:
                self.waiting.remove(found)
                found.lane.tracked.remove(found.task.task)
                return found
            if session.stock:
                continue  # it can't be reserved: it may take all that it needs for a result first
            if found.session is None and not self._sessions.somebody_idle(found.run):
                found.session = session
        return None

    def reserves(self, session: Session) -> bool:
        """Whether a session is given nothing more, until it can take a task in quarantine."""
        return any(found.session is session for found in self.waiting)

    def give_exclusive(self, session: Session, lease: Lease, now: float) -> None:
        """A session has been given such a task."""
        if session.stock:
            return  # such a client may need the next task before it puts a result for this one
        session.exclusive, session.exclusive_until = lease.number, now + EXCLUSIVE_S
        self._exclusive.append(session)

    def hand_over(self, old: Session, new: Session, now: float) -> None:
        """The leases of a session go on in another one."""
        new.exclusive, new.exclusive_until = old.exclusive, old.exclusive_until
        if new.is_exclusive(now):
            self._exclusive.append(new)

    def session_left(self, session: Session) -> None:
        """A session is gone: it can't take what it was reserved for."""
        for found in self.waiting:
            if found.session is session:
                found.session = None

    def run_ended(self, run: Run) -> None:
        """The tasks of a run that has ended do not wait."""
        self.waiting = deque(found for found in self.waiting if found.run is not run)

    def wake(self, now: float) -> None:
        """Sessions whose exclusive time is over get other leases again."""
        self._exclusive = [session for session in self._exclusive if session.is_exclusive(now)]

    def dues(self, now: float) -> list[float]:
        """When something changes by itself (monotonic seconds)."""
        reserved = [found.until for found in self.waiting if found.until > now]
        return reserved + [session.exclusive_until for session in self._exclusive]

    def _may_have(self, session: Session, found: Quarantined, now: float) -> bool:
        run, lane = found.run, found.lane
        if self._sessions.may_take(session, run) and _may_start(session, run, lane, now):
            return True
        if found.session is session:  # it must not be reserved for what it can't have
            found.session = None
        return False


def _may_start(session: Session, run: Run, lane: Lane, now: float) -> bool:
    if run.groups is None or lane is run.lane:
        return True
    return run.groups.may_start(lane, now) and (session.stock or session.free > 0)
