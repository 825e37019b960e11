"""What `status` tells, in parts: a summary, runs, sessions; and why nothing moves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Protocol

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
)
from queue_manager.wire.records import QuotaStatus, RunStatus, SessionStatus

from ..broker.runs.run import Run
from ..processes.runner import Runner
from ..processes.runners import uncollected
from ..turn.run_lookup import find_run, recall
from ..turn.turn import Turn
from . import paging
from .chain_text import why_pending
from .diagnosis import Diagnosis, Sources, Waits, hindered, unfed, why_stalled
from .paging import Page
from .session_status import other_status, stock_status, worker_status

if TYPE_CHECKING:  # the service asks this room, which knows the service by its types only
    from ..server.dispatch import OurSession

_ARGUMENTS_CHARS = 64 * 1024
"""How many characters of its arguments a run has in a list."""

_QUOTAS = 20
"""How many quotas of a run are told. It may have as many as tasks."""


class AllSources(Sources, Protocol):
    """All that a status is made of."""

    def others(self) -> Iterable[OurSession]:
        """Runners and commands."""

    def schedule_troubles(self) -> list[str]:
        """What is wrong with schedules, a line each."""


class StatusBuilder:
    """Answers what is asked about the master, its runs and its sessions."""

    def __init__(self, turn: Turn, sources: AllSources) -> None:
        self._turn = turn
        self._sources = sources
        self._diagnosis = Diagnosis(turn, sources)
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
            sum(run.active for run in broker.runs.values()),
            self._turn.store.count_ended(broker.next_run),
            len(self._everyone(0.0)),
            self._sources.schedule_troubles(),
        )

    def _troubles(self) -> Iterator[str]:
        """What holds up the whole master."""
        if self._turn.trouble:
            yield f"{self._turn.trouble}; nothing is lost: make room, and it goes on by itself"
        if self._turn.held:
            yield f"{self._turn.held.trouble}; what needs it waits, all else goes on"
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
        return _brief(self.run_status(run, time.monotonic()))

    def run_status(self, run: Run, now: float) -> RunStatus:
        """One run, with reasons where it does not move, without its quotas."""
        runner = self._sources.runner(run.id)
        waits = why_pending(self._turn, run)
        trouble = waits or why_stalled(run, runner) or hindered(run, runner)
        trouble = trouble or unfed(run, self._sources.fed(run))
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
            [*([trouble] if trouble else []), *self._why(run, now)],
            run.cancelled,
            run.version,
            pruned=run.pruned,
            after=run.after,
            uploaded=run.uploaded,
            key=run.key if run.options.lasting else None,
        )

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

    def runs(self, message: AskRuns) -> RunList:
        """The answer to `AskRuns`.

        Places are numbers: n + 1 is the active run n, -n the ended one; 0 is before the first.
        Behind the last active one come the ended ones, from the newest on.
        """
        now, page = time.monotonic(), Page[RunStatus](message.after)
        complete = self._add_active(page, message, now)
        if complete and message.ended > 0:
            self._add_ended(page, message, now)
            complete = not page.more
        return RunList(message.seq, page.told, page.last, complete, page.more)

    def _add_active(self, page: Page[RunStatus], ask: AskRuns, now: float) -> bool:
        """Add active runs. Returns whether there is room for ended ones."""
        broker = self._turn.broker
        active = [run for run in broker.runs.values() if run.active and run.id >= ask.after >= 0]
        page.more = len(active) + self._turn.store.count_ended(self._before(ask))
        for run in sorted(active, key=lambda run: run.id):
            if not self._add(page, ask, run, run.id + 1, now):
                return False
        return True

    def _add_ended(self, page: Page[RunStatus], ask: AskRuns, now: float) -> None:
        limit = min(ask.ended, paging.PAGE_ENTRIES)
        for loaded in self._turn.store.ended_runs(self._before(ask), limit):
            run = self._turn.broker.runs.get(loaded.record.id) or Run.loaded(loaded)
            if not self._add(page, ask, run, -run.id, now):
                break

    def _before(self, ask: AskRuns) -> int:
        """The number below which the ended runs of a page are."""
        behind_all = self._turn.broker.next_run
        return min(-ask.after, behind_all) if ask.after < 0 else behind_all

    def _add(self, page: Page[RunStatus], ask: AskRuns, run: Run, place: int, now: float) -> bool:
        """Add a run, or pass over one that was not asked for. Returns whether there was room."""
        status = None
        if not ask.job or run.job == ask.job:
            status = _brief(self.run_status(run, now))
        if status is None or (ask.state and status.state != ask.state):
            page.skip(place)
        elif not page.add(status, place):
            return False
        page.more -= 1
        return True

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


def _brief(run: RunStatus) -> RunStatus:
    """A run as a list shows it: very long arguments are cut."""
    size, args = 0, []
    for arg in run.args:
        room = max(0, _ARGUMENTS_CHARS - size)
        args.append(arg if len(arg) <= room else f"{arg[:room]}...")
        size += len(arg)
        if size > _ARGUMENTS_CHARS:
            break
    return run if size <= _ARGUMENTS_CHARS else msgspec.structs.replace(run, args=args)


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
