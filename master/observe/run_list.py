"""Lists runs in pages: by state, job or a text, forward and backward.

Places are numbers: n + 1 is the active run n, -n the ended one; 0 is before the first, and behind
the last one for who goes back. Behind the last active run come the ended ones, from the newest on.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from queue_manager.errors import StoreError
from queue_manager.wire.limits import RUNS_LOOKED_AT
from queue_manager.wire.messages import AskRuns, RunList
from queue_manager.wire.records import RunStatus

from ..broker import Broker
from ..broker.runs.run import Run
from ..reads import RunsSought
from ..turn.turn import Turn
from . import paging
from .paging import Page

_ARGUMENTS_CHARS = 64 * 1024
"""How many characters of its arguments a run has in a list."""

_ON_DISK = {"", "done", "failed", "cancelled"}
"""The states of ended runs that are on disk; a run that is finishing is in memory."""


class RunLists:
    """Answers `AskRuns`. status: how a run is now. state: how it is, in one word."""

    def __init__(
        self,
        turn: Turn,
        status: Callable[[Run, float], RunStatus],
        state: Callable[[Run], str],
    ) -> None:
        self._turn = turn
        self._status = status
        self._state = state

    def page(self, ask: AskRuns) -> RunList:
        """The answer. While the store is away it has no ended runs: the status says why.

        Raises StoreError: what is sought can't be read, and the store is there.
        """
        try:
            return self._page(ask)
        except StoreError:
            if not self._turn.store.trouble:
                raise
        return self._page(msgspec.structs.replace(ask, ended=0), is_away=True)

    def _page(self, ask: AskRuns, is_away: bool = False) -> RunList:
        page = Page[RunStatus](ask.after, min(max(ask.limit, 1), paging.PAGE_ENTRIES))
        now = time.monotonic()
        complete = self._back(page, ask, now) if ask.back else self._forward(page, ask, now)
        more = 0 if is_away or (complete and ask.ended > 0) else self._behind(page.last, ask)
        first, last = page.first, page.last
        if ask.back:
            page.told.reverse()
            first, last = last, first
        return RunList(ask.seq, page.told, last, complete, more, first)

    def _forward(self, page: Page[RunStatus], ask: AskRuns, now: float) -> bool:
        """Fill a page. False: something is behind it."""
        if ask.after >= 0:
            for run in self._active(lambda number: number >= ask.after):
                if not self._add(page, ask, run, run.id + 1, now):
                    return False
        return ask.ended <= 0 or self._add_ended(page, ask, now)

    def _back(self, page: Page[RunStatus], ask: AskRuns, now: float) -> bool:
        if ask.after <= 0 and ask.ended > 0 and not self._add_ended(page, ask, now):
            return False
        active = self._active(lambda number: ask.after <= 0 or number + 1 < ask.after)
        return all(self._add(page, ask, run, run.id + 1, now) for run in reversed(active))

    def _active(self, is_there: Callable[[int], bool]) -> list[Run]:
        """Runs by their numbers."""
        runs = active_on_disk(self._turn.broker)
        return sorted((run for run in runs if is_there(run.id)), key=lambda run: run.id)

    def _add_ended(self, page: Page[RunStatus], ask: AskRuns, now: float) -> bool:
        broker = self._turn.broker
        if ask.state == "finishing":
            return self._add_finishing(page, ask, now)
        if ask.state not in _ON_DISK:
            return True
        sought = RunsSought(
            self._after(ask),
            min(ask.ended, page.room),
            ask.back,
            ask.job,
            ask.state,
            ask.search,
            min(ask.ended, RUNS_LOOKED_AT),
        )
        found = self._turn.store.find_ended(sought)
        for loaded in found.runs:
            run = broker.runs.get(loaded.record.id) or Run.loaded(loaded)
            if not self._add(page, ask, run, -run.id, now):
                return False
        if found.place != sought.after:
            page.skip(-found.place)
        return found.complete

    def _add_finishing(self, page: Page[RunStatus], ask: AskRuns, now: float) -> bool:
        after, sign = self._after(ask), 1 if ask.back else -1
        broker = self._turn.broker
        ended = [run for run in broker.runs.values() if not broker.on_disk(run).active]
        ended = [run for run in ended if sign * run.id > sign * after]
        in_order = sorted(ended, key=lambda run: sign * run.id)
        return all(self._add(page, ask, run, -run.id, now) for run in in_order)

    def _after(self, ask: AskRuns) -> int:
        """The number behind which the ended runs of a page are."""
        if ask.back:
            return -ask.after
        behind_all = self._turn.broker.next_run
        return min(-ask.after, behind_all) if ask.after < 0 else behind_all

    def _add(self, page: Page[RunStatus], ask: AskRuns, run: Run, place: int, now: float) -> bool:
        """Add a run, or pass over one that was not asked for. Returns whether there was room."""
        if not self._is_sought(ask, run):
            page.skip(place)
            return True
        return page.add(brief(self._status(run, now)), place)

    def _is_sought(self, ask: AskRuns, run: Run) -> bool:
        is_of_job = not ask.job or run.job == ask.job
        if not is_of_job or (ask.state and self._state(run) != ask.state):
            return False
        return not ask.search or RunsSought(0, 0, text=ask.search).has_text(run.record())

    def _behind(self, place: int, ask: AskRuns) -> int:
        """How many runs are behind a place, those too that were not asked for."""
        count, all_runs = self._turn.store.count_ended, self._turn.broker.next_run
        if ask.back and place > 0:
            return len(self._active(lambda number: number + 1 < place))
        if ask.back:
            behind = count(all_runs) - count(1 - place) if place else count(all_runs)
            return behind + len(self._active(lambda _: True))
        if place < 0:
            return count(-place)
        return len(self._active(lambda number: number >= place)) + count(all_runs)


def active_on_disk(broker: Broker) -> list[Run]:
    """Runs that have not ended on disk: those too whose end is on its way there."""
    return [run for run in broker.runs.values() if broker.on_disk(run).active]


def brief(run: RunStatus) -> RunStatus:
    """A run as a list shows it: very long arguments are cut."""
    size, args = 0, []
    for arg in run.args:
        room = max(0, _ARGUMENTS_CHARS - size)
        args.append(arg if len(arg) <= room else f"{arg[:room]}...")
        size += len(arg)
        if size > _ARGUMENTS_CHARS:
            break
    return run if size <= _ARGUMENTS_CHARS else msgspec.structs.replace(run, args=args)
