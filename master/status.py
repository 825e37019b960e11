"""What `status` tells: runs, sessions, counters, and why nothing moves where nothing does."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Protocol

from queue_manager import __version__
from queue_manager.messages import AskStatus, Status
from queue_manager.records import RunStatus, SessionStatus

from .broker.lease import Lease
from .broker.run import Run
from .exchange import OurSession
from .reasons import Reasons, Sources, Waits, stalled, stock_note
from .runs import find_run
from .turn import Turn


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
            [self.run_status(run, now) for run in runs],
            self._sessions(now),
            broker.refused,
            list(self._troubles()),
        )

    def run_status(self, run: Run, now: float) -> RunStatus:
        """One run, with reasons where it does not move."""
        given_up = stalled(run, self._sources.runner(run.id))
        return RunStatus(
            run.id,
            run.job,
            run.words,
            "stalled" if given_up else run.state,
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
        )

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
        found = [
            _session("worker", w.name, w.session.leases.values(), now, w.since, w.session.slots)
            for w in self._sources.workers()
        ]
        clients = list(self._sources.stock())
        elsewhere = any(c.puts_without for c in clients)
        for client in clients:
            leases = client.session.leases.values()
            note = stock_note(client, elsewhere, now)
            found.append(_session("stock", client.peer.name, leases, now, client.since, 0, note))
        for other in self._sources.others():
            name = f"{other.hello.host}/{other.hello.pid}"
            found.append(_session(other.hello.role, name, [], now, other.since))
        return found


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
