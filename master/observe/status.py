"""What `status` tells: runs, sessions, counters, and why nothing moves where nothing does."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import msgspec

from queue_manager import __version__
from queue_manager.errors import StoreError
from queue_manager.wire.messages import (
    AskRun,
    AskRuns,
    AskSessions,
    AskStatus,
    RunList,
    RunShown,
    SessionList,
    Status,
    encode,
)
from queue_manager.wire.records import QuotaStatus, Running, RunStatus, SessionStatus

from ..broker.lease import Lease, Session
from ..broker.run import Run
from ..processes.runners import uncollected
from ..turn.run_lookup import find_run, recall
from ..turn.turn import Turn
from .diagnosis import Reasons, Sources, Waits, hindered, stalled, stock_note, unfed

if TYPE_CHECKING:  # the service asks this room, which knows the service by its types only
    from ..server.dispatch import OurSession
    from ..server.workers import WorkerSession
    from ..stock import StockSession

ENDED_RUNS = 20
"""So many of the ended runs are in a `Status`, the newest."""

PAGE_ENTRIES = 500
PAGE_BYTES = 1024 * 1024
"""The most that is told at a time, of runs and of sessions: a frame holds 8 MiB."""

_WORDS = 64 * 1024
T = TypeVar("T")

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
        now = time.monotonic()
        if message.run is not None:
            run = recall(self._turn, message.run) or find_run(self._turn, message.run)
            return self._status(message.seq, [self.run_status(run, now, True)], [], now)
        runs = self._page_of_runs(0, ENDED_RUNS, now)
        sessions = self._page_of_sessions(0, now)
        return self._status(
            message.seq,
            runs.told,
            sessions.told,
            now,
            (runs.more, runs.last, sessions.more, sessions.last),
        )

    def _status(
        self,
        seq: int,
        runs: list[RunStatus],
        sessions: list[SessionStatus],
        now: float,
        more: tuple[int, int, int, int] = (0, 0, 0, 0),
    ) -> Status:
        return Status(
            seq,
            __version__,
            self._sources.address,
            now - self._sources.started,
            runs,
            sessions,
            self._turn.broker.refused,
            list(self._troubles()),
            *more,
        )

    def runs(self, message: AskRuns) -> RunList:
        """The answer to `AskRuns`."""
        page = self._page_of_runs(message.after, PAGE_ENTRIES, time.monotonic())
        return RunList(message.seq, page.told, page.last, not page.more)

    def sessions(self, message: AskSessions) -> SessionList:
        """The answer to `AskSessions`."""
        page = self._page_of_sessions(message.after, time.monotonic())
        return SessionList(message.seq, page.told, page.last, not page.more)

    def run(self, message: AskRun) -> RunShown:
        """The answer to `AskRun`. Raises RefusedError for a run that is not there."""
        run = recall(self._turn, message.run) or find_run(self._turn, message.run)
        return RunShown(message.seq, self.run_status(run, time.monotonic(), True))

    def watched(self, run: Run) -> RunStatus:
        """One run as those who watch it are told."""
        return _brief(self.run_status(run, time.monotonic()))

    # --- runs ---

    def _page_of_runs(self, after: int, most_ended: int, now: float) -> _Page[RunStatus]:
        """Runs behind a place: n + 1 is the active run n, -n the ended one; 0 is before the first.

        Behind the last active one come the ended ones, from the newest on.
        """
        broker, page = self._turn.broker, _Page[RunStatus](after)
        active = [run.id for run in broker.runs.values() if run.active]
        here = sorted(run for run in active if run >= after) if after >= 0 else []
        for number in here:
            if not page.add(_brief(self.run_status(broker.runs[number], now)), number + 1):
                break
            page.more -= 1
        page.more += len(here)
        before = -after if after < 0 else broker.next_run
        ended = self._turn.store.count_ended(before)
        page.more += ended
        if len(page.told) == len(here):
            for loaded in self._turn.store.ended_runs(before, most_ended):
                run = broker.runs.get(loaded.record.id) or Run.loaded(loaded)
                if not page.add(_brief(self.run_status(run, now)), -run.id):
                    break
                page.more -= 1
        return page

    def run_status(self, run: Run, now: float, alone: bool = False) -> RunStatus:
        """One run, with reasons where it does not move. alone: also what its quotas count."""
        runner = self._sources.runner(run.id)
        given_up = stalled(run, runner)
        trouble = given_up or hindered(run, runner) or unfed(run, self._sources.fed(run))
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
            [*([trouble] if trouble else []), *self._why(run, now)],
            run.cancelled,
            run.version,
            self._quotas(run) if alone else [],
            run.pruned,
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
        if self._turn.held:
            yield f"{self._turn.held.trouble}; what needs it waits, all else goes on"
        if self._turn.broker.recovering:
            yield (
                "it has just started again and waits for the workers that it knew, 5 s at most:"
                " nothing to do"
            )

    # --- sessions ---

    def _page_of_sessions(self, after: int, now: float) -> _Page[SessionStatus]:
        """Sessions behind a place: how many were told before. Who comes and goes shifts it."""
        sources, page = self._sources, _Page[SessionStatus](after)
        clients = list(sources.stock())
        elsewhere = any(client.puts_without for client in clients)
        everyone: list[Callable[[], SessionStatus]] = []
        everyone += [partial(_worker, worker, now) for worker in sources.workers()]
        everyone += [partial(_stock, client, elsewhere, now) for client in clients]
        everyone += [partial(_other, other, now) for other in sources.others()]
        for place, tell in enumerate(everyone[after:], after + 1):
            if not page.add(tell(), place):
                break
        page.more = max(0, len(everyone) - after - len(page.told))
        return page


class _Page(Generic[T]):
    """What fits into one answer, measured as it travels. last: the place of the last of it.

    more: how many others there are behind that.
    """

    def __init__(self, after: int) -> None:
        self.told: list[T] = []
        self.last = after
        self.more = 0
        self._bytes = 0

    def add(self, one: T, place: int) -> bool:
        """Take it, at that place, while there is room. One always fits."""
        size = len(encode(one))
        if self.told and (self._bytes + size > PAGE_BYTES or len(self.told) >= PAGE_ENTRIES):
            return False
        self.told.append(one)
        self._bytes += size
        self.last = place
        return True


def _brief(run: RunStatus) -> RunStatus:
    """As it stands in a list: very long arguments are cut. Who asks for it alone has them whole."""
    size, words = 0, []
    for word in run.words:
        words.append(word if size + len(word) <= _WORDS else f"{word[: max(0, _WORDS - size)]}...")
        size += len(word)
        if size > _WORDS:
            break
    return run if size <= _WORDS else msgspec.structs.replace(run, words=words)


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


def _stock(client: StockSession, elsewhere: bool, now: float) -> SessionStatus:
    """Its name has its address."""
    note = stock_note(client, elsewhere, now)
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
