"""Our workers' sessions: how they come and go, and when a silent worker is given up.

`outcomes` stages what a worker reports. `grants` gives it leases.
"""

from __future__ import annotations

import logging
import time
from functools import partial

from msgspec.structs import replace

from queue_manager.job.tags import given_tags
from queue_manager.log_lines import about
from queue_manager.server.connection import Peer
from queue_manager.wire.messages import Beat, Exchange, Hello, Refused, Revoked, Welcome, encode
from queue_manager.wire.records import HeldLease

from ...broker.leases.lease import Session
from ...changes import Changes
from ...turn.answer import LATER, Later, Reply, send
from ...turn.steps import Publish, Step
from ...turn.turn import Turn
from .grants import MOST_SLOTS, Grants
from .held_blocks import HeldBlocks
from .outcomes import Outcomes, Report
from .session import WorkerSession
from .validation import check_held, check_tags

log = logging.getLogger("quartermaster.master")
coming_and_going = logging.getLogger("quartermaster.master.workers")

UNREAD_S = 4.0
"""How long an outcome waits for a store that can't be read; then its task has failed."""

SILENT_S = 12.0
"""A worker beats every 5 s. It is given up after so much silence: within 15 s of freezing."""

TURNED_S = 2.0
"""The master looks every second. After a longer pause of its own, only so much is silence."""

LACKS_S = 5.0
"""After this a worker that could not run a job is offered it again: its file may be mended."""


class WorkerReply(Reply):
    """The answer to what a worker says. A worker that is refused is closed, and comes again."""

    def __init__(self, worker: WorkerSession) -> None:
        self._worker = worker

    def _refuse(self, error: str) -> None:
        name = self._worker.name
        log.error("%s: closed: %s", name, error, extra=about(worker=name))
        send(self._worker.peer, Refused(0, f"closed: {error}"))
        self._worker.peer.close()


class HelloReply(WorkerReply):
    """The answer to a hello."""

    def _send(self, answer: Welcome) -> None:
        send(self._worker.peer, answer)


class ExchangeReply(WorkerReply):
    """The answer to an exchange: how many of its outcomes were refused, and leases."""

    def __init__(self, worker: WorkerSession, seq: int, grants: Grants) -> None:
        super().__init__(worker)
        self._seq = seq
        self._grants = grants

    def _send(self, refused: int) -> None:
        self._grants.answer(self._worker, self._seq, refused)


