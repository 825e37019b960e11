"""Our workers' sessions: outcomes in, leases out, and the silence after which one is given up."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from msgspec.structs import replace

from queue_manager import __version__
from queue_manager.errors import StoreError
from queue_manager.server.connection import Peer
from queue_manager.wire.limits import printable
from queue_manager.wire.messages import Beat, Exchange, Hello, Leases, Revoked, Welcome, encode
from queue_manager.wire.records import FRAME_BYTES, Done, Failed, HeldLease, Outcome, Released
from queue_manager.wire.records import Lease as LeaseMessage

from ..broker.lease import Session
from ..broker.recovery import parts_of
from ..broker.run import Run
from ..changes import BlockState, Changes
from ..observe.failures import FailureLog, cannot
from ..turn.answers import refuse as refuse_session
from ..turn.turn import Answer, Step, Turn, know, know_all
from .admission import FollowUps
from .validation import check, check_held, check_tags

log = logging.getLogger("quartermaster.master")
coming_and_going = logging.getLogger("quartermaster.master.workers")

_LEASE_BYTES = 512
_LINE_CHARS = 2_000
_UNREAD_LEASES = 8
"""Of so many leases in a row whose payloads can't be read the next are tried in a later turn."""

UNREAD_S = 4.0
"""So long an outcome waits for a store that can't be read; then its task has failed."""

SILENT_S = 12.0
"""A worker beats every 5 s; one that is frozen is given up after this, so 15 s at most."""

TURNED_S = 2.0
"""The master looks every second; of a longer pause of its own no more than this is silence."""

MOST_SLOTS = 4_096
MOST_WANTED = 4 * MOST_SLOTS
"""No worker takes more leases than that, whatever it asks for."""

NO_GROUPS = (
    "Result(limits=...) needs OPTIONS = Options(per_group=Limit(...)), which this run began without"
)

GIVE_S = 0.03
"""About so long leases are given in a turn; the others have the next ones."""

LACKS_S = 5.0
"""After this a worker that could not run a job is offered it again: its file may be mended."""


@dataclass(slots=True)
class WorkerSession:
    """A worker's connection.

    granted: leases of this turn that were not sent yet. answers: how many answers the end of the
    turn will send; the first of them takes the leases along. lacks_at: when it last said that it
    can't run a job (monotonic). complaint: what it said then, so that the log has it once.
    granted_bytes: what they take. unread: bytes that were on their way to it at the last look.
    sent: leases given in this session. gone: its connection has ended. coming: what stages that it
    has come.
    """

    peer: Peer
    session: Session
    hello: Hello
    since: float
    heard: float
    draining: bool = False
    granted: list[LeaseMessage] = field(default_factory=list)
    granted_bytes: int = 0
    unread: int = 0
    answers: int = 0
    lacks_at: float = 0.0
    complaint: str = ""
    sent: int = 0
    gone: bool = False
    coming: Step | None = None

    @property
    def name(self) -> str:
        """As logs and `status` call it."""
        return self.session.name

    @property
    def is_full(self) -> bool:
        """Whether a frame of leases is on its way: the next one waits until it has read on."""
        return self.granted_bytes + self.peer.unread_bytes >= FRAME_BYTES

    def has_read(self) -> bool:
        """Whether it has read something since the last look. While much is on its way nothing is
        heard of it, which is no silence.
        """
        before, self.unread = self.unread, self.peer.unread_bytes
        return self.unread < before


