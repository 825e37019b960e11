"""The history of runs by the minute: when a minute is recorded, and what is answered about it.

Owns the minute that goes on. The broker stages what a run has done, and the store adds it up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

from queue_manager.errors import RefusedError
from queue_manager.wire.history import AskHistory, History, HistoryPoint

from ..broker.runs.minutes import standing_of, untold
from ..broker.runs.run import Run
from ..history import (
    ALL_RUNS,
    MINUTE_S,
    Counted,
    HistoryRecord,
    Rows,
    Standing,
    add,
    begin_of,
    step_for,
)
from ..turn.answer import PeerReply, Unasked
from ..turn.run_lookup import find_run
from ..turn.steps import Publish, Step
from ..turn.turn import Turn

HOUR_S = 3_600.0

_RUNS = 500
"""How many runs a step looks at. It takes some milliseconds."""

_NOTHING = Counted()


class HistoryKeeper:
    """Has each minute recorded when it is over, and answers `AskHistory`.

    A run has a row if it has done something, or stands otherwise than at its last row. All runs
    together always have one, so a minute without it is one in which no master was there.
    """

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._minute = begin_of(turn.wall)
        self._is_late = False
        self._told: dict[int, Standing] = {}

    def begin(self) -> None:
        """Record what was done in the last minute before this start, which nobody has recorded.

        The counts of runs are on disk. The minute is the one behind the last whole one.
        """
        last = self._turn.store.last_minute()
        minute = min(int(last) + MINUTE_S, self._minute) if last else self._minute
        self._post_for(lambda run: untold(run) != _NOTHING, partial(self._stage_rest, minute))

    def tick(self, now: float) -> None:
        """Record the minute if it is over."""
        minute = begin_of(self._turn.wall)
        if minute == self._minute or self._is_late:  # a full disk: the row gets it all later
            return
        over, self._minute, self._is_late = self._minute, minute, True
        stand: dict[int, Standing] = {}
        self._post_for(lambda run: run.active, partial(self._stage_runs, over, stand))
        self._post(partial(self._stage_all, over, stand))

    def _post_for(
        self, is_meant: Callable[[Run], bool], act: Callable[[list[Run]], Publish | None]
    ) -> None:
        runs = [run for run in self._turn.broker.runs.values() if is_meant(run)]
        for at in range(0, len(runs), _RUNS):
            self._post(partial(act, runs[at : at + _RUNS]))

    def _post(self, act: Callable[[], Publish | None]) -> None:
        """Have something staged, however long the disk takes nothing."""
        step = Step(
            lambda now, wall: act(),
            Unasked(),
            None,
            retry_on_store_error=True,
            of=self,
            lasting=True,
        )
        self._turn.post(step)

    # --- staged ---

    def _stage_rest(self, minute: int, runs: list[Run]) -> None:
        for run in runs:
            if untold(run) != _NOTHING:
                self._turn.broker.minutes.record(run, minute, None)

    def _stage_runs(self, minute: int, stand: dict[int, Standing], runs: list[Run]) -> Publish:
        told = {}
        for run in (run for run in runs if run.active):
            stand[run.id] = standing = standing_of(run)
            if standing != self._told.get(run.id) or untold(run) != _NOTHING:
                self._turn.broker.minutes.record(run, minute, standing)
                told[run.id] = standing
        return partial(self._told.update, told)

    def _stage_all(self, minute: int, stand: dict[int, Standing]) -> Publish:
        slots = [s.slots for s in self._turn.broker.sessions.values() if not s.stock]
        runs = stand.values()
        standing = Standing(
            sum(one.waiting for one in runs),
            sum(one.leased for one in runs),
            sum(one.delayed for one in runs),
            len(slots),
            sum(slots),
        )
        self._turn.broker.minutes.record_all(minute, standing)
        return partial(self._recorded, stand)

    def _recorded(self, stand: dict[int, Standing]) -> None:
        self._is_late = False
        self._told = {run: told for run, told in self._told.items() if run in stand}

    # --- asked ---

    def show(self, reply: PeerReply, ask: AskHistory) -> None:
        """Answer `AskHistory`. Raises RefusedError for a time that is none, or no run."""
        now_at = self._turn.wall
        until_at = min(ask.until_at or now_at, now_at + MINUTE_S)
        since_at = ask.since_at or until_at - HOUR_S
        if not (math.isfinite(since_at) and 0 <= since_at <= until_at and 0 <= ask.step_s < 1e9):
            raise RefusedError(
                f"no time of a history: from {ask.since_at} until {ask.until_at} in steps of"
                f" {ask.step_s} s; each is seconds since 1970, and the first is the earlier one"
            )
        run = None if ask.run is None else find_run(self._turn, ask.run)
        step_s = step_for(since_at, until_at, ask.step_s, now_at)
        number = ALL_RUNS if run is None else run.id
        rows: Rows = {}
        for row in self._turn.store.read_history(number, since_at, until_at, step_s):
            add(rows, row)
        if until_at > self._minute:
            for row in self._going_on(run):
                add(rows, row.within(step_s))
        points = [_point(row) for row in rows.values()]
        reply.send(History(ask.seq, step_s, now_at, points))

    def _going_on(self, run: Run | None) -> Iterator[HistoryRecord]:
        """What was done in the minute that goes on, and is in no row yet."""
        number = ALL_RUNS if run is None else run.id
        runs = self._turn.broker.runs.values() if run is None else [run]
        new = [untold(run) for run in runs if run.active]
        standing = standing_of(run) if run is not None and run.active else None
        if new:
            done = Counted(*map(sum, zip(*new, strict=True)))
            if done != _NOTHING or standing is not None:
                yield HistoryRecord(number, self._minute, MINUTE_S, *done, standing)


def _point(row: HistoryRecord) -> HistoryPoint:
    standing = row.standing or (None, None, None, None, None)
    return HistoryPoint(row.at, row.done, row.dead, row.failed, row.busy_s, *standing)
