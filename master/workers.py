"""Our workers' sessions: outcomes in, leases out, and the silence after which one is given up."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field
from functools import partial

from queue_manager import codec
from queue_manager.errors import ProtocolError
from queue_manager.peer import Peer
from queue_manager.records import (
    FRAME_BYTES,
    Beat,
    Done,
    Exchange,
    Failed,
    Hello,
    Leases,
    Outcome,
    encode,
)
from queue_manager.records import Lease as LeaseMessage

from .changes import Changes
from .failures import FailureLog
from .follow import FollowUps
from .follow import check as check_block
from .lease import Session
from .turn import Answer, Step, Turn

log = logging.getLogger("quartermaster.master")
coming_and_going = logging.getLogger("quartermaster.master.workers")

_LEASE_BYTES = 256
SILENT_S = 12.0
"""A worker beats every 5 s; one that is frozen is given up after this, so 15 s at most."""

LACKS_S = 5.0
"""After this a worker that could not run a job is offered it again: its file may be mended."""


@dataclass(slots=True)
class WorkerSession:
    """A worker's connection.

    granted: leases of this turn that were not sent yet. answers: how many answers the end of the
    turn will send; the first of them takes the leases along. lacks_at: when it last said that it
    can't run a job (monotonic). complaint: what it said then, so that the log has it once.
    """

    peer: Peer
    session: Session
    hello: Hello
    since: float
    heard: float
    draining: bool = False
    granted: list[LeaseMessage] = field(default_factory=list)
    answers: int = 0
    lacks_at: float = 0.0
    complaint: str = ""

    @property
    def name(self) -> str:
        """As logs and `status` call it."""
        return f"{self.hello.host}/{self.hello.pid}"


class Workers:
    """All sessions of our own workers."""

    def __init__(self, turn: Turn, follow_ups: FollowUps, failures: FailureLog) -> None:
        self._turn = turn
        self._follow_ups = follow_ups
        self._failures = failures
        self._hungry: dict[int, WorkerSession] = {}
        self._sent: dict[int, WorkerSession] = {}
        self.sessions: dict[int, WorkerSession] = {}

    def open(self, peer: Peer, session_id: int, hello: Hello) -> WorkerSession:
        """A worker has said hello."""
        now = time.monotonic()
        worker = WorkerSession(peer, Session(session_id, max(1, hello.slots)), hello, now, now)
        self.sessions[session_id] = worker
        self._turn.broker.add_session(worker.session)
        slots = worker.session.slots
        coming_and_going.info("worker %s connected with %d slot(s)", worker.name, slots)
        return worker

    def message(self, worker: WorkerSession, message: Exchange | Beat) -> None:
        """A worker reports, asks, or just beats."""
        worker.heard = time.monotonic()
        if isinstance(message, Exchange):

            def refuse(error: str) -> None:
                log.error("%s: closed: %s", worker.name, error)
                worker.peer.close()

            self._turn.post(
                Step(lambda now, wall: self._stage(worker, message, now, wall), refuse, waits=True)
            )

    def closed(self, worker: WorkerSession) -> None:
        """A worker's connection has ended."""
        self.sessions.pop(worker.session.id, None)
        self._hungry.pop(worker.session.id, None)
        held = sum(lease.held for lease in worker.session.leases.values())
        offered = f", {held} task(s) offered again" * bool(held)
        coming_and_going.info("worker %s left%s", worker.name, offered)
        drop = self._turn.broker.drop_session
        self._turn.post(Step(lambda now, wall: drop(worker.session, now, wall), waits=True))

    def tick(self, now: float) -> None:
        """Give up the workers that said nothing for too long: a frozen host still acknowledges.

        Those that could not run a job are offered it again after a while.
        """
        for worker in list(self.sessions.values()):
            if worker.session.lacks and now - worker.lacks_at > LACKS_S:
                worker.session.lacks.clear()
                self._turn.wake()
            if now - worker.heard > SILENT_S:
                log.warning("worker %s is silent: given up", worker.name)
                worker.peer.abort()

    def turned(self, changes: Changes, now: float) -> None:
        """Hand out leases: one to each that waits, round after round."""
        broker = self._turn.broker
        while self._hungry and broker.any_ready:
            given = [
                worker
                for worker in list(self._hungry.values())
                if broker.any_ready and self._give(worker, now)
            ]
            self._turn.refill()
            if not given:
                break
        for worker in self._sent.values():
            if not worker.answers:
                self._send(worker, 0, 0)
        self._sent.clear()

    def _stage(self, worker: WorkerSession, message: Exchange, now: float, wall: float) -> Answer:
        for outcome in message.outcomes:
            check(outcome)
        refused = 0
        for outcome in message.outcomes:
            refused += not self._outcome(worker, outcome, now, wall)
        ask = partial(self._ask, worker, max(0, message.want), message.draining)
        self._turn.broker.when_committed(ask)
        return partial(self._answer, worker, message.seq, refused)

    def _answer(self, worker: WorkerSession, seq: int, refused: int) -> None:
        worker.answers -= 1
        self._send(worker, seq, refused)

    def _ask(self, worker: WorkerSession, want: int, draining: bool) -> None:
        session = worker.session
        worker.answers += 1
        worker.draining = worker.draining or draining
        session.wanted = 0 if worker.draining else session.wanted + want
        if session.wanted and session.id in self.sessions:
            self._hungry[session.id] = worker
        else:
            self._hungry.pop(session.id, None)

    def _outcome(self, worker: WorkerSession, outcome: Outcome, now: float, wall: float) -> bool:
        if isinstance(outcome, Done):
            return self._done(worker, outcome, now, wall)
        broker, session = self._turn.broker, worker.session
        lease = session.leases.get(outcome.lease)
        if isinstance(outcome, Failed):
            accepted = broker.fail(
                session,
                outcome.lease,
                outcome.position,
                outcome.error,
                now,
                wall,
                evidence=outcome.evidence,
                reject=outcome.reject,
                delay_s=outcome.delay_s,
            )
            if accepted and lease is not None:
                note = partial(
                    self._failures.note,
                    lease,
                    outcome.position,
                    outcome.error,
                    broker.staged_attempts(lease, outcome.position),
                    outcome.evidence,
                )
                broker.when_committed(note)
            return accepted
        if lease is not None and outcome.lacks:
            worker.lacks_at = now
            if worker.complaint != outcome.lacks:
                worker.complaint = outcome.lacks
                log.warning("worker %s can't run %s: %s", worker.name, lease.run.job, outcome.lacks)
        return broker.release(session, outcome.lease, outcome.start, outcome.stop, outcome.lacks)

    def _done(self, worker: WorkerSession, outcome: Done, now: float, wall: float) -> bool:
        lease = worker.session.leases.get(outcome.lease)
        # Looked at before anything is staged: a result must not be recorded without them.
        fresh = self._follow_ups.fresh(lease.run, outcome.follow) if lease is not None else []
        accepted = self._turn.broker.done(
            worker.session,
            outcome.lease,
            outcome.start,
            outcome.stop,
            outcome.results,
            outcome.took_s,
        )
        if accepted and lease is not None and fresh:
            self._follow_ups.stage(lease.run, fresh, now, wall, from_tasks=False)
        return accepted

    def _give(self, worker: WorkerSession, now: float) -> bool:
        session = worker.session
        lease = self._turn.broker.lease(session, now)
        if lease is None:
            return False
        session.wanted -= 1
        worker.granted.append(self._turn.lease_message(lease))
        self._sent[session.id] = worker
        # To the end of the line, so that the next round begins with somebody else.
        del self._hungry[session.id]
        if session.wanted:
            self._hungry[session.id] = worker
        return True

    def _send(self, worker: WorkerSession, seq: int, refused: int) -> None:
        """Send what was granted, in frames that are not too long."""
        granted, worker.granted = worker.granted, []
        while True:
            size, count = 0, 0
            for lease in granted:
                size += len(lease.body) + _LEASE_BYTES
                if count and size > FRAME_BYTES:
                    break
                count += 1
            worker.peer.send_frame(encode(Leases(seq, granted[:count], refused)))
            granted = granted[count:]
            if not granted:
                return
            seq, refused = 0, 0


def check(outcome: Outcome) -> None:
    """Raise ProtocolError unless an outcome is what it says, and what the store can hold."""
    if isinstance(outcome, Done):
        count = outcome.stop - outcome.start
        if codec.batch_length(outcome.results) != count:
            raise ProtocolError(f"{count} results are reported in a batch of another length")
        if outcome.follow and count != 1:
            raise ProtocolError("tasks that follow belong to one result")
        if not 0 <= outcome.took_s < math.inf:
            raise ProtocolError(f"tasks took {outcome.took_s} s")
        for block in outcome.follow:
            check_block(block)
    elif isinstance(outcome, Failed) and not 0 <= (outcome.delay_s or 0.0) < math.inf:
        raise ProtocolError(f"a delay of {outcome.delay_s} s")