class Workers:
    """All sessions of our own workers. on_lacks is told of runs that a worker can't run."""

    def __init__(
        self,
        turn: Turn,
        follow_ups: FollowUps,
        failures: FailureLog,
        max_bytes: int = FRAME_BYTES // 2,
    ) -> None:
        self._turn = turn
        self._follow_ups = follow_ups
        self._failures = failures
        self._max_bytes = max_bytes
        self._by_worker: dict[str, WorkerSession] = {}
        self.on_lacks: list[Callable[[Run], None]] = []
        self._hungry: dict[int, WorkerSession] = {}
        self._sent: dict[int, WorkerSession] = {}
        self._ticked: float | None = None
        self.sessions: dict[int, WorkerSession] = {}

    def open(self, peer: Peer, session_id: int, hello: Hello) -> WorkerSession:
        """A worker has said hello; it is welcomed once that is on disk.

        Raises ProtocolError when it does not hold what it says.
        """
        check_held(hello.held)
        check_tags(hello.tags)
        now = time.monotonic()
        slots = min(max(1, hello.slots), MOST_SLOTS)
        name = f"{hello.host}/{hello.pid}"
        tags = frozenset(hello.tags)
        session = Session(session_id, slots, worker=hello.worker, name=name, tags=tags)
        worker = WorkerSession(peer, session, hello, now, now)
        peer.on_read = partial(self._read_on, worker)
        worker.coming = Step(partial(self._enter, worker), waits=True, of=worker)
        self._turn.post(worker.coming)
        return worker

    def _enter(self, worker: WorkerSession, now: float, wall: float) -> Answer:
        broker = self._turn.broker
        session, hello = worker.session, worker.hello
        states = self._states(parts_of(hello.held), wall)
        broker.enter(session)
        old = self._newest(worker)
        found = {} if old is None else broker.resume(old.session, session, hello.held)
        rest = [one for one in hello.held if one.number not in found]
        found |= broker.claim(session, rest, states, now)
        held = [found[one.number] for one in hello.held if one.number in found]
        return partial(self._welcome, worker, old, held)

    def _states(self, parts: dict[int, tuple[int, int]], wall: float) -> dict[int, BlockState]:
        """A block that can't be read is not gone on with; all others must not wait for it."""
        found: dict[int, BlockState] = {}
        left, unread, why = [parts], 0, ""
        while left:
            some = left.pop()
            try:
                states = self._turn.store.read_blocks(some)
                know_all(self._turn.broker, self._turn.store, states.values(), wall)
                found |= states
            except StoreError as error:
                if len(some) == 1:
                    unread, why = unread + 1, str(error)
                    continue
                blocks, half = list(some), len(some) // 2
                for part in (blocks[:half], blocks[half:]):
                    left.append({block: some[block] for block in part})
        if unread:
            log.error("%s; what is held of %d block(s) is not recognized", why, unread)
        return found

    def _welcome(
        self, worker: WorkerSession, old: WorkerSession | None, held: list[HeldLease]
    ) -> None:
        if old is not None:
            self._remove(old)
            old.peer.abort()
        if worker.gone:
            return
        self.sessions[worker.session.id] = worker
        count = sum(b - a for one in held for a, b in one.ranges)
        goes_on = f", {count} task(s) go on" * bool(count)
        slots = worker.session.slots
        tags = f", tags {','.join(sorted(worker.session.tags))}" * bool(worker.session.tags)
        has = f"{slots} slot(s){tags}{goes_on}"
        coming_and_going.info("worker %s connected with %s", worker.name, has)
        worker.hello = replace(worker.hello, held=[])  # the leases have it from here on
        worker.peer.send_frame(encode(Welcome(__version__, self._max_bytes, held)))

    def _newest(self, worker: WorkerSession) -> WorkerSession | None:
        """Stage that this is the session of its worker; returns the one that was."""
        known, name = self._by_worker, worker.hello.worker
        if not name:
            return None
        old = known.get(name)
        known[name] = worker
        self._turn.undo.undo_by(
            lambda: known.pop(name, None) if old is None else known.update({name: old})
        )
        return old

    def _remove(self, worker: WorkerSession) -> None:
        worker.gone = True
        self.sessions.pop(worker.session.id, None)
        self._hungry.pop(worker.session.id, None)
        if self._by_worker.get(worker.hello.worker) is worker:
            del self._by_worker[worker.hello.worker]

    def message(self, worker: WorkerSession, message: Exchange | Beat) -> None:
        """A worker reports, asks, or just beats."""
        worker.heard = time.monotonic()
        if isinstance(message, Exchange):

            def refuse(error: str) -> None:
                log.error("%s: closed: %s", worker.name, error)
                refuse_session(worker.peer, 0, f"closed: {error}")
                worker.peer.close()

            begun: list[float] = []

            def stage(now: float, wall: float) -> Answer:
                begun.append(now)
                return self._stage(worker, message, now, wall, now - begun[0] > UNREAD_S)

            self._turn.post(Step(stage, refuse, waits=True, of=worker))

    def closed(self, worker: WorkerSession) -> None:
        """A worker's connection has ended."""
        if worker.gone:
            return
        self._remove(worker)
        if worker.coming is not None and self._turn.withdraw(worker.coming):
            return  # it had not come yet
        held = sum(lease.held for lease in worker.session.leases.values())
        offered = f", {held} task(s) offered again" * bool(held)
        coming_and_going.info("worker %s left%s", worker.name, offered)
        drop = self._turn.broker.drop_session
        self._turn.post(
            Step(
                lambda now, wall: drop(worker.session, now, wall),
                waits=True,
                of=worker,
                lasting=True,
            )
        )

    def tick(self, now: float) -> None:
        """Give up the workers that said nothing for too long: a frozen host still acknowledges.

        Those that could not run a job are offered it again after a while.
        """
        self._forgive(now)
        for worker in list(self.sessions.values()):
            if worker.session.lacks and now - worker.lacks_at > LACKS_S:
                worker.session.lacks.clear()
                self._turn.wake()
            if worker.session.wanted and worker.session.id not in self._hungry:
                self._hungry[worker.session.id] = worker  # it was passed over: see `_give`
                self._turn.wake()
            if worker.has_read():
                worker.heard = now
            if now - worker.heard > SILENT_S:
                log.warning("worker %s is silent: given up", worker.name)
                worker.peer.abort()

    def _forgive(self, now: float) -> None:
        """Nobody was silent while the master itself was frozen: it had no ears.

        What was said meanwhile may be read only after this: epoll_wait, interrupted by SIGCONT
        behind its deadline, returns nothing (CPython, selectmodule.c).
        """
        paused_s = 0.0 if self._ticked is None else now - self._ticked - TURNED_S
        self._ticked = now
        if paused_s > 0:
            for worker in self.sessions.values():
                worker.heard = min(now, worker.heard + paused_s)

    def revoke(self, session: Session, numbers: list[int], why: str) -> None:
        """Leases of a session have ended by our word: it stops what runs of them."""
        worker = self.sessions.get(session.id)
        if worker is not None and numbers:
            worker.peer.send_frame(encode(Revoked(0, numbers, why)))

    def code_changed(self, job: str) -> None:
        """The job's file is another one now: whoever could not run it is offered it again."""
        for worker in self.sessions.values():
            worker.session.lacks.pop(job, None)
        self._turn.wake()

    def turned(self, changes: Changes, now: float) -> None:
        """Hand out leases: one to each that waits, round after round."""
        broker = self._turn.broker
        for session, number in broker.superseded:
            self.revoke(session, [number], "another worker holds a newer lease of the same tasks")
        broker.superseded.clear()
        until = time.monotonic() + GIVE_S
        while self._hungry and broker.any_ready:
            given = self._give_round(now, until)
            starved = broker.more_low
            self._turn.refill()
            if not given:
                if starved and not broker.more_low:
                    self._turn.wake()  # what was read just now is given in the next turn
                break
            if time.monotonic() > until:
                self._turn.wake()
                break
        for worker in self._sent.values():
            if not worker.answers:
                self._send(worker, 0, 0)
        self._sent.clear()

    def _read_on(self, worker: WorkerSession) -> None:
        if worker.session.wanted and not worker.gone:
            self._hungry[worker.session.id] = worker
            self._turn.wake()

    def _give_round(self, now: float, until: float) -> int:
        """A lease to each that waits; returns how many got one."""
        given = 0
        for worker in list(self._hungry.values()):
            if not self._turn.broker.any_ready or (given and time.monotonic() > until):
                break
            given += self._give(worker, now)
        return given

    def _stage(
        self, worker: WorkerSession, message: Exchange, now: float, wall: float, late: bool
    ) -> Answer:
        """late: what can't be read by now fails its own task, and holds up nobody else."""
        for outcome in message.outcomes:
            check(outcome)
        refused = 0
        for outcome in message.outcomes:
            try:
                accepted = self._outcome(worker, outcome, now, wall)
            except StoreError as error:
                if not (late and isinstance(outcome, Done)):
                    raise
                why = f"its result can't be recorded: {error}"
                failed = Failed(outcome.lease, outcome.start, why, took_s=outcome.took_s)
                accepted = self._failed(worker, failed, now, wall)
            refused += not accepted
        self._turn.undo.when_committed(partial(self._ask, worker, message))
        return partial(self._answer, worker, message.seq, refused)

    def _answer(self, worker: WorkerSession, seq: int, refused: int) -> None:
        worker.answers -= 1
        self._send(worker, seq, refused)

    def _ask(self, worker: WorkerSession, message: Exchange) -> None:
        session = worker.session
        worker.answers += 1
        worker.draining = worker.draining or message.draining
        want = min(max(0, message.want), MOST_SLOTS)
        session.wanted = 0 if worker.draining else min(session.wanted + want, MOST_WANTED)
        session.free = message.free - (worker.sent - message.got)
        if session.wanted and not worker.gone:
            self._hungry[session.id] = worker
        else:
            self._hungry.pop(session.id, None)

    def _outcome(self, worker: WorkerSession, outcome: Outcome, now: float, wall: float) -> bool:
        if isinstance(outcome, Done):
            return self._done(worker, outcome, now, wall)
        if isinstance(outcome, Failed):
            return self._failed(worker, outcome, now, wall)
        return self._released(worker, outcome, now)

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
            error,
            now,
            wall,
            evidence=outcome.evidence,
            printed=outcome.printed,
            reject=outcome.reject,
            delay_s=outcome.delay_s,
            whole_group=outcome.whole_group,
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
                log.warning("worker %s %s", worker.name, cannot(lease.run.job, lacks))
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
        lease = worker.session.leases.get(outcome.lease)
        if outcome.limits and lease is not None and lease.run.groups is None:
            wrong = Failed(outcome.lease, outcome.start, NO_GROUPS, took_s=outcome.took_s)
            return self._failed(worker, wrong, now, wall)
        # Looked at before anything is staged: a result must not be recorded without them.
        fresh = self._follow_ups.fresh(lease.run, outcome.follow) if lease is not None else None
        if lease is not None and outcome.limits:
            know(self._turn.broker, self._turn.store, lease.run, outcome.limits, wall)
        accepted = self._turn.broker.done(
            worker.session,
            outcome.lease,
            outcome.start,
            outcome.stop,
            outcome.results,
            outcome.took_s,
        )
        if accepted and lease is not None and outcome.limits:
            self._turn.broker.set_limits(lease.run, outcome.limits)
        if accepted and lease is not None and fresh is not None:
            self._follow_ups.stage(lease.run, fresh, now, wall, from_tasks=False)
        return accepted

    def _give(self, worker: WorkerSession, now: float) -> bool:
        session = worker.session
        if worker.is_full:
            del self._hungry[session.id]  # see `_read_on` and `_send`
            return False
        for _ in range(_UNREAD_LEASES):
            leases = self._turn.broker.leases(session, now)
            if not leases:
                return False
            try:
                messages = [self._turn.lease_message(lease) for lease in leases]
                break
            except StoreError as error:  # they wait again, later; others are given meanwhile
                self._turn.unread(leases, error)
        else:
            del self._hungry[session.id]  # it is asked again by `tick`
            return False
        # To the end of the line, so that the next round begins with somebody else.
        del self._hungry[session.id]
        session.wanted -= 1
        worker.sent += len(messages)
        worker.granted += messages
        worker.granted_bytes += sum(map(_bytes_of, messages))
        self._sent[session.id] = worker
        if session.wanted:
            self._hungry[session.id] = worker
        return True

    def _send(self, worker: WorkerSession, seq: int, refused: int) -> None:
        """Send what was granted, in frames that are not too long."""
        granted, worker.granted = worker.granted, []
        was_full, worker.granted_bytes = worker.is_full, 0
        while True:
            size, count = 0, 0
            for lease in granted:
                size += _bytes_of(lease)
                if count and size > FRAME_BYTES:
                    break
                count += 1
            worker.peer.send_frame(encode(Leases(seq, granted[:count], refused)))
            granted = granted[count:]
            if not granted:
                break
            seq, refused = 0, 0
        if was_full and not worker.is_full:  # the network took it all
            self._read_on(worker)


def _bytes_of(lease: LeaseMessage) -> int:
    """About what it takes in a frame."""
    return len(lease.body) + _LEASE_BYTES
