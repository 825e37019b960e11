"""What `status` tells: runs, sessions, counters, and why nothing moves where nothing does."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Protocol

from queue_manager import __version__
from queue_manager.errors import RefusedError
from queue_manager.records import AskStatus, RunStatus, SessionStatus, Status

from .changes import QUEUE_RUN
from .exchange import OurSession
from .lease import Lease
from .run import Run
from .runners import Runner
from .stock import StockSession
from .turn import Turn
from .workers import WorkerSession

OLD_LEASE_S = 60.0


class Sources(Protocol):
    """Where the parts of a status come from."""

    address: str
    started: float

    def workers(self) -> Iterable[WorkerSession]:
        """Our workers."""

    def stock(self) -> Iterable[StockSession]:
        """Standard-library clients that have called a queue."""

    def others(self) -> Iterable[OurSession]:
        """Runners and commands."""

    def runner(self, run: int) -> Runner | None:
        """The runner of a run."""


class StatusBook:
    """Puts a status together."""

    def __init__(self, turn: Turn, sources: Sources) -> None:
        self._turn = turn
        self._sources = sources

    def status(self, message: AskStatus) -> Status:
        """The answer to `AskStatus`. Raises RefusedError for a run that is not there."""
        broker, now = self._turn.broker, time.monotonic()
        runs = list(broker.runs.values())
        if message.run is not None:
            runs = [run for run in runs if run.id == message.run]
            if not runs:
                raise RefusedError(f"no run {message.run}")
        return Status(
            message.seq,
            __version__,
            self._sources.address,
            now - self._sources.started,
            [self.run_status(run) for run in runs],
            self._sessions(now),
            broker.refused,
            [self._turn.trouble] if self._turn.trouble else [],
        )

    def run_status(self, run: Run) -> RunStatus:
        """One run, with reasons where it does not move."""
        runner = self._sources.runner(run.id)
        state = "stalled" if runner is not None and runner.stalled and run.active else run.state
        return RunStatus(
            run.id,
            run.job,
            run.words,
            state,
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
            list(self._why(run, runner)),
        )

    def _why(self, run: Run, runner: Runner | None) -> Iterable[str]:
        if not run.active:
            return
        if runner is not None and runner.stalled:
            yield f"{runner.stalled}; mend jobs/{run.job}.py and restart the master"
        if run.waiting and not run.leased:
            yield from self._why_waiting(run)

    def _why_waiting(self, run: Run) -> Iterable[str]:
        workers = list(self._sources.workers())
        if run.id == QUEUE_RUN and not run.job:
            yield "JOB is not set: only standard-library clients take the queue's tasks"
        elif not workers:
            yield "no worker is connected: docker compose up --scale worker=8, or python -m worker"
        lacking: dict[str, list[str]] = {}
        for worker in workers:
            if run.job in worker.session.lacks:
                lacking.setdefault(worker.session.lacks[run.job], []).append(worker.name)
        for why, names in lacking.items():
            who = names[0] if len(names) == 1 else f"{len(names)} workers"
            yield f"{who} can't run {run.job}: {why}"

    def _sessions(self, now: float) -> list[SessionStatus]:
        found = [
            _session("worker", w.name, w.session.leases.values(), now, w.since, w.session.slots)
            for w in self._sources.workers()
        ]
        clients = list(self._sources.stock())
        puts_elsewhere = any(c.puts_without for c in clients)
        for client in clients:
            leases = client.session.leases.values()
            note = _note(client, puts_elsewhere, now)
            found.append(_session("stock", client.peer.name, leases, now, client.since, 0, note))
        for other in self._sources.others():
            name = f"{other.hello.host}/{other.hello.pid}"
            found.append(_session(other.hello.role, name, [], now, other.since))
        return found


def _note(client: StockSession, puts_elsewhere: bool, now: float) -> str:
    lease = client.lease
    if lease is not None and puts_elsewhere and not client.puts_without:
        return (
            "takes here while results are put on another connection, which settles nothing:"
            " use both queues from one thread of one process"
        )
    if lease is not None and now - lease.since > OLD_LEASE_S:
        return "has held a task for long; it is offered again when its connection ends"
    return client.note


def _session(
    role: str,
    name: str,
    leases: Iterable[Lease],
    now: float,
    since: float,
    slots: int = 0,
    note: str = "",
) -> SessionStatus:
    held = list(leases)
    return SessionStatus(
        role,
        name,
        slots,
        sum(lease.held for lease in held),
        max((now - lease.since for lease in held), default=0.0),
        now - since,
        note,
    )
