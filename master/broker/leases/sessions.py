"""Sessions that may hold leases: who is there, how many slots they have, what each may run.

After a restart also the workers that were there before, and may still come back.
"""

from __future__ import annotations

from collections import Counter

from ...changes import QUEUE_RUN
from ..runs.run import Run
from .lease import Session


class Sessions:
    """The sessions that are there.

    all: by their id. stock_job: the job whose `work` runs the queue run's tasks, and whose runs
    stock clients work for; empty for none.
    """

    def __init__(self, stock_job: str) -> None:
        self.all: dict[int, Session] = {}
        self.stock_job = stock_job
        self._slots = 0
        self._tagged_slots: Counter[frozenset[str]] = Counter()

    def add(self, session: Session) -> None:
        """A session may hold leases from now on."""
        self.all[session.id] = session
        self._slots += session.slots
        if session.tags:
            self._tagged_slots[session.tags] += session.slots

    def remove(self, session: Session) -> bool:
        """A session may hold no leases any more. Returns False when it was not there."""
        if self.all.pop(session.id, None) is None:
            return False
        self._slots -= session.slots
        if session.tags:
            self._tagged_slots[session.tags] -= session.slots
            self._tagged_slots += Counter()  # without the sets of tags that have no slot left
        return True

    def has_worker(self, worker: str) -> bool:
        """Whether some session is of this worker."""
        return any(session.worker == worker for session in self.all.values())

    def may_take(self, session: Session, run: Run) -> bool:
        """Whether a session can run the tasks of a run."""
        if session.stock and run.id == QUEUE_RUN:
            return True  # it has code of its own, whatever the job needs
        if run.options.needs and not session.tags.issuperset(run.options.needs):
            return False
        if session.stock:
            return run.job == self.stock_job and not run.uploaded
        return bool(run.job) and run.code not in session.lacks

    def slots_for(self, run: Run) -> int:
        """How many slots could run the tasks of a run, by their tags. Sets of tags are few."""
        needs = run.options.needs
        if not needs:
            return self._slots
        return sum(n for tags, n in self._tagged_slots.items() if tags.issuperset(needs))

    def somebody_idle(self, run: Run) -> bool:
        """Whether a session that could run the tasks of a run wants leases and holds none."""
        return any(
            other.wanted and not other.leases and self.may_take(other, run)
            for other in self.all.values()
        )

    def somebody_free(self, run: Run) -> bool:
        """Whether a session that could run the tasks of a run would start one at once."""
        return any(
            other.wanted and other.free > 0 and self.may_take(other, run)
            for other in self.all.values()
        )


class KnownWorkers:
    """The workers of before a restart that may still hold leases.

    Nobody is given a lease until they have come, or have had time to come. The time counts from
    the first session on. Before that perhaps nobody could come, since the master's name or network
    was not there yet: then all workers are late together.
    missing: the ids of those that have not come yet.
    """

    def __init__(self) -> None:
        self.missing: set[str] = set()
        self._wait_s = 0.0
        self._until: float | None = None

    def wait_for(self, workers: set[str], wait_s: float) -> None:
        """Wait for these workers, for so long."""
        self.missing = set(workers)
        self._wait_s, self._until = wait_s, None

    def give_up(self, now: float, somebody_there: bool) -> set[str]:
        """The workers that have had time to come, and did not; nobody waits for them any more."""
        late: set[str] = set()
        if self._until is None:
            if somebody_there:
                self._until = now + self._wait_s
        elif self.missing and now >= self._until:
            late, self.missing = self.missing, set()
        return late

    def next_due(self, now: float) -> float:
        """When the waiting ends (monotonic seconds). Call it only while somebody waits."""
        return now if self._until is None else self._until
