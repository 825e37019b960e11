"""What `status` tells, in parts: a summary, runs, sessions; and why nothing moves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Protocol

import msgspec

from queue_manager import __version__
from queue_manager.errors import StoreError
from queue_manager.wire.masters import MasterStatus
from queue_manager.wire.messages import (
    AskRun,
    AskSessions,
    AskStatus,
    RunShown,
    SessionList,
    Status,
)
from queue_manager.wire.records import QuotaStatus, RunStatus, SessionStatus

from ..backup.states import CopyState, copy_troubles
from ..broker.runs.run import Run
from ..processes.runner import Runner
from ..processes.runners import uncollected
from ..turn.run_lookup import find_run, recall
from ..turn.turn import Turn
from .chain_text import why_pending
from .diagnosis import Diagnosis, Sources, Waits, hindered, unfed, why_stalled
from .paging import Page
from .run_list import RunLists, active_on_disk, brief
from .session_status import other_status, stock_status, worker_status

if TYPE_CHECKING:  # the service asks this room, which knows the service by its types only
    from ..server.dispatch import OurSession

_QUOTAS = 20
"""How many quotas of a run are told. It may have as many as tasks."""


class AllSources(Sources, Protocol):
    """All that a status is made of."""

    def others(self) -> Iterable[OurSession]:
        """Runners and commands."""

    def schedule_troubles(self) -> list[str]:
        """What is wrong with schedules, a line each."""

    def copies(self) -> list[CopyState]:
        """What followers say of their copies of the store."""

    def masters(self) -> list[MasterStatus]:
        """All masters of the store, if several share it."""


class StatusBuilder:
    """Answers what is asked about the master, its runs and its sessions."""

    def __init__(self, turn: Turn, sources: AllSources) -> None:
        self._turn = turn
        self._sources = sources
        self._ended = 0
        self._diagnosis = Diagnosis(turn, sources)
        self.runs = RunLists(turn, self.run_status, self._state_of).page
        self.waits = Waits(turn, sources, self._diagnosis.of)

    def summary(self, message: AskStatus) -> Status:
        """The answer to `AskStatus`."""
        broker = self._turn.broker
        return Status(
            message.seq,
            __version__,
            self._sources.address,
            time.monotonic() - self._sources.started,
            broker.refused,
            list(self._troubles()),
            len(active_on_disk(broker)),
            self._count_ended(),
            len(self._everyone(0.0)),
            self._sources.schedule_troubles(),
            self._sources.masters(),
        )

    def _count_ended(self) -> int:
        """How many runs have ended; as of the last status while the store can't be read."""
        with suppress(StoreError):
            self._ended = self._turn.store.count_ended(self._turn.broker.next_run)
        return self._ended

    def _troubles(self) -> Iterator[str]:
        """What holds up the whole master."""
        if self._turn.store.trouble:
            yield f"{self._turn.store.trouble}; nothing is lost: all wait until it is there again"
        elif self._turn.trouble:
            yield f"{self._turn.trouble}; nothing is lost: make room, and it goes on by itself"
        if self._turn.held:
            yield f"{self._turn.held.trouble}; what needs it waits, all else goes on"
        yield from copy_troubles(self._sources.copies(), time.time())
        if self._turn.broker.recovering:
            yield (
                "it has just started again and waits for the workers that it knew, 5 s at most:"
                " nothing to do"
            )

    # --- one run ---

    def run(self, message: AskRun) -> RunShown:
        """The answer to `AskRun`. Raises RefusedError for a run that is not there."""
        run = recall(self._turn, message.run) or find_run(self._turn, message.run)
        status = self.run_status(run, time.monotonic())
        return RunShown(message.seq, msgspec.structs.replace(status, quotas=self._quotas(run)))

    def watched(self, run: Run) -> RunStatus:
        """One run as those who watch it are told."""
        return brief(self.run_status(run, time.monotonic()))

    def run_status(self, run: Run, now: float) -> RunStatus:
        """One run, with reasons where it does not move, without its quotas."""
        runner = self._sources.runner(run.id)
        waits = why_pending(self._turn, run)
        trouble = waits or why_stalled(run, runner) or hindered(run, runner)
        trouble = trouble or unfed(run, self._sources.fed(run))
        why = [*([trouble] if trouble else []), *self._why(run, now)]
        run = self._turn.broker.on_disk(run)
        return RunStatus(
            run.id,
            run.job,
            run.all_args,
            state_of(run, runner),
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
            why,
            run.cancelled,
            run.version,
            pruned=run.pruned,
            after=run.after,
            uploaded=run.uploaded,
            key=run.key if run.options.lasting else None,
            traceparent=run.traceparent,
            values=len(run.arguments.shown),
            feeder=run.options.feeder,
        )

    def _state_of(self, run: Run) -> str:
        return state_of(self._turn.broker.on_disk(run), self._sources.runner(run.id))

    def _quotas(self, run: Run) -> list[QuotaStatus]:
        try:
            quotas = self._turn.store.quotas(run.id, _QUOTAS)
        except StoreError:  # the rest of the status is worth knowing nevertheless
            return []
        return [QuotaStatus(name, q.accepted, q.dropped) for name, q in quotas.items()]

    def _why(self, run: Run, now: float) -> list[str]:
        if not (run.active and self.waits.lasts(run, now)):
            return []
        return [reason.text for reason in self._diagnosis.of(run)]

    # --- pages ---

    def sessions(self, message: AskSessions) -> SessionList:
        """The answer to `AskSessions`.

        The place of a session is its index. Sessions that come or go meanwhile shift the others.
        """
        everyone = self._everyone(time.monotonic())
        page, after = Page[SessionStatus](message.after), max(message.after, 0)
        for place, status in enumerate(everyone[after:], after + 1):
            if not page.add(status(), place):
                break
        page.more = max(0, len(everyone) - after - len(page.told))
        return SessionList(message.seq, page.told, page.last, not page.more, page.more)

    def _everyone(self, now: float) -> list[Callable[[], SessionStatus]]:
        sources = self._sources
        clients = list(sources.stock())
        elsewhere = any(client.puts_without for client in clients)
        everyone: list[Callable[[], SessionStatus]] = []
        everyone += [partial(worker_status, worker, now) for worker in sources.workers()]
        everyone += [partial(stock_status, client, elsewhere, now) for client in clients]
        everyone += [partial(other_status, other, now) for other in sources.others()]
        return everyone


def state_of(run: Run, runner: Runner | None) -> str:
    """The state for people.

    A run whose runner was given up is stalled. A run that waits for others is pending, and a run
    whose `finish()` has not returned is finishing.
    """
    if why_stalled(run, runner):
        return "stalled"
    if run.pending:
        return "pending"
    finishing = not run.active and run.options.finish and uncollected(run)
    return "finishing" if finishing else run.state
