"""What a worker reports of its leases: each outcome is checked, and staged with the broker.

Knows nothing of connections, nor of what the worker gets for it (`grants`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial

from queue_manager.errors import StoreError
from queue_manager.log_lines import about_run
from queue_manager.wire.limits import printable
from queue_manager.wire.messages import Exchange
from queue_manager.wire.records import Done, Failed, Outcome, Released

from ...broker.runs.run import Run
from ...changes import Mishap
from ...observe.failures import FailureLog, cannot
from ...reads import ReadRequest
from ...turn.known import Known
from ...turn.steps import UnpreparedError
from ...turn.turn import Turn
from ..runs.admission import Admission
from .session import WorkerSession
from .validation import check

log = logging.getLogger("quartermaster.master")

_LINE_CHARS = 2_000

NO_FOLLOW = (
    "work() returned a Result with follow=, which a map and an executor can't take: their results"
    " belong to their inputs; start() or a job's tasks() takes follow-ups"
)

NO_GROUPS = (
    "Result(limits=...) needs OPTIONS = Options(per_group=Limit(...)), which this run began without"
)


class Report:
    """One exchange of a worker, as it is prepared and staged.

    asked: leases whose outcomes need something of the store, of which it was asked for.
    """

    def __init__(self, outcomes: Outcomes, worker: WorkerSession, message: Exchange) -> None:
        self._outcomes = outcomes
        self._worker = worker
        self._needy = [
            outcome
            for outcome in message.outcomes
            if isinstance(outcome, Done) and (outcome.follow or outcome.limits)
        ]
        self._message = message
        self._asked: set[int] = set()

    @property
    def size_bytes(self) -> int:
        """About how many bytes of results, follow-ups and texts of failures it has."""
        outcomes_bytes = sum(map(_size_bytes, self._message.outcomes))
        return outcomes_bytes + sum(len(block.body) for one in self._needy for block in one.follow)

    @property
    def needs(self) -> Callable[[Known], Iterator[ReadRequest]] | None:
        """What must be read before it is staged; None: nothing."""
        return self._requests if self._needy else None

    def _requests(self, known: Known) -> Iterator[ReadRequest]:
        request = ReadRequest()
        self._asked.clear()
        for outcome in self._needy:
            lease = self._worker.session.leases.get(outcome.lease)
            if lease is not None:
                self._asked.add(outcome.lease)
                self._outcomes.ask(request, lease.run, outcome)
        yield request

    def stage(self, now: float, wall: float) -> int:
        """Stage all outcomes; returns how many were refused."""
        leases = self._worker.session.leases
        if any(o.lease in leases and o.lease not in self._asked for o in self._needy):
            raise UnpreparedError  # the session came, with these leases, in this very turn
        for outcome in self._message.outcomes:
            check(outcome)
        return sum(
            not self._outcomes.stage(self._worker, outcome, now, wall)
            for outcome in self._message.outcomes
        )


def _size_bytes(outcome: Outcome) -> int:
    """About how many bytes an outcome has for the disk, without its follow-ups."""
    if isinstance(outcome, Done):
        return len(outcome.results)
    if isinstance(outcome, Failed):
        texts = (outcome.error, outcome.evidence, outcome.printed)
        return sum(map(len, texts)) + len(outcome.raised)
    return 0


class Outcomes:
    """Stages outcomes. on_lacks: is told of each run that a worker can't run."""

    def __init__(self, turn: Turn, admission: Admission, failures: FailureLog) -> None:
        self._turn = turn
        self._admission = admission
        self._failures = failures
        self.on_lacks: list[Callable[[Run], None]] = []

    def ask(self, request: ReadRequest, run: Run, outcome: Done) -> None:
        """Ask for what must be known of a run before a result of it is staged."""
        self._admission.needs(request, run.id, outcome.follow)
        if run.groups is not None:
            request.add_groups(run.id, run.groups.unknown(outcome.limits))

    def stage(self, worker: WorkerSession, outcome: Outcome, now: float, wall: float) -> bool:
        """Stage one outcome. False: the lease is not this worker's (any more)."""
        if isinstance(outcome, Failed):
            return self._failed(worker, outcome, now, wall)
        if isinstance(outcome, Released):
            return self._released(worker, outcome, now)
        try:
            return self._done(worker, outcome, now, wall)
        except StoreError as error:  # what it needs can't be read, and was waited for long enough
            why = f"its result can't be recorded: {error}"
            failed = Failed(outcome.lease, outcome.start, why, took_s=outcome.took_s)
            return self._failed(worker, failed, now, wall)

    def _failed(self, worker: WorkerSession, outcome: Failed, now: float, wall: float) -> bool:
        broker, session = self._turn.broker, worker.session
        lease = session.leases.get(outcome.lease)
        # Without a lease it is refused: nobody will see it.
        error = "" if lease is None else printable(outcome.error, _LINE_CHARS)
        if outcome.whole_group and lease is not None and lease.run.groups is None:
            error += "; its group goes on, for this run began without OPTIONS.per_group"
        accepted = broker.fail(
            session,
            outcome.lease,
            outcome.position,
            Mishap(error, outcome.evidence, outcome.printed, outcome.raised),
            now,
            wall,
            reject=outcome.reject,
            delay_s=outcome.delay_s,
            whole_group=outcome.whole_group,
            took_s=outcome.took_s,
        )
        if accepted and lease is not None:
            attempts = broker.staged_attempts(lease, outcome.position)
            told = (lease, outcome.position, error, attempts, outcome.evidence)
            self._turn.undo.when_committed(partial(self._failures.note, *told))
        return accepted

    def _released(self, worker: WorkerSession, outcome: Released, now: float) -> bool:
        number, session = outcome.lease, worker.session
        lease = session.leases.get(number)
        lacks = "" if lease is None else printable(outcome.lacks, _LINE_CHARS)
        if lease is not None and lacks:
            worker.lacks_at = now
            if worker.complaint != lacks:
                worker.complaint = lacks
                what = worker.name, cannot(lease.run.job, lacks)
                log.warning("worker %s %s", *what, extra=about_run(lease.run, worker=worker.name))
            for listener in self.on_lacks:
                listener(lease.run)
        return self._turn.broker.release(
            session,
            number,
            outcome.start,
            outcome.stop,
            lacks,
            unstarted=outcome.unstarted,
        )

    def _done(self, worker: WorkerSession, outcome: Done, now: float, wall: float) -> bool:
        """Stage a result. Raises StoreError, with nothing staged, when something is not known."""
        lease = worker.session.leases.get(outcome.lease)
        trouble = "" if lease is None else _trouble(lease.run, outcome)
        if trouble:
            wrong = Failed(outcome.lease, outcome.start, trouble, took_s=outcome.took_s)
            return self._failed(worker, wrong, now, wall)
        admitted = None
        if lease is not None:
            admitted = self._admission.admit(lease.run, outcome.follow)
            self._learn_groups(lease.run, outcome, wall)
        accepted = self._turn.broker.done(
            worker.session,
            outcome.lease,
            outcome.start,
            outcome.stop,
            outcome.results,
            outcome.took_s,
        )
        if accepted and lease is not None and admitted is not None:
            if outcome.limits:
                self._turn.broker.set_limits(lease.run, outcome.limits)
            self._admission.stage(lease.run, admitted, now, wall, from_tasks=False)
        return accepted

    def _learn_groups(self, run: Run, outcome: Done, wall: float) -> None:
        """Have the broker know what groups have of their own, before it is replaced."""
        unknown = [] if run.groups is None else run.groups.unknown(outcome.limits)
        if unknown:
            found = self._turn.known.own_groups(run.id, unknown)
            self._turn.broker.know_groups(run, found, wall)


def _trouble(run: Run, outcome: Done) -> str:
    """Why a result fails its task, in one line; empty if it does not.

    Whoever maps over its inputs knows its tasks by their numbers, so no other task may come between
    them.
    """
    if outcome.limits and run.groups is None:
        return NO_GROUPS
    return NO_FOLLOW if outcome.follow and run.options.inputs_only else ""