class Workers:
    """All sessions of our own workers, by their number."""

    def __init__(self, turn: Turn, outcomes: Outcomes, welcome: Welcome) -> None:
        self._turn = turn
        self._outcomes = outcomes
        self._grants = Grants(turn)
        self._greeting = welcome
        self._by_worker: dict[str, WorkerSession] = {}
        self._ticked: float | None = None
        self.sessions: dict[int, WorkerSession] = {}

    def open(self, peer: Peer, session_id: int, hello: Hello) -> WorkerSession:
        """A worker has said hello; it is welcomed once that is on disk.

        Raises ProtocolError when it names leases or tags that make no sense.
        """
        check_held(hello.held)
        check_tags(hello.tags)
        if hello.store and hello.store != self._greeting.store:
            hello = replace(hello, held=[])  # its leases are of tasks that are not in this store
        now = time.monotonic()
        slots = min(max(1, hello.slots), MOST_SLOTS)
        name = f"{hello.host}/{hello.pid}"
        tags = frozenset(hello.tags)
        session = Session(session_id, slots, worker=hello.worker, name=name, tags=tags)
        worker = WorkerSession(peer, session, hello, now, now)
        peer.on_read = partial(self._grants.read_on, worker)
        blocks = HeldBlocks(self._turn, hello.held)
        worker.coming = Step(
            partial(self._enter, worker, blocks),
            HelloReply(worker),
            blocks.needs if hello.held else None,
            retry_on_store_error=True,
            of=worker,
            in_part_after_s=0.0,  # leases of a block that can't be read do not go on
        )
        self._turn.post(worker.coming)
        return worker

    def _enter(self, worker: WorkerSession, blocks: HeldBlocks, now: float, wall: float) -> Publish:
        broker = self._turn.broker
        session, hello = worker.session, worker.hello
        states = blocks.states(wall)
        broker.enter(session)
        old = self._newest(worker)
        kept = {} if old is None else broker.resume(old.session, session, hello.held)
        rest = [one for one in hello.held if one.number not in kept]
        kept |= broker.claim(session, rest, states, now)
        held = [kept[one.number] for one in hello.held if one.number in kept]
        return partial(self._welcome, worker, old, held)

    def _welcome(
        self, worker: WorkerSession, old: WorkerSession | None, held: list[HeldLease]
    ) -> Welcome | Later:
        if old is not None:
            self._remove(old)
            old.peer.abort()
        worker.coming = None  # the step keeps the blocks of the hello
        if worker.gone:
            self._remove(worker)  # it left while this was committed
            return LATER
        self.sessions[worker.session.id] = worker
        count = sum(b - a for one in held for a, b in one.ranges)
        goes_on = f", {count} task(s) go on" * bool(count)
        slots = worker.session.slots
        given = given_tags(worker.session.tags)
        tags = f", tags {','.join(given)}" * bool(given)
        has = f"{slots} slot(s){tags}{goes_on}"
        name = worker.name
        coming_and_going.info("worker %s connected with %s", name, has, extra=about(worker=name))
        worker.hello = replace(worker.hello, held=[])  # the leases have this from here on
        return replace(self._greeting, held=held)

    def _newest(self, worker: WorkerSession) -> WorkerSession | None:
        """Stage that this is the session of its worker. Returns the session that was before."""
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
        self._grants.remove(worker)
        if self._by_worker.get(worker.hello.worker) is worker:
            del self._by_worker[worker.hello.worker]

    def message(self, worker: WorkerSession, message: Exchange | Beat) -> None:
        """A worker reports, asks, or just beats."""
        worker.heard = time.monotonic()
        if isinstance(message, Exchange):
            report = Report(self._outcomes, worker, message)

            def stage(now: float, wall: float) -> Publish:
                refused = report.stage(now, wall)
                self._turn.undo.when_committed(partial(self._grants.ask, worker, message))
                return lambda: refused

            step = Step(
                stage,
                ExchangeReply(worker, message.seq, self._grants),
                report.needs,
                retry_on_store_error=True,
                of=worker,
                in_part_after_s=UNREAD_S,
                size_bytes=report.size_bytes,
            )
            self._turn.post(step)
        elif message.usage is not None:
            worker.usage = message.usage

    def closed(self, worker: WorkerSession) -> None:
        """A worker's connection has ended."""
        if worker.gone:
            return
        self._remove(worker)
        if worker.coming is not None and self._turn.withdraw(worker.coming):
            return  # it had not come yet
        held = sum(lease.held for lease in worker.session.leases.values())
        offered = f", {held} task(s) offered again" * bool(held)
        name = worker.name
        coming_and_going.info("worker %s left%s", name, offered, extra=about(worker=name))
        drop = self._turn.broker.drop_session
        self._turn.post(
            Step(
                lambda now, wall: drop(worker.session, now, wall),
                retry_on_store_error=True,
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
            self._grants.look_again(worker)
            if worker.bytes_flow() or self._turn.behind:  # when behind, the master reads nobody
                worker.heard = now
            if now - worker.heard > SILENT_S:
                name = worker.name
                log.warning("worker %s is silent: given up", name, extra=about(worker=name))
                worker.peer.abort()

    def _forgive(self, now: float) -> None:
        """Don't count the time in which the master itself was frozen as silence of workers.

        Messages of that time may be read only after this call: epoll_wait, interrupted by SIGCONT
        after its deadline, returns nothing (CPython, selectmodule.c).
        """
        paused_s = 0.0 if self._ticked is None else now - self._ticked - TURNED_S
        self._ticked = now
        if paused_s > 0:
            for worker in self.sessions.values():
                worker.heard = min(now, worker.heard + paused_s)

    def revoke(self, session: Session, numbers: list[int], why: str) -> None:
        """Tell a worker that the master has ended leases of it. It stops the tasks that run."""
        worker = self.sessions.get(session.id)
        if worker is not None and numbers:
            worker.peer.send_frame(encode(Revoked(0, numbers, why)))

    def code_changed(self, job: str) -> None:
        """The file of a job has changed: offer the job to workers that could not run it."""
        for worker in self.sessions.values():
            worker.session.lacks.pop(job, None)
        self._turn.wake()

    def after_commit(self, changes: Changes, now: float) -> None:
        """Revoke leases whose tasks another worker holds now, and hand out leases."""
        broker = self._turn.broker
        for session, number in broker.superseded:
            self.revoke(session, [number], "another worker holds a newer lease of the same tasks")
        broker.superseded.clear()
        self._grants.give(now)
