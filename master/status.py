"""What `status` tells: runs, sessions, counters, and why nothing moves where nothing does."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable, Iterator
from typing import Protocol

from queue_manager import __version__
from queue_manager.errors import StoreError
from queue_manager.messages import AskStatus, Status
from queue_manager.records import QuotaStatus, Running, RunStatus, SessionStatus

from .broker.lease import Lease, Session
from .broker.run import Run
from .exchange import OurSession
from .reasons import Reasons, Sources, Waits, stalled, stock_note
from .runners import uncollected
from .runs import find_run
from .stock import StockSession
from .turn import Turn
from .workers import WorkerSession

_QUOTAS = 20
"""So many of a run's quotas are told: there may be as many as tasks."""


class AllSources(Sources, Protocol):
    """All that a status is made of."""

    def others(self) -> Iterable[OurSession]:
        """Runners and commands."""


class StatusBook:
    """Puts a status together."""

    def __init__(self, turn: Turn, sources: AllSources) -> None:
        self._turn = turn
        self._sources = sources
        self._reasons = Reasons(turn, sources)
        self.waits = Waits(turn, sources, self._reasons.of)

    def status(self, message: AskStatus) -> Status:
        """The answer to `AskStatus`. Raises RefusedError for a run that is not there."""
        broker, now = self._turn.broker, time.monotonic()
        if message.run is None:
            runs = [run for run in broker.runs.values() if run.state != "pruned"]
        else:
            run = broker.runs.get(message.run)
            runs = [find_run(self._turn, message.run) if run is None else run]
        return Status(
            message.seq,
            __version__,
            self._sources.address,
            now - self._sources.started,
            [self.run_status(run, now, message.run is not None) for run in runs],
            self._sessions(now),
            broker.refused,
            list(self._troubles()),
        )

    def run_status(self, run: Run, now: float, alone: bool = False) -> RunStatus:
        """One run, with reasons where it does not move. alone: also what its quotas count."""
        given_up = stalled(run, self._sources.runner(run.id))
        return RunStatus(
            run.id,
            run.job,
            run.words,
            "stalled" if given_up else _state(run),
            run.tasks,
            run.waiting,
            run.leased,
            run.delayed,
            run.done,
            run.dead,
            run.exhausted,
            run.collect_errors,
            run.started_at,
            run.ended_at,
            [*([given_up] if given_up else []), *self._why(run, now)],
            run.cancelled,
            run.version,
            self._quotas(run) if alone else [],
        )

    def _quotas(self, run: Run) -> list[QuotaStatus]:
        try:
            found = self._turn.store.quotas(run.id, _QUOTAS)
        except StoreError:  # all else is worth knowing then
            return []
        return [QuotaStatus(name, q.accepted, q.dropped) for name, q in found.items()]

    def _why(self, run: Run, now: float) -> list[str]:
        if not (run.active and self.waits.lasts(run, now)):
            return []
        return [reason.text for reason in self._reasons.of(run)]

    def _troubles(self) -> Iterator[str]:
        """What holds up everything."""
        if self._turn.trouble:
            yield f"{self._turn.trouble}; nothing is lost: make room, and it goes on by itself"
        if self._turn.broker.holding:
            yield (
                "it has just started again and waits for the workers that it knew, 5 s at most:"
                " nothing to do"
            )

    def _sessions(self, now: float) -> list[SessionStatus]:
        found = [_worker(worker, now) for worker in self._sources.workers()]
        clients = list(self._sources.stock())
        elsewhere = any(c.puts_without for c in clients)
        found += [_stock(client, stock_note(client, elsewhere, now), now) for client in clients]
        found += [_other(other, now) for other in self._sources.others()]
        return found


def _state(run: Run) -> str:
    """As it is told: a run whose `finish()` has not returned is not over."""
    finishing = not run.active and run.options.finish and uncollected(run)
    return "finishing" if finishing else run.state


def _worker(worker: WorkerSession, now: float) -> SessionStatus:
    session, hello = worker.session, worker.hello
    leases = session.leases.values()
    return SessionStatus(
        "worker",
        worker.name,
        session.slots,
        sum(lease.held for lease in leases),
        _oldest_s(leases, now),
        now - worker.since,
        address=worker.peer.where,
        version=hello.version,
        tags=sorted(session.tags),
        running=_running(session, now),
    )


def _stock(client: StockSession, note: str, now: float) -> SessionStatus:
    """Its name has its address."""
    leases = client.session.leases.values()
    held = sum(lease.held for lease in leases)
    since_s = now - client.since
    return SessionStatus("stock", client.peer.name, 0, held, _oldest_s(leases, now), since_s, note)


def _other(other: OurSession, now: float) -> SessionStatus:
    hello = other.hello
    name, since_s = f"{hello.host}/{hello.pid}", now - other.since
    return SessionStatus(
        hello.role, name, 0, 0, 0.0, since_s, address=other.address, version=hello.version
    )


def _oldest_s(leases: Iterable[Lease], now: float) -> float:
    return max((now - lease.since for lease in leases), default=0.0)


def _running(session: Session, now: float) -> list[Running]:
    """The first open task of each lease that a slot has by now, the oldest first.

    Slots take leases in the order in which they were given. So with n slots the oldest n leases
    are in work, and the others wait behind them. Only an async slot may have begun more.
    """
    leases = heapq.nsmallest(session.slots, session.leases.values(), lambda lease: lease.number)
    return [
        Running(lease.run.id, lease.first + lease.open[0][0], now - lease.begun) for lease in leases
    ]
